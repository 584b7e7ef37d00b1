//! What the tests stand on: databases, a running server, its callers, and data to put in.

pub mod app;
pub mod authenticator;
pub mod caller;
#[macro_use]
pub mod db;
pub mod dice;
pub mod geoip;
pub mod keys;
pub mod passkey;
pub mod raw;
pub mod seed;

pub use app::{Browser, NOW, TestApp};
pub use caller::{Answer, Caller};
pub use db::TestDb;
pub use dice::Dice;

/// The address of the list.
pub const SESSIONS: &str = "/api/v3/core/authenticated_sessions/";
/// The address of the sign-in flow.
pub const SIGN_IN_FLOW: &str = "/api/v3/flows/executor/default-authentication-flow/";
/// The address of the sign-out flow.
pub const SIGN_OUT_FLOW: &str = "/api/v3/flows/executor/default-invalidation-flow/";

/// Text as part of a query.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
