//! Pages (`docs/compat.md` 8), and walks through all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, encode, seed};

async fn populated(app: &TestApp, count: u32) -> Caller {
    let mut lines = vec![seed::user(7, "alice")];
    lines.extend((0..count).map(|n| seed::session(n, 7, json!({}))));
    app.import(&lines).await;
    app.admin_token().await
}

db_test!(twenty_rows_a_page_unless_asked_and_never_more_than_a_hundred, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app, 130).await;
    let size = async |query: &str| admin.get(&format!("{SESSIONS}?{query}")).await.uuids().len();
    assert_eq!(size("").await, 20);
    for (query, want) in [("1", 1), ("7", 7), ("100", 100), ("101", 100), ("1000000", 100), ("99999999999999999999", 100)] {
        assert_eq!(size(&format!("page_size={query}")).await, want, "{query}");
    }
    for anything_else in ["", "0", "-1", "-99999999999999999999", "x", "1.5", "1e1", "%00", "null"] {
        assert_eq!(size(&format!("page_size={anything_else}")).await, 100, "{anything_else:?}");
    }
    for python in ["%20%2B1_2%20", "012", "%D9%A1%D9%A2"] {
        assert_eq!(size(&format!("page_size={python}")).await, 12, "{python}");
    }
    assert_eq!(size("page_size=3&page_size=5").await, 5, "the last one wins");
});

db_test!(the_pagination_object_counts_from_one, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app, 45).await;
    let page = async |query: &str| admin.get(&format!("{SESSIONS}?{query}")).await.json()["pagination"].clone();
    let want = |next: i64, previous: i64, current: i64, total: i64, start: i64, end: i64| {
        json!({
            "next": next, "previous": previous, "count": 45, "current": current, "total_pages": total,
            "start_index": start, "end_index": end,
        })
    };
    assert_eq!(page("").await, want(2, 0, 1, 3, 1, 20));
    assert_eq!(page("page=2").await, want(3, 1, 2, 3, 21, 40));
    assert_eq!(page("page=last").await, want(0, 2, 3, 3, 41, 45));
    assert_eq!(page("page_size=45").await, want(0, 0, 1, 1, 1, 45));
    assert_eq!(page("page_size=44&page=2").await, want(0, 1, 2, 2, 45, 45));
    let empty = admin.get(&format!("{SESSIONS}?user=999")).await.json();
    let nothing = json!({"next": 0, "previous": 0, "count": 0, "current": 1, "total_pages": 1, "start_index": 0, "end_index": 0});
    assert_eq!(empty, json!({"pagination": nothing, "results": [], "autocomplete": {}}));
    assert_eq!(admin.get(&format!("{SESSIONS}?user=999&page=last")).await.json()["pagination"], nothing);
});

db_test!(pages_that_do_not_exist, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app, 45).await;
    for good in ["", "1", "%20%2B3", "0_3", "last", "٣"] {
        admin.get(&format!("{SESSIONS}?page={good}")).await.assert_status(200);
    }
    for bad in [
        "0",
        "-1",
        "4",
        "Last",
        "last%20",
        "1.0",
        "x",
        "99999999999999999999",
        "-99999999999999999999",
        "%00",
        "9223372036854775807",
        "1__0",
        "%ff",
    ] {
        admin.get(&format!("{SESSIONS}?page={bad}")).await.assert_detail(404, "Invalid page.");
    }
    admin.get(&format!("{SESSIONS}?user=999&page=2")).await.assert_detail(404, "Invalid page.");
    let huge = format!("{SESSIONS}?page=92233720368547758&page_size=100");
    admin.get(&huge).await.assert_detail(404, "Invalid page.");
});

/// A session as a test knows it.
#[derive(Clone, Debug)]
struct Made {
    user: i64,
    ip: &'static str,
    agent: &'static str,
    used: i64,
    expires: i64,
}

const NAMES: [&str; 4] = ["alice", "Bob", "zoë", "_"];

fn made() -> impl Strategy<Value = Made> {
    let ip = prop::sample::select(vec!["9.9.9.9", "10.0.0.1", "::1", "::ffff:10.0.0.1", "2001:db8::1"]);
    let agent = prop::sample::select(vec!["", "curl/8", "Curl/8", "żółć"]);
    (1..=4_i64, ip, agent, 0..4_i64, 0..4_i64).prop_map(|(user, ip, agent, used, expires)| Made { user, ip, agent, used, expires })
}

fn instant(day: i64) -> String {
    format!("2027-01-{:02}T00:00:00Z", day + 1)
}

fn line(n: u32, it: &Made) -> Value {
    let with =
        json!({"last_ip": it.ip, "last_user_agent": it.agent, "last_used": instant(it.used), "expires": instant(it.expires)});
    seed::session(n, it.user, with)
}

/// What a name of an order compares, as text that sorts the same way.
fn key(name: &str, n: u32, it: &Made) -> String {
    match name {
        "uuid" => seed::uuid(n),
        "user" => it.user.to_string(),
        "session__last_ip" => {
            let ip: std::net::IpAddr = it.ip.parse().unwrap();
            match ip {
                std::net::IpAddr::V4(ip) => format!("4{:08x}", u32::from(ip)),
                std::net::IpAddr::V6(ip) => format!("6{:032x}", u128::from(ip)),
            }
        }
        "session__last_user_agent" => it.agent.to_owned(),
        "session__last_used" => it.used.to_string(),
        "session__expires" => it.expires.to_string(),
        "username" => NAMES[usize::try_from(it.user).unwrap() - 1].to_owned(),
        other => panic!("no such order: {other}"),
    }
}

fn order() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    let names =
        ["uuid", "user", "session__last_ip", "session__last_user_agent", "session__last_used", "session__expires", "username"];
    prop::sample::subsequence(names.to_vec(), 0..=3).prop_shuffle().prop_flat_map(|names| {
        let count = names.len();
        (Just(names), prop::collection::vec(any::<bool>(), count)).prop_map(|(names, ways)| names.into_iter().zip(ways).collect())
    })
}

fn filter() -> impl Strategy<Value = (&'static str, i64)> {
    prop::sample::select(vec![
        ("", 0),
        ("user=2", 0),
        ("user__username=Bob", 0),
        ("session__last_ip=10.0.0.1", 0),
        ("network=10.0.0.0/8", 0),
        ("last_used__gte=2027-01-03", 2),
        ("expires__lte=2027-01-02", 1),
        ("search=curl", 0),
    ])
}

fn matches(filter: &str, it: &Made) -> bool {
    match filter {
        "" => true,
        "user=2" | "user__username=Bob" => it.user == 2,
        "session__last_ip=10.0.0.1" | "network=10.0.0.0/8" => it.ip == "10.0.0.1",
        "last_used__gte=2027-01-03" => it.used >= 2,
        "expires__lte=2027-01-02" => it.expires <= 1,
        "search=curl" => it.agent.to_lowercase().contains("curl"),
        other => panic!("no such filter: {other}"),
    }
}

db_test!(a_walk_through_the_pages_shows_each_match_once_and_in_order, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut runner = TestRunner::deterministic();
    for round in 0..4 {
        let all = prop::collection::vec(made(), 20..40).new_tree(&mut runner).unwrap().current();
        let users: Vec<Value> = (1..).zip(NAMES).map(|(id, name)| seed::user(id, name)).collect();
        let token = json!({"kind": "token", "key": "a-token-of-the-walker", "intent": "api", "user": 9, "expiring": false, "expires": "2099-01-01T00:00:00Z"});
        let root = json!({"kind": "user", "id": 9, "username": "root", "is_superuser": true});
        let mut lines = users;
        lines.extend([root, token]);
        lines.extend((0..).zip(&all).map(|(n, it)| line(n, it)));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        app.import_bytes(text, true).await.unwrap();
        let admin = admin.with_bearer("a-token-of-the-walker");
        for _ in 0..12 {
            let (sorts, (filter, _), size) = (order(), filter(), 1..12_usize).new_tree(&mut runner).unwrap().current();
            let mut want: Vec<(u32, &Made)> = (0..).zip(&all).filter(|(_, it)| matches(filter, it)).collect();
            want.sort_by(|a, b| {
                let named = if sorts.is_empty() { vec![("username", false)] } else { sorts.clone() };
                let compared = named.iter().map(|(name, is_descending)| {
                    let ordering = key(name, a.0, a.1).cmp(&key(name, b.0, b.1));
                    if *is_descending { ordering.reverse() } else { ordering }
                });
                compared.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(a.0.cmp(&b.0))
            });
            let want: Vec<String> = want.iter().map(|(n, _)| seed::uuid(*n)).collect();
            let names: Vec<String> = sorts.iter().map(|(name, down)| format!("{}{name}", if *down { "-" } else { "" })).collect();
            let query = format!("{SESSIONS}?{filter}&ordering={}&page_size={size}", names.join(","));
            let mut walked = Vec::new();
            let mut next = 1;
            while next != 0 {
                let page = admin.get(&format!("{query}&page={next}")).await;
                walked.extend(page.uuids());
                next = page.json()["pagination"]["next"].as_i64().unwrap();
            }
            assert_eq!(walked, want, "round {round}: {query}");
            assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), walked.len());
        }
    }
});

db_test!(pages_of_a_long_list_agree_with_the_whole, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(7, "alice")];
    lines.extend((0..333).map(|n| seed::session(n, 7, json!({"last_used": instant(i64::from(n % 3))}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let mut seen = Vec::new();
    for page in 1..=4 {
        seen.extend(admin.get(&format!("{SESSIONS}?ordering=-last_used&page_size=100&page={page}")).await.uuids());
    }
    let want: Vec<String> = [2, 1, 0].into_iter().flat_map(|day| (0..333).filter(move |n| n % 3 == day)).map(seed::uuid).collect();
    assert_eq!(seen, want);
    let by = format!("{SESSIONS}?ordering={}", encode("-last_used"));
    assert_eq!(admin.get(&format!("{by}&page=last&page_size=100")).await.uuids(), want[300..]);
});
