//! `/api/v3/core/`.

pub mod app_sessions;
pub mod applications;
pub mod authenticated_sessions;
pub mod brands;
pub mod ended_sessions;
pub mod groups;
pub mod logout_notices;
pub mod tokens;
pub mod user_consent;
pub mod users;
pub mod wire;
