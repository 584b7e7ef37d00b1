//! `/api/v3/providers/`: the guards of applications, as authentik's providers.

pub mod all;
pub mod fields;
pub mod proxy;
pub mod skip;
pub mod wire;
