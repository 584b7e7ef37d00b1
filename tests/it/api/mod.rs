//! authentik's API, address by address and rule by rule (`docs/compat.md`).

mod bulk_delete;
mod checks;
mod client;
mod compression;
mod credentials;
mod csrf;
mod details;
mod filters;
mod flows;
mod golden;
mod groups;
mod history;
mod hostile;
mod item;
mod methods;
mod negotiation;
mod ordering;
mod paging;
mod passkey_flow;
mod people_lists;
mod revoke;
mod schema;
mod search;
mod touches;
mod users;
mod visibility;
