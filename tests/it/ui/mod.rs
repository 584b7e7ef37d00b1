//! The pages, without a browser.

mod headers;
mod sessions;
mod set_up;
mod sign_in;
