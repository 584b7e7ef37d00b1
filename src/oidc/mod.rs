//! The addresses of OpenID Connect below `/application/o/`, as authentik has them. Nothing here is built from a request's
//! `Host`: without an https `http.public_url` these addresses are not there.

mod answer;
pub mod authorize;
mod call;
pub mod device;
pub mod discovery;
pub mod end_session;
mod form;
pub mod inquiries;
pub mod jwks;
pub mod token;
mod way;
