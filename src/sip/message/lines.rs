//! Where each header line of a head is: the first step of reading a message.
//!
//! The fast path takes lines as nearly everybody writes them. What is rare (folding, blanks before the colon), and whatever
//! is wrong, takes the slow path: it undoes folding in place, line by line finds out what can be used, and names the fault.
//! Both give offsets, not references: so the slow path may write where the fast one has read.

use smallvec::SmallVec;

use super::Fault;
use crate::sip::grammar::{self, TOKEN};
use crate::sip::header::Name;

/// The most header lines that a message may have.
pub const HEADERS_MAX: usize = 128;
/// The longest head in bytes, whatever the limits say: offsets are 16 bits.
pub const HEAD_BYTES_MAX: usize = u16::MAX as usize;

/// One header line: what it is, and where its name and value are in the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) name: Name,
    name_at: u16,
    name_bytes: u16,
    value_at: u16,
    value_bytes: u16,
}

impl Line {
    pub(super) fn name_in<'a>(&self, head: &'a str) -> &'a str {
        piece(head, self.name_at, self.name_bytes)
    }

    pub(super) fn value_in<'a>(&self, head: &'a str) -> &'a str {
        piece(head, self.value_at, self.value_bytes)
    }
}

/// The offsets come from a scan of this very head, so the piece is there.
fn piece(head: &str, at: u16, bytes: u16) -> &str {
    let at = usize::from(at);
    head.get(at..at + usize::from(bytes)).unwrap_or("")
}

/// The lines of a head, at most `HEADERS_MAX`.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    list: SmallVec<[Line; 20]>,
    /// By name: the number of its first line + 1, or 0.
    first: [u8; Name::COUNT],
    /// The start line's length without its CR LF.
    pub(super) start_bytes: usize,
    /// The head's length with the empty line.
    pub(super) head_bytes: usize,
    /// A name that stands twice and must not.
    pub(super) repeated: Option<Name>,
}

/// What the lines of a head say to whoever cuts a stream.
pub(in crate::sip) struct Scanned {
    /// The start line's length with its CR LF.
    pub(in crate::sip) start_bytes: usize,
    /// The head's length with the empty line.
    pub(in crate::sip) head_bytes: usize,
    /// How many header lines there are.
    pub(in crate::sip) fields: usize,
    /// What Content-Length says; zero where nothing says that there is a body.
    pub(in crate::sip) content_length: u64,
}

impl Lines {
    /// What they say, where that is as it should be.
    pub(super) fn scanned(&self, bytes: &[u8]) -> Option<Scanned> {
        let content_length = match self.first(Name::ContentLength) {
            Some(line) => {
                let at = usize::from(line.value_at);
                let value = bytes.get(at..at + usize::from(line.value_bytes))?;
                grammar::decimal(core::str::from_utf8(value).ok()?)?
            }
            None => {
                let body = [Name::ContentType, Name::ContentEncoding];
                if body.iter().any(|name| self.first(*name).is_some()) {
                    return None;
                }
                0
            }
        };
        self.repeated.is_none().then(|| Scanned {
            start_bytes: self.start_bytes + 2,
            head_bytes: self.head_bytes,
            fields: self.list.len(),
            content_length,
        })
    }

    pub(super) fn new() -> Lines {
        Lines {
            list: SmallVec::new(),
            first: [0; Name::COUNT],
            start_bytes: 0,
            head_bytes: 0,
            repeated: None,
        }
    }

    /// Adds a line; false where it cannot be held.
    #[inline(always)]
    fn push(
        &mut self,
        kind: Name,
        name_bytes: usize,
        name_at: usize,
        value_at: usize,
        value_bytes: usize,
    ) -> bool {
        if self.list.len() == HEADERS_MAX {
            return false;
        }
        // Both scans look at no more than HEAD_BYTES_MAX, so the offsets fit.
        self.list.push(Line {
            name: kind,
            name_at: name_at as u16,
            name_bytes: name_bytes as u16,
            value_at: value_at as u16,
            value_bytes: value_bytes as u16,
        });
        let first = &mut self.first[kind as usize];
        if *first == 0 {
            // At most HEADERS_MAX, which fits.
            *first = self.list.len() as u8;
        } else if stands_once(kind) {
            self.repeated.get_or_insert(kind);
        }
        true
    }

    /// All lines in order.
    pub(super) fn all(&self) -> &[Line] {
        &self.list
    }

    /// The first line of that name.
    pub(super) fn first(&self, name: Name) -> Option<&Line> {
        let number = usize::from(self.first[name as usize]);
        self.list.get(number.checked_sub(1)?)
    }

    /// The lines from the first of that name on; none where there is none.
    pub(super) fn beginning_with(&self, name: Name) -> &[Line] {
        let number = usize::from(self.first[name as usize]);
        number
            .checked_sub(1)
            .and_then(|at| self.list.get(at..))
            .unwrap_or(&[])
    }
}

/// The headers that decide what a message is and where it ends: a second one makes it another message to another reader,
/// so there is none (RFC 3261 §7.3.1; RFC 4475 §3.3.8, §3.3.9).
fn stands_once(name: Name) -> bool {
    matches!(
        name,
        Name::From | Name::To | Name::CallId | Name::CSeq | Name::MaxForwards | Name::ContentLength
    )
}

/// The fast path, into empty `lines`. `None`: the slow path must look. A line end is CR LF and nothing else: two readers
/// that differ on where a line ends can be played against each other.
pub(super) fn scan(bytes: &[u8], lines: &mut Lines) -> Option<()> {
    let bytes = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let (mut at, mut is_ascii) = (0, true);
    loop {
        let (end, plain) = line_end(bytes, at)?;
        is_ascii &= plain;
        let line = bytes.get(at..end)?;
        if at == 0 {
            lines.start_bytes = end;
        } else if line.is_empty() {
            break;
        } else {
            let eight = bytes.get(at..).and_then(|rest| rest.first_chunk());
            let (kind, colon) = match eight.and_then(Name::short) {
                Some(found) => found,
                None => named(line)?,
            };
            let value = line.get(colon + 1..)?.trim_ascii_start();
            let value_at = end - value.len();
            if !lines.push(kind, colon, at, value_at, value.trim_ascii_end().len()) {
                return None;
            }
        }
        at = end + 2;
    }
    lines.head_bytes = at + 2;
    if !is_ascii && core::str::from_utf8(bytes.get(..lines.head_bytes)?).is_err() {
        return None;
    }
    Some(())
}

/// The name that a line begins with, and where its colon is.
fn named(line: &[u8]) -> Option<(Name, usize)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line.get(..colon)?;
    let kind = Name::of(name);
    let fits = kind != Name::Other || (!name.is_empty() && name.iter().all(fits_in_name));
    fits.then_some((kind, colon))
}

/// Where the line that begins at `at` ends, and whether it is ASCII. `None` where another control character than a tab
/// comes before its CR LF.
#[inline(always)]
fn line_end(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut is_ascii = true;
    loop {
        let rest = bytes.get(at..)?;
        let plain = printable(rest);
        at += plain;
        match rest.get(plain..)? {
            [b'\r', b'\n', ..] => return Some((at, is_ascii)),
            [b'\t', ..] => at += 1,
            [0x80..=0xff, ..] => {
                is_ascii = false;
                at += 1;
            }
            _ => return None,
        }
    }
}

/// How many bytes at the beginning are ASCII and no control characters. Eight at a time: the highest bit of each says of
/// the first that is something else which it is (those after it may be wrong, by what is carried or borrowed).
#[inline]
fn printable(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 0xff;
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut count = 0;
    for eight in eights {
        let word = u64::from_le_bytes(*eight);
        let below_blank = word.wrapping_sub(EACH * 0x20);
        let delete = word.wrapping_add(EACH);
        let others = (word | below_blank | delete) & (EACH * 0x80);
        if others != 0 {
            return count + others.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    count
        + rest
            .iter()
            .take_while(|byte| matches!(byte, b' '..=b'~'))
            .count()
}

/// A name that is not in our table may have a few more characters than a token.
fn fits_in_name(byte: &u8) -> bool {
    grammar::is(*byte, TOKEN) || matches!(byte, b'#' | b'$' | b'&' | b'^' | b'|')
}

/// The slow path: makes the head readable in place and takes what is well-formed. The fault is the first thing that is
/// wrong with the head as lines, if anything is. Without an empty line the whole lines that are there are the head.
pub(super) fn scan_slow(bytes: &mut [u8], lines: &mut Lines) -> Option<Fault> {
    *lines = Lines::new();
    let mut fault = None;
    let end = head_end(bytes).unwrap_or_else(|| {
        fault = Some(Fault::HeadTooLarge);
        let bound = bytes.len().min(HEAD_BYTES_MAX);
        let whole = bytes.get(..bound).unwrap_or(bytes);
        memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1)
    });
    let head = bytes.get_mut(..end).unwrap_or(&mut []);
    unfold(head);
    replace_control(head);
    if replace_invalid(head) {
        fault.get_or_insert(Fault::Utf8);
    }
    lines.head_bytes = end;
    let head = core::str::from_utf8(head).unwrap_or("");
    let mut at = 0;
    for (number, line) in head.split_inclusive("\r\n").enumerate() {
        let line_at = at;
        at += line.len();
        let Some(text) = line.strip_suffix("\r\n") else {
            fault.get_or_insert(Fault::HeaderLine);
            continue;
        };
        if number == 0 {
            lines.start_bytes = text.len();
        } else if !text.is_empty() {
            match lines.take_line(text, line_at) {
                Ok(()) => {}
                // A line that cannot be read is left out of what the answer is made of: it may hold half a line end.
                Err(Fault::HeadersTooMany) => {
                    fault.get_or_insert(Fault::HeadersTooMany);
                    break;
                }
                Err(other) => {
                    fault.get_or_insert(other);
                }
            }
        }
    }
    fault
}

impl Lines {
    fn take_line(&mut self, text: &str, line_at: usize) -> Result<(), Fault> {
        let (name, value) = text.split_once(':').ok_or(Fault::HeaderLine)?;
        let name = name.trim_end_matches([' ', '\t']);
        let value = grammar::trim(value);
        if !grammar::all(name, TOKEN) || !is_text(value) {
            return Err(Fault::HeaderLine);
        }
        let value_at = line_at + grammar::offset(text, value);
        let kind = Name::parse(name);
        if !self.push(kind, name.len(), line_at, value_at, value.len()) {
            return Err(Fault::HeadersTooMany);
        }
        Ok(())
    }
}

/// Whether a value has no control characters but tabs, and in a quoted string those that are escaped, which are no line ends
/// (RFC 3261 §25.1, `quoted-pair`). Whoever is shown one as it is takes it for a command to their terminal.
fn is_text(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    value.bytes().all(|byte| {
        let pair = core::mem::take(&mut escaped);
        match byte {
            b'\r' | b'\n' => return false,
            _ if pair => {}
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'\t' => {}
            _ => return !byte.is_ascii_control(),
        }
        true
    })
}

/// Puts a question mark for each control character of a response's first line: its reason phrase says nothing that counts, and is
/// told to others.
fn replace_control(head: &mut [u8]) {
    if head.starts_with(b"SIP/") {
        let end = memchr::memmem::find(head, b"\r\n").unwrap_or(0);
        for byte in head.iter_mut().take(end) {
            if byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n') {
                *byte = b'?';
            }
        }
    }
}

/// The end of the head, if it is whole and not too long.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    memchr::memchr_iter(b'\n', bytes)
        .map(|at| at + 1)
        .find(|&end| {
            bytes
                .get(..end)
                .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
        })
}

/// Makes blanks of line ends that a blank follows (RFC 3261 §7.3.1): the header stays where it is, and as long as it was.
fn unfold(head: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\r', head.get(from..).unwrap_or(&[])) {
        let at = from + found;
        from = at + 1;
        if let Some([cr, lf @ b'\n', b' ' | b'\t']) = head.get_mut(at..at + 3) {
            *cr = b' ';
            *lf = b' ';
        }
    }
}

/// Puts a question mark for each byte that is no UTF-8, and says whether there was one.
fn replace_invalid(head: &mut [u8]) -> bool {
    let mut from = 0;
    let mut found = false;
    while let Err(error) = core::str::from_utf8(head.get(from..).unwrap_or(&[])) {
        let start = from + error.valid_up_to();
        let end = error.error_len().map_or(head.len(), |bytes| start + bytes);
        if let Some(invalid) = head.get_mut(start..end) {
            invalid.fill(b'?');
        }
        found = true;
        from = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fast(bytes: &[u8]) -> Option<Lines> {
        let mut lines = Lines::new();
        scan(bytes, &mut lines).map(|()| lines)
    }

    fn slow(bytes: &mut [u8]) -> (Lines, Option<Fault>) {
        let mut lines = Lines::new();
        let fault = scan_slow(bytes, &mut lines);
        (lines, fault)
    }

    /// The lines as `name=value`, with `slow` where the fast path would not have it, and the fault.
    fn check(head: &str, expected: &str) {
        let mut bytes = head.as_bytes().to_vec();
        let mut lines = Lines::new();
        let (fault, path) = match scan(&bytes, &mut lines) {
            Some(()) => (None, "fast"),
            None => (scan_slow(&mut bytes, &mut lines), "slow"),
        };
        assert_eq!(bytes.len(), head.len());
        let head = core::str::from_utf8(&bytes).expect("made readable");
        let mut found = path.to_owned();
        for line in lines.all() {
            found += &format!(" {}={}", line.name_in(head), line.value_in(head));
        }
        if let Some(fault) = fault {
            found += &format!(" {fault:?}");
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn heads() {
        check("S\r\n\r\n", "fast");
        check(
            "S\r\nA: b\r\nc:\td \r\nE:\r\n\r\nA: body\r\n",
            "fast A=b c=d E=",
        );
        check("S\r\nA: é\r\n\r\n", "fast A=é");
        check("S\r\nA : b\r\n\r\n", "slow A=b");
        check(
            "S\r\nA:\r\n b\r\n\t c\r\nD: e\r\n\r\n",
            "slow A=b  \t c D=e",
        );
        check("S\r\nA: b\r\n \r\nD: e\r\n\r\n", "slow A=b D=e");
        // In a quoted string any control character may be escaped, NUL too (RFC 4475 §3.1.1.2).
        check("S\r\nA: \"\\\u{1}\\\0\"\r\n\r\n", "slow A=\"\\\u{1}\\\0\"");
    }

    #[test]
    fn bad_lines_are_left_out() {
        check(
            "S\r\nA: b\r\njunk\r\nC: d\r\n\r\n",
            "slow A=b C=d HeaderLine",
        );
        check("S\r\n: b\r\nC: d\r\n\r\n", "slow C=d HeaderLine");
        check("S\r\nA b: c\r\nC: d\r\n\r\n", "slow C=d HeaderLine");
        check("S\r\nA: b\nB: c\r\nC: d\r\n\r\n", "slow C=d HeaderLine");
        check("S\r\nA: b\rB: c\r\nC: d\r\n\r\n", "slow C=d HeaderLine");
        for control in ["\0", "\u{7}", "\u{1b}", "\u{7f}"] {
            for value in [
                "a{}b",
                "\\{}",
                "\"{}\"",
                "\"\\\\{}\"",
                "\"a\" \\{}",
                "\"\\\"\"{}",
            ] {
                let value = value.replace("{}", control);
                check(
                    &format!("S\r\nA: {value}\r\nC: d\r\n\r\n"),
                    "slow C=d HeaderLine",
                );
            }
        }
        check("S\r\nA: \"\\\rb\"\r\nC: d\r\n\r\n", "slow C=d HeaderLine");
        check("S\nA: b\r\nC: d\r\n\r\n", "slow C=d");
        check("S\r\nA: b\r\nC: d", "slow A=b HeadTooLarge");
        check("", "slow HeadTooLarge");
    }

    /// Names, and what may stand between and after them: as nearly everybody writes it, or not.
    fn line() -> impl Strategy<Value = (String, bool)> {
        let name = prop_oneof![
            6 => proptest::sample::select(vec![
                "Via", "v", "F", "to", "CSeq", "Call-ID", "call-id", "i", "Contact", "Expires", "Identity", "Reply-To", "Min-SE",
                "Content-Length", "CONTENT-TYPE", "Max-Forwards", "X", "Viaa", "Call_ID", "Contacts", "ms-x",
            ]).prop_map(|name| (name.to_owned(), true)),
            1 => "[A-Za-z-]{1,20}".prop_map(|name| (name, true)),
            1 => proptest::sample::select(vec!["", "a b", "Via\t", "Call\rID", "T\0", "é"])
                .prop_map(|name| (name.to_owned(), false)),
        ];
        let value = prop_oneof![
            6 => "[ \t]{0,2}[!-~]{0,12}[ \t]{0,2}".prop_map(|value| (value, true)),
            1 => "[ -~éß]{0,20}".prop_map(|value| (value, true)),
            1 => proptest::sample::select(vec!["\0", "a\x7f", "\r\n b", "a\nb", "\r"])
                .prop_map(|value| (value.to_owned(), false)),
        ];
        let end = prop_oneof![
            20 => Just(("\r\n", true)),
            1 => Just(("\n", false)),
        ];
        (name, value, end).prop_map(|(name, value, end)| {
            let is_plain = name.1 && value.1 && end.1;
            (format!("{}:{}{}", name.0, value.0, end.0), is_plain)
        })
    }

    proptest! {
        /// The fast path takes what is plain, and finds what the slow one does.
        #[test]
        fn both_paths_find_the_same_lines(
            start in "[ -~é]{0,12}",
            lines in proptest::collection::vec(line(), 0..8),
            body in "[ -~\r\n]{0,9}",
        ) {
            let text: String = lines.iter().map(|(line, _)| &**line).collect();
            let head = format!("{start}\r\n{text}\r\n");
            let mut bytes = format!("{head}{body}").into_bytes();
            let found = fast(&bytes);
            let is_plain = lines.iter().all(|(_, is_plain)| *is_plain);
            prop_assert!(found.is_some() || !is_plain, "{head:?}");
            if let Some(found) = found {
                let (expected, fault) = slow(&mut bytes);
                prop_assert_eq!(fault, None);
                let text = core::str::from_utf8(&bytes).expect("nothing else was put in");
                let all = |lines: &Lines| {
                    let each = lines.all().iter();
                    let each = each.map(|line| {
                        let (name, value) = (line.name_in(text), line.value_in(text));
                        let first = lines.first(line.name).map(|first| first.value_in(text));
                        (line.name, name.to_owned(), value.to_owned(), first.map(str::to_owned))
                    });
                    (each.collect::<Vec<_>>(), lines.start_bytes, lines.head_bytes, lines.repeated)
                };
                prop_assert_eq!(all(&found), all(&expected));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut bytes = b"S\r\nA: \xff\xc3\r\nB: \xe2\x82\r\n\r\n\xff".to_vec();
        assert!(fast(&bytes).is_none());
        let (lines, fault) = slow(&mut bytes);
        assert_eq!(fault, Some(Fault::Utf8));
        assert_eq!(bytes, b"S\r\nA: ??\r\nB: ??\r\n\r\n\xff");
        assert_eq!(lines.all().len(), 2);
    }

    #[test]
    fn each_byte_is_looked_at_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                for filler in [b' ', b'~', b'a'] {
                    let mut bytes = [filler; 20];
                    bytes[at] = byte;
                    let expected = if (b' '..=b'~').contains(&byte) {
                        20
                    } else {
                        at
                    };
                    assert_eq!(printable(&bytes), expected, "{byte} at {at}");
                    // What comes after it may be anything.
                    bytes[at..].fill(byte);
                    assert_eq!(printable(&bytes), expected, "{byte} from {at}");
                }
            }
        }
    }

    #[test]
    fn a_reason_phrase_commands_no_terminal() {
        let mut bytes = b"SIP/2.0 486 \x1b]0;x\x07Busy\tnow\x7f\r\nA: b\r\n\r\n\x1b".to_vec();
        let (lines, fault) = slow(&mut bytes);
        assert_eq!((lines.all().len(), fault), (1, None));
        assert_eq!(bytes, b"SIP/2.0 486 ?]0;x?Busy\tnow?\r\nA: b\r\n\r\n\x1b");
    }

    #[test]
    fn lines_are_bounded() {
        let head = |count: usize| format!("S\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(
            fast(head(HEADERS_MAX).as_bytes()).map(|lines| lines.all().len()),
            Some(HEADERS_MAX)
        );
        assert!(fast(head(HEADERS_MAX + 1).as_bytes()).is_none());
        let (lines, fault) = slow(&mut head(HEADERS_MAX + 1).into_bytes());
        assert_eq!(
            (lines.all().len(), fault),
            (HEADERS_MAX, Some(Fault::HeadersTooMany))
        );
        let long = format!("S\r\nA: {}\r\n\r\n", "b".repeat(HEAD_BYTES_MAX));
        assert!(fast(long.as_bytes()).is_none());
        let (lines, fault) = slow(&mut long.into_bytes());
        assert_eq!((lines.all().len(), fault), (0, Some(Fault::HeadTooLarge)));
    }
}
