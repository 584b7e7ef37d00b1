//! Sessions that move: which moves break which binding, and what happens then.

use std::net::SocketAddr;

use rollcall::actions::app::App;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::app::PASSWORD;
use crate::support::{Caller, SESSIONS, TestApp, TestDb, geoip, seed};

/// Where sessions are proved, unless a move says otherwise.
const HOME: &str = "81.2.69.10";
const NETWORK: [&str; 4] = ["no_binding", "bind_asn", "bind_asn_network", "bind_asn_network_ip"];
const GEOIP: [&str; 4] = ["no_binding", "bind_continent", "bind_continent_country", "bind_continent_country_city"];
const ACTIONS: [&str; 3] = ["log", "confirm", "end"];

/// A move: what it is, from where and to where, and the weakest bindings that it breaks.
struct Moved(&'static str, &'static str, &'static str, Option<&'static str>, Option<&'static str>);

const MOVES: [Moved; 20] = [
    Moved("nowhere", HOME, HOME, None, None),
    Moved("in the same network", HOME, "81.2.69.20", Some("bind_asn_network_ip"), None),
    Moved("to another network of the same system", HOME, "81.3.0.1", Some("bind_asn_network"), None),
    Moved("to another system in the same city", HOME, "90.1.1.1", Some("bind_asn"), None),
    Moved("to another city", HOME, "81.4.0.1", Some("bind_asn_network"), Some("bind_continent_country_city")),
    Moved("to another country", HOME, "5.5.5.5", Some("bind_asn"), Some("bind_continent_country")),
    Moved("to another continent", HOME, "6.6.6.6", Some("bind_asn"), Some("bind_continent")),
    Moved("into the private network", HOME, "192.168.1.5", None, None),
    Moved("in the private network", "192.168.1.5", "10.1.2.3", None, None),
    Moved("out of the private network", "192.168.1.5", "6.6.6.6", None, None),
    Moved("to what carriers share", HOME, "100.64.3.4", None, None),
    Moved("to a unique local address", HOME, "fd12::1", None, None),
    Moved("to where no file knows anything", HOME, "9.9.9.9", None, None),
    Moved("to a translator that shows the same address", HOME, "64:ff9b::81.2.69.10", None, None),
    Moved("from a translator to the address itself", "64:ff9b:1::81.2.69.10", HOME, None, None),
    Moved("through a translator, in the same network", HOME, "64:ff9b::81.2.69.20", Some("bind_asn_network_ip"), None),
    Moved("through a translator, to another continent", HOME, "64:ff9b::6.6.6.6", Some("bind_asn"), Some("bind_continent")),
    Moved("through a translator, into the private network", HOME, "64:ff9b::192.168.1.5", None, None),
    Moved("from IPv4 to IPv6 of the same system", HOME, "2a00:1::1", Some("bind_asn_network_ip"), None),
    Moved("from IPv4 to IPv6 of another system", HOME, "2a00:2::1", Some("bind_asn"), None),
];

/// Files that know private networks, too: nothing may look there for them.
fn write_files(db: &TestDb) -> [(&'static str, String); 2] {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_asn(
        &asn,
        &[
            ("81.2.69.0/24", 64500, "Home"),
            ("81.3.0.0/24", 64500, "Home"),
            ("81.4.0.0/24", 64500, "Home"),
            ("2a00:1::/32", 64500, "Home"),
            ("90.1.0.0/16", 64501, "Neighbour"),
            ("2a00:2::/32", 64501, "Neighbour"),
            ("5.5.0.0/16", 64502, "Abroad"),
            ("6.6.0.0/16", 64503, "Overseas"),
            ("10.0.0.0/8", 64504, "Private"),
            ("192.168.0.0/16", 64505, "Private"),
            ("100.64.0.0/10", 64506, "Shared"),
            ("fd00::/8", 64507, "Private"),
        ],
    );
    let berlin = |network| (network, "EU", "DE", "Berlin");
    let private = |network| (network, "AS", "JP", "Tokyo");
    geoip::write_city(
        &city,
        &[
            berlin("81.2.69.0/24"),
            berlin("81.3.0.0/24"),
            berlin("2a00:1::/32"),
            berlin("90.1.0.0/16"),
            berlin("2a00:2::/32"),
            ("81.4.0.0/24", "EU", "DE", "Hamburg"),
            ("5.5.0.0/16", "EU", "FR", "Paris"),
            ("6.6.0.0/16", "NA", "US", "Boston"),
            private("10.0.0.0/8"),
            private("192.168.0.0/16"),
            private("100.64.0.0/10"),
            private("fd00::/8"),
        ],
    );
    [("GEOIP__CITY", city.display().to_string()), ("GEOIP__ASN", asn.display().to_string())]
}

/// A server with these bindings on the same database; callers say where they are, as proxies do.
async fn bound(app: &TestApp, files: &[(&'static str, String); 2], bindings: &[(&str, &str)]) -> (App, SocketAddr) {
    let mut settings = vec![("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")];
    settings.extend(files.iter().map(|(name, path)| (*name, path.as_str())));
    settings.extend_from_slice(bindings);
    let bound = app.restarted(&settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(rollcall::server::serve(listener, rollcall::server::router(&bound), std::future::pending()));
    (bound, address)
}

/// A holder of a session's key, somewhere.
fn holder(server: SocketAddr, key: &str, ip: &str) -> Caller {
    let caller = Caller::new(server).with_header("x-forwarded-for", ip);
    caller.set_cookie("rollcall_session", key);
    caller
}

db_test!(every_move_meets_what_its_binding_says, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let bindings =
        NETWORK.iter().map(|binding| ("NETWORK", *binding)).chain(GEOIP.iter().skip(1).map(|binding| ("GEOIP", *binding)));
    for (kind, binding) in bindings {
        for action in ACTIONS {
            let (name, does) = (format!("SESSIONS__{kind}_BINDING"), format!("SESSIONS__{kind}_BINDING_ACTION"));
            let (_bound, server) = bound(&app, &files, &[(&name, binding), (&does, action)]).await;
            for Moved(what, from, to, network, place) in &MOVES {
                let (words, weakest) = if kind == "NETWORK" { (NETWORK, network) } else { (GEOIP, place) };
                let rank = |word: &str| words.iter().position(|known| *known == word).unwrap();
                let is_broken = weakest.is_some_and(|weakest| rank(binding) >= rank(weakest));
                let case = format!("{binding}, {action}: {what}");
                let session = alice.session_on(from, "").await;
                let (before, ends) = (app.count_events("session_moved").await, app.count_events("session_revoked").await);
                let (moved, home) = (holder(server, &session.key, to), holder(server, &session.key, from));
                let (page, api) = (moved.get("/sessions").await, moved.get(SESSIONS).await);
                let (page_home, api_home) = (home.get("/sessions").await, home.get(SESSIONS).await);
                let told = app.count_events("session_moved").await - before;
                let statuses = (page.status, api.status, page_home.status, api_home.status);
                match (is_broken, action) {
                    (false, _) => assert_eq!((statuses, told), ((200, 200, 200, 200), 0), "{case}"),
                    (true, "log") => assert_eq!((statuses, told), ((200, 200, 200, 200), 1), "{case}"),
                    (true, "confirm") => {
                        assert_eq!((statuses, told), ((303, 403, 200, 200), 1), "{case}");
                        assert_eq!(page.redirects_to(), "/confirm?next=/sessions", "{case}");
                    }
                    (true, _) => {
                        assert_eq!((statuses, told), ((303, 403, 303, 403), 0), "{case}");
                        assert_eq!(page.redirects_to(), "/sign-in?next=/sessions&ended=moved", "{case}");
                        assert_eq!(app.ending(&session.uuid).await, Some(("moved".into(), "system".into())), "{case}");
                    }
                }
                let ended = app.count_events("session_revoked").await - ends;
                assert_eq!(ended, usize::from(is_broken && action == "end"), "{case}");
            }
        }
    }
    app.assert_counts().await;
});

db_test!(a_binding_that_the_stage_sets_holds_for_living_sessions, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    let (alice, admin) = (app.user("alice").await, app.superuser("root").await.token().await);
    let (_bound, server) = bound(&app, &files, &[]).await;
    let session = alice.session_on(HOME, "").await;
    let (home, abroad) = (holder(server, &session.key, HOME), holder(server, &session.key, "5.5.5.5"));
    abroad.get(SESSIONS).await.assert_status(200);
    // The stage of one node, and the sessions of another.
    let stage = "/api/v3/stages/user_login/6f6c6c63-616c-4c00-8000-757365726c67/";
    admin.send_json("PATCH", stage, &json!({"geoip_binding": "bind_continent_country"})).await.assert_status(200);
    home.get(SESSIONS).await.assert_status(200);
    abroad.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&session.uuid).await, Some(("moved".into(), "system".into())));
    // What a setting gives is stronger.
    let (_bound, server) = bound(&app, &files, &[("SESSIONS__GEOIP_BINDING", "no_binding")]).await;
    let session = alice.session_on(HOME, "").await;
    holder(server, &session.key, "5.5.5.5").get(SESSIONS).await.assert_status(200);
});

db_test!(what_a_moved_session_asks_for_is_not_done, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    for action in ["confirm", "end"] {
        let bindings = [("SESSIONS__NETWORK_BINDING", "bind_asn"), ("SESSIONS__NETWORK_BINDING_ACTION", action)];
        let (_bound, server) = bound(&app, &files, &bindings).await;
        let (mine, other) = (alice.session_on(HOME, "").await, alice.session_on(HOME, "").await);
        let form = holder(server, &mine.key, HOME).get("/sessions").await;
        let thief = holder(server, &mine.key, "6.6.6.6");
        let secret = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
        thief.set_cookie("authentik_csrf", secret);
        let refused = thief.with_header("x-authentik-csrf", secret).delete(&other.url()).await.assert_status(403);
        assert!(refused.json()["detail"].as_str().unwrap().contains("used from elsewhere"), "{}", refused.text());
        let fields = [("proof", form.proof()), ("next", "/sessions".into())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = format!("/sessions/{}/end", other.uuid);
        let answer = thief.post_form(&path, &fields).await;
        assert_eq!(answer.status, if action == "confirm" { 403 } else { 303 }, "{}", answer.text());
        holder(server, &other.key, HOME).get(SESSIONS).await.assert_status(200);
    }
    // Nor with a token: the token decides, and the session is ignored.
    let bindings = [("SESSIONS__GEOIP_BINDING", "bind_continent"), ("SESSIONS__GEOIP_BINDING_ACTION", "confirm")];
    let (_bound, server) = bound(&app, &files, &bindings).await;
    let session = alice.session_on(HOME, "").await;
    let key = alice.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    let current = async |ip: &str| {
        let row = holder(server, &session.key, ip).with_bearer(&key).get(&session.url()).await.assert_status(200).json();
        row["current"].as_bool().unwrap()
    };
    assert!(current(HOME).await && !current("6.6.6.6").await);
});

db_test!(a_moved_session_is_proved_where_it_is_now, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let bindings = [("SESSIONS__NETWORK_BINDING", "bind_asn"), ("SESSIONS__NETWORK_BINDING_ACTION", "confirm")];
    let (_bound, server) = bound(&app, &files, &bindings).await;
    let session = alice.session_on(HOME, "").await;
    let abroad = holder(server, &session.key, "5.5.5.5");
    let page = abroad.get("/confirm?next=/sessions").await.assert_status(200);
    assert!(page.text().contains("another network or place") && page.text().contains("Sign out"));
    let proof = page.proof();
    let wrong = abroad.post_form("/confirm", &[("proof", &proof), ("password", "not it"), ("next", "/sessions")]).await;
    assert!(wrong.assert_status(200).text().contains("not your password"));
    abroad.get(SESSIONS).await.assert_status(403);
    let right = abroad.post_form("/confirm", &[("proof", &proof), ("password", PASSWORD), ("next", "/sessions")]).await;
    assert_eq!(right.redirects_to(), "/sessions");
    abroad.get("/sessions").await.assert_status(200);
    // It is bound to where it was proved last, under a key that nobody at home has.
    let key = abroad.cookie("rollcall_session").unwrap();
    holder(server, &session.key, HOME).get(SESSIONS).await.assert_status(403);
    assert_eq!(holder(server, &key, HOME).get("/sessions").await.redirects_to(), "/confirm?next=/sessions");
    // Who may not use it can still end it.
    let away = holder(server, &key, HOME);
    let proof = away.get("/sign-out").await.assert_status(200).proof();
    assert_eq!(away.post_form("/sign-out", &[("proof", &proof)]).await.redirects_to(), "/sign-in");
    assert_eq!(app.ending(&session.uuid).await, Some(("signed_out".into(), "alice".into())));
});

db_test!(a_session_does_not_drift_and_one_from_a_private_network_is_bound_by_its_first_move, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let bindings = [("SESSIONS__NETWORK_BINDING", "bind_asn"), ("SESSIONS__NETWORK_BINDING_ACTION", "log")];
    let (logging, server) = bound(&app, &files, &bindings).await;
    let session = alice.session_on(HOME, "").await;
    let moves = async || app.count_events("session_moved").await;
    for (ip, events) in [("5.5.5.5", 1), ("5.5.5.5", 1), (HOME, 1), ("192.168.1.5", 1), ("6.6.6.6", 2), ("6.6.6.6", 2)] {
        app.advance(std::time::Duration::from_secs(120));
        holder(server, &session.key, ip).get(SESSIONS).await.assert_status(200);
        logging.touches.flush(&logging).await.unwrap();
        assert_eq!(moves().await, events, "{ip}: each is held against the home, not against the step before");
    }
    // Many addresses in one minute are one event.
    for host in 1..30 {
        holder(server, &session.key, &format!("90.1.1.{host}")).get(SESSIONS).await.assert_status(200);
    }
    assert_eq!(moves().await, 3);

    let bindings = [("SESSIONS__GEOIP_BINDING", "bind_continent")];
    let (_ending, server) = bound(&app, &files, &bindings).await;
    let session = alice.session_on("192.168.1.5", "").await;
    for ip in ["10.0.0.7", "9.9.9.9", "5.5.5.5", "192.168.1.5", "81.2.69.10"] {
        holder(server, &session.key, ip).get(SESSIONS).await.assert_status(200);
    }
    holder(server, &session.key, "6.6.6.6").get(SESSIONS).await.assert_status(403);
    let told = app.number("SELECT count(*) FROM events WHERE content LIKE '%NA instead of EU%\"moved\"%' AND ip = '6.6.6.6'").await;
    assert_eq!(told, 1, "the end is told, with from where");
});

db_test!(an_imported_session_is_bound_to_where_it_was_used, |db| async move {
    let files = write_files(&db);
    let app = TestApp::new(db).await;
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, json!({"last_ip": HOME}))]).await;
    let (_bound, server) = bound(&app, &files, &[("SESSIONS__NETWORK_BINDING", "bind_asn_network")]).await;
    holder(server, "key-1", "81.2.69.99").get(SESSIONS).await.assert_status(200);
    let page = holder(server, "key-1", "5.5.5.5").get("/sessions").await;
    let told = Caller::new(server).get(page.redirects_to()).await.assert_status(200);
    assert!(told.text().contains("used from another network or place"));
    assert_eq!(app.ending(&seed::uuid(1)).await, Some(("moved".into(), "system".into())));
});
