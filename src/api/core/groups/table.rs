//! How groups are listed: authentik's names for filters and orders.

use std::marker::PhantomData;

use crate::api::list::{ListTable, list_parameters};
use crate::domain::listing::Sort;
use crate::domain::people_lists::{GroupFilter, GroupSortKey};

/// The list of groups.
pub static GROUPS: ListTable<GroupFilter, GroupSortKey> = ListTable {
    names: &[
        ("superuser", "is_superuser"),
        ("member", "members_by_username"),
        ("member_pk", "members_by_pk"),
        ("with_users", "include_users"),
        ("with_children", "include_children"),
        ("with_parents", "include_parents"),
        ("with_inherited_roles", "include_inherited_roles"),
    ],
    order: |name| {
        Some(match name {
            "pk" => GroupSortKey::Uuid,
            "name" => GroupSortKey::Name,
            "is_superuser" => GroupSortKey::Superuser,
            "attributes" => GroupSortKey::Attributes,
            _ => return None,
        })
    },
    default_order: Sort { key: GroupSortKey::Name, is_descending: false },
    order_help: "Names separated by commas, each with an optional `-`: `pk`, `name`, `is_superuser`, `attributes`. Without any \
        that is known: by name.",
    search_help: "Terms, each of which must be part of the name, or of `true` or `false` for `is_superuser`.",
    filters: PhantomData,
};

list_parameters!(GroupListParameters, GROUPS);
