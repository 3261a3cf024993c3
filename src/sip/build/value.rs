//! What can stand as a header's value, and how it is written: texts and numbers at once, the rest by the machinery of
//! `core::fmt`, which takes ten times as long. CR, LF and NUL are left out of all of them.

use core::fmt::{Arguments, Write};
use core::net::SocketAddr;

use super::push;

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

/// Appends a number in hexadecimal digits, without leading zeros.
pub fn hex(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 16];
    for (place, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15];
    }
    let leading = (number.leading_zeros() as usize / 4).min(15);
    out.extend_from_slice(&digits[leading..]);
}

/// Reads what `hex` writes: one to sixteen digits.
pub fn unhex(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.bytes().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// Appends an address and its port; of the older kind without the machinery, for it stands in all that we ask.
pub(super) fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(address) = address else {
        return format_args!("{address}").write(out);
    };
    // From the right; four octets with their dots, a colon and a port are 21 bytes at most.
    let mut text = [0u8; 21];
    let mut at = digits(&mut text, 21, u64::from(address.port()));
    for (octet, sign) in address.ip().octets().into_iter().rev().zip(*b":...") {
        at -= 1;
        text[at] = sign;
        at = digits(&mut text, at, u64::from(octet));
    }
    out.extend_from_slice(&text[at..]);
}

pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    // 2^64 has 20 digits.
    let mut text = [0u8; 20];
    let at = digits(&mut text, 20, number);
    out.extend_from_slice(&text[at..]);
}

/// Writes the digits of a number so that they end before `end`. Where they begin.
fn digits(text: &mut [u8], end: usize, mut number: u64) -> usize {
    let mut at = end;
    loop {
        at -= 1;
        // A remainder of ten is a digit.
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
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
        for number in [0, 7, 10, 0xa0, 65_535, 0x1234_5678_9abc_def0, u64::MAX] {
            assert_eq!(text(|out| number.write(out)), number.to_string());
            let digits = format!("{number:x}");
            assert_eq!(text(|out| hex(out, number)), digits);
            assert_eq!(unhex(&digits), Some(number));
        }
        for bad in ["", "g", "+1", "A", "12345678901234567"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
        for address in ["192.0.2.1:5061", "0.0.0.0:0", "[2001:db8::1]:5061"] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(text(|out| push_address(out, address)), address.to_string());
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
        ] {
            assert_eq!(written, "aX: 1");
        }
    }
}
