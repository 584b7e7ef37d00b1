//! The rules of OpenID Connect: redirect addresses, requests to authorize, scopes and claims.

pub mod challenge;
pub mod claims;
pub mod consent;
pub mod device;
pub mod grant;
pub mod notice;
pub mod own_claim;
pub mod redirect;
pub mod request;
pub mod target;
