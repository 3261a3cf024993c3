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
    #[inline]
    pub fn parse(text: &str) -> Name {
        Name::of(text.as_bytes())
    }

    /// The same of bytes of which nobody knows yet whether they are text.
    pub(crate) fn of(text: &[u8]) -> Name {
        let mut slot = hash(text);
        // Ends: most slots are empty, and `slots` has put no name further than it could be found.
        loop {
            let entry = SLOTS[slot];
            if entry == 0 {
                return Name::Other;
            }
            let index = usize::from(entry & !COMPACT_BIT) - 1;
            let known = if entry & COMPACT_BIT == 0 {
                TEXT[index]
            } else {
                COMPACT[index]
            };
            // Nearly everybody writes a name in its usual spelling.
            let known = known.as_bytes();
            if known == text || known.eq_ignore_ascii_case(text) {
                return NAMES[index];
            }
            slot = (slot + 1) % SLOTS.len();
        }
    }

    /// Reads the name at the beginning of a header line with its colon, where they are found in eight bytes: so are most lines
    /// of most messages. `None`: `of` knows.
    #[inline]
    pub(crate) fn short(line: &[u8; 8]) -> Option<(Name, usize)> {
        let word = u64::from_le_bytes(*line);
        // The lowest of these bits is that of the first colon; those after it may be wrong, by what is borrowed.
        let others = word ^ (EACH * b':' as u64);
        let colons = others.wrapping_sub(EACH) & !others & (EACH * 0x80);
        if colons == 0 {
            return None;
        }
        let colon = colons & colons.wrapping_neg();
        let named = word & (colon << 1).wrapping_sub(1);
        let entry = &SHORT[short_slot(named)];
        (named | entry.letters == entry.text)
            .then(|| (entry.name, colon.trailing_zeros() as usize / 8))
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

/// A name of at most seven characters and its colon, as one word.
#[derive(Clone, Copy)]
struct Short {
    /// In lower case.
    text: u64,
    /// The bit that makes lower case of a letter, wherever there is one.
    letters: u64,
    name: Name,
}

const EACH: u64 = u64::MAX / 0xff;

/// The short names and the compact forms, by `short_slot`. Which finds its slot taken is not here, but in `SLOTS` as all are.
static SHORT: [Short; 64] = shorts();

/// The factor was searched for: today no two names share a slot.
const fn short_slot(word: u64) -> usize {
    ((word | (EACH * 0x20)).wrapping_mul(0x9e07_8a92_a34d_659d) >> 58) as usize
}

const fn shorts() -> [Short; 64] {
    let none = Short {
        text: 0,
        letters: 0,
        name: Name::Other,
    };
    let mut table = [none; 64];
    let mut index = 0;
    while index + 1 < Name::COUNT {
        put_short(&mut table, TEXT[index].as_bytes(), NAMES[index]);
        put_short(&mut table, COMPACT[index].as_bytes(), NAMES[index]);
        index += 1;
    }
    table
}

const fn put_short(table: &mut [Short; 64], text: &[u8], name: Name) {
    if text.is_empty() || text.len() > 7 {
        return;
    }
    let (mut word, mut letters) = ([0; 8], [0; 8]);
    let mut at = 0;
    while at < text.len() {
        word[at] = text[at].to_ascii_lowercase();
        if text[at].is_ascii_alphabetic() {
            letters[at] = 0x20;
        }
        at += 1;
    }
    word[at] = b':';
    let text = u64::from_le_bytes(word);
    let entry = &mut table[short_slot(text)];
    if entry.text == 0 {
        *entry = Short {
            text,
            letters: u64::from_le_bytes(letters),
            name,
        };
    }
}

/// A hash table with open addressing, made when compiling: 0, or a name's number + 1 with a bit for its compact form.
const SLOTS: [u8; 512] = slots();
const COMPACT_BIT: u8 = 0x80;

/// Length, first, middle and last character, without case. The factors were searched for: today no two names share a slot,
/// and one that does costs a second look.
const fn hash(text: &[u8]) -> usize {
    let [first, .., last] = text else {
        // A compact form, or nothing.
        return if text.is_empty() {
            0
        } else {
            (text[0] | 0x20) as usize
        };
    };
    let middle = text[text.len() / 2];
    ((*first | 0x20) as usize * 224
        + (*last | 0x20) as usize * 51
        + (middle | 0x20) as usize * 235
        + text.len() * 131)
        % 512
}

const fn slots() -> [u8; 512] {
    assert!(Name::COUNT < COMPACT_BIT as usize);
    let mut table = [0u8; 512];
    let mut index = 0;
    while index + 1 < Name::COUNT {
        put(&mut table, TEXT[index].as_bytes(), index as u8 + 1);
        if !COMPACT[index].is_empty() {
            put(
                &mut table,
                COMPACT[index].as_bytes(),
                (index as u8 + 1) | COMPACT_BIT,
            );
        }
        index += 1;
    }
    table
}

const fn put(table: &mut [u8; 512], text: &[u8], entry: u8) {
    let mut slot = hash(text);
    while table[slot] != 0 {
        slot = (slot + 1) % 512;
    }
    table[slot] = entry;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_short() {
        for &name in NAMES.iter().filter(|&&name| name != Name::Other) {
            let text = name.as_str();
            assert_eq!(Name::parse(text), name);
            assert_eq!(Name::parse(&text.to_ascii_uppercase()), name);
            assert_eq!(Name::parse(&text.to_ascii_lowercase()), name);
            let short = COMPACT[name as usize];
            if !short.is_empty() {
                assert_eq!(Name::parse(short), name);
                assert_eq!(Name::parse(&short.to_ascii_uppercase()), name);
            }
        }
    }

    #[test]
    fn other_names_are_other() {
        for text in [
            "",
            "z",
            "X-Custom",
            "Vi",
            "Viaa",
            "To ",
            "ms-keep-alive",
            "Content-Lengt",
        ] {
            assert_eq!(Name::parse(text), Name::Other, "{text}");
        }
    }

    /// Of each short name every byte in every place: found is what is found the longer way, and nothing else is.
    #[test]
    fn short_names_are_what_they_are_the_longer_way() {
        let check = |line: &[u8; 8]| {
            let colon = line.iter().position(|&byte| byte == b':');
            let longer = colon.map(|colon| (Name::of(&line[..colon]), colon));
            let longer = longer.filter(|(name, _)| *name != Name::Other);
            assert_eq!(Name::short(line), longer, "{}", line.escape_ascii());
        };
        let texts = TEXT.iter().chain(COMPACT);
        for text in texts.filter(|text| text.len() < 8) {
            let (upper, lower) = (text.to_ascii_uppercase(), text.to_ascii_lowercase());
            for text in [*text, &upper, &lower] {
                for after in [": \"a\":;b", ":::::::::", "\0:\0:\0:\0:", "        "] {
                    let line = format!("{text}{after}");
                    let line: &[u8; 8] = line.as_bytes().first_chunk().expect("long enough");
                    check(line);
                    for at in 0..8 {
                        for byte in 0..=u8::MAX {
                            let mut line = *line;
                            line[at] = byte;
                            check(&line);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_names_are_spread() {
        // What this server reads in nearly every message is found at once.
        for name in [
            Name::Via,
            Name::From,
            Name::To,
            Name::CallId,
            Name::CSeq,
            Name::Contact,
            Name::MaxForwards,
            Name::ContentLength,
            Name::ContentType,
            Name::UserAgent,
            Name::Event,
            Name::Expires,
            Name::Supported,
            Name::Allow,
        ] {
            let home = SLOTS[hash(name.as_str().as_bytes())];
            assert_eq!(
                usize::from(home & !COMPACT_BIT),
                name as usize + 1,
                "{name:?}"
            );
        }
    }
}
