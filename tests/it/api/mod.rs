//! authentik's API, address by address and rule by rule (`compat.md`).

mod golden;
