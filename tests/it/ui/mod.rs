//! The pages, without a browser.

mod account;
mod administration;
mod all_sessions;
mod app_passwords;
mod applications;
mod begin;
mod client;
mod confirm;
mod ended_sessions;
mod events;
mod events_live;
mod form;
mod forms;
mod found_people;
mod headers;
mod live;
pub mod markup;
mod passkeys;
mod people;
mod policies;
mod questions;
mod recovery;
mod rules;
mod sessions;
mod set_up;
mod sign_in;
mod user_import;
