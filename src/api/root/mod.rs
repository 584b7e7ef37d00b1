//! `/api/v3/root/`.

pub mod config;
