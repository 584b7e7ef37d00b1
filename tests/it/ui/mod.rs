//! The pages, without a browser.

mod confirm;
mod headers;
mod sessions;
mod set_up;
mod sign_in;
