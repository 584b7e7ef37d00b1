//! Many texts, and which of them hold a given part.
//!
//! Each text is filed under every run of four bytes in it (a gram), with zeros after its end, so
//! that a part of up to four bytes is found by looking at grams alone. Longer parts are looked for
//! among the texts that have all their grams.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::store::sessions::index::bits::{places_of, set_bit};

/// Texts by number, packed.
#[derive(Default)]
pub(in crate::store) struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a text under the next number.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// The text with this number; `""` when there is none.
    pub fn get(&self, entry: u32) -> &str {
        let at = entry as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// Gives back what was reserved for growth.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// Four bytes, the first in the highest place.
type Gram = u32;
const LENGTH: usize = 4;
/// How many of a long part's grams are compared before the texts themselves are looked at.
const COMPARED: usize = 6;
/// Looking at one text takes as long as reading this many numbers of a list.
const LOOK: usize = 32;

/// Which texts have which grams. Numbers must be filed in ascending order.
#[derive(Default)]
pub(in crate::store) struct Grams {
    lists: HashMap<Gram, List, RandomState>,
    /// How many texts there are.
    entries: u32,
}

impl Grams {
    /// Files a text.
    pub fn file(&mut self, entry: u32, text: &str) {
        let bytes = text.as_bytes();
        for start in 0..bytes.len() {
            self.lists.entry(gram_at(bytes, start)).or_default().push(entry);
        }
        self.entries = self.entries.max(entry + 1);
    }

    /// Gives back what was reserved for growth.
    pub fn shrink(&mut self) {
        self.lists.values_mut().for_each(|list| list.steps.shrink_to_fit());
        self.lists.shrink_to_fit();
    }

    /// The numbers of the texts that hold `part`, ascending. `holds` looks at the text itself; it is
    /// asked for parts of more than four bytes only.
    pub fn find(&self, part: &str, holds: impl Fn(u32) -> bool) -> Vec<u32> {
        let bytes = part.as_bytes();
        if bytes.len() <= LENGTH {
            return self.find_short(bytes);
        }
        let mut lists = Vec::with_capacity(bytes.len());
        for start in 0..=bytes.len() - LENGTH {
            match self.lists.get(&gram_at(bytes, start)) {
                Some(list) => lists.push(list),
                None => return Vec::new(),
            }
        }
        lists.sort_unstable_by_key(|list| list.count);
        let Some((shortest, others)) = lists.split_first() else { return Vec::new() };
        let mut found: Vec<u32> = shortest.iter().collect();
        for list in others.iter().take(COMPARED - 1) {
            // Looking at the text of what is left costs less than reading a much longer list.
            if list.count as usize / LOOK > found.len() {
                break;
            }
            keep_common(&mut found, list.iter());
        }
        found.retain(|entry| holds(*entry));
        found
    }

    /// Texts in which one of the grams that begin with these bytes occurs.
    fn find_short(&self, bytes: &[u8]) -> Vec<u32> {
        let first = gram_at(bytes, 0);
        if bytes.len() == LENGTH {
            return self.lists.get(&first).map(|list| list.iter().collect()).unwrap_or_default();
        }
        // The bytes after the part may be any.
        let last = first | (u32::MAX >> (8 * bytes.len()));
        let mut found = vec![0_u64; (self.entries as usize).div_ceil(64)];
        for (_, list) in self.lists.iter().filter(|(gram, _)| (first..=last).contains(*gram)) {
            list.iter().for_each(|entry| set_bit(&mut found, entry));
        }
        places_of(&found)
    }
}

/// Ascending numbers, each kept as its distance from the one before: seven bits a byte, the lowest
/// first, with the eighth set where more follow.
#[derive(Default)]
struct List {
    steps: Vec<u8>,
    count: u32,
    /// One more than the last number.
    end: u32,
}

impl List {
    /// Adds a number, unless it is the last one.
    fn push(&mut self, number: u32) {
        if self.end > number {
            return;
        }
        let mut step = number - self.end;
        while step >= 0x80 {
            self.steps.push(low_byte(step) | 0x80);
            step >>= 7;
        }
        self.steps.push(low_byte(step));
        self.end = number + 1;
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let mut bytes = self.steps.iter();
        let mut end = 0;
        std::iter::from_fn(move || {
            let (mut step, mut shift) = (0, 0);
            loop {
                let byte = *bytes.next()?;
                step |= u32::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
                shift += 7;
            }
            end += step + 1;
            Some(end - 1)
        })
    }
}

fn low_byte(number: u32) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

/// The gram that begins at `start`, with zeros beyond the end.
fn gram_at(bytes: &[u8], start: usize) -> Gram {
    (start..start + LENGTH).fold(0, |gram, at| gram << 8 | u32::from(bytes.get(at).copied().unwrap_or(0)))
}

/// Keeps of `found` what `list` has, too; both ascend.
fn keep_common(found: &mut Vec<u32>, list: impl Iterator<Item = u32>) {
    let mut list = list.peekable();
    found.retain(|entry| {
        while list.next_if(|other| other < entry).is_some() {}
        list.peek() == Some(entry)
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_looking_at_each_text_finds(
            texts in prop::collection::vec("[A-D1.é]{0,12}", 0..60),
            part in "[A-D1.é]{1,8}",
        ) {
            let (mut packed, mut grams) = (Texts::default(), Grams::default());
            for (entry, text) in (0..).zip(&texts) {
                packed.push(text);
                grams.file(entry, text);
            }
            let naive: Vec<u32> = (0..).zip(&texts).filter(|(_, text)| text.contains(&part)).map(|(entry, _)| entry).collect();
            prop_assert_eq!(grams.find(&part, |entry| packed.get(entry).contains(&part)), naive);
            prop_assert_eq!(packed.len(), texts.len());
        }
    }

    proptest! {
        #[test]
        fn a_list_gives_what_was_filed(numbers in prop::collection::btree_set(any::<u32>().prop_map(|number| number >> 1), 0..200)) {
            let mut list = List::default();
            for number in &numbers {
                list.push(*number);
                list.push(*number);
            }
            prop_assert_eq!(list.count as usize, numbers.len());
            prop_assert!(list.iter().eq(numbers.iter().copied()));
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(Texts::default().get(3), "");
        assert!(Grams::default().find("A", |_| true).is_empty());
        assert!(Grams::default().find("ABCDEF", |_| true).is_empty());
    }
}
