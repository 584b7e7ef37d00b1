//! Reads the parts of a user agent, and the place and the network of an address. A request never
//! fails because of them: unknown values are empty or null.

pub mod geoip;
pub mod user_agents;
