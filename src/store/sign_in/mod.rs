//! What signing in keeps: second factors, known devices, limits on guesses, pending sign-ins.

pub mod devices;
pub mod factors;
pub mod guess_limits;
pub mod known_devices;
pub mod passkeys;
pub mod pending;
