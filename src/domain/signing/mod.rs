//! Keys that sign what apps check by themselves: JSON Web Tokens (RFC 7519), signed with ring. The keys are published
//! as a set (JWKS, RFC 7517).

pub mod identity;
mod jwk;
pub mod jwt;
mod key;
mod times;

pub use jwk::{Jwk, PublicKey};
pub use key::{Algorithm, NotSigned, SigningKey, generate};
pub use times::{KEPT, KeyState, KeyTimes, PUBLISHED_BEFORE, next_set, state};
