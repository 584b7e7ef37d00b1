//! Codes as people type them: in the digits of any script, in the full-width forms of East Asian
//! keyboards, and with any separators.

/// The zeros of all scripts (Unicode 17, general category `Nd`). The digits to nine follow each.
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040,
    0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0,
    0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0, 0x11de0, 0x11f50, 0x16130, 0x16a60,
    0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950,
    0x1fbf0,
];

/// The longest text that is read as a code, in bytes. A code of 24 letters with a separator of four
/// bytes after each fits.
const LONGEST: usize = 256;

/// The letters and digits of a code, without separators: whatever is neither a letter nor a number,
/// such as blanks, dashes and dots. Digits and full-width letters become ASCII, other letters stay.
/// `None` for a text of more than 256 bytes.
#[must_use]
pub fn letters(text: &str) -> Option<String> {
    let letter = |c: char| match c {
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => digit(c).unwrap_or(c),
    };
    (text.len() <= LONGEST).then(|| text.chars().filter(|c| c.is_alphanumeric()).map(letter).collect())
}

/// The ASCII digit of the same value; `None` for what is no decimal digit.
fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let before = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS.get(before)?, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_all_scripts_are_known() {
        let is_digit = regex::Regex::new(r"^\p{Nd}$").unwrap();
        assert!(ZEROS.is_sorted());
        for c in '\0'..=char::MAX {
            let known = digit(c);
            // The newest scripts may be missing in the regex crate, and none may be missing here.
            if is_digit.is_match(c.encode_utf8(&mut [0; 4])) {
                assert!(known.is_some(), "U+{:04X}", u32::from(c));
            }
            if known.is_some() && u32::from(c) < 0x10000 {
                assert!(c.is_numeric(), "U+{:04X}", u32::from(c));
            }
        }
        for (text, value) in [("٣", '3'), ("۹", '9'), ("७", '7'), ("１", '1'), ("𝟎", '0'), ("𝟿", '9'), ("🯹", '9')] {
            assert_eq!(text.chars().next().and_then(digit), Some(value), "{text}");
        }
        for none in ["½", "²", "Ⅷ", "一", "①", "a"] {
            assert_eq!(none.chars().next().and_then(digit), None, "{none}");
        }
    }

    #[test]
    fn separators_are_left_out() {
        for typed in [
            "123456",
            " 123 456\n",
            "123-456",
            "123\u{a0}456",
            "123.456",
            "1.2.3.4.5.6",
            "123–456",
            "12·34·56",
            "123_456",
            "123\u{2009}456",
            "123\u{200b}456",
            "\u{202d}123456\u{202c}",
            "１２３４５６",
            "１２３　４５６",
            "１２３－４５６",
            "١٢٣٤٥٦",
            "۱۲۳ ۴۵۶",
            "१२३४५६",
            "1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣",
            "(123) 456",
            "123,456",
        ] {
            assert_eq!(letters(typed).as_deref(), Some("123456"), "{typed}");
        }
        assert_eq!(letters("ＡｂＺ é").as_deref(), Some("AbZé"));
        assert_eq!(letters(&"1".repeat(257)), None);
    }
}
