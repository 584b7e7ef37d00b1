//! How sessions live and end: policies, limits, fresh proofs, and every way to an end.

mod ends;
mod limits;
mod policies;
