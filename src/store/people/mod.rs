//! Users, groups, their policies and tokens.

pub mod administrators;
pub mod groups;
pub mod names;
pub mod policies;
pub mod privacy;
pub mod tokens;
pub mod user_list;
pub mod users;
