//! What refers to an object.

use serde::Serialize;
use utoipa::ToSchema;

/// An object that refers to the one that was asked about. None is listed.
#[derive(Serialize, ToSchema)]
pub struct UsedBy {
    app: String,
    model_name: String,
    pk: String,
    name: String,
    action: UsedByActionEnum,
}

/// What becomes of an object when the one that it refers to is deleted.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsedByActionEnum {
    /// It is deleted, too.
    Cascade,
    /// What links the two is deleted.
    CascadeMany,
    /// It refers to nothing.
    SetNull,
    /// It refers to the default.
    SetDefault,
    /// It refers to what is gone.
    LeftDangling,
}
