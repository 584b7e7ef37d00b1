//! Orders (`docs/compat.md` 9).

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::domain::Address;
use serde_json::json;

use crate::support::{Caller, SESSIONS, TestApp, encode, seed};

async fn ordered(caller: &Caller, ordering: &str) -> Vec<String> {
    caller.get(&format!("{SESSIONS}?page_size=100&ordering={}", encode(ordering))).await.uuids()
}

db_test!(each_name_and_its_short_form, |db| async move {
    let app = TestApp::new(db).await;
    let row = |ip: &str, agent: &str, used: &str, expires: &str| json!({"last_ip": ip, "last_user_agent": agent, "last_used": used, "expires": expires});
    app.import(&[
        seed::user(1, "c"),
        seed::user(2, "a"),
        seed::user(3, "B"),
        seed::session(1, 1, row("10.0.0.1", "b", "2026-01-02", "2099-01-03")),
        seed::session(2, 2, row("9.0.0.1", "C", "2026-01-01", "2099-01-02")),
        seed::session(3, 3, row("::1", "a", "2026-01-03", "2099-01-01")),
        seed::session(4, 3, row("::ffff:9.0.0.1", "a", "2026-01-03", "2099-01-01")),
    ])
    .await;
    let admin = app.admin_token().await;
    for (names, up, down) in [
        (&["uuid"][..], [1, 2, 3, 4], [4, 3, 2, 1]),
        (&["user"], [1, 2, 3, 4], [3, 4, 2, 1]),
        (&["username", "user__username"], [3, 4, 2, 1], [1, 2, 3, 4]),
        (&["last_ip", "session__last_ip"], [2, 1, 3, 4], [4, 3, 1, 2]),
        (&["last_user_agent", "session__last_user_agent"], [2, 3, 4, 1], [1, 3, 4, 2]),
        (&["last_used", "session__last_used"], [2, 1, 3, 4], [3, 4, 1, 2]),
        (&["expires", "session__expires"], [3, 4, 2, 1], [1, 2, 3, 4]),
        // Ours. An imported session began when it was last used; no place is known of any.
        (&["created"], [2, 1, 3, 4], [3, 4, 1, 2]),
        (&["country"], [1, 2, 3, 4], [1, 2, 3, 4]),
    ] {
        for name in names {
            assert_eq!(ordered(&admin, name).await, seed::uuids(&up), "{name}");
            assert_eq!(ordered(&admin, &format!("-{name}")).await, seed::uuids(&down), "-{name}");
        }
    }
    // Several names, unknown ones among them; the first of equal ones decides.
    assert_eq!(ordered(&admin, " expires , -uuid").await, seed::uuids(&[4, 3, 2, 1]));
    assert_eq!(ordered(&admin, "pk,-user,nonsense,user").await, seed::uuids(&[3, 4, 2, 1]));
    assert_eq!(ordered(&admin, "last_used,-session__last_used").await, seed::uuids(&[2, 1, 3, 4]));
    // With none that is known: by username.
    for unknown in ["", "pk", "--uuid", "+uuid", "- uuid", "UUID", "session__uuid", ",,", "session__session_key", "user__password"]
    {
        assert_eq!(ordered(&admin, unknown).await, seed::uuids(&[3, 4, 2, 1]), "{unknown:?}");
    }
    let twice = admin.get(&format!("{SESSIONS}?ordering=user&ordering=-uuid")).await.uuids();
    assert_eq!(twice, seed::uuids(&[4, 3, 2, 1]), "of the parameter itself the last one wins");
});

db_test!(text_orders_by_code_point, |db| async move {
    let app = TestApp::new(db).await;
    let names = [
        "",
        " ",
        "\"",
        "100%",
        "A",
        "Z",
        "_",
        "a",
        "aB",
        "ab",
        "z",
        "Ä",
        "ß",
        "ä",
        "Ω",
        "☃",
        "\u{fb01}",
        "\u{ffee}",
        "\u{10000}",
        "🦊",
    ];
    // Stored in another order than the one they are to come in.
    let numbered: Vec<(u32, &str)> = (1000..).zip(names).collect();
    let mut lines = vec![seed::user(1, "alice")];
    let agents = numbered.iter().rev().map(|(n, agent)| seed::session(3000 - n, 1, json!({"last_user_agent": agent})));
    lines.extend(agents);
    for (n, name) in numbered[3..].iter().rev() {
        lines.push(seed::user(i64::from(4000 - n), name));
        lines.push(seed::session(*n, i64::from(4000 - n), json!({"last_ip": "198.51.100.1"})));
    }
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let by_agent = admin.get(&format!("{SESSIONS}?user=1&page_size=100&ordering=session__last_user_agent")).await.uuids();
    assert_eq!(by_agent, numbered.iter().map(|(n, _)| seed::uuid(3000 - n)).collect::<Vec<_>>());
    let by_name = admin.get(&format!("{SESSIONS}?session__last_ip=198.51.100.1&page_size=100")).await.uuids();
    assert_eq!(by_name, numbered[3..].iter().map(|(n, _)| seed::uuid(*n)).collect::<Vec<_>>());
});

/// Addresses from corners of both families.
fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Address(std::net::IpAddr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| Address(std::net::IpAddr::from(octets))),
        any::<[u8; 4]>().prop_map(|octets| Address(std::net::Ipv4Addr::from(octets).to_ipv6_mapped().into())),
        any::<u16>().prop_map(|low| Address(std::net::Ipv6Addr::from(u128::from(low)).into())),
        any::<u16>().prop_map(|low| Address(std::net::Ipv6Addr::from(u128::from(low) << 32).into())),
    ]
}

db_test!(addresses_order_and_print_as_postgresql_inet, |db| async move {
    let mut runner = TestRunner::deterministic();
    let mut all = prop::collection::vec(address(), 300).new_tree(&mut runner).unwrap().current();
    all.dedup();
    if !db.is_sqlite() {
        // PostgreSQL itself is asked, not our idea of it.
        let app = TestApp::new(db).await;
        let values: Vec<String> = all.iter().map(|address| format!("(inet '{address}')")).collect();
        let sql = format!("SELECT host(a) FROM (VALUES {}) AS t (a) ORDER BY a", values.join(", "));
        let sorted: Vec<String> = app.app.store.read().all(&sql, &[]).await.unwrap();
        all.sort_by_key(Address::sort_key);
        assert_eq!(sorted, all.iter().map(Address::to_string).collect::<Vec<_>>());
        return;
    }
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "alice")];
    let some = &all[..90];
    lines.extend((0..).zip(some).map(|(n, address)| seed::session(n, 1, json!({"last_ip": address.to_string()}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let list = admin.get(&format!("{SESSIONS}?ordering=last_ip&page_size=100")).await.json();
    let shown: Vec<String> =
        list["results"].as_array().unwrap().iter().map(|row| row["last_ip"].as_str().unwrap().to_owned()).collect();
    let mut want = some.to_vec();
    want.sort_by_key(|address| match address.0 {
        std::net::IpAddr::V4(ip) => (4, u128::from(u32::from(ip))),
        std::net::IpAddr::V6(ip) => (6, u128::from(ip)),
    });
    assert_eq!(shown, want.iter().map(Address::to_string).collect::<Vec<_>>());
});
