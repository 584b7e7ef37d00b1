//! What the guard stores: the keys of guarded hosts' cookies, the tickets that carry a sign-in to a host, and what was seen
//! of probes.

pub mod check;
pub mod keys;
pub mod probes;
pub mod tickets;
