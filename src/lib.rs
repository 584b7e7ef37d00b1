//! Rollcall: a self-hosted session server. Who is signed in, from where and on what; and how to sign
//! them out, one or a million, at once.
//!
//! A request passes the layers of [`http`], its line in [`routes`], a handler in [`api`] or [`ui`],
//! an action in [`actions`], and a statement in [`store`].
//!
//! Imports point down only: `main → cli → {server, routes} → {api, ui, guard, oidc, jobs} → {auth, http} → actions
//! → {core, keys} → {enrich, outbound, store, watch} → {config, domain}`. [`metrics`] and [`files`] are leaves: they
//! import nothing of this crate.

pub mod actions;
pub mod api;
pub mod auth;
pub mod cli;
pub mod config;
pub mod core;
pub mod domain;
pub mod enrich;
pub mod files;
pub mod guard;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod metrics;
pub mod oidc;
pub mod outbound;
pub mod routes;
pub mod server;
pub mod store;
pub mod trust;
pub mod ui;
pub mod watch;
