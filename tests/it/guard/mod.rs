//! The guard: what reverse proxies are answered, and how people sign in to apps behind them. Here the tests are the
//! proxy; `proxies/` has real ones. Where to find what:
//!
//! | What | Tests |
//! | --- | --- |
//! | which headers are read, hosts, paths, peers | `checks`, unit tests of `domain/guard/`, `fuzz::guard::forwarded_requests` |
//! | addresses of clients in rules | `traps::rules_of_networks_read_the_address_that_trusted_proxies_tell` |
//! | methods, and headers that override them | `checks::rules_of_paths_decide_in_every_reading`, `traps::a_method_is_judged_as_it_may_be_taken` |
//! | readings of a path | `domain/guard/readings.rs`, `domain/application/judge.rs`, `fuzz::guard::paths` |
//! | `app test` says what the check does | `traps::the_check_and_app_test_give_one_answer` |
//! | app passwords, and every credential at every door | `doors`, `proxies/guarded.rs`, `applications/passwords.rs` |
//! | signed identities | `oidc::identity`, `oidc::keys` |
//! | cookies of any form | `doors::a_cookie_that_is_not_clearly_one_is_none`, `domain/guard/cookies.rs` |
//! | targets and tickets | `sign_in` |
//! | a store that fails, is slow, or is away | `store` |
//! | revoke, deactivate, leave a group, change a rule, remove an app, while requests run on two nodes | `changes`, `proxies/guarded.rs` |
//! | options of a guard, app passwords over http and guessed, hosts of one application | `options` |
//! | hostile callers: queries, slugs, peers, user agents, raw paths, hosts, counts; a panic, too many checks | `hostile` |
//! | refusals and events | `checks`, `traps::refusals_of_strangers_leave_no_event` |
//! | heads that are too large, WebSockets, event streams, HTTP/2, gRPC | `proxies/traffic.rs` |
//! | faults of a proxy's configuration | `proxies/faults.rs` |
//! | authentik's configurations | `proxies/authentik.rs` |

mod changes;
mod checks;
mod documents;
mod doors;
mod hostile;
mod options;
mod sign_in;
mod store;
mod traps;
pub mod world;
