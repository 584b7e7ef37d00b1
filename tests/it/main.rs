//! The integration tests. Each test starts the real server on a port of its own and calls it as its
//! clients do; the tree mirrors the server's addresses.
//!
//! `TEST_DATABASE_URL` names a PostgreSQL database in which each test makes a schema of its own.
//! Without it the PostgreSQL half is skipped aloud; with `REQUIRE_ALL_TESTS` set, a skip fails.

#![allow(
    clippy::cloned_ref_to_slice_refs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::pedantic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and speaks plainly"
)]

#[macro_use]
mod support;
#[macro_use]
mod process;

mod api;
mod applications;
mod architecture;
mod auditors;
mod backup;
mod browser;
mod cli;
mod clock_jump;
mod crash;
mod crawl;
mod docs;
mod end_jobs;
mod enrich;
mod fail2ban;
mod faults;
mod files;
mod filters;
mod fuzz;
mod generate;
mod guard;
mod guesses;
mod hashing;
mod incidents;
mod journeys;
mod lifecycle;
mod linear;
mod live_table;
mod lost_files;
mod matrix;
mod metrics;
mod monitoring;
mod names;
mod oidc;
mod operations;
mod own_account;
mod passkeys;
mod permissions;
mod power_loss;
mod privacy;
mod proxies;
mod recorded;
mod scripts;
mod secret_files;
mod secrets;
mod serve;
mod settings;
mod speed;
mod store;
mod strangers;
mod tasks;
mod tls_database;
mod ui;
mod upgrade;
mod watch;
