//! `/api/v3/providers/`: the guards and the clients of applications, as authentik's providers.

pub mod all;
pub mod fields;
pub mod oauth2;
pub mod proxy;
pub mod skip;
pub mod wire;
