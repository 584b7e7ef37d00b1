//! How sessions live and end: policies, limits, fresh proofs, and every way to an end.

mod batching;
mod binding;
mod clocks;
mod ends;
mod factors;
mod keys;
mod known_devices;
mod limits;
mod model;
mod policies;
mod proofs;
mod typed;
