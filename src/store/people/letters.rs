//! Which letters and digits the texts of each user have, one bit for each. A search for one of them reads eight bytes of
//! each user, not their texts.

use uuid::Uuid;

use crate::store::people::marks::Marks;

/// One word for each entry of the texts, by its place.
#[derive(Debug, Default)]
pub(super) struct Letters(Vec<u64>);

/// Where the bits of a uuid's digits and its hyphen begin.
const OF_UUIDS: u32 = 41;

/// The bit of a byte of a folded text: letters, digits, and what is between them in names and addresses.
fn in_text(byte: u8) -> Option<u64> {
    let bit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'0'..=b'9' => 26 + (byte - b'0'),
        b'@' => 36,
        b'.' => 37,
        b'-' => 38,
        b'_' => 39,
        b' ' => 40,
        _ => return None,
    };
    Some(1 << bit)
}

/// The bit of a byte of a uuid's text; none of what is in no uuid.
fn in_uuid(byte: u8) -> u64 {
    match byte {
        b'0'..=b'9' => 1 << (OF_UUIDS + u32::from(byte - b'0')),
        b'A'..=b'F' => 1 << (OF_UUIDS + 10 + u32::from(byte - b'A')),
        b'-' => 1 << (OF_UUIDS + 16),
        _ => 0,
    }
}

impl Letters {
    /// Adds an entry: a user's folded texts, and their uuid.
    pub fn push_user(&mut self, texts: &[u8], uuid: Uuid) {
        let of_texts = texts.iter().filter_map(|byte| in_text(*byte)).fold(0, |all, bit| all | bit);
        let mut buffer = Uuid::encode_buffer();
        let uuid = uuid.hyphenated().encode_upper(&mut buffer).bytes();
        self.0.push(uuid.fold(of_texts, |all, byte| all | in_uuid(byte)));
    }

    /// Adds an entry that no search finds.
    pub fn push_nobody(&mut self) {
        self.0.push(0);
    }

    /// No search finds the entry at this place any more.
    pub fn clear(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place) {
            *word = 0;
        }
    }

    /// The letters of one entry, to put them elsewhere.
    pub fn move_from(&mut self, other: &Self, place: usize) {
        self.0.push(other.0.get(place).copied().unwrap_or_default());
    }

    /// The users that have this term in a text or in the uuid; `None`: it is not a letter that has a bit.
    pub fn marks(&self, term: &str) -> Option<Marks> {
        let [byte] = term.as_bytes() else { return None };
        let bits = in_text(*byte)? | in_uuid(*byte);
        Some(Marks::of_each(&self.0, |word| word & bits != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_is_found_in_texts_and_uuids_alone() {
        let uuid = Uuid::parse_str("11111111-1111-4111-8111-11111111111c").unwrap();
        let all: Vec<char> = (' '..='~').filter(|letter| !letter.is_ascii_lowercase()).collect();
        let mut letters = Letters::default();
        for letter in &all {
            letters.push_user(letter.to_string().as_bytes(), uuid);
        }
        letters.push_nobody();
        for (place, letter) in all.iter().enumerate() {
            let found = letters.marks(&letter.to_string());
            if !letter.is_ascii_alphanumeric() && !"@.-_ ".contains(*letter) {
                assert_eq!(found, None, "{letter}");
                continue;
            }
            let found: Vec<usize> = found.unwrap().places().collect();
            let want = if "148C-".contains(*letter) { (0..all.len()).collect() } else { vec![place] };
            assert_eq!(found, want, "{letter}");
        }
        assert_eq!([letters.marks("AB"), letters.marks("ß"), letters.marks("\0"), letters.marks("")], [const { None }; 4]);
    }

    #[test]
    fn what_is_cleared_is_not_found() {
        let mut letters = Letters::default();
        for _ in 0..70 {
            letters.push_user(b"Z", Uuid::nil());
        }
        letters.clear(65);
        letters.clear(1_000);
        let found = letters.marks("Z").unwrap();
        assert_eq!((found.count(), found.has(64), found.has(65)), (69, true, false));
        let mut other = Letters::default();
        other.move_from(&letters, 65);
        other.move_from(&letters, 66);
        assert_eq!(other.marks("Z").unwrap().places().collect::<Vec<_>>(), [1]);
    }
}
