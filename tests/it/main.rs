//! The integration tests. Each test starts the real server on a port of its own and calls it as its
//! clients do; the tree mirrors the server's addresses.
//!
//! `TEST_DATABASE_URL` names a PostgreSQL database in which each test makes a schema of its own.
//! Without it the PostgreSQL half is skipped aloud; with `REQUIRE_ALL_TESTS` set, a skip fails.

#[macro_use]
mod support;

mod api;
mod enrich;
mod store;
mod ui;
