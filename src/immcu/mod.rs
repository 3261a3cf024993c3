//! The instant-messaging multipoint control unit: every conversation passes it.

mod session_id;

pub use session_id::SessionId;
