//! One endpoint of a user: a contact, the connection it is reached over, and how long (RFC 3261 §10, RFC 5626 §6).

use core::fmt;

use super::{Capabilities, Order};
use crate::sip::header::Quoted;
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;
use crate::sip::uri::Uri;

/// Tells an endpoint of a user from the user's others, also from those that are gone.
/// It stays when the endpoint registers again, and when it comes back on another connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u32);

/// An endpoint: 64 bytes and its texts (about 100 bytes for an ordinary client).
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name among the user's endpoints.
    pub id: EndpointId,
    /// RFC 5626 §4.2; 0 where there is none.
    pub reg_id: u32,
    /// Over which it is reached.
    pub connection: ConnectionId,
    /// When it ends unless it registers again.
    pub expires_at: Now,
    /// The client's wish among its user's endpoints, 0 to 1000 (RFC 3261 §20.10, `q`).
    pub q: u16,
    /// What it can do.
    pub capabilities: Capabilities,
    contact_bytes: u16,
    cseq: u32,
    call_id: u64,
    /// The contact URI, then the instance id: one allocation.
    text: Box<str>,
}

impl Endpoint {
    /// Makes the record of a REGISTER. `old` is what it was before, whose texts stay where they are if they are the same, as they
    /// are each time an ordinary client refreshes.
    #[expect(
        clippy::too_many_arguments,
        reason = "a record that is made in one place"
    )]
    pub(super) fn new(
        id: EndpointId,
        old: Option<Endpoint>,
        contact: &str,
        instance: &str,
        reg_id: u32,
        q: u16,
        connection: ConnectionId,
        expires_at: Now,
        order: Order,
        capabilities: Capabilities,
    ) -> Endpoint {
        let text = match old {
            Some(old) if old.contact() == contact && old.instance_written() == instance => old.text,
            _ => [contact, instance].concat().into_boxed_str(),
        };
        Endpoint {
            id,
            reg_id,
            connection,
            expires_at,
            q,
            capabilities,
            contact_bytes: u16::try_from(contact.len())
                .expect("Settings::contact_bytes_max is a u16 and was checked"),
            cseq: order.cseq,
            call_id: order.call_id,
            text,
        }
    }

    /// The contact URI as the client wrote it: the Request-URI of what is sent to it (RFC 3261 §8.1.1.1).
    pub fn contact(&self) -> &str {
        self.text.get(..self.contact_bytes.into()).unwrap_or("")
    }

    /// The instance id without its brackets, `urn:uuid:…` (RFC 5626 §4.1); empty where there is none.
    pub fn instance(&self) -> &str {
        let written = self.instance_written();
        written
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'))
            .unwrap_or(written)
    }

    /// Its place in the order of its client's REGISTERs.
    pub(super) fn order(&self) -> Order {
        Order {
            call_id: self.call_id,
            cseq: self.cseq,
        }
    }

    /// Whether a Contact means this endpoint by its instance and reg-id (RFC 5626 §6).
    pub(super) fn has_instance(&self, instance: &str, reg_id: u32) -> bool {
        // The hexadecimal digits of a UUID have no case (RFC 9562 §4).
        self.reg_id == reg_id && self.instance_written().eq_ignore_ascii_case(instance)
    }

    /// Whether a Contact means this endpoint by the equivalence of URIs (RFC 3261 §10.3 step 7, §19.1.4).
    pub(super) fn has_uri(&self, uri: &Uri<'_>) -> bool {
        Uri::parse(self.contact()).is_ok_and(|own| own.equivalent(uri))
    }

    /// The value of the Contact line that tells the client of this binding.
    pub(super) fn contact_value(&self, now: Now) -> ContactValue<'_> {
        ContactValue {
            endpoint: self,
            now,
        }
    }

    fn instance_written(&self) -> &str {
        self.text.get(self.contact_bytes.into()..).unwrap_or("")
    }
}

/// Writes a binding into a 200.
pub(super) struct ContactValue<'a> {
    endpoint: &'a Endpoint,
    now: Now,
}

impl fmt::Display for ContactValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint;
        // Rounded up, so that what was granted now is told in full.
        let expires_s = endpoint
            .expires_at
            .since(self.now)
            .as_micros()
            .div_ceil(1_000_000);
        write!(f, "<{}>;expires={expires_s}", endpoint.contact())?;
        match endpoint.q {
            1000 => {}
            q => write!(f, ";q=0.{q:03}")?,
        }
        let instance = endpoint.instance_written();
        if !instance.is_empty() {
            write!(f, ";+sip.instance={}", Quoted(instance))?;
        }
        if endpoint.reg_id != 0 {
            write!(f, ";reg-id={}", endpoint.reg_id)?;
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<Endpoint>() == 64);
