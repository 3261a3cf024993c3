//! All that crosses from one shard to another: plain data, owned, a closed list.

/// What one shard tells another.
#[derive(Debug)]
pub enum Letter {}
