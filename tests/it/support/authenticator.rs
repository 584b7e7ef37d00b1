//! An authenticator app, as a person has one.

use rollcall::domain::{Timestamp, totp};

/// An app that holds one seed.
pub struct Authenticator {
    pub seed: Vec<u8>,
}

impl Authenticator {
    /// From the key that a page shows, in base32 with blanks.
    pub fn from_key(text: &str) -> Self {
        let place = |letter: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).expect("base32");
        let bits: String = text.chars().filter(|c| *c != ' ').map(|letter| format!("{:05b}", place(letter))).collect();
        let byte = |bits: &[u8]| u8::from_str_radix(std::str::from_utf8(bits).expect("digits"), 2).expect("a byte");
        let seed: Vec<u8> = bits.as_bytes().chunks_exact(8).map(byte).collect();
        assert_eq!(seed.len(), totp::SEED_LENGTH, "{text}");
        Self { seed }
    }

    /// The code that it shows `drift` steps after an instant.
    pub fn code(&self, now: Timestamp, drift: i64) -> String {
        totp::code(&self.seed, totp::step_at(now) + drift)
    }
}
