//! Rules for passwords (OWASP ASVS v5.0.0-6.2): a minimal length, and none of the common ones. Any
//! character is allowed, none is required, and the password is used as it was typed.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The shortest password, in characters (ASVS v5.0.0-6.2.1).
pub const MIN_LENGTH: usize = 8;
/// The longest password, in bytes: far above the 64 characters of ASVS v5.0.0-6.2.9, and a bound on
/// what a stranger can make the server hash.
pub const MAX_LENGTH: usize = 4096;
/// A password that contains a word of its context needs at least this number of other characters.
const OTHER_CHARACTERS: usize = 6;
/// Shorter words are in many passwords by chance.
const SHORTEST_WORD: usize = 3;

/// Passwords that many people have, lower-case (ASVS v5.0.0-6.2.4 and 6.2.12).
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().filter(|line| !line.starts_with("# ")).collect());

/// Why a password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// Too short.
    #[error("a password needs at least {MIN_LENGTH} characters")]
    Short,
    /// Too long.
    #[error("a password has at most {MAX_LENGTH} bytes")]
    Long,
    /// A common password.
    #[error("this password is one that many people have, and is tried first")]
    Common,
    /// Little but a name.
    #[error("this password is little more than a name: of the user, of this server, or of Rollcall")]
    Name,
}

/// The context of a password: words that are easy to guess for somebody who knows the user and the
/// server (ASVS v5.0.0-6.2.11).
#[derive(Clone, Debug, Default)]
pub struct Context(Vec<String>);

impl Context {
    /// The names of a user and of a server: each as a whole, and its parts.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<String> = names.into_iter().chain(["rollcall"]).map(str::to_lowercase).collect();
        let parts = names.iter().flat_map(|name| name.split(|c: char| !c.is_alphanumeric()));
        let mut words: Vec<String> = names.iter().map(String::as_str).chain(parts).map(str::to_owned).collect();
        words.retain(|word| word.chars().count() >= SHORTEST_WORD);
        // The longest first, since a shorter word would leave a part of it.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Self(words)
    }
}

/// Checks a new password.
///
/// # Errors
/// The rule it breaks.
pub fn check(password: &str, context: &Context) -> Result<(), PasswordRule> {
    if password.chars().count() < MIN_LENGTH {
        return Err(PasswordRule::Short);
    }
    if password.len() > MAX_LENGTH {
        return Err(PasswordRule::Long);
    }
    let lower = password.to_lowercase();
    if COMMON.contains(lower.as_str()) {
        return Err(PasswordRule::Common);
    }
    let rest = context.0.iter().fold(lower.clone(), |left, word| left.replace(word.as_str(), ""));
    if rest != lower && rest.chars().count() < OTHER_CHARACTERS {
        return Err(PasswordRule::Name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_characters() {
        let none = Context::default();
        assert_eq!(check("1234567", &none), Err(PasswordRule::Short));
        assert_eq!(check("ünïcödé", &none), Err(PasswordRule::Short), "seven characters, eleven bytes");
        assert_eq!(check("пароль12", &none), Ok(()));
        assert_eq!(check("🦀🦐🦞🦑🐙🐚🐌🦋", &none), Ok(()));
        assert_eq!(check(&"🦀".repeat(128), &none), Ok(()), "128 characters of any kind");
        assert_eq!(check(&"🦀".repeat(1025), &none), Err(PasswordRule::Long));
    }

    #[test]
    fn no_character_is_required_and_all_are_allowed() {
        for good in ["nothingbutletters", "        (blanks)", "9472 0183 6650", "\u{1}\u{7f}\tcontrol", "ÅÄÖåäöÉé", "\"'<>&%$;--"]
        {
            assert_eq!(check(good, &Context::default()), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn the_list_has_what_is_tried_first() {
        let long_enough = COMMON.iter().filter(|word| word.chars().count() >= MIN_LENGTH).count();
        assert!(long_enough >= 3000 && long_enough == COMMON.len(), "{long_enough} of {}", COMMON.len());
        for bad in ["password", "Password1", "12345678", "QWERTYUIOP", "iloveyou", "sunshine", "football", "trustno1"] {
            assert_eq!(check(bad, &Context::default()), Err(PasswordRule::Common), "{bad}");
        }
        assert_eq!(check("password that is long", &Context::default()), Ok(()));
    }

    #[test]
    fn names_are_no_passwords() {
        let context = Context::of(["Alice.Liddell", "alice@wonder.example", "sessions.example.org", "Zoë", "ab"]);
        for bad in
            ["alice!!9!", "ALICELIDDELL", "alice.liddell!", "Rollcall2026", "1sessions1", "wonder99", "zoëzoëzoë", "AliceAlice1"]
        {
            assert_eq!(check(bad, &context), Err(PasswordRule::Name), "{bad}");
        }
        for good in ["alice in the garden", "abababab1x", "malicious wind", "a wonderful day"] {
            assert_eq!(check(good, &context), Ok(()), "{good}");
        }
        assert_eq!(check("alice!!9!", &Context::of(["bob"])), Ok(()));
    }
}
