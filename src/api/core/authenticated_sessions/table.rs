//! How sessions and ended sessions are listed: authentik's names for their filters and orders.

use std::marker::PhantomData;

use crate::api::list::{ListTable, list_parameters};
use crate::domain::listing::{EndedFilter, EndedSortKey, SessionFilter, Sort, SortKey};

/// authentik's names, where they differ from those of [`crate::domain::filters`].
const NAMES: &[(&str, &str)] = &[
    ("user", "user__username"),
    ("user_pk", "user"),
    ("last_ip", "session__last_ip"),
    ("last_user_agent", "session__last_user_agent"),
    // What clients of before 2025.4 say.
    ("last_ip", "last_ip"),
    ("last_user_agent", "last_user_agent"),
];

const SEARCH: &str = "Terms, each of which must be part of the username, the address or the user agent.";

/// The list of sessions.
pub static SESSIONS: ListTable<SessionFilter, SortKey> = ListTable {
    names: NAMES,
    order,
    default_order: Sort { key: SortKey::Username, is_descending: false },
    order_help: "Names separated by commas, each with an optional `-`: `uuid`, `user`, `username`, `session__last_ip`, \
        `session__last_user_agent`, `session__last_used`, `session__expires`, or their short forms, `created`, `country`. \
        Without any that is known: by username. Equal rows come by `uuid`.",
    search_help: SEARCH,
    filters: PhantomData,
};

/// The list of ended sessions.
pub static ENDED: ListTable<EndedFilter, EndedSortKey> = ListTable {
    names: NAMES,
    order: |name| match name {
        "ended" => Some(EndedSortKey::Ended),
        name => order(name).map(EndedSortKey::Session),
    },
    default_order: Sort { key: EndedSortKey::Ended, is_descending: true },
    order_help: "As in the list of sessions, and `ended`. Without any that is known: `-ended`.",
    search_help: SEARCH,
    filters: PhantomData,
};

list_parameters!(SessionListParameters, SESSIONS);
list_parameters!(EndedListParameters, ENDED);

/// An order by authentik's name or by the short one.
fn order(name: &str) -> Option<SortKey> {
    match name.strip_prefix("session__") {
        Some(short @ ("last_ip" | "last_user_agent" | "last_used" | "expires")) => SortKey::parse(short),
        Some(_) => None,
        None if name == "user__username" => Some(SortKey::Username),
        None => SortKey::parse(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::Query;

    fn orders(text: &str) -> Vec<Sort> {
        SESSIONS.read(&Query::of(vec![("ordering".into(), text.into())]), false).unwrap().sorts
    }

    fn sort<K>(key: K, is_descending: bool) -> Sort<K> {
        Sort { key, is_descending }
    }

    #[test]
    fn ordering_drops_what_it_does_not_know() {
        let by_name = vec![sort(SortKey::Username, false)];
        assert_eq!(orders(""), by_name);
        assert_eq!(orders("pk,--uuid,,nonsense,session__uuid"), by_name);
        assert_eq!(
            orders(" -session__last_used , uuid,last_used"),
            vec![sort(SortKey::LastUsed, true), sort(SortKey::Uuid, false)]
        );
        assert_eq!(orders("- uuid"), by_name, "the blank belongs to the name");
        assert_eq!(orders("-user__username"), vec![sort(SortKey::Username, true)]);
    }

    #[test]
    fn ended_sessions_have_an_order_of_their_own() {
        let ended = |text: &str| ENDED.read(&Query::of(vec![("ordering".into(), text.into())]), false).unwrap().sorts;
        assert_eq!(ended("x"), vec![sort(EndedSortKey::Ended, true)]);
        let both = vec![sort(EndedSortKey::Session(SortKey::User), true), sort(EndedSortKey::Ended, false)];
        assert_eq!(ended("-user,ended"), both);
        assert_eq!(orders("ended"), vec![sort(SortKey::Username, false)]);
    }

    #[test]
    fn filters_have_authentiks_names() {
        let known = "search user__username user country asn session__last_ip network browser os device \
            session__last_user_agent last_used__gte last_used__lte created__lte expires__gte expires__lte except";
        for name in known.split_whitespace() {
            assert!(SESSIONS.is_filter(name), "{name}");
        }
        for name in ["last_ip", "last_user_agent"] {
            assert!(SESSIONS.is_filter(name) && ENDED.is_filter(name), "older clients say {name}");
            let described = SESSIONS.parameters();
            assert!(described.iter().all(|parameter| parameter.name != name), "one name of each is described");
        }
        for name in ["page", "ordering", "username", "last_used_gte", "user_pk"] {
            assert!(!SESSIONS.is_filter(name), "{name}");
        }
        assert!(ENDED.is_filter("ended__gte") && ENDED.is_filter("country") && !SESSIONS.is_filter("reason"));
    }
}
