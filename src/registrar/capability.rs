//! What an endpoint says that it can do, in eight bytes: RFC 3840, and the Allow and Accept of its REGISTER.

use crate::sip::header::{Name, Params, accept_quality, has_token, tokens};
use crate::sip::message::{Message, Method};

/// Something an endpoint says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Feature {
    /// `audio` (RFC 3840 §10.2).
    Audio = 1,
    /// `video` (RFC 3840 §10.4).
    Video = 1 << 1,
    /// `text` (RFC 3840 §10.5): session-mode text.
    Text = 1 << 2,
    /// `automata`: no person reads it (RFC 3840 §10.8).
    Automata = 1 << 3,
    /// `mobility="mobile"` (RFC 3840 §10.10).
    Mobile = 1 << 4,
    /// `isfocus`: a conference (RFC 3840 §10.18).
    IsFocus = 1 << 5,
    /// Accept has `message/cpim` (RFC 3862).
    Cpim = 1 << 6,
    /// Accept has `application/im-iscomposing+xml` (RFC 3994).
    IsComposing = 1 << 7,
    /// Supported has `outbound` (RFC 5626).
    Outbound = 1 << 8,
    /// `+muster.copies`: it wants copies of what its user sends from other endpoints.
    Copies = 1 << 9,
}

/// The methods and features of an endpoint, as far as they are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// A bit for each `Method::index`; none at all: nothing was said.
    methods: u16,
    features: u16,
}

const _: () = assert!(Method::COUNT <= 16, "methods are bits of a u16");

impl Capabilities {
    /// Reads a REGISTER and the parameters of one of its Contacts.
    pub(super) fn read(request: &Message<'_>, contact: &Params<'_>) -> Capabilities {
        let mut capabilities = Capabilities::default();
        tokens(request.headers(Name::Allow)).for_each(|method| capabilities.add_method(method));
        if let Some(methods) = contact.value("methods") {
            tokens(core::iter::once(&*methods)).for_each(|method| capabilities.add_method(method));
        }
        let said = |name: &str| {
            contact
                .get(name)
                .is_some_and(|value| value.is_none_or(|value| !value.eq_ignore_ascii_case("false")))
        };
        let accepts =
            |kind: &str| accept_quality(request.headers(Name::Accept), kind).is_some_and(|q| q > 0);
        let mobile = contact
            .value("mobility")
            .is_some_and(|value| value.eq_ignore_ascii_case("mobile"));
        for (feature, has) in [
            (Feature::Audio, said("audio")),
            (Feature::Video, said("video")),
            (Feature::Text, said("text")),
            (Feature::Automata, said("automata")),
            (Feature::Mobile, mobile),
            (Feature::IsFocus, said("isfocus")),
            (Feature::Copies, said("+muster.copies")),
            (Feature::Cpim, accepts("message/cpim")),
            (
                Feature::IsComposing,
                accepts("application/im-iscomposing+xml"),
            ),
            (
                Feature::Outbound,
                has_token(request.headers(Name::Supported), "outbound"),
            ),
        ] {
            if has {
                capabilities.features |= feature as u16;
            }
        }
        capabilities
    }

    /// Whether it takes a method; None where it did not say which it takes.
    pub fn allows(self, method: Method) -> Option<bool> {
        (self.methods != 0).then_some(self.methods & bit(method) != 0)
    }

    /// Whether it said so.
    pub fn has(self, feature: Feature) -> bool {
        self.features & feature as u16 != 0
    }

    fn add_method(&mut self, name: &str) {
        self.methods |= bit(Method::parse(name));
    }
}

fn bit(method: Method) -> u16 {
    1 << method.index()
}
