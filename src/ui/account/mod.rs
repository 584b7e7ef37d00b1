//! Pages about the user's own account: name and address, devices, password, second factors, activity, data, removal.

pub mod activity;
pub mod data;
pub mod devices;
pub mod my_data;
pub mod password;
pub mod profile;
pub mod removal;
pub mod security;
