//! Bindings in authentik's words.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::core::groups::wire::RelatedGroup;
use crate::api::core::wire::Dashed;
use crate::api::small_list::small_pages;
use crate::domain::UserId;
use crate::domain::application::{Application, Binding};

/// The user of a binding.
#[derive(Clone, Serialize, ToSchema)]
pub struct BoundUser {
    /// The number in addresses.
    pub pk: i64,
    /// What they sign in with.
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// The e-mail address, or `""`.
    pub email: String,
    /// Whether they may sign in.
    pub is_active: bool,
    /// What other services know them by.
    pub uid: String,
}

/// Who is allowed by a binding, with details.
pub enum Bound<'a> {
    /// A user.
    User(UserId, BoundUser),
    /// A group.
    Group(RelatedGroup<'a>),
}

/// An entry of an application's `allow`.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "authentik's fields")]
pub struct PolicyBinding<'a> {
    /// What names it.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// Always null.
    #[schema(required)]
    policy: Option<String>,
    /// Always null.
    #[schema(required)]
    policy_obj: Option<Value>,
    /// The group; null: it is for a user.
    #[schema(required, value_type = Option<String>, format = Uuid)]
    group: Option<Dashed>,
    /// The same with details.
    #[schema(required)]
    group_obj: Option<RelatedGroup<'a>>,
    /// The user, by primary key; null: it is for a group.
    #[schema(required)]
    user: Option<i64>,
    /// The same with details.
    #[schema(required)]
    user_obj: Option<BoundUser>,
    /// The application's `pbm_uuid`.
    #[schema(value_type = String, format = Uuid)]
    target: Dashed,
    /// Always false.
    negate: bool,
    /// Always true.
    enabled: bool,
    /// Kept, and without effect.
    order: i64,
    /// Kept, and without effect.
    timeout: i64,
    /// Always false.
    failure_result: bool,
    /// Always null.
    #[schema(required)]
    expires: Option<String>,
    /// Always false.
    expiring: bool,
}

impl<'a> PolicyBinding<'a> {
    /// A binding of an application in authentik's words.
    #[must_use]
    pub fn new(application: &Application, binding: &Binding, bound: Bound<'a>) -> Self {
        let (user, group) = match bound {
            Bound::User(id, user) => (Some((id.0, user)), None),
            Bound::Group(group) => (None, Some(group)),
        };
        let (user, user_obj) = user.unzip();
        Self {
            pk: Dashed(binding.uuid),
            policy: None,
            policy_obj: None,
            group: match binding.party {
                crate::domain::application::demand::Party::Group(uuid) => Some(Dashed(uuid)),
                crate::domain::application::demand::Party::User(_) => None,
            },
            group_obj: group,
            user,
            user_obj,
            target: Dashed(application.uuid),
            negate: false,
            enabled: true,
            order: binding.order,
            timeout: binding.timeout,
            failure_result: false,
            expires: None,
            expiring: false,
        }
    }
}

small_pages! {
    /// A page of bindings.
    PolicyBindingPage<'a> of PolicyBinding<'a> = PaginatedPolicyBindingList;
}

/// A binding to add, or a binding's fields: exactly one of `group` and `user`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PolicyBindingRequest {
    /// The application's `pbm_uuid`. It cannot be changed.
    #[schema(format = Uuid)]
    target: String,
    /// The group.
    #[schema(format = Uuid)]
    group: Option<String>,
    /// The user, by primary key.
    user: Option<i64>,
    /// Must be null.
    policy: Option<String>,
    /// Must be false.
    #[schema(nullable = false)]
    negate: Option<bool>,
    /// Must be true.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// Kept, and without effect.
    order: i64,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    timeout: Option<i64>,
    /// Must be false.
    #[schema(nullable = false)]
    failure_result: Option<bool>,
}

/// Fields of a binding to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedPolicyBindingRequest {
    /// The group.
    #[schema(format = Uuid)]
    group: Option<String>,
    /// The user, by primary key.
    user: Option<i64>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    order: Option<i64>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    timeout: Option<i64>,
}
