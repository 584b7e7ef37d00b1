//! What is read from user agents and addresses: uap-core's rules, kinds of devices, and GeoIP
//! files.

mod agents;
mod kinds;
mod places;
