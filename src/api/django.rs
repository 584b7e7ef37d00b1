//! How Python reads integers, which is how authentik reads them.

use crate::domain::search::is_python_space;

/// The zeros of Unicode's decimal digits; the digits one to nine follow each.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// An integer as Python's `int()` reads text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int {
    /// One that fits.
    Fits(i64),
    /// A larger one.
    TooLarge,
    /// A smaller one.
    TooSmall,
}

impl Int {
    /// The value, if it fits.
    pub fn value(self) -> Option<i64> {
        match self {
            Self::Fits(value) => Some(value),
            Self::TooLarge | Self::TooSmall => None,
        }
    }
}

/// Reads an integer: white space around, one sign, digits of any script with single `_` between
/// them; at most 4300 digits, Python's limit. `None` when it is none.
pub fn int(text: &str) -> Option<Int> {
    let text = text.trim_matches(is_python_space);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value = Some(0_i64);
    let mut count = 0;
    let mut may_separate = false;
    for c in digits.chars() {
        if c == '_' && may_separate {
            may_separate = false;
            continue;
        }
        let digit = i64::from(digit(c)?);
        let digit = if is_negative { -digit } else { digit };
        value = value.and_then(|value| value.checked_mul(10)?.checked_add(digit));
        may_separate = true;
        count += 1;
    }
    if !may_separate || count > 4300 {
        return None;
    }
    Some(value.map_or(if is_negative { Int::TooSmall } else { Int::TooLarge }, Int::Fits))
}

fn digit(c: char) -> Option<u32> {
    let zero = ZEROS.iter().rfind(|zero| **zero <= u32::from(c))?;
    Some(u32::from(c) - zero).filter(|digit| *digit < 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_python_does() {
        for (text, want) in [
            ("1", 1),
            (" +1_000\u{a0}\n", 1000),
            ("-0", 0),
            ("007", 7),
            ("٣", 3),
            ("９\u{1c}", 9),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int(text), Some(Int::Fits(want)), "{text:?}");
        }
        for bad in ["", " ", "+", "-", "1.5", "1e3", "_1", "1_", "1__0", "+ 1", "--1", "0x1", "½", "²", "1 2", "word"] {
            assert_eq!(int(bad), None, "{bad:?}");
        }
        assert_eq!(int("99999999999999999999"), Some(Int::TooLarge));
        assert_eq!(int("-99999999999999999999"), Some(Int::TooSmall));
        assert_eq!(int(&"1".repeat(4301)), None);
    }
}
