//! Many texts, and which of them hold a given part.
//!
//! Each text is filed under every run of four bytes in it (a gram), with zeros after its end, so
//! that a part of up to four bytes is found by looking at grams alone. Longer parts are looked for
//! among the texts that have all their grams.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Texts by number, packed.
#[derive(Default)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

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

/// Which texts have which grams. Numbers must be filed in ascending order.
#[derive(Default)]
pub(super) struct Grams(HashMap<Gram, Vec<u32>, RandomState>);

impl Grams {
    /// Files a text.
    pub fn file(&mut self, entry: u32, text: &str) {
        let bytes = text.as_bytes();
        for start in 0..bytes.len() {
            let entries = self.0.entry(gram_at(bytes, start)).or_default();
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
    }

    pub fn shrink(&mut self) {
        self.0.values_mut().for_each(Vec::shrink_to_fit);
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
            match self.0.get(&gram_at(bytes, start)) {
                Some(list) => lists.push(list),
                None => return Vec::new(),
            }
        }
        lists.sort_unstable_by_key(|list| list.len());
        let Some((shortest, others)) = lists.split_first() else { return Vec::new() };
        let mut found: Vec<u32> = (*shortest).clone();
        for list in others.iter().take(COMPARED - 1) {
            keep_common(&mut found, list);
        }
        found.retain(|entry| holds(*entry));
        found
    }

    /// Texts in which one of the grams that begin with these bytes occurs.
    fn find_short(&self, bytes: &[u8]) -> Vec<u32> {
        let first = gram_at(bytes, 0);
        if bytes.len() == LENGTH {
            return self.0.get(&first).cloned().unwrap_or_default();
        }
        // The bytes after the part may be any.
        let last = first | (u32::MAX >> (8 * bytes.len()));
        let lists: Vec<&Vec<u32>> =
            self.0.iter().filter(|(gram, _)| (first..=last).contains(*gram)).map(|(_, list)| list).collect();
        let mut found: Vec<u32> = lists.into_iter().flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The gram that begins at `start`, with zeros beyond the end.
fn gram_at(bytes: &[u8], start: usize) -> Gram {
    (start..start + LENGTH).fold(0, |gram, at| gram << 8 | u32::from(bytes.get(at).copied().unwrap_or(0)))
}

/// Keeps of `found` what `list` has, too; both ascend.
fn keep_common(found: &mut Vec<u32>, mut list: &[u32]) {
    found.retain(|entry| {
        // Look further and further ahead, then between.
        let mut reach = 1;
        while list.get(reach).is_some_and(|other| other < entry) {
            reach *= 2;
        }
        let ahead = list.get(..(reach + 1).min(list.len())).unwrap_or_default();
        let at = ahead.partition_point(|other| other < entry);
        list = list.get(at..).unwrap_or_default();
        list.first() == Some(entry)
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

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(Texts::default().get(3), "");
        assert!(Grams::default().find("A", |_| true).is_empty());
        assert!(Grams::default().find("ABCDEF", |_| true).is_empty());
    }
}
