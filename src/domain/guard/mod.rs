//! The guard's rules without I/O: what a proxy's question says, in which ways a path can be read,
//! which requests are navigations, and which of a caller's headers an app may see.

pub mod cookies;
pub mod credentials;
pub mod forwarded;
pub mod headers;
pub mod identity;
pub mod kind;
pub mod navigation;
pub mod places;
pub mod readings;
