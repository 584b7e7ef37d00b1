//! OpenID Connect: clients that authenticate, codes, tokens, and what they open. Access is decided by the function that the
//! guard asks, and each code and token is read together with the row of its session.

pub mod authorize;
pub mod clients;
pub mod consents;
pub mod device;
pub mod hints;
mod logout_token;
pub mod notices;
pub mod notify;
mod offline;
pub mod redeem;
pub mod refresh;
pub mod token_list;
pub mod tokens;
