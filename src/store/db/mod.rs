//! The two databases, and what a statement needs on either: values, rows, shapes, migrations.

pub(in crate::store) mod conditions;
mod connect;
pub(in crate::store) mod handle;
pub(in crate::store) mod hold;
pub(in crate::store) mod migrate;
pub(in crate::store) mod password;
pub(in crate::store) mod pending;
pub(in crate::store) mod postgres;
pub(in crate::store) mod seen;
pub(in crate::store) mod settled;
pub(in crate::store) mod sqlite;
pub(in crate::store) mod statements;
pub(in crate::store) mod transactions;
pub(in crate::store) mod value;
