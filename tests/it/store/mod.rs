//! What is kept, and what is not.

mod counts;
mod event_feed;
mod import;
mod index;
mod model;
mod revocations;
mod secrets;
mod sweep;
mod transactions;
