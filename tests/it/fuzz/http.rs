//! Heads of requests: credentials, queries, forwarded addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use axum::routing::get;
use axum::{Extension, Router};
use rollcall::actions::app::App;
use rollcall::http::client::{ClientInfo, identify};
use rollcall::http::peer::Peer;
use serde_json::{Value, json};
use sha2::Digest;
use tower::Service;

use super::{Fuzz, outline};
use crate::support::{SESSIONS, TestApp, seed};

const SECRET: &str = "the secret of an authentik";
const SESSION_KEY: &str = "key-1";
const TOKEN_KEY: &str = "the-key-of-a-token-that-is-good";

/// An answer, read to its end.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answered {
    /// The kind of answer: its status, and its words without what differs each time.
    pub fn kind(&self) -> String {
        let text = match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(fields)) if fields.contains_key("results") => {
                format!("list of {}", fields["pagination"]["count"].as_i64().unwrap().min(3))
            }
            // Which fields are wrong is chance; what is wrong with them is not.
            Ok(Value::Object(fields)) => {
                let faults: BTreeSet<String> = fields.values().map(|fault| outline(&fault.to_string().replace('"', " "))).collect();
                faults.into_iter().take(3).collect()
            }
            Ok(other) => outline(&other.to_string().replace('"', " ")),
            Err(_) => String::new(),
        };
        format!("{} {text}", self.status.as_u16())
    }
}

/// Sends a request through the whole router, without a socket.
pub async fn send(router: &Router, request: Request<Body>) -> Answered {
    let mut request = request;
    request.extensions_mut().insert(Peer::at(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let response = router.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    assert!(parts.status.as_u16() < 500, "{}: {}", parts.status, String::from_utf8_lossy(&body));
    Answered { status: parts.status, headers: parts.headers, body }
}

/// Bytes as a header's value; what no header can hold becomes `?`.
pub fn header_value(bytes: &[u8]) -> HeaderValue {
    let legal = |byte: &u8| if *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f) { *byte } else { b'?' };
    HeaderValue::from_bytes(&bytes.iter().map(legal).collect::<Vec<u8>>()).unwrap()
}

fn jwt(sid: &str) -> String {
    let key: String = sha2::Sha512::digest(SECRET.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({"sid": sid, "iss": "authentik"}), &key).unwrap()
}

/// Bytes as a query: what no address can hold is encoded, as clients do.
pub fn as_query(input: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'!'..=b'~' if !b"#\"<>`{}\\^|".contains(byte) => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    input.iter().map(encode).collect()
}

fn contains(input: &[u8], part: &str) -> bool {
    input.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The lines of an input, as the values of headers of that name.
fn with_lines(mut request: axum::http::request::Builder, name: &HeaderName, lines: &[&[u8]]) -> axum::http::request::Builder {
    for line in lines {
        request = request.header(name, header_value(line));
    }
    request
}

db_test!(credentials, |db| async move {
    let app = TestApp::with(db, &[("AUTHENTIK__SECRET_KEY", SECRET)]).await;
    let expired = json!({"expires": "2026-10-31T00:00:00Z"});
    let token = |key: &str, user: i64, intent: &str| json!({"kind": "token", "key": key, "intent": intent, "user": user, "expiring": false, "expires": "2099-01-01T00:00:00Z"});
    app.import(&[
        seed::user(7, "alice"),
        json!({"kind": "user", "id": 8, "username": "gone", "is_active": false}),
        seed::session(1, 7, json!({})),
        seed::session(2, 7, expired),
        seed::session(3, 8, json!({})),
        token(TOKEN_KEY, 7, "api"),
        token("the-key-of-an-app-password", 7, "app_password"),
        token("the-key-of-somebody-who-is-gone", 8, "api"),
    ])
    .await;
    let router = rollcall::server::router(&app.app);
    let good_jwt = jwt(SESSION_KEY);
    let keys: Vec<String> = [
        format!("Bearer {TOKEN_KEY}\n"),
        "Bearer the-key-of-an-app-password\nx=y".to_owned(),
        "Bearer the-key-of-somebody-who-is-gone".to_owned(),
        format!("\nrollcall_session={SESSION_KEY}"),
        format!("\nrollcall_session={SESSION_KEY}; a=b\nrollcall_session=\"key-2\""),
        "\nrollcall_session=key-3".to_owned(),
        format!("Basic x\nauthentik_session={good_jwt}"),
        format!("\nauthentik_session={}", jwt("key-2")),
        format!("\nauthentik_session={good_jwt}; rollcall_session=wrong"),
    ]
    .to_vec();
    let words: [&[u8]; 14] = [
        b"Bearer ",
        b"bearer",
        b"Basic ",
        b"rollcall_session=",
        b"authentik_session=",
        b"__Host-rollcall_session=",
        b"; ",
        b"=",
        b"\n",
        b"\"",
        b"key-1",
        b"key-2",
        b"eyJhbGciOiJub25lIn0.",
        good_jwt.as_bytes(),
    ];
    let mut fuzz = Fuzz::new("credentials", &words, keys.into_iter().map(String::into_bytes));
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        let lines: Vec<&[u8]> = input.splitn(3, |byte| *byte == b'\n').collect();
        let (authorization, cookies) = lines.split_at(1);
        let request = |path: &str| {
            let request = Request::get(path).header(header::AUTHORIZATION, header_value(authorization[0]));
            with_lines(request, &header::COOKIE, cookies).body(Body::empty()).unwrap()
        };
        let (api, page) = (send(&router, request(SESSIONS)).await, send(&router, request("/sessions")).await);
        // A request that is accepted holds a valid key, whole and unchanged.
        let is_in_cookies = cookies.iter().any(|line| contains(line, SESSION_KEY) || contains(line, &good_jwt));
        assert!([200, 403].contains(&api.status.as_u16()), "{}", api.status);
        if api.status == 200 {
            assert!(is_in_cookies || contains(authorization[0], TOKEN_KEY), "let in by the API");
        }
        assert!([200, 303].contains(&page.status.as_u16()), "{}", page.status);
        assert!(page.status == 303 || is_in_cookies, "let in by the page");
        fuzz.answered(format!("{} {}", api.kind(), page.status));
    }
});

db_test!(queries, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(7, "alice"), seed::user(8, "bob")];
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    lines.extend((0..30).map(|n| {
        let ip = if n % 3 == 0 { "2001:db8::1".to_owned() } else { format!("198.51.100.{n}") };
        seed::session(n, if n % 2 == 0 { 7 } else { 8 }, json!({"last_ip": ip, "last_user_agent": agent}))
    }));
    lines.push(json!({
        "kind": "token", "key": "a-token-of-alices-own", "intent": "api", "user": 7, "expiring": false, "expires": "2099-01-01T00:00:00Z",
    }));
    app.import(&lines).await;
    app.superuser("root").await;
    let admin = app.admin_token().await;
    drop(admin);
    let router = rollcall::server::router(&app.app);
    let words: [&[u8]; 34] = [
        b"page=",
        b"page_size=",
        b"ordering=",
        b"search=",
        b"format=json",
        b"user=8",
        b"user__username=bob",
        b"session__last_ip=",
        b"session__last_user_agent=",
        b"network=198.51.100.0/24",
        b"country=",
        b"asn=",
        b"browser=Firefox",
        b"os=Linux",
        b"device=Other",
        b"last_used__gte=2026-10-01T00:00:00Z",
        b"last_used__lte=",
        b"expires__gte=",
        b"expires__lte=",
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%ff",
        b"%22",
        b"-session__last_ip",
        b"session__last_used,uuid",
        b"last",
        b"2001:db8::1",
        b"alice",
        b"firefox 198",
        b"+",
        b"0x10",
        b"99999999999999999999",
    ];
    let seeds = ["", "page=2&page_size=3", "search=fire+198.51&ordering=-user", "network=2001:db8::/32&page=last", "user=7&user=8"];
    let mut fuzz = Fuzz::new("queries", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let query = as_query(&input);
        let request = |method: &str, path: &str| {
            let target = format!("{path}?{query}");
            let request =
                Request::builder().method(method).uri(target).header(header::AUTHORIZATION, "Bearer a-token-of-alices-own");
            request.body(Body::empty()).unwrap()
        };
        if query.len() > 60_000 {
            fuzz.answered("longer than an address may be".to_owned());
            continue;
        }
        let list = send(&router, request("GET", SESSIONS)).await;
        assert!([200, 400, 404].contains(&list.status.as_u16()), "{}", list.status);
        let body: Value = serde_json::from_slice(&list.body).unwrap();
        if list.status == 200 {
            let rows = body["results"].as_array().unwrap();
            assert!(rows.len() <= 100 && body["pagination"]["count"].as_u64().unwrap() <= 15, "{body}");
            assert!(rows.iter().all(|row| row["user"] == 7), "somebody else's session is shown: {body}");
        }
        let bulk = send(&router, request("DELETE", &format!("{SESSIONS}bulk_delete/"))).await;
        assert!([403, 404].contains(&bulk.status.as_u16()), "{}", bulk.status);
        let page = send(&router, request("GET", "/sign-in")).await;
        assert_eq!(page.status, 200);
        let flow = send(&router, request("POST", "/api/v3/flows/executor/default-invalidation-flow/")).await;
        let flow: Value = serde_json::from_slice(&flow.body).unwrap();
        let to = flow["to"].as_str().unwrap_or("/");
        assert!(to.starts_with('/') && !to.starts_with("//") && !to.contains('\\'), "it leads away: {to}");
        fuzz.answered(list.kind());
    }
});

/// The address that a chain of proxies proves, by another way than the server's: the whole list is
/// read first, the peer is its last entry, and the walk goes from there.
fn proved(peer: IpAddr, lines: &[&[u8]], is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let whole = lines.join(&b","[..]);
    let mut proved = peer;
    let entries: Vec<&[u8]> = if lines.is_empty() { Vec::new() } else { whole.split(|byte| *byte == b',').rev().collect() };
    for entry in entries {
        let text = String::from_utf8_lossy(entry);
        let text = text.trim_matches([' ', '\t']);
        let bare = match text.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None if text.matches(':').count() == 1 => text.split(':').next().unwrap_or_default(),
            None => text,
        };
        let port = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(_, port)| port),
            None if text.matches(':').count() == 1 => text.find(':').map(|at| &text[at..]),
            None => Some(""),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
        let is_port = port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_number));
        let Ok(ip) = bare.parse::<IpAddr>() else { return proved };
        if !is_trusted(proved) || !is_port || text.starts_with('[') != ip.is_ipv6() && text.contains('[') {
            return proved;
        }
        proved = ip.to_canonical();
    }
    proved
}

async fn identified(State(app): State<App>, mut request: Request<Body>) -> Request<Body> {
    identify(&app, &mut request);
    request
}

/// The IPv4 address at the end of an IPv6 address, where a translator writes it.
fn held(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let begins = ["::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96"];
    let begins = begins.map(|net| net.parse::<ipnet::Ipv6Net>().unwrap());
    let [.., high, low] = ip.segments();
    let is_compatible = begins.last().is_some_and(|net| net.contains(&ip));
    let is_held = begins.iter().any(|net| net.contains(&ip)) && !(is_compatible && high == 0);
    is_held.then(|| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))))
}

#[tokio::test]
async fn forwarded_addresses() {
    let db = crate::support::TestDb::sqlite();
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8, fd00::/8")]).await;
    let router: Router = Router::new()
        .route("/", get(|Extension(client): Extension<ClientInfo>| async move { client.ip.to_string() }))
        .layer(axum::middleware::map_request_with_state(app.app.clone(), identified));
    let trusted: Vec<ipnet::IpNet> = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
    let is_trusted = |ip: IpAddr| [Some(ip), held(ip)].into_iter().flatten().any(|ip| trusted.iter().any(|net| net.contains(&ip)));
    let words: [&[u8]; 18] = [
        b"::10.0.0.2",
        b"::ffff:0:10.0.0.4",
        b"10.0.0.1",
        b"127.0.0.1",
        b"fd00::1",
        b"203.0.113.9",
        b"2001:db8::1",
        b"[2001:db8::1]:443",
        b"::ffff:10.0.0.1",
        b", ",
        b",",
        b"\n",
        b":8080",
        b"unknown",
        b"_hidden",
        b"\"",
        b"1.2.3.04",
        b"fe80::1%eth0",
    ];
    let seeds = ["1.2.3.4", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4\n10.0.0.1:99", "[::1]", "[fd00::1]:1, [fd00::2]", ""];
    let mut fuzz = Fuzz::new("forwarded", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        let lines: Vec<&[u8]> = input.splitn(3, |byte| *byte == b'\n').collect();
        let request = with_lines(Request::get("/"), &HeaderName::from_static("x-forwarded-for"), &lines);
        let answer = send(&router, request.body(Body::empty()).unwrap()).await;
        let is: IpAddr = String::from_utf8(answer.body).unwrap().parse().unwrap();
        let sent: Vec<Vec<u8>> = lines.iter().map(|line| header_value(line).as_bytes().to_vec()).collect();
        let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let should = proved("127.0.0.1".parse().unwrap(), &sent, is_trusted);
        assert_eq!(is, should, "{:?}", sent.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>());
        let is_inside = trusted.iter().any(|net| net.contains(&is));
        fuzz.answered(format!("{} {is_inside} {}", is.is_ipv6(), sent.len()));
    }
}
