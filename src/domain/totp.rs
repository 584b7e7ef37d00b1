//! Codes of authenticator apps: TOTP ([RFC 6238](https://www.rfc-editor.org/rfc/rfc6238)) with the
//! parameters that every app supports: SHA-1, six digits, thirty seconds. And base32, in which
//! seeds are shown.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::domain::clock::Timestamp;
use crate::domain::typed;

/// How long a code is the current one, in microseconds.
const STEP: i64 = 30 * 1_000_000;
/// How many codes before and after the current one are accepted, since clocks drift.
const DRIFT: i64 = 1;
/// How many steps after the current one a used step may be: the clocks of two nodes, and those of phones, differ.
const AHEAD: i64 = 10;
/// How many digits a code has.
pub const DIGITS: usize = 6;
/// How many random bytes a seed has: the length of a SHA-1 hash (RFC 4226, section 4).
pub const SEED_LENGTH: usize = 20;

/// The number of the 30-second step of an instant, counted from 1970.
#[must_use]
pub fn step_at(now: Timestamp) -> i64 {
    now.0.div_euclid(STEP)
}

/// The code of one step.
#[must_use]
pub fn code(seed: &[u8], step: i64) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(seed) else { return String::new() };
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    // RFC 4226, section 5.3: the last half byte says where 31 bits are taken from.
    let at = usize::from(digest.last().copied().unwrap_or_default() & 15);
    let bits = digest.iter().skip(at).take(4).fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", bits % 1_000_000)
}

/// The latest step that may have been used by `now`. A later one was stored by a clock that was ahead.
#[must_use]
pub fn latest_step(now: Timestamp) -> i64 {
    step_at(now) + AHEAD
}

/// The step whose code this is, of those that count now and come after the step `last`, which was used. A `last` that
/// is later than [any](latest_step) does not count.
#[must_use]
pub fn matching_step(seed: &[u8], given: &str, now: Timestamp, last: i64) -> Option<i64> {
    let current = step_at(now);
    let last = if last > latest_step(now) { i64::MIN } else { last };
    // All are compared always, whichever it is.
    (current - DRIFT..=current + DRIFT).fold(None, |found, step| {
        let fits = bool::from(code(seed, step).as_bytes().ct_eq(given.as_bytes()));
        if fits && step > last { found.or(Some(step)) } else { found }
    })
}

/// A code as it was typed, if it is one: six digits of any script, with any separators.
#[must_use]
pub fn read_code(text: &str) -> Option<String> {
    typed::letters(text).filter(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a QR code tells an app: whose codes these are, and the seed ([Key URI
/// Format](https://github.com/google/google-authenticator/wiki/Key-Uri-Format)). A colon separates
/// the issuer from the account, and FreeOTP takes an encoded one for a separator, too: colons in
/// either become dashes.
#[must_use]
pub fn uri(issuer: &str, account: &str, seed: &[u8]) -> String {
    let encode = |text: &str| utf8_percent_encode(&text.replace(':', "-"), NON_ALPHANUMERIC).to_string();
    let (issuer, account) = (encode(issuer), encode(account));
    format!("otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period=30", base32(seed))
}

/// Bytes in base32 (RFC 4648) without padding.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let groups = bytes.chunks(5).flat_map(|group| {
        let bits = (0..5).fold(0_u64, |bits, at| (bits << 8) | u64::from(group.get(at).copied().unwrap_or_default()));
        let letters = (group.len() * 8).div_ceil(5);
        (0..letters).map(move |at| usize::try_from((bits >> (35 - 5 * at)) & 31).unwrap_or_default())
    });
    groups.filter_map(|at| ALPHABET.get(at).map(|letter| char::from(*letter))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn codes_are_rfc_6238s() {
        // Appendix B has eight digits; ours are the last six.
        for (seconds, want) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SEED, step_at(at(seconds))), want, "{seconds}");
        }
    }

    #[test]
    fn clocks_may_drift_by_one_step() {
        let now = at(1_234_567_890);
        let current = step_at(now);
        for (drift, is_taken) in [(-3, false), (-2, false), (-1, true), (0, true), (1, true), (2, false), (3, false)] {
            let step = current + drift;
            let found = matching_step(SEED, &code(SEED, step), now, 0);
            assert_eq!(found, is_taken.then_some(step), "{drift}");
            assert_eq!(matching_step(SEED, &code(SEED, step), now, step), None, "{drift}: used");
        }
        assert_eq!(matching_step(SEED, "", now, 0), None);
        assert_eq!(matching_step(b"another seed", &code(SEED, current), now, 0), None);
    }

    #[test]
    fn codes_are_read_as_people_type_them() {
        for typed in [" 123 456\n", "123-456", "１２３４５６", "١٢٣\u{a0}٤٥٦", "1.2.3.4.5.6"] {
            assert_eq!(read_code(typed).as_deref(), Some("123456"), "{typed}");
        }
        for bad in ["", "12345", "1234567", "12345a", "-12345", "１２３４５", "12345½", "12345六", "1e23456"] {
            assert_eq!(read_code(bad), None, "{bad}");
        }
    }

    #[test]
    fn seeds_are_shown_in_base32() {
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(
            uri("Rollcall a.example", "Zoë & co", SEED),
            "otpauth://totp/Rollcall%20a%2Eexample:Zo%C3%AB%20%26%20co?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Rollcall%20a%2Eexample&algorithm=SHA1&digits=6&period=30"
        );
        for (issuer, account, label) in [
            ("Rollcall localhost:9000", "alice", "Rollcall%20localhost%2D9000:alice"),
            ("Rollcall [::1]:9000", "a:b:c", "Rollcall%20%5B%2D%2D1%5D%2D9000:a%2Db%2Dc"),
        ] {
            let uri = uri(issuer, account, SEED);
            assert!(uri.starts_with(&format!("otpauth://totp/{label}?")), "{uri}");
            assert!(!uri.contains("%3A") && uri.matches(':').count() == 2, "{uri}");
        }
    }
}
