//! Pages about the watched authentik.

pub mod end;
pub mod many;
pub mod status;
