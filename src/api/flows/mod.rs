//! `/api/v3/flows/`.

pub mod executor;
mod state;
