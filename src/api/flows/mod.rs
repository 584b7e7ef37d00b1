//! `/api/v3/flows/`.

pub mod executor;
pub mod instances;
mod state;
pub mod wire;

/// The slug of the flow that signs in.
pub const SIGN_IN: &str = "default-authentication-flow";
/// The slug of the flow that signs out.
pub const SIGN_OUT: &str = "default-invalidation-flow";
