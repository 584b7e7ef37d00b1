//! Columns: one value for each slot or entry, which have numbers of 32 bits.

/// A column with room for `count` values and a sixteenth more.
///
/// glibc's allocator keeps what smaller buffers took, for its thread. It maps a buffer of 32 MB or more by
/// itself: pages that are not written take no memory, and what is dropped goes back at once. Without it the
/// table of 1,000,000 sessions with all orders took 313 MB, with it 252 MB (docs/PERFORMANCE.md).
pub(in crate::store) fn roomy<T>(count: usize) -> Vec<T> {
    const MAPPED: usize = 33 << 20;
    let wanted = count + count / 16 + 64;
    let mut values = Vec::new();
    let is_large = count * size_of::<T>() >= 1 << 18;
    if !is_large || values.try_reserve_exact(wanted.max(MAPPED / size_of::<T>().max(1))).is_err() {
        values.reserve_exact(wanted);
    }
    values
}

/// The length as a number of the next slot or entry; a table with more than four billion would not
/// fit in memory.
pub(in crate::store) fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The value of a slot.
pub(in crate::store) fn at<T: Copy + Default>(column: &[T], slot: u32) -> T {
    column.get(slot as usize).copied().unwrap_or_default()
}

/// Replaces the value of a slot.
pub(in crate::store) fn set<T>(column: &mut [T], slot: u32, value: T) {
    if let Some(place) = column.get_mut(slot as usize) {
        *place = value;
    }
}
