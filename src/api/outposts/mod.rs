//! `/api/v3/outposts/`: Rollcall itself, as authentik's embedded outpost.

pub mod instances;
