//! The guard: what reverse proxies are answered, and how people sign in to apps behind them. Here the tests are the
//! proxy; `proxies/` has real ones.

mod checks;
mod documents;
mod doors;
mod sign_in;
mod traps;
pub mod world;
