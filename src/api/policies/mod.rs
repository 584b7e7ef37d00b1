//! `/api/v3/policies/`: who may open applications, as authentik's bindings.

pub mod bindings;
pub mod wire;
