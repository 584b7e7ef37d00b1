//! When something breaks, the door stays shut: what cannot be checked is not believed (OWASP ASVS
//! v5.0.0-16.5.2 and 16.5.3).

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::json;

use crate::process::{Home, PASSWORD, Person, SESSIONS, Server, TOKEN, eventually};
use crate::support::SIGN_IN_FLOW;

/// Every way in, tried: none may say yes.
async fn assert_nobody_is_let_in(server: &Server, key: &str, what: &str) {
    let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let cookie = format!("rollcall_session={key}");
    let get = |path: &str| http.get(format!("{}{path}", server.origin));
    let refused = |answer: Response, way: &str| {
        let status = answer.status().as_u16();
        assert!([403, 500, 503].contains(&status), "{status} for {way} while {what}");
        let has_session =
            answer.headers().get_all("set-cookie").iter().any(|line| {
                line.as_bytes().starts_with(b"rollcall_session=") && !line.as_bytes().starts_with(b"rollcall_session=;")
            });
        assert!(!has_session, "a session for {way} while {what}");
    };
    refused(get(SESSIONS).header("cookie", &cookie).send().await.unwrap(), "a cookie at the API");
    refused(get("/sessions").header("cookie", &cookie).send().await.unwrap(), "a cookie at the page");
    refused(get(SESSIONS).bearer_auth(TOKEN).send().await.unwrap(), "a token");
    refused(server.call(Method::DELETE, &format!("{SESSIONS}bulk_delete/?user_pks=1"), TOKEN).await, "a token that ends");
    let flow = |body: serde_json::Value, cookie: &str| {
        http.post(format!("{}{SIGN_IN_FLOW}", server.origin)).header("cookie", cookie).json(&body).send()
    };
    let name = flow(json!({"component": "ak-stage-identification", "uid_field": "akadmin"}), "").await.unwrap();
    let state = name.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    refused(flow(json!({"component": "ak-stage-password", "password": PASSWORD}), &state).await.unwrap(), "a sign-in");
}

// Each table that a way in needs goes, and comes back.
on_both!(a_broken_store_lets_nobody_in, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    for tables in [["sessions", "tokens"], ["users", "users"], ["events", "tokens"], ["sessions", "user_permissions"]] {
        let rename = |back: bool| {
            let renames = tables.iter().collect::<std::collections::BTreeSet<_>>().into_iter().map(|table| {
                if *table == "sessions" {
                    // What is read, and what is written.
                    return match back {
                        false => "DROP VIEW sessions; ALTER TABLE session_rows RENAME TO session_rows_gone;".to_owned(),
                        true => format!("ALTER TABLE session_rows_gone RENAME TO session_rows; {}", home.sessions_view()),
                    };
                }
                let gone = format!("{table}_gone");
                let (from, to) = if back { (gone.as_str(), *table) } else { (*table, gone.as_str()) };
                format!("ALTER TABLE {from} RENAME TO {to};")
            });
            renames.collect::<String>()
        };
        home.execute(&rename(false)).await;
        if tables[0] != "events" {
            assert_nobody_is_let_in(&server, &person.key, &format!("there is no {}", tables.join(" and no "))).await;
        } else {
            // Without a place for the event, there is no sign-in and no end.
            let mut newcomer = Person::new(&server, "curl/8.5.0");
            assert!([500, 503].contains(&newcomer.sign_in("akadmin", PASSWORD).await.status().as_u16()));
            assert_eq!(newcomer.key, "");
        }
        home.execute(&rename(true)).await;
        eventually("that it works again", || async { person.is_signed_in().await.then_some(()) }).await;
        assert_eq!(server.sessions().await.len(), 1, "nothing was done in between");
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.stop().await;
});

// The page says whose mistake it is, gives the number that finds it in the log, and leads on.
on_both!(a_page_that_fails_says_so_and_leads_on, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    home.execute("ALTER TABLE users RENAME TO users_gone").await;
    let answer = person.get("/sessions").await;
    assert_eq!(answer.status(), 500);
    let page = answer.text().await.unwrap();
    for words in ["Error 500", "Something went wrong", "href=\"/sessions\"", "</html>"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("users_") && !page.contains("table") && !page.contains("SELECT"),
        "nothing of the database is told: {page}"
    );
    let number = page.split("<code>").nth(1).and_then(|rest| rest.split('<').next()).expect("a number to give");
    eventually("the number in the log", || async { server.log().contains(number).then_some(()) }).await;
    home.execute("ALTER TABLE users_gone RENAME TO users").await;
    eventually("that it works again", || async { person.is_signed_in().await.then_some(()) }).await;
});

// A row that cannot be read is nobody's.
on_both!(a_corrupt_row_lets_nobody_in, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    for (harm, undo) in [
        ("UPDATE session_rows SET key_hash = substr(key_hash, 1, 31)", None),
        ("UPDATE tokens SET intent = 'unheard-of'", Some("UPDATE tokens SET intent = 'api'")),
        ("UPDATE users SET password_hash = '$argon2id$broken'", None),
    ] {
        home.execute(harm).await;
        match undo {
            Some(undo) => {
                assert_ne!(server.call(Method::GET, SESSIONS, TOKEN).await.status(), 200, "{harm}");
                home.execute(undo).await;
            }
            None if harm.contains("session_rows") => assert!(!person.is_signed_in().await, "{harm}"),
            None => {
                let mut newcomer = Person::new(&server, "curl/8.5.0");
                assert_eq!(newcomer.sign_in("akadmin", PASSWORD).await.status(), 200, "the form again");
                assert_eq!(newcomer.key, "");
            }
        }
    }
    // It is listed still, and can be ended.
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    assert!(!server.log().contains("panicked"), "{}", server.log());
});

// A GeoIP file that breaks while the server runs, or was never whole, changes nobody's rights.
on_both!(a_broken_geoip_file_lets_nobody_in_or_out, |home| async move {
    let (city, asn) = (home.write("city.mmdb", b"\xab\xcd\xefMaxMind.com\xe9"), home.write("asn.mmdb", vec![0_u8; 4096]));
    let home = home.with_administrator().with("ROLLCALL_GEOIP__CITY", &city).with("ROLLCALL_GEOIP__ASN", &asn);
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let session = person.session().await;
    assert!(session["geo_ip"].is_null() && session["asn"].is_null(), "{session}");
    let mut stranger = Person::new(&server, "curl/8.5.0");
    assert_eq!(stranger.sign_in("akadmin", "wrong").await.status(), 200);
    assert!(!stranger.is_signed_in().await);
    for bytes in [b"".as_slice(), b"\xab\xcd\xefMaxMind.com", &[0xff; 70_000]] {
        for path in [&city, &asn] {
            std::fs::write(path, bytes).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(person.is_signed_in().await);
        assert!(!stranger.is_signed_in().await);
    }
    assert_eq!(server.revoke(&person.uuid().await).await.status(), 204);
    assert!(!person.is_signed_in().await);
    assert!(!server.log().contains("panicked"), "{}", server.log());
});
