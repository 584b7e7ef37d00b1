//! How users are listed: authentik's names for filters and orders.

use std::marker::PhantomData;

use crate::api::list::{ListTable, list_parameters};
use crate::domain::listing::Sort;
use crate::domain::people_lists::{UserFilter, UserSortKey};

/// The list of users.
pub static USERS: ListTable<UserFilter, UserSortKey> = ListTable {
    names: &[
        ("path_start", "path_startswith"),
        ("active", "is_active"),
        ("superuser", "is_superuser"),
        ("auditor", "rollcall_is_auditor"),
        ("group", "groups_by_name"),
        ("group_uuid", "groups_by_pk"),
        ("role", "roles_by_name"),
        ("role_uuid", "roles_by_pk"),
        ("created", "date_joined"),
        ("created_lt", "date_joined__lt"),
        ("created_gt", "date_joined__gt"),
        ("updated", "last_updated"),
        ("updated_lt", "last_updated__lt"),
        ("updated_gt", "last_updated__gt"),
        ("last_sign_in", "last_login"),
        ("last_sign_in_lt", "last_login__lt"),
        ("last_sign_in_gt", "last_login__gt"),
        ("never_signed_in", "last_login__isnull"),
        ("second_factor", "rollcall_second_factor"),
        ("removal_asked", "rollcall_removal_asked"),
        ("with_groups", "include_groups"),
        ("with_roles", "include_roles"),
    ],
    order,
    default_order: Sort { key: UserSortKey::Username, is_descending: false },
    order_help: "Names separated by commas, each with an optional `-`: `pk`, `username`, `name`, `is_active`, `last_login`, \
        `date_joined`, `email`, `path`, `type`, `uuid`, `password_change_date`, `last_updated`, `attributes`. Without any that \
        is known: by username. Equal rows come by `pk`, downwards where the last name has a `-`.",
    search_help: "Terms, each of which must be part of the username, the name, the e-mail address or the uuid.",
    filters: PhantomData,
};

list_parameters!(UserListParameters, USERS);

fn order(name: &str) -> Option<UserSortKey> {
    Some(match name {
        "pk" => UserSortKey::Id,
        "username" => UserSortKey::Username,
        "name" => UserSortKey::Name,
        "is_active" => UserSortKey::Active,
        "last_login" => UserSortKey::LastSignIn,
        "date_joined" => UserSortKey::Created,
        "email" => UserSortKey::Email,
        "path" => UserSortKey::Path,
        "type" => UserSortKey::Type,
        "uuid" => UserSortKey::Uuid,
        "password_change_date" => UserSortKey::PasswordChange,
        "last_updated" => UserSortKey::Updated,
        "attributes" => UserSortKey::Attributes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::UserType;
    use crate::http::query::Query;

    #[test]
    fn filters_have_authentiks_names() {
        let known = "username email name path uuid path_startswith is_active is_superuser type groups_by_name groups_by_pk \
            roles_by_name roles_by_pk attributes date_joined date_joined__lt date_joined__gt last_updated last_updated__lt \
            last_updated__gt last_login last_login__lt last_login__gt last_login__isnull rollcall_second_factor rollcall_is_auditor \
            rollcall_removal_asked include_groups include_roles search";
        for name in known.split_whitespace() {
            assert!(USERS.is_filter(name), "{name}");
        }
        for name in ["pk", "active", "created_lt", "group"] {
            assert!(!USERS.is_filter(name), "{name}");
        }
    }

    #[test]
    fn values_are_read_as_django_reads_them() {
        let read = |query: &str| USERS.read(&Query::parse(query), false).map(|request| request.filter);
        assert_eq!(read("is_active=1").unwrap(), UserFilter::default(), "neither true nor false: no filter");
        assert_eq!(read("is_active=True").unwrap().active, Some(true));
        assert_eq!(read("include_groups=yes").unwrap().with_groups, Some(false));
        assert_eq!(read("type=internal&type=external").unwrap().types, [UserType::Internal, UserType::External]);
        assert!(read("type=internal,external").is_err(), "a comma does not separate");
        assert!(read("attributes=[]").is_err() && read("uuid=x").is_err() && read("date_joined=x").is_err());
    }
}
