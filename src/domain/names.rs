//! The names of people and things: one rule for usernames, e-mail addresses, full names, and the names
//! of sessions, factors, groups and tokens.
//!
//! A name is trimmed and stored in Unicode's normalisation form C. It holds no invisible character
//! and none that changes the direction of text, since such names look like others. Two names are
//! the same when their [`key`]s are equal: letter case does not count.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::domain::fold::fold_char;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameRule {
    /// Line breaks and other control characters, which would forge log lines.
    #[error("it may not hold control characters")]
    Control,
    /// Characters that cannot be seen, such as zero-width spaces, and marks of direction.
    #[error("it may not hold invisible characters or marks of direction (U+{0:04X})")]
    Invisible(u32),
}

/// A name as it is stored: without blanks around it, in normalisation form C.
///
/// # Errors
/// The character that no name may hold.
pub fn tidy(text: &str) -> Result<String, NameRule> {
    let text: String = text.trim().nfc().collect();
    match text.chars().find_map(broken_rule) {
        Some(rule) => Err(rule),
        None => Ok(text),
    }
}

/// A text that is compared with names, in normalisation form C as they are.
#[must_use]
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Whether a character can be seen, or is a blank, and does not change the direction of text.
#[must_use]
pub fn is_shown(c: char) -> bool {
    broken_rule(c).is_none()
}

fn broken_rule(c: char) -> Option<NameRule> {
    match c.general_category() {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => Some(NameRule::Control),
        GeneralCategory::Format => Some(NameRule::Invisible(c.into())),
        _ if is_ignorable(c) => Some(NameRule::Invisible(c.into())),
        _ => None,
    }
}

/// Characters beyond the category Format that Unicode tells programs not to show
/// (`Default_Ignorable_Code_Point`), and the blank of Braille.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}')
}

/// What names are compared by: form C, one simple case folding for each character, and one plain blank
/// for each run of blanks. Equal on both databases and in memory, since it is computed here and stored.
///
/// `ı` is not `i` and `ſ` is not `s`, though their capitals are equal: another person's address must
/// not be reached by them.
#[must_use]
pub fn key(text: &str) -> String {
    let folded: String = text.nfc().map(fold_case).nfc().collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether two names are the same.
#[must_use]
pub fn are_same(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

fn fold_case(c: char) -> char {
    if matches!(c, 'ı' | 'ſ') {
        return c;
    }
    let upper = fold_char(c);
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_normalised() {
        assert_eq!(tidy("alice ").as_deref(), Ok("alice"));
        assert_eq!(tidy("\u{3000}alice\u{a0}").as_deref(), Ok("alice"));
        assert_eq!(tidy("zoe\u{308}").as_deref(), Ok("zoë"));
        assert_eq!(tidy("\u{212b}ngström").as_deref(), Ok("Ångström"));
        for good in ["Zoë Müller", "łukasz.żółć", "用户", "o'brien \"the quote\"", "🦀", "नमस्ते", "עברית", "اسم"]
        {
            assert_eq!(tidy(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn what_cannot_be_seen_is_no_name() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206a}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            assert_eq!(tidy(&format!("ali{c}ce")), Err(NameRule::Invisible(c.into())), "{:x}", u32::from(c));
        }
        for c in ['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}'] {
            assert_eq!(tidy(&format!("ali{c}ce")), Err(NameRule::Control), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        for (one, other) in [
            ("carol", "Carol"),
            ("ZOË", "zoe\u{308}"),
            ("Ǆ", "ǆ"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("straẞe", "straße"),
            ("ПЁТР", "пётр"),
            ("ᲐᲑ", "აბ"),
            ("Ꭰ", "ꭰ"),
            ("alice  smith", "Alice\u{a0}Smith"),
            (" alice", "alice "),
        ] {
            assert!(are_same(one, other), "{one} {other}: {} {}", key(one), key(other));
        }
        for (one, other) in [
            ("info@ıstanbul.example", "info@istanbul.example"),
            ("ſam", "sam"),
            ("ß", "ss"),
            ("İzmir", "izmir"),
            ("alicesmith", "alice smith"),
            ("а", "a"),
        ] {
            assert!(!are_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for c in '\0'..=char::MAX {
            let once = fold_case(c);
            assert_eq!(fold_case(once), once, "{:x}", u32::from(c));
        }
    }
}
