//! The keys that sign what apps check by themselves. They are made when they are first needed ([`keyring`]), and replaced by
//! time or by hand ([`rotate`]). The private halves are sealed with the instance key.

pub mod keyring;
mod make;
pub mod rotate;
