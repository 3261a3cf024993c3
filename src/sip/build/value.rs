//! What can stand as a header's value, and how it is written: texts, numbers and rows of them at once, the rest by the
//! machinery of `core::fmt`, which takes ten times as long. CR, LF and NUL are left out of all of them.

use core::fmt::{Arguments, Write};
use core::net::SocketAddr;

use super::push;
use crate::sip::uri::Aor;

/// Something that can stand as a header's value.
pub trait Value {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: Value + ?Sized> Value for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl Value for str {
    fn write(&self, out: &mut Vec<u8>) {
        push(out, self);
    }
}

impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        push(out, self);
    }
}

impl Value for Box<str> {
    fn write(&self, out: &mut Vec<u8>) {
        push(out, self);
    }
}

/// Texts one after the other.
impl<const COUNT: usize> Value for [&str; COUNT] {
    fn write(&self, out: &mut Vec<u8>) {
        for text in self {
            push(out, text);
        }
    }
}

/// One after the other.
impl<One: Value, Other: Value> Value for (One, Other) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

/// The URI of an address of record, as `Aor::uri` gives it.
#[derive(Clone, Copy, Debug)]
pub struct UriOf<'a>(pub &'a Aor);

impl Value for UriOf<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let text = self.0.as_str();
        // Else it has characters that are escaped in a URI.
        if text.is_ascii() {
            out.extend_from_slice(b"sip:");
            push(out, text);
        } else {
            push(out, &self.0.uri());
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn write(&self, out: &mut Vec<u8>) {
                push_number(out, *self as u64);
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, usize);

/// What a literal is by itself.
impl Value for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        format_args!("{self}").write(out);
    }
}

impl Value for Arguments<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(text) = self.as_str() {
            return push(out, text);
        }
        // `Line` never fails; a `Display` that does has written what it could.
        let _ = Line(out).write_fmt(*self);
    }
}

struct Line<'o>(&'o mut Vec<u8>);

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        push(self.0, text);
        Ok(())
    }
}

/// A number in hexadecimal digits, without leading zeros: a text that needs no memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct Hex {
    digits: [u8; 16],
    /// At most 15.
    zeros: u8,
}

impl Hex {
    /// A number's.
    pub fn of(number: u64) -> Hex {
        Hex {
            digits: sixteen_digits(number),
            zeros: (number.leading_zeros() / 4).min(15) as u8,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.digits[usize::from(self.zeros)..]
    }
}

impl core::ops::Deref for Hex {
    type Target = str;

    fn deref(&self) -> &str {
        core::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl core::fmt::Display for Hex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self)
    }
}

impl Value for Hex {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes());
    }
}

/// All sixteen hexadecimal digits of a number.
pub fn sixteen_digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    let (high, low) = digits.split_at_mut(8);
    high.copy_from_slice(&eight_digits((number >> 32) as u32));
    low.copy_from_slice(&eight_digits(number as u32));
    digits
}

/// All eight hexadecimal digits of a number at once: the halves of its bytes are spread over eight bytes, and those that are
/// over nine become letters.
fn eight_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut spread = u64::from(number);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & (ONES * 15);
    // No byte is over 15, so none of these sums runs over into the next one.
    let letters = (spread + ONES * 6) >> 4 & ONES;
    (spread + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// By a byte: what it is worth as a hexadecimal digit, as `Hex` writes them; 255 for none.
const WORTH: [u8; 256] = {
    let mut worth = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    worth
};

/// Reads what `Hex` writes: one to sixteen digits.
pub fn unhex(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    let (mut number, mut all) = (0, 0);
    for byte in text.bytes() {
        let worth = WORTH[usize::from(byte)];
        all |= worth;
        number = number << 4 | u64::from(worth & 15);
    }
    (all < 16).then_some(number)
}

/// Appends an address and its port; of the older kind without the machinery, for it stands in all that we ask.
pub(super) fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(address) = address else {
        return format_args!("{address}").write(out);
    };
    // `255.255.255.255:` and four digits at most. Each piece is copied whole, and what is too much of it written over.
    let mut text = [0; 20];
    let mut at = 0;
    for octet in address.ip().octets() {
        let (digits, count) = OCTETS[usize::from(octet)];
        text[at..at + 4].copy_from_slice(&digits);
        at += usize::from(count);
    }
    text[at - 1] = b':';
    let port = address.port();
    if port > FOUR_DIGITS_MAX {
        push_first(out, &text, at);
        return push_number(out, u64::from(port));
    }
    let (digits, count) = four_digits(port);
    text[at..at + 4].copy_from_slice(&digits);
    push_first(out, &text, at + count);
}

/// Each octet of an address as it is written with the dot after it, and how many bytes that are.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let zeros = if octet < 10 {
            2
        } else if octet < 100 {
            1
        } else {
            0
        };
        let mut at = zeros;
        while at < 3 {
            octets[octet].0[at - zeros] = b'0' + digits[at] as u8;
            at += 1;
        }
        octets[octet].1 = 4 - zeros as u8;
        octet += 1;
    }
    octets
};

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        return out.push(b'0' + number as u8);
    }
    if number <= u64::from(FOUR_DIGITS_MAX) {
        let (digits, count) = four_digits(number as u16);
        return push_first(out, &digits, count);
    }
    // 2^64 has 20 digits.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of ten is a digit.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The largest number that has four digits.
const FOUR_DIGITS_MAX: u16 = 9_999;

/// A number up to `FOUR_DIGITS_MAX` as it is written, and how many digits that are.
#[inline]
fn four_digits(number: u16) -> ([u8; 4], usize) {
    let number = u32::from(number);
    let digits = [
        number / 1000,
        number / 100 % 10,
        number / 10 % 10,
        number % 10,
    ];
    let zeros = u32::from(number < 1000) + u32::from(number < 100) + u32::from(number < 10);
    // A remainder of ten is a digit.
    let digits = u32::from_be_bytes(digits.map(|digit| b'0' + digit as u8));
    ((digits << (8 * zeros)).to_be_bytes(), 4 - zeros as usize)
}

/// Appends the first `count` of some bytes: all are copied, which is done in place for it is known how many they are.
#[inline]
fn push_first<const COUNT: usize>(out: &mut Vec<u8>, bytes: &[u8; COUNT], count: usize) {
    let end = out.len() + count;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_and_addresses_are_written_as_by_display() {
        for number in [
            0,
            7,
            10,
            0xa0,
            65_535,
            0x1_0000_0000,
            0x1234_5678_9abc_def0,
            u64::MAX,
        ] {
            assert_eq!(text(|out| number.write(out)), number.to_string());
            let digits = format!("{number:x}");
            assert_eq!(text(|out| Hex::of(number).write(out)), digits);
            assert_eq!(&*Hex::of(number), digits);
            assert_eq!(Hex::of(number).to_string(), digits);
            assert_eq!(unhex(&digits), Some(number));
        }
        for port in 0..=u16::MAX {
            assert_eq!(text(|out| port.write(out)), port.to_string());
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            assert_eq!(text(|out| push_address(out, address)), address.to_string());
        }
        for bad in ["", "g", "+1", "A", "12345678901234567"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
        for address in [
            "192.0.2.1:5061",
            "255.255.255.255:65535",
            "0.9.10.99:0",
            "[2001:db8::1]:5061",
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(text(|out| push_address(out, address)), address.to_string());
        }
    }

    #[test]
    fn the_uri_of_an_address_is_written_as_by_itself() {
        for text in ["alice@example.com", "café@h", "a%40b@[::1]"] {
            let aor = Aor::parse(text).expect("an address");
            assert_eq!(self::text(|out| UriOf(&aor).write(out)), aor.uri());
        }
    }

    #[test]
    fn no_value_ends_its_line() {
        let bad = "a\r\nX: 1\0";
        for written in [
            text(|out| bad.write(out)),
            text(|out| bad.to_owned().write(out)),
            text(|out| Box::<str>::from(bad).write(out)),
            text(|out| format_args!("{bad}{}", "\n").write(out)),
            text(|out| ["a\r", "\nX: ", "1\0"].write(out)),
            text(|out| ("a\r\nX: ", 1u32).write(out)),
        ] {
            assert_eq!(written, "aX: 1");
        }
    }
}
