//! `/api/v3/core/users/`.

pub mod recovery;
