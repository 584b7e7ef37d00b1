//! Sets of slots or entries, a bit each.

/// Whether a bit is set; those beyond the end are not.
pub(in crate::store) fn has_bit(bits: &[u64], at: u32) -> bool {
    bits.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// Sets a bit, making room for it.
pub(in crate::store) fn set_bit(bits: &mut Vec<u64>, at: u32) {
    let word = at as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= 1 << (at % 64);
    }
}

/// Sets or clears a bit.
pub(in crate::store) fn put_bit(bits: &mut Vec<u64>, at: u32, is_set: bool) {
    if is_set {
        set_bit(bits, at);
    } else if let Some(word) = bits.get_mut(at as usize / 64) {
        *word &= !(1 << (at % 64));
    }
}

/// The positions of the bits that are set, ascending.
pub(in crate::store) fn places_of(bits: &[u64]) -> Vec<u32> {
    let mut places = Vec::with_capacity(bits.iter().map(|word| word.count_ones() as usize).sum());
    for (start, word) in (0_u32..).step_by(64).zip(bits) {
        let mut rest = *word;
        while rest != 0 {
            places.push(start + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    places
}

/// Bits at these positions.
pub(in crate::store) fn bits_of(entries: &[u32]) -> Vec<u64> {
    let mut bits = Vec::new();
    if let Some(last) = entries.iter().max() {
        bits.reserve(*last as usize / 64 + 1);
    }
    for entry in entries {
        set_bit(&mut bits, *entry);
    }
    bits
}

/// Clears the bits whose value in the column is not wanted.
pub(in crate::store) fn keep<T: Copy>(bits: &mut [u64], column: &[T], is_wanted: impl Fn(T) -> bool) {
    for (word, values) in bits.iter_mut().zip(column.chunks(64)) {
        if *word == 0 {
            continue;
        }
        let mut wanted = 0;
        for (place, value) in values.iter().enumerate() {
            wanted |= u64::from(is_wanted(*value)) << place;
        }
        *word &= wanted;
    }
}
