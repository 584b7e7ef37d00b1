//! Recovery codes: 120 random bits each, in letters and digits that are hard to confuse. A fast
//! hash is enough for them: OWASP ASVS v5.0.0-6.5.2 asks for a slow one below 112 bits.

use crate::domain::secret::{HashedSecret, PlainSecret};
use crate::domain::typed;

/// How many codes a user has.
pub const CODES: usize = 10;
/// How many random bytes a code has.
const BYTES: usize = 15;
/// How many letters a code has, of five bits each.
const LETTERS: usize = 24;
/// Crockford's base32: without i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new code, in four groups: `k7w2m9-…`.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn generate() -> Result<PlainSecret, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    let bits = bytes.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let mut text = String::with_capacity(LETTERS + 3);
    for at in 0..LETTERS {
        if at > 0 && at % 6 == 0 {
            text.push('-');
        }
        let digit = usize::try_from((bits >> (5 * (LETTERS - 1 - at))) & 31).unwrap_or_default();
        text.extend(ALPHABET.get(digit).map(|letter| char::from(*letter)));
    }
    Ok(PlainSecret::from_text(text))
}

/// The hash that is stored and looked up, of a code as it was typed: in any letter case, with any
/// separators, in full-width letters, and with letters for the digits that they look like. `None`
/// when it cannot be one.
#[must_use]
pub fn read(text: &str) -> Option<HashedSecret> {
    let mut letters = String::with_capacity(LETTERS);
    for letter in typed::letters(text)?.chars() {
        let letter = match letter.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        if letters.len() == LETTERS || !letter.is_ascii() || !ALPHABET.contains(&(letter as u8)) {
            return None;
        }
        letters.push(letter);
    }
    (letters.len() == LETTERS).then(|| PlainSecret::from_text(letters).hash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_long_distinct_and_read_as_people_type_them() {
        let all: Vec<PlainSecret> = (0..CODES).map(|_| generate().unwrap()).collect();
        for (nth, code) in all.iter().enumerate() {
            let text = code.expose();
            assert_eq!(text.len(), LETTERS + 3, "{text}");
            let stored = read(text).unwrap();
            let wide = text.chars().map(|c| if c == '-' { '－' } else { char::from_u32(u32::from(c) + 0xfee0).unwrap() }).collect();
            let spread = text.replace('-', ".\u{a0}");
            for typed in [text.to_uppercase(), text.replace('-', ""), format!(" {} ", text.replace('-', " ")), spread, wide] {
                assert_eq!(read(&typed), Some(stored), "{typed}");
            }
            assert_eq!(read(&text.replace('1', "l").replace('0', "O")), Some(stored));
            assert!(all.iter().skip(nth + 1).all(|other| read(other.expose()) != Some(stored)));
            assert_eq!(read(&text[1..]), None);
            assert_eq!(read(&format!("{text}a")), None);
        }
        for bad in ["", "123456", "u23456-123456-123456-123456", "é23456-123456-123456-123456"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
