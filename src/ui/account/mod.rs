//! Pages about the user's own account: devices, password, second factors, data.

pub mod devices;
pub mod my_data;
pub mod password;
pub mod security;
