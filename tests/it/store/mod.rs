//! What is kept, and what is not.

mod counts;
mod import;
mod secrets;
mod sweep;
