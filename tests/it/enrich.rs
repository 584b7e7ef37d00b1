//! User agents and addresses.
