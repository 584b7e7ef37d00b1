//! How sessions live and end: policies, limits, fresh proofs, and every way to an end.

mod binding;
mod ends;
mod keys;
mod known_devices;
mod limits;
mod model;
mod policies;
