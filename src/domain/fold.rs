//! Case folding for search: one character to one character, as PostgreSQL's `upper()` does in the
//! C.UTF-8 locale. Texts match when their folded forms do.

/// Folds a text. `ß` stays `ß`; `ı`, `ſ` and `µ` become `I`, `S` and `Μ`.
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// Unicode's simple upper-case mapping of one character.
pub(crate) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        // The full mapping has several characters. The simple one differs only for Greek letters
        // with iota subscript, whose simple upper case is the title-case letter.
        _ => match c {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => shifted(c, 8),
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(c, 9),
            _ => c,
        },
    }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_one_to_one() {
        assert_eq!(fold("Zoë"), "ZOË");
        assert_eq!(fold("żółć"), "ŻÓŁĆ");
        assert_eq!(fold("straße"), "STRAßE");
        assert_eq!(fold("ıſµ"), "ISΜ");
        assert_eq!(fold("ŉǰΐ"), "ŉǰΐ");
        assert_eq!(fold("ᾳᾀ"), "ᾼᾈ");
        assert_eq!(fold("ǆǅ"), "ǄǄ");
        assert_eq!(('\0'..=char::MAX).find(|c| fold(&c.to_string()).chars().count() != 1), None);
    }
}
