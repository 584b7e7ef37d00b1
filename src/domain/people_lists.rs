//! What lists of users and of groups are asked for: filters and order.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::clock::Timestamp;
use crate::domain::filters::{About, Filter, FilterSet, Kind, NO_SUCH_FILTER, filter, find, flag, instant, repeated_filter};
use crate::domain::filters::{text, uuid, whole};
use crate::domain::user::UserType;

/// Attributes that an object must have: names, deeper ones with `__` between them, and their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeFilter(pub Map<String, Value>);

impl AttributeFilter {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match serde_json::from_str(text) {
            // PostgreSQL has no such texts.
            Ok(value) if holds_null_character(&value) => Err("Null characters are not allowed."),
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err("Enter a JSON object."),
        }
    }

    /// Where the values are: names from the outside in, and the value as JSON.
    pub fn places(&self) -> impl Iterator<Item = (Vec<&str>, &Value)> {
        self.0.iter().map(|(name, value)| (name.split("__").collect(), value))
    }
}

/// Whether a text or a name in the value holds U+0000, which PostgreSQL cannot keep.
#[must_use]
pub fn holds_null_character(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_null_character),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_null_character(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Which users. All that is given applies together; nothing given is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFilter {
    /// The name they sign in with, exactly.
    pub username: Option<String>,
    /// The e-mail address, exactly.
    pub email: Option<String>,
    /// The full name, exactly.
    pub name: Option<String>,
    /// The path, exactly.
    pub path: Option<String>,
    /// What the path begins with.
    pub path_start: Option<String>,
    /// The uuid.
    pub uuid: Option<Uuid>,
    /// Whether they are active.
    pub active: Option<bool>,
    /// Whether they are administrators, by themselves, by a group or by an ancestor of one.
    pub superuser: Option<bool>,
    /// Whether they are auditors, by themselves, by a group or by an ancestor of one.
    pub auditor: Option<bool>,
    /// What they are: one of these.
    pub types: Vec<UserType>,
    /// Direct members of a group of one of these names.
    pub groups: Vec<String>,
    /// Direct members of one of these groups.
    pub group_uuids: Vec<Uuid>,
    /// Holders of a role of one of these names: nobody is.
    pub roles: Vec<String>,
    /// Holders of one of these roles: nobody is.
    pub role_uuids: Vec<Uuid>,
    /// Attributes they have.
    pub attributes: Option<AttributeFilter>,
    /// Added at this instant.
    pub created: Option<Timestamp>,
    /// Added before this instant.
    pub created_lt: Option<Timestamp>,
    /// Added after this instant.
    pub created_gt: Option<Timestamp>,
    /// Last changed at this instant.
    pub updated: Option<Timestamp>,
    /// Last changed before this instant.
    pub updated_lt: Option<Timestamp>,
    /// Last changed after this instant.
    pub updated_gt: Option<Timestamp>,
    /// Last signed in at this instant.
    pub last_sign_in: Option<Timestamp>,
    /// Last signed in before this instant.
    pub last_sign_in_lt: Option<Timestamp>,
    /// Last signed in after this instant.
    pub last_sign_in_gt: Option<Timestamp>,
    /// Whether they never signed in.
    pub never_signed_in: Option<bool>,
    /// Whether they have a second factor.
    pub second_factor: Option<bool>,
    /// Whether they asked to be removed.
    pub removal_asked: Option<bool>,
    /// Whether each comes with its groups; `None`: yes.
    pub with_groups: Option<bool>,
    /// Whether each comes with its roles, of which there are none; `None`: yes.
    pub with_roles: Option<bool>,
    /// Folded terms ([`crate::domain::search::folded_terms`]), each of which must be part of the username, the full
    /// name, the e-mail address or the uuid.
    pub search: Vec<String>,
}

fn user_type(text: &str) -> Result<UserType, &'static str> {
    UserType::parse(text).ok_or("Enter internal, external, service_account or internal_service_account.")
}

/// The filters of users.
#[rustfmt::skip]
pub static USERS: &[Filter<UserFilter>] = &[
    filter!("username", username, Kind::Text, text, String::clone, "The username, exactly", &[]),
    filter!("email", email, Kind::Text, text, String::clone, "The e-mail address, exactly", &[]),
    filter!("name", name, Kind::Text, text, String::clone, "The full name, exactly", &[]),
    filter!("path", path, Kind::Text, text, String::clone, "The path, exactly", &[]),
    filter!("path_start", path_start, Kind::Text, text, String::clone, "What the path begins with", &[]),
    filter!("uuid", uuid, Kind::Uuid, uuid, Uuid::to_string, "The uuid", &[]),
    filter!("active", active, Kind::Flag, flag, bool::to_string, "Whether they are active", &[]),
    filter!("superuser", superuser, Kind::Flag, flag, bool::to_string,
        "Whether they are administrators, by themselves or by a group", &[]),
    filter!("auditor", auditor, Kind::Flag, flag, bool::to_string,
        "Whether they are auditors, by themselves or by a group", &[]),
    repeated_filter!("type", types, Kind::Choice(|| UserType::ALL.map(UserType::as_str).to_vec()), user_type,
        |it: &UserType| it.as_str().to_owned(), "What they are; may be repeated"),
    repeated_filter!("group", groups, Kind::Text, text, String::clone,
        "Direct members of the group of this name; may be repeated"),
    repeated_filter!("group_uuid", group_uuids, Kind::Uuid, uuid, Uuid::to_string,
        "Direct members of the group with this uuid; may be repeated"),
    repeated_filter!("role", roles, Kind::Text, text, String::clone,
        "Holders of the role of this name; there are no roles"),
    repeated_filter!("role_uuid", role_uuids, Kind::Uuid, uuid, Uuid::to_string,
        "Holders of the role with this uuid; there are no roles"),
    filter!("attributes", attributes, Kind::Json, AttributeFilter::parse, show_attributes,
        "Attributes they have, as a JSON object; a name may go deeper with __", &[]),
    filter!("created", created, Kind::Instant, instant, Timestamp::to_string, "Added at this instant", &[]),
    filter!("created_lt", created_lt, Kind::Instant, instant, Timestamp::to_string, "Added before this instant", &[]),
    filter!("created_gt", created_gt, Kind::Instant, instant, Timestamp::to_string, "Added after this instant", &[]),
    filter!("updated", updated, Kind::Instant, instant, Timestamp::to_string, "Last changed at this instant", &[]),
    filter!("updated_lt", updated_lt, Kind::Instant, instant, Timestamp::to_string, "Last changed before this instant", &[]),
    filter!("updated_gt", updated_gt, Kind::Instant, instant, Timestamp::to_string, "Last changed after this instant", &[]),
    filter!("last_sign_in", last_sign_in, Kind::Instant, instant, Timestamp::to_string, "Last signed in at this instant", &[]),
    filter!("last_sign_in_lt", last_sign_in_lt, Kind::Instant, instant, Timestamp::to_string,
        "Last signed in before this instant", &[]),
    filter!("last_sign_in_gt", last_sign_in_gt, Kind::Instant, instant, Timestamp::to_string,
        "Last signed in after this instant", &[]),
    filter!("never_signed_in", never_signed_in, Kind::Flag, flag, bool::to_string, "Whether they never signed in", &[]),
    filter!("second_factor", second_factor, Kind::Flag, flag, bool::to_string, "Whether they have a second factor", &[]),
    filter!("removal_asked", removal_asked, Kind::Flag, flag, bool::to_string, "Whether they asked to be removed", &[]),
    filter!("with_groups", with_groups, Kind::Switch, flag, bool::to_string, "Whether each comes with its groups", &[]),
    filter!("with_roles", with_roles, Kind::Switch, flag, bool::to_string,
        "Whether each comes with its roles, of which there are none", &[]),
];

fn show_attributes(attributes: &AttributeFilter) -> String {
    Value::Object(attributes.0.clone()).to_string()
}

/// What users can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSortKey {
    /// The primary key.
    Id,
    /// The name they sign in with.
    Username,
    /// The full name: its first 200 characters.
    Name,
    /// Whether they are active; inactive ones first.
    Active,
    /// When they last signed in; those who never did first.
    LastSignIn,
    /// When they were added.
    Created,
    /// The e-mail address.
    Email,
    /// The path: its first 200 characters.
    Path,
    /// What they are.
    Type,
    /// The uuid.
    Uuid,
    /// When the password was last set.
    PasswordChange,
    /// When they were last changed.
    Updated,
    /// The attributes, as text.
    Attributes,
}

/// Which groups. All that is given applies together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupFilter {
    /// The name, exactly.
    pub name: Option<String>,
    /// Whether the group itself makes its members administrators.
    pub superuser: Option<bool>,
    /// Groups with a direct member of one of these names.
    pub members: Vec<String>,
    /// Groups with one of these users as a direct member.
    pub member_ids: Vec<i64>,
    /// Attributes they have.
    pub attributes: Option<AttributeFilter>,
    /// Whether each comes with its members' details; `None`: yes.
    pub with_users: Option<bool>,
    /// Whether each comes with its children's details; `None`: no.
    pub with_children: Option<bool>,
    /// Whether each comes with its parents' details; `None`: no.
    pub with_parents: Option<bool>,
    /// Whether each comes with the roles it inherits, of which there are none; `None`: no.
    pub with_inherited_roles: Option<bool>,
    /// Folded terms, each of which must be part of the name, or of `true` or `false` for the flag.
    pub search: Vec<String>,
}

/// The filters of groups.
#[rustfmt::skip]
pub static GROUPS: &[Filter<GroupFilter>] = &[
    filter!("name", name, Kind::Text, text, String::clone, "The name, exactly", &[]),
    filter!("superuser", superuser, Kind::Flag, flag, bool::to_string, "Whether their members are administrators", &[]),
    repeated_filter!("member", members, Kind::Text, text, String::clone,
        "Groups with the user of this name as a direct member; may be repeated"),
    repeated_filter!("member_pk", member_ids, Kind::Whole, whole, i64::to_string,
        "Groups with the user of this primary key as a direct member; may be repeated"),
    filter!("attributes", attributes, Kind::Json, AttributeFilter::parse, show_attributes,
        "Attributes they have, as a JSON object; a name may go deeper with __", &[]),
    filter!("with_users", with_users, Kind::Switch, flag, bool::to_string, "Whether each comes with its members' details", &[]),
    filter!("with_children", with_children, Kind::Switch, flag, bool::to_string,
        "Whether each comes with its children's details", &[]),
    filter!("with_parents", with_parents, Kind::Switch, flag, bool::to_string,
        "Whether each comes with its parents' details", &[]),
    filter!("with_inherited_roles", with_inherited_roles, Kind::Switch, flag, bool::to_string,
        "Whether each comes with the roles it inherits, of which there are none", &[]),
];

/// What groups can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSortKey {
    /// The uuid.
    Uuid,
    /// The name.
    Name,
    /// Whether their members are administrators; those that are not first.
    Superuser,
    /// The attributes, as text.
    Attributes,
}

macro_rules! filter_set {
    ($filter:ty, $table:ident) => {
        impl FilterSet for $filter {
            fn all() -> impl Iterator<Item = &'static About> + Send {
                $table.iter().map(|filter| &filter.about)
            }

            fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
                (find($table, name).ok_or(NO_SUCH_FILTER)?.set)(self, text)
            }

            fn show(&self, name: &str) -> Option<String> {
                (find($table, name)?.show)(self)
            }

            fn search(&mut self) -> &mut Vec<String> {
                &mut self.search
            }
        }
    };
}
filter_set!(UserFilter, USERS);
filter_set!(GroupFilter, GROUPS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_may_go_deeper() {
        let filter = AttributeFilter::parse(r#"{"a__b":1,"c":{"d":null}}"#).unwrap();
        let places: Vec<_> = filter.places().collect();
        assert_eq!(places[0], (vec!["a", "b"], &serde_json::json!(1)));
        assert_eq!(places[1], (vec!["c"], &serde_json::json!({ "d": null })));
        assert!(AttributeFilter::parse("[]").is_err() && AttributeFilter::parse("{").is_err());
    }

    #[test]
    fn repeated_values_add_up() {
        let mut filter = UserFilter::default();
        filter.set("type", "internal").unwrap();
        filter.set("type", "external").unwrap();
        assert_eq!(filter.types, [UserType::Internal, UserType::External]);
    }
}
