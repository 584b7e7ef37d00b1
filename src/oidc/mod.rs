//! The addresses of OpenID Connect below `/application/o/`, as authentik has them. Nothing here is built from a request's
//! `Host`: without an https `http.public_url` these addresses are not there.

mod answer;
pub mod jwks;
