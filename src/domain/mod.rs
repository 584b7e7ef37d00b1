//! Rules and types. No I/O, no web, no SQL; time is always an argument.

pub mod address;
pub mod binding;
pub mod caller;
pub mod clock;
pub mod country;
mod embedded;
pub mod event;
pub mod facets;
pub mod factor;
pub mod filters;
pub mod fold;
pub mod listing;
pub mod names;
pub mod page;
pub mod password;
pub mod policy;
pub mod query;
pub mod rate;
pub mod recovery;
pub mod search;
pub mod secret;
pub mod session;
mod text_serde;
pub mod totp;
pub mod typed;
pub mod user;
pub mod user_agent;
pub mod webauthn;

pub use address::{Address, Network};
pub use clock::{Clock, Timestamp};
pub use factor::{FactorId, Method, Methods};
pub use rate::Rate;
pub use secret::{HashedSecret, PlainSecret};
pub use session::{EndReason, SessionId};
pub use user::{Permission, UserId, UserKey};
