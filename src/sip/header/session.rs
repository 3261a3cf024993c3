//! Smaller values: CSeq, numbers of seconds, Reason, Replaces and Join, Session-Expires.

use super::event::token_and_params;
use super::{BadValue, Params};
use crate::sip::grammar::{self, TOKEN};

/// A sequence number with its method (RFC 3261 §20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method's text.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads the value of CSeq.
    pub fn parse(text: &'a str) -> Result<CSeq<'a>, BadValue> {
        let text = grammar::trim(text);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = grammar::split(text, digits);
        let method = grammar::trim_start(rest);
        if method.len() == rest.len() {
            return Err(BadValue);
        }
        let number = grammar::decimal(number)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|&number| number < 1 << 31)
            .ok_or(BadValue)?;
        if !grammar::all(method, TOKEN) {
            return Err(BadValue);
        }
        Ok(CSeq { number, method })
    }
}

/// Reads a decimal number such as the value of Expires, Min-Expires, Max-Forwards; Retry-After with what may follow it
/// (a comment, parameters). More than 2^32 - 1 counts as 2^32 - 1 (RFC 3261 §20.19).
pub fn number(text: &str) -> Option<u32> {
    let text = grammar::trim(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = grammar::split(text, digits);
    let rest = grammar::trim_start(rest);
    if !rest.is_empty() && !rest.starts_with([';', '(']) {
        return None;
    }
    let number = grammar::decimal(digits)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// One value of Reason (RFC 3326).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, ….
    pub protocol: &'a str,
    /// `cause`, `text`, ….
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads one value.
    pub fn parse(text: &'a str) -> Result<Reason<'a>, BadValue> {
        let (protocol, params) = token_and_params(text)?;
        Ok(Reason { protocol, params })
    }

    /// The `cause` parameter.
    pub fn cause(&self) -> Option<u32> {
        self.params.raw("cause").flatten().and_then(number)
    }
}

/// A dialog that Replaces (RFC 3891), Join (RFC 3911) or Target-Dialog (RFC 4538) names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialogRef<'a> {
    /// Its Call-ID.
    pub call_id: &'a str,
    /// `to-tag` (`local-tag` in Target-Dialog), as the receiver of the request sees it: its own tag.
    pub local_tag: &'a str,
    /// `from-tag` (`remote-tag` in Target-Dialog): the other's tag.
    pub remote_tag: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> DialogRef<'a> {
    /// Reads the value; both tags must be there.
    pub fn parse(text: &'a str) -> Result<DialogRef<'a>, BadValue> {
        let text = grammar::trim(text);
        let end = text.find(';').ok_or(BadValue)?;
        let (call_id, params) = grammar::split(text, end);
        let call_id = grammar::trim(call_id);
        let params = Params::parse(params)?;
        let tag = |name, other| params.raw(name).or_else(|| params.raw(other)).flatten();
        if !is_call_id(call_id) {
            return Err(BadValue);
        }
        Ok(DialogRef {
            call_id,
            local_tag: tag("to-tag", "local-tag").ok_or(BadValue)?,
            remote_tag: tag("from-tag", "remote-tag").ok_or(BadValue)?,
            params,
        })
    }
}

/// Whether it can be a Call-ID: visible ASCII without blanks. The standard forbids some characters more (RFC 3261 §25.1,
/// `word`), but no part of ours has a use for that.
pub(crate) fn is_call_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The value of Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires<'a> {
    /// The interval in seconds.
    pub interval_s: u32,
    /// `uac` or `uas`.
    pub refresher: Option<&'a str>,
}

impl<'a> SessionExpires<'a> {
    /// Reads the value.
    pub fn parse(text: &'a str) -> Result<SessionExpires<'a>, BadValue> {
        let (interval, params) = token_and_params(text)?;
        Ok(SessionExpires {
            interval_s: number(interval).ok_or(BadValue)?,
            refresher: params.raw("refresher").flatten(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers() {
        for (text, expected) in [
            ("1 INVITE", Ok((1, "INVITE"))),
            ("0009\t  x-Method!", Ok((9, "x-Method!"))),
            ("2147483647 ACK", Ok((2_147_483_647, "ACK"))),
            ("2147483648 ACK", Err(BadValue)),
            ("36893488147419103232 REGISTER", Err(BadValue)),
            ("-1 ACK", Err(BadValue)),
            ("1", Err(BadValue)),
            ("ACK", Err(BadValue)),
            ("1 A C K", Err(BadValue)),
            ("", Err(BadValue)),
        ] {
            let found = CSeq::parse(text).map(|cseq| (cseq.number, cseq.method));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 3600 ", Some(3600)),
            ("99999999999", Some(u32::MAX)),
            ("18000;duration=3600", Some(18000)),
            ("120 (I'm in a meeting)", Some(120)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("Thu, 01 Dec 1994 16:00:00 GMT", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn dialogs_named_by_others() {
        let it =
            DialogRef::parse("98732@a.example.com ;from-tag=r33th4x0r;to-tag=ff87ff;early-only");
        assert_eq!(
            it.map(|it| (it.call_id, it.local_tag, it.remote_tag)),
            Ok(("98732@a.example.com", "ff87ff", "r33th4x0r"))
        );
        assert!(it.is_ok_and(|it| it.params.has("early-only")));
        let it = DialogRef::parse("a;local-tag=1;remote-tag=2");
        assert_eq!(it.map(|it| (it.local_tag, it.remote_tag)), Ok(("1", "2")));
        for bad in [
            "",
            "a",
            "a;to-tag=1",
            "a b;to-tag=1;from-tag=2",
            ";to-tag=1;from-tag=2",
        ] {
            assert_eq!(DialogRef::parse(bad), Err(BadValue), "{bad}");
        }
    }

    #[test]
    fn session_timers_and_reasons() {
        let it = SessionExpires::parse("1800;refresher=uas");
        assert_eq!(
            it,
            Ok(SessionExpires {
                interval_s: 1800,
                refresher: Some("uas")
            })
        );
        assert_eq!(SessionExpires::parse("soon"), Err(BadValue));
        let it = Reason::parse("SIP ;cause=200 ;text=\"Call completed elsewhere\"");
        assert_eq!(it.ok().and_then(|it| it.cause()), Some(200));
    }
}
