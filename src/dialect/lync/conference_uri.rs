//! The URIs of a conference and of what makes them ([MS-CONFBAS] §2.2.1): the organiser's address with `opaque` saying what
//! of theirs is meant. No `%` may stand in one: a client puts them through `printf`.

use crate::immcu::SessionId;
use crate::sip::uri::{Aor, Uri};

/// How each of them begins.
const OPAQUE: &str = "app:conf:";
const FACTORY: &str = "focusfactory";
const FOCUS: &str = "focus:id:";
const CHAT: &str = "chat:id:";

/// What such a URI names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Where the user makes conferences.
    Factory,
    /// The focus of one.
    Focus(SessionId),
    /// Its messages: where one speaks.
    Chat(SessionId),
    /// Nothing that this server has.
    Nothing,
}

/// What of its user a URI names; `None` where it is no conference's.
pub fn read(uri: &Uri<'_>) -> Option<Part> {
    let opaque = uri.param_value("opaque")?;
    let (begin, part) = opaque.split_at_checked(OPAQUE.len())?;
    if !begin.eq_ignore_ascii_case(OPAQUE) {
        return None;
    }
    let id = |prefix: &str| {
        let (begin, id) = part.split_at_checked(prefix.len())?;
        let id = id.to_ascii_lowercase();
        begin
            .eq_ignore_ascii_case(prefix)
            .then(|| SessionId::parse(&id))?
    };
    Some(if part.eq_ignore_ascii_case(FACTORY) {
        Part::Factory
    } else if let Some(session) = id(FOCUS) {
        Part::Focus(session)
    } else if let Some(session) = id(CHAT) {
        Part::Chat(session)
    } else {
        Part::Nothing
    })
}

/// Whose a conference is, as its URIs say it: only the rest of them counts. An address with escapes is left out.
fn owner(organiser: &Aor) -> String {
    let uri = organiser.uri();
    if uri.contains('%') {
        return format!("sip:conference@{}", organiser.host());
    }
    uri
}

/// Where `user` makes conferences.
pub fn factory(user: &Aor) -> String {
    format!("{};gruu;opaque={OPAQUE}{FACTORY}", owner(user))
}

/// The focus of a conference that `organiser` has started.
pub fn focus(organiser: &Aor, session: SessionId) -> String {
    format!("{};gruu;opaque={OPAQUE}{FOCUS}{session}", owner(organiser))
}

/// Where one speaks in it.
pub fn chat(organiser: &Aor, session: SessionId) -> String {
    format!("{};gruu;opaque={OPAQUE}{CHAT}{session}", owner(organiser))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let alice = Aor::parse("alice@example.com").expect("an address");
        let zoe = Aor::parse("zoë@example.com").expect("an address");
        let session = SessionId {
            group: 0x2a,
            random: 0xffee,
        };
        for (text, part) in [
            (factory(&alice), Part::Factory),
            (focus(&alice, session), Part::Focus(session)),
            (chat(&alice, session), Part::Chat(session)),
            (focus(&zoe, session), Part::Focus(session)),
            (
                focus(&alice, session)
                    .to_uppercase()
                    .replacen("SIP:", "sip:", 1),
                Part::Focus(session),
            ),
            (
                "sip:a@b.c;gruu;opaque=app:conf:audio-video:id:1".to_owned(),
                Part::Nothing,
            ),
            (
                "sip:a@b.c;gruu;opaque=app:conf:focus:id:5D3747C1BD1F4D".to_owned(),
                Part::Nothing,
            ),
            ("sip:a@b.c;opaque=app:conf:".to_owned(), Part::Nothing),
        ] {
            let uri = Uri::parse(&text).expect("a URI");
            assert_eq!(read(&uri), Some(part), "{text}");
            assert!(!text.contains('%'), "{text}");
        }
        for text in [
            "sip:a@b.c",
            "sip:a@b.c;opaque=user:epid:x;gruu",
            "sip:a@b.c;opaque=äpp",
        ] {
            let found = Uri::parse(text).ok().and_then(|uri| read(&uri));
            assert_eq!(found, None, "{text}");
        }
    }
}
