//! Which of a user's endpoints a globally routable URI means (RFC 5627).

use crate::registrar::{Endpoint, EndpointId};

/// What a GRUU says beside the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gruu {
    /// A public one (`;gr=urn:uuid:…`, RFC 5627 §3.1): the instance id, without escapes and brackets.
    Instance(Box<str>),
    /// A temporary one: an endpoint for as long as it registers with this Call-ID (RFC 5627 §3.1, §5.4).
    Temporary {
        /// The endpoint.
        endpoint: EndpointId,
        /// A hash of the Call-ID.
        call_id: u64,
    },
}

impl Gruu {
    /// Whether it means this endpoint. Two flows of one instance are both meant.
    pub fn means(&self, endpoint: &Endpoint) -> bool {
        match self {
            // The hexadecimal digits of a UUID have no case (RFC 9562 §4).
            Gruu::Instance(instance) => {
                !instance.is_empty() && endpoint.instance().eq_ignore_ascii_case(instance)
            }
            Gruu::Temporary {
                endpoint: id,
                call_id,
            } => endpoint.id == *id && endpoint.order().call_id == *call_id,
        }
    }
}
