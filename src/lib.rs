//! Rollcall: a self-hosted session server. Who is signed in, from where and on what; and how to sign
//! them out, one or a million, at once.
//!
//! A request's way: [`http`] layers → its line in [`routes`] → a handler in [`api`] or [`ui`] → an
//! action → a statement in [`store`]. Arrows point down only: `api, ui, cli → actions → store →
//! domain`.

pub mod actions;
pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod enrich;
pub mod files;
pub mod http;
pub mod jobs;
pub mod metrics;
pub mod routes;
pub mod store;
pub mod ui;
