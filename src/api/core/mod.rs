//! `/api/v3/core/`.

pub mod authenticated_sessions;
pub mod ended_sessions;
pub mod parameters;
pub mod session_details;
pub mod session_filter;
pub mod session_revoke;
pub mod user_recovery;
pub mod wire;
