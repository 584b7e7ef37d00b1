//! Users, groups, their policies and tokens.

pub mod administrators;
pub mod bursts;
pub mod group_list;
pub mod groups;
mod letters;
mod marks;
pub mod names;
pub mod policies;
pub mod privacy;
pub mod profiles;
pub mod reached;
pub mod texts;
pub mod token_list;
pub mod tokens;
pub mod user_list;
pub mod users;
