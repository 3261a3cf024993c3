//! The names of header fields, with their compact forms (RFC 3261 §7.3.3, §20, and the IANA registry).

/// Makes the enum and its tables from one list: variant, full name, compact form or `-`.
macro_rules! names {
    ($($variant:ident $text:literal $short:literal)*) => {
        /// A header field's name. `Other` is any name that is not in the table; its text is kept beside it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// A name not known here.
            Other,
        }

        /// Each name as it is written, by the variant's number.
        const TEXT: &[&str] = &[$($text,)* ""];
        /// Each compact form, or an empty text.
        const COMPACT: &[&str] = &[$($short,)* ""];
        /// The variants, by number.
        const NAMES: &[Name] = &[$(Name::$variant,)* Name::Other];
        const MISSING: &[&str] = &[$(concat!("Missing ", $text),)* "Missing header"];
        const REPEATED: &[&str] = &[$(concat!("Repeated ", $text),)* "Repeated header"];
        const BAD: &[&str] = &[$(concat!("Bad ", $text),)* "Bad header"];
    };
}

names! {
    Accept "Accept" ""
    AcceptContact "Accept-Contact" "a"
    AcceptEncoding "Accept-Encoding" ""
    AcceptLanguage "Accept-Language" ""
    AcceptResourcePriority "Accept-Resource-Priority" ""
    AlertInfo "Alert-Info" ""
    Allow "Allow" ""
    AllowEvents "Allow-Events" "u"
    AnswerMode "Answer-Mode" ""
    AuthenticationInfo "Authentication-Info" ""
    Authorization "Authorization" ""
    CallId "Call-ID" "i"
    CallInfo "Call-Info" ""
    Contact "Contact" "m"
    ContentDisposition "Content-Disposition" ""
    ContentEncoding "Content-Encoding" "e"
    ContentLanguage "Content-Language" ""
    ContentLength "Content-Length" "l"
    ContentType "Content-Type" "c"
    CSeq "CSeq" ""
    Date "Date" ""
    Diversion "Diversion" ""
    ErrorInfo "Error-Info" ""
    Event "Event" "o"
    Expires "Expires" ""
    FeatureCaps "Feature-Caps" ""
    FlowTimer "Flow-Timer" ""
    From "From" "f"
    Geolocation "Geolocation" ""
    HistoryInfo "History-Info" ""
    Identity "Identity" "y"
    InfoPackage "Info-Package" ""
    InReplyTo "In-Reply-To" ""
    Join "Join" ""
    MaxBreadth "Max-Breadth" ""
    MaxForwards "Max-Forwards" ""
    MimeVersion "MIME-Version" ""
    MinExpires "Min-Expires" ""
    MinSe "Min-SE" ""
    Organization "Organization" ""
    PAccessNetworkInfo "P-Access-Network-Info" ""
    PAssertedIdentity "P-Asserted-Identity" ""
    PAssociatedUri "P-Associated-URI" ""
    PCalledPartyId "P-Called-Party-ID" ""
    PPreferredIdentity "P-Preferred-Identity" ""
    Path "Path" ""
    Priority "Priority" ""
    Privacy "Privacy" ""
    ProxyAuthenticate "Proxy-Authenticate" ""
    ProxyAuthorization "Proxy-Authorization" ""
    ProxyRequire "Proxy-Require" ""
    RAck "RAck" ""
    Reason "Reason" ""
    RecordRoute "Record-Route" ""
    RecvInfo "Recv-Info" ""
    ReferSub "Refer-Sub" ""
    ReferTo "Refer-To" "r"
    ReferredBy "Referred-By" "b"
    RejectContact "Reject-Contact" "j"
    Replaces "Replaces" ""
    ReplyTo "Reply-To" ""
    RequestDisposition "Request-Disposition" "d"
    Require "Require" ""
    RetryAfter "Retry-After" ""
    Route "Route" ""
    RSeq "RSeq" ""
    SecurityClient "Security-Client" ""
    SecurityServer "Security-Server" ""
    SecurityVerify "Security-Verify" ""
    Server "Server" ""
    ServiceRoute "Service-Route" ""
    SessionExpires "Session-Expires" "x"
    SipEtag "SIP-ETag" ""
    SipIfMatch "SIP-If-Match" ""
    Subject "Subject" "s"
    SubscriptionState "Subscription-State" ""
    Supported "Supported" "k"
    SuppressIfMatch "Suppress-If-Match" ""
    TargetDialog "Target-Dialog" ""
    Timestamp "Timestamp" ""
    To "To" "t"
    Unsupported "Unsupported" ""
    UserAgent "User-Agent" ""
    Via "Via" "v"
    Warning "Warning" ""
    WwwAuthenticate "WWW-Authenticate" ""
}

impl Name {
    /// How many there are, `Other` among them.
    pub const COUNT: usize = NAMES.len();

    /// Reads a name in full or compact form, in any case; `Other` for one that is not in the table.
    pub fn parse(text: &str) -> Name {
        for (index, full) in TEXT.iter().enumerate() {
            if full.eq_ignore_ascii_case(text) || (!text.is_empty() && COMPACT[index].eq_ignore_ascii_case(text)) {
                return NAMES[index];
            }
        }
        Name::Other
    }

    /// The full name in its usual spelling; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        TEXT[self as usize]
    }

    /// "Missing Call-ID".
    pub(crate) fn missing(self) -> &'static str {
        MISSING[self as usize]
    }

    /// "Repeated Call-ID".
    pub(crate) fn repeated(self) -> &'static str {
        REPEATED[self as usize]
    }

    /// "Bad Call-ID".
    pub(crate) fn bad(self) -> &'static str {
        BAD[self as usize]
    }
}
