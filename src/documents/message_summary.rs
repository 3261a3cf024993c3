//! Message waiting (RFC 3842): how many voice messages a mailbox holds, as a few lines of text.
//!
//! Counts of other media (fax, pager, text) and the optional headers of single messages are passed over: this server
//! keeps voice messages. Always holds: what is read has no more urgent messages than messages.

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// Bytes of one document that is read.
pub const BYTES_MAX: usize = 8 * 1024;
/// Lines of one document that is read.
pub const LINES_MAX: usize = 128;
/// The most messages that a count may name; more is refused, as nobody has so many.
pub const COUNT_MAX: u32 = 1_000_000;

/// Why a document was refused. Always the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// More bytes or lines than this server reads.
    TooLong,
    /// Does not begin with `Messages-Waiting: yes` or `no` (RFC 3842 §5.2), or is no text.
    Status,
    /// A line that is no header line.
    Line,
    /// A count that can't be read, is past `COUNT_MAX`, or has more urgent messages than messages.
    Count,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::TooLong => 413,
            _ => 400,
        }
    }

    /// A few words for a reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::TooLong => "Message Summary Too Long",
            Fault::Status => "Messages-Waiting Is Missing",
            Fault::Line => "Malformed Message Summary",
            Fault::Count => "Bad Voice-Message Count",
        }
    }
}

/// Counts of voice messages. `new` and `old` include the urgent ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Not heard yet.
    pub new: u32,
    /// Heard and kept.
    pub old: u32,
    /// Of the new ones, urgent.
    pub urgent_new: u32,
    /// Of the old ones, urgent.
    pub urgent_old: u32,
}

/// Reads a document. Where it says only that something waits, that is one message: a lamp has no more to show.
///
/// # Errors
/// Where it can't be read, or past a limit.
pub fn read(bytes: &[u8]) -> Result<Summary, Fault> {
    if bytes.len() > BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Fault::Status)?;
    let mut summary = None;
    let mut waits = None;
    for (index, line) in text.lines().enumerate() {
        if index >= LINES_MAX {
            return Err(Fault::TooLong);
        }
        // An empty line begins the headers of single messages (§5.2): not for a lamp.
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(Fault::Line)?;
        let (name, value) = (name.trim(), value.trim());
        if index == 0 {
            if !name.eq_ignore_ascii_case("Messages-Waiting") {
                return Err(Fault::Status);
            }
            waits = Some(match value {
                yes if yes.eq_ignore_ascii_case("yes") => true,
                no if no.eq_ignore_ascii_case("no") => false,
                _ => return Err(Fault::Status),
            });
        } else if name.eq_ignore_ascii_case("Voice-Message") {
            summary = Some(counts(value).ok_or(Fault::Count)?);
        }
    }
    let waits = waits.ok_or(Fault::Status)?;
    Ok(summary.unwrap_or(Summary {
        new: u32::from(waits),
        ..Summary::default()
    }))
}

/// `2/8 (0/2)`; what is in parentheses is urgent, and optional (§5.2).
fn counts(text: &str) -> Option<Summary> {
    let (all, urgent) = match text.split_once('(') {
        Some((all, urgent)) => (all, urgent.trim_end().strip_suffix(')')?),
        None => (text, "0/0"),
    };
    let (new, old) = pair(all)?;
    let (urgent_new, urgent_old) = pair(urgent)?;
    (urgent_new <= new && urgent_old <= old).then_some(Summary {
        new,
        old,
        urgent_new,
        urgent_old,
    })
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (one, other) = text.split_once('/')?;
    Some((number(one)?, number(other)?))
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| *number <= COUNT_MAX)?;
    digits.then_some(number)
}

/// Appends a document to `out`; `account` is the URI of whose mailbox it is.
pub fn write(out: &mut Vec<u8>, account: &str, summary: &Summary) {
    let Summary {
        new,
        old,
        urgent_new,
        urgent_old,
    } = *summary;
    let waits = if new > 0 { "yes" } else { "no" };
    let text = format!(
        "Messages-Waiting: {waits}\r\nMessage-Account: {account}\r\nVoice-Message: {new}/{old} ({urgent_new}/{urgent_old})\r\n"
    );
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(u32, u32, u32, u32), Fault>) {
        let found = read(text.as_bytes()).map(|summary| {
            (
                summary.new,
                summary.old,
                summary.urgent_new,
                summary.urgent_old,
            )
        });
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn counts_are_read() {
        check(
            "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 2/8 (0/2)\r\n",
            Ok((2, 8, 0, 2)),
        );
        check(
            "messages-waiting : YES\nFax-Message: 1/1\nvoice-message: 4 / 0 ( 1 / 0 )\n",
            Ok((4, 0, 1, 0)),
        );
        check("Messages-Waiting: yes", Ok((1, 0, 0, 0)));
        check("Messages-Waiting: no\r\n", Ok((0, 0, 0, 0)));
        // RFC 3842 §5.2: the headers of single messages come after an empty line.
        check(
            "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n\r\nTo: <alice@atlanta.example.com>\r\nVoice-Message: 9/9\r\nnonsense",
            Ok((1, 0, 0, 0)),
        );
    }

    #[test]
    fn bad_summaries_are_refused() {
        check("", Err(Fault::Status));
        check("\r\nMessages-Waiting: yes", Err(Fault::Status));
        check("Messages-Waiting: perhaps", Err(Fault::Status));
        check("Voice-Message: 1/0", Err(Fault::Status));
        check("Messages-Waiting: yes\r\nnonsense", Err(Fault::Line));
        for counts in [
            "",
            "1",
            "1/",
            "/1",
            "1/x",
            "-1/0",
            "+1/0",
            "1/0 (2/0)",
            "1/0 (0/1)",
            "1/0 (0/0",
            "1000001/0",
            "99999999999999999999/0",
        ] {
            check(
                &format!("Messages-Waiting: yes\r\nVoice-Message: {counts}"),
                Err(Fault::Count),
            );
        }
        check(
            &format!("Messages-Waiting: yes\r\n{}", "A: b\r\n".repeat(LINES_MAX)),
            Err(Fault::TooLong),
        );
        check(
            &format!("Messages-Waiting: yes\r\nA: {}", "x".repeat(BYTES_MAX)),
            Err(Fault::TooLong),
        );
        assert_eq!(read(b"Messages-Waiting: \xff"), Err(Fault::Status));
    }

    #[test]
    fn what_is_written_reads_back() {
        for (new, old, urgent_new, urgent_old) in [(0, 0, 0, 0), (0, 3, 0, 1), (7, 2, 7, 0)] {
            let summary = Summary {
                new,
                old,
                urgent_new,
                urgent_old,
            };
            let mut out = Vec::new();
            write(&mut out, "sip:alice@example.com", &summary);
            assert_eq!(read(&out), Ok(summary));
            let waits = String::from_utf8_lossy(&out).starts_with("Messages-Waiting: yes");
            assert_eq!(waits, new > 0, "only new ones light the lamp");
        }
    }
}
