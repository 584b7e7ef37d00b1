//! authentik's REST API. The path mirrors the address: `/api/v3/core/authenticated_sessions/` is
//! `api/core/authenticated_sessions/`. Only this module speaks authentik's dialect.

pub mod admin;
pub mod authenticators;
pub mod body;
pub mod core;
pub mod crypto;
mod django;
pub mod duration;
pub mod empty;
pub mod endpoint;
pub mod error;
pub mod events;
pub mod flows;
pub mod health;
pub mod list;
mod negotiate;
pub mod oauth2;
pub mod open;
pub mod outposts;
pub mod path;
pub mod policies;
pub mod propertymappings;
pub mod providers;
pub mod root;
pub mod schema;
mod scopes;
pub mod small_list;
pub mod stages;
