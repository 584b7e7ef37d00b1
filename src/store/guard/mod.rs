//! What the guard stores: the keys of guarded hosts' cookies, and the tickets that carry a sign-in to a host.

pub mod check;
pub mod keys;
pub mod tickets;
