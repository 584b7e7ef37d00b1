//! `/api/v3/admin/`: about the server itself.

pub mod system;
pub mod version;

/// The version of authentik whose API this server answers. Clients compare it with what they need.
pub const AUTHENTIK_VERSION: &str = "2026.8.5";
