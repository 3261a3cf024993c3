//! Methods (RFC 3261 §7.1 and its extensions).

/// A method that this server knows. Method names are case-sensitive (RFC 3261 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Method {
    /// RFC 3261 §13
    Invite,
    /// RFC 3261 §13.2.2.4
    Ack,
    /// RFC 3261 §15
    Bye,
    /// RFC 3261 §9
    Cancel,
    /// RFC 3261 §11
    Options,
    /// RFC 3261 §10
    Register,
    /// RFC 3428
    Message,
    /// RFC 3903
    Publish,
    /// RFC 6665
    Subscribe,
    /// RFC 6665
    Notify,
    /// RFC 3515
    Refer,
    /// RFC 6086
    Info,
    /// RFC 3311
    Update,
    /// RFC 3262
    Prack,
    /// Lync's own requests
    Service,
    /// Any other; its text is `Message::method_text`.
    #[default]
    Other,
}

const TEXT: [&str; Method::COUNT] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "PUBLISH",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "INFO",
    "UPDATE",
    "PRACK",
    "SERVICE",
    "other",
];

impl Method {
    /// How many there are, `Other` among them; `index` is below it.
    pub const COUNT: usize = Method::Other as usize + 1;

    /// Reads a method's name.
    pub fn parse(text: &str) -> Method {
        match text {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "OPTIONS" => Method::Options,
            "REGISTER" => Method::Register,
            "MESSAGE" => Method::Message,
            "PUBLISH" => Method::Publish,
            "SUBSCRIBE" => Method::Subscribe,
            "NOTIFY" => Method::Notify,
            "REFER" => Method::Refer,
            "INFO" => Method::Info,
            "UPDATE" => Method::Update,
            "PRACK" => Method::Prack,
            "SERVICE" => Method::Service,
            _ => Method::Other,
        }
    }

    /// The name; `other` for `Other`.
    pub fn as_str(self) -> &'static str {
        TEXT[self as usize]
    }

    /// A dense number, for tables.
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The method's name by its number, for tables; `other` past the end.
    pub fn name_at(index: u8) -> &'static str {
        TEXT.get(usize::from(index)).copied().unwrap_or("other")
    }
}
