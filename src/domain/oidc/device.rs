//! Sign-ins of devices without a browser (RFC 8628): the code that people type.

use crate::domain::Timestamp;

/// The letters of a code: no vowels, so that no words appear, and none that is read as another (RFC 8628, 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many letters a code has.
const LENGTH: usize = 8;
/// How long a code is good, in seconds.
pub const LIVES: u64 = 600;
/// How long a device waits between two questions, in seconds; and by how much longer when it did not.
pub const PAUSE: u64 = 5;
/// The grant type.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Draws a code, such as `BCDF-GHJK`; each is equally likely.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn draw() -> Result<String, getrandom::Error> {
    let mut letters = String::with_capacity(LENGTH + 1);
    let mut bytes = [0; 16];
    while letters.len() < LENGTH {
        getrandom::fill(&mut bytes)?;
        // 240 is the largest multiple of 20 that a byte can hold: larger values would favour some letters.
        let drawn = bytes.iter().filter(|byte| **byte < 240).filter_map(|byte| LETTERS.get(usize::from(byte % 20)));
        letters.extend(drawn.take(LENGTH - letters.len()).map(|byte| char::from(*byte)));
    }
    letters.insert(LENGTH / 2, '-');
    Ok(letters)
}

/// A code as it is stored: what was typed in capitals, without dashes and blanks. `None`: it cannot be one.
#[must_use]
pub fn tidy(typed: &str) -> Option<String> {
    let code: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()).collect();
    (code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}

/// Whether a device that asked last at this instant asks too early.
#[must_use]
pub fn is_early(polled_at: Option<Timestamp>, pause: u64, now: Timestamp) -> bool {
    polled_at.is_some_and(|last| last.is_near(now, std::time::Duration::from_secs(pause)) && now.since(last).as_secs() < pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_typed_as_it_is_read() {
        let drawn = draw().unwrap();
        assert_eq!((drawn.len(), drawn.chars().nth(4)), (9, Some('-')));
        let stored = tidy(&drawn).unwrap();
        for typed in [drawn.to_lowercase(), drawn.replace('-', " "), format!(" {stored} "), stored.clone()] {
            assert_eq!(tidy(&typed).as_ref(), Some(&stored), "{typed}");
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJ1", "ÄCDF-GHJK"] {
            assert_eq!(tidy(bad), None, "{bad}");
        }
        assert_ne!(draw().unwrap(), draw().unwrap());
    }

    #[test]
    fn a_device_waits() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert!(!is_early(None, 5, at(100)) && is_early(Some(at(100)), 5, at(104)));
        assert!(!is_early(Some(at(100)), 5, at(105)) && !is_early(Some(at(5000)), 5, at(100)), "a clock that was set back");
    }
}
