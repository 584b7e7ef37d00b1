//! `/api/v3/stages/`.

pub mod user_login;
