//! Real reverse proxies in front of an app, with the configurations that `rollcall app config` prints. nginx comes from the
//! distribution, the others from `scripts/fetch-proxies`; one that is missing is skipped aloud.

mod authentik;
mod checked;
mod curl;
mod echo;
mod faults;
mod guarded;
mod journey;
mod newer;
mod process;
mod traffic;
