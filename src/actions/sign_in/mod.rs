//! Signing in: proving a password and second factors, and starting a session.

pub mod admit;
pub mod begin;
pub mod confirm;
pub mod factors;
pub mod guess_batch;
pub mod guesses;
pub mod passkeys;
pub mod proof;
pub mod prove;
pub mod refusal_log;

pub use admit::Wish;
pub use begin::begin;
pub use proof::{Proved, Started};
pub use prove::{prove_password, start_session};
