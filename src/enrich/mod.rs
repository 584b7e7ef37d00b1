//! What is read from what a client shows: parts from its user agent, a place and a network from its
//! address. Nothing here can fail a request: what is not known is empty or null.

pub mod geoip;
pub mod user_agents;
