//! Apps that nobody here wrote sign their users in, in a real browser: Apache with its module for OpenID Connect, two
//! libraries of npm, and a crate. One that is not installed is skipped aloud: `tests/apps/install` fetches those of npm.

mod apache;
mod journey;
mod node;
mod relying;
mod world;
