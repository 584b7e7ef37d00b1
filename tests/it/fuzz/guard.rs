//! What reverse proxies forward, and paths.

use axum::body::Body;
use axum::http::Request;
use rollcall::domain::guard::{places, readings};
use serde_json::json;

use super::Fuzz;
use super::http::{header_value, send};
use crate::guard::world::{Browser, add_app, server};

/// The headers of a check, of which an input gives the values, one a line.
const HEADERS: [&str; 9] = [
    "x-original-url",
    "x-original-method",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-proto",
    "cookie",
    "authorization",
    "x-forwarded-for",
];

db_test!(forwarded_requests, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/public/**"], "allow": "anyone"}, {"paths": ["/closed/**"], "allow": "nobody"}]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": ["wiki.example"], "rules": rules})).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    browser.open("caddy", "wiki", "https://wiki.example/").await.assert_status(200);
    let cookie = browser.cookie_header("wiki.example");
    let key = browser.cookie("wiki.example", "__Host-rollcall_app").unwrap();
    let router = rollcall::server::router(&app.app);
    let words: [&[u8]; 24] = [
        b"https://wiki.example/",
        b"http://",
        b"wiki.example",
        b"other.example",
        b"/public/",
        b"/closed/",
        b"/a?b=1",
        b"GET",
        b"DELETE",
        b"https",
        b"wss",
        b"\n",
        b"..",
        b"%2e%2e",
        b"%2f",
        b"//",
        b"\\",
        b";",
        b"/.rollcall/start",
        b"/outpost.goauthentik.io/",
        b"__Host-rollcall_app=",
        b"rcp_",
        cookie.as_bytes(),
        b",",
    ];
    let line = |path: &str, cookie: &str| {
        format!("https://wiki.example{path}\nGET\nwiki.example\n{path}\nGET\nhttps\n{cookie}\n\n192.0.2.1")
    };
    let seeds = [
        line("/", &cookie),
        line("/a?b=1", ""),
        line("/public/x", ""),
        line("/closed/x", &cookie),
        line("/.rollcall/start?rd=/", ""),
    ];
    let mut fuzz = Fuzz::new("forwarded_requests", &words, seeds.into_iter().map(String::into_bytes));
    while let Some(input) = fuzz.next() {
        let lines: Vec<&[u8]> = input.splitn(HEADERS.len(), |byte| *byte == b'\n').collect();
        let mut kinds = String::new();
        for kind in ["nginx", "caddy", "traefik", "envoy"] {
            let path = if kind == "envoy" { "/guard/envoy/wiki/a" } else { &format!("/guard/{kind}/wiki") };
            let mut request = Request::get(path).header("host", "wiki.example");
            for (name, line) in HEADERS.iter().zip(&lines) {
                if !line.is_empty() {
                    request = request.header(*name, header_value(line));
                }
            }
            let answer = send(&router, request.body(Body::empty()).unwrap()).await;
            let status = answer.status.as_u16();
            assert!([200, 302, 303, 401, 403].contains(&status), "{kind} {status}");
            if status == 200 && answer.headers.contains_key("remote-user") {
                let is_key = lines.get(6).is_some_and(|line| String::from_utf8_lossy(line).contains(&key));
                assert!(is_key && answer.headers["remote-user"] == "alice", "{kind}: let in");
            } else if status == 200 {
                // Nobody is named: the rule says `anyone`.
                let url = lines.get(if kind == "nginx" { 0 } else { 3 }).map(|line| String::from_utf8_lossy(line).into_owned());
                assert!(kind != "envoy" && url.is_some_and(|url| url.to_lowercase().contains("public")), "{kind}: let in");
            } else {
                for name in ["remote-user", "cookie", "authorization"] {
                    assert!(!answer.headers.contains_key(name), "{kind} {status} {name}");
                }
            }
            if let Some(to) = answer.headers.get("location") {
                let to = to.to_str().unwrap();
                let is_own =
                    to.starts_with("https://wiki.example/") || to.starts_with("https://id.example/") || to.starts_with('/');
                assert!(is_own && !to.starts_with("//"), "{kind} leads to {to}");
            }
            kinds.push_str(&format!("{status} "));
        }
        fuzz.answered(kinds);
    }
});

#[test]
fn paths() {
    let words: [&[u8]; 18] = [
        b"/", b"//", b"..", b".", b"%2e", b"%2F", b"%5c", b"%25", b"\\", b";", b"%3b", b"%3f", b"%23", b"%00", b"%c0%ae", b"admin",
        b"ADMIN", b"%u002f",
    ];
    let seeds = ["/", "/public/..%2fadmin", "/a;b/%2e%2e/c", "/%252e%252e/", "/caf%C3%A9", "/x\\..\\y"];
    let mut fuzz = Fuzz::new("paths", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let path = format!("/{}", String::from_utf8_lossy(&input));
        let Some(all) = readings::of(&path) else {
            fuzz.answered("refused".to_owned());
            continue;
        };
        assert_eq!(all[0].path, path, "the first is as it came");
        assert!(all.len() <= 128);
        // What a usual server makes of it is among them: decoded, slashes merged, dot segments resolved.
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
        let mut segments: Vec<&str> = Vec::new();
        for segment in decoded.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
            match segment {
                ".." => drop(segments.pop()),
                name => segments.push(name),
            }
        }
        let simple = format!("/{}", segments.join("/"));
        let same = |reading: &str| reading == simple || reading.strip_suffix('/') == Some(&simple);
        assert!(all.iter().any(|reading| same(&reading.path)), "{simple} of {path}");
        let is_ours = all.iter().any(|reading| places::is_ours(&reading.path));
        assert!(is_ours || !places::is_ours(&simple), "{path}");
        fuzz.answered(format!("{} {is_ours}", all.len()));
    }
}
