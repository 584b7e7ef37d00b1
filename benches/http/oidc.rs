//! What OpenID Connect costs: what apps ask, what a sign-in to an app takes, and the end of many sessions that have apps.

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rollcall::domain::oidc::notice::IN_A_SECOND;
use serde_json::json;

use crate::client::{Ask, Client};
use crate::is_named;
use crate::measure::{self, Bulk, Measured};
use crate::operations::{Bound, CHECK, Operation, bearer, encoded};
use crate::receiver::Receiver;
use crate::report::{Report, Row};
use crate::server::{Place, Server};

/// How many applications there are here. The guard has all others that there may be; their number is even.
pub const APPLICATIONS: u32 = 6;
/// The applications of `rollcall generate`. Their apps are told of ends.
const TOLD: [&str; 3] = ["load-1", "load-2", "load-3"];
/// Where codes are sent.
const CALLBACK: &str = "https://app.bench/callback";
/// What codes are redeemed with, and its challenge (RFC 7636, appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The known sessions in which codes are redeemed, and those of which tokens are known. Those before them end one by one.
const CODES: Range<u32> = 1000..1500;
const HOLDERS: Range<u32> = 1500..1990;

const USERINFO: &str = "oidc: userinfo";
const INTROSPECTION: &str = "oidc: introspection";
const REFRESH: &str = "oidc: refresh, ES256";
/// The row of ends.
pub const BULK_ENDS: &str = "oidc: bulk_delete with apps";
/// The most that userinfo and introspection may cost, in checks of a cookie.
const OF_A_CHECK: f64 = 1.5;
/// The longest that an end of many may take, for each session, in that of sessions without apps.
const OF_WITHOUT_APPS: f64 = 1.5;
/// How many refreshes a second are the goal.
const REFRESHES: f64 = 500.0;

/// An application of the benchmark's own, whose app is not told of ends.
#[derive(Clone, Copy)]
struct App {
    slug: &'static str,
    algorithm: &'static str,
    scope: &'static str,
}

/// Without the scope `openid` there is no ID token, and nothing is signed.
const UNSIGNED: App = App { slug: "bench-unsigned", algorithm: "ES256", scope: "profile email" };
const ES256: App = App { slug: "bench-es256", algorithm: "ES256", scope: "openid profile email" };
const RS256: App = App { slug: "bench-rs256", algorithm: "RS256", scope: "openid profile email" };

/// The rows of redeemed codes.
const REDEEMED: [(&str, App, Option<Bound>); 3] = [
    ("oidc: code redeemed, nothing signed", UNSIGNED, Some(Bound(1.5, f64::INFINITY))),
    ("oidc: code redeemed, ES256", ES256, None),
    ("oidc: code redeemed, RS256", RS256, None),
];

fn secret(slug: &str) -> String {
    format!("the-secret-of-the-benchmark-for-{slug}")
}

/// Import lines of the applications, which come before the load data: their apps are told of ends at this address.
pub fn lines(receiver: &Receiver) -> String {
    let mut lines = String::new();
    let mut add = |slug: &str, algorithm: &str, told: Option<String>| {
        let client = json!({
            "client_id": slug, "client_secret": secret(slug), "redirect_uris": [CALLBACK], "algorithm": algorithm,
            "code_lifetime": 600, "access_lifetime": 86_400, "back_channel_uri": told,
        });
        let line = json!({"kind": "application", "slug": slug, "access": {"allow": "signed_in"}, "client": client});
        writeln!(lines, "{line}").unwrap();
    };
    for app in [UNSIGNED, ES256, RS256] {
        add(app.slug, app.algorithm, None);
    }
    for slug in TOLD {
        add(slug, "ES256", Some(format!("http://{}/{slug}", receiver.address)));
    }
    lines
}

impl App {
    /// What a browser brings with the known session of this number. It is answered with a code.
    fn authorize(self, session: u32) -> Ask {
        let query = format!(
            "client_id={}&redirect_uri={}&response_type=code&scope={}&state=a&prompt=none&code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.slug,
            encoded(CALLBACK),
            encoded(self.scope)
        );
        let cookie = format!("Cookie: rollcall_session=key-{session}\r\n");
        Ask { status: Some(302), ..Ask::get(format!("/application/o/authorize/?{query}"), &cookie) }
    }

    /// A code, as it is in the address that the browser is led to.
    fn code(self, client: &mut Client, session: u32) -> String {
        let status = client.ask(&self.authorize(session));
        let led = client.headers("location").next().unwrap_or_default();
        assert!(status == 302 && led.starts_with(CALLBACK), "{status}: {led}");
        led.split_once("code=").unwrap_or_else(|| panic!("no code: {led}")).1.split('&').next().unwrap().to_owned()
    }

    /// A form that the app's server sends.
    fn call(self, path: &str, body: String) -> Ask {
        let basic = STANDARD.encode(format!("{}:{}", self.slug, secret(self.slug)));
        let head = format!("Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        Ask { method: "POST", path: path.to_owned(), head, body, status: Some(200), ..Ask::default() }
    }

    fn redeem(self, code: &str) -> Ask {
        let fields =
            format!("grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={VERIFIER}", encoded(CALLBACK));
        self.call("/application/o/token/", fields)
    }
}

/// The tokens of a known session.
struct Tokens {
    access: String,
    refresh: String,
}

fn introspection(of: &Tokens) -> Ask {
    ES256.call("/application/o/introspect/", format!("token={}", encoded(&of.access)))
}

/// The apps: what they know, and where they are told of ends.
pub struct Apps {
    receiver: Receiver,
    tokens: Vec<Tokens>,
}

impl Apps {
    /// Signs in to an app in some of the known sessions, as browsers and the app's server do.
    pub fn open(server: &Server, receiver: Receiver) -> Self {
        let mut client = Client::connect(&server.address);
        let mut tokens = |session| {
            let code = ES256.code(&mut client, session);
            let status = client.ask(&ES256.redeem(&code));
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&client.body));
            let given = client.json();
            let text = |name: &str| given[name].as_str().unwrap_or_else(|| panic!("no {name}: {given}")).to_owned();
            Tokens { access: text("access_token"), refresh: text("refresh_token") }
        };
        let tokens: Vec<Tokens> = HOLDERS.map(&mut tokens).collect();
        assert_eq!(client.ask(&introspection(&tokens[0])), 200);
        assert_eq!(client.json()["active"], true, "a token is good");
        Self { receiver, tokens }
    }

    /// What reads, and what gives codes, in the order of the table.
    pub fn operations(&self) -> Vec<Operation> {
        let operation = |name, asks| Operation { name, asks, bound: None, is_disturbed: false, beyond: None };
        let told = |tokens: &Tokens| Ask {
            status: Some(200),
            ..Ask::get("/application/o/userinfo/", &format!("Authorization: Bearer {}\r\n", tokens.access))
        };
        let document = |path: &str| vec![Ask::get(format!("/application/o/{}/{path}", ES256.slug), "")];
        vec![
            operation(USERINFO, self.tokens.iter().map(told).collect()),
            operation(INTROSPECTION, self.tokens.iter().map(introspection).collect()),
            operation("oidc: authorize, prompt=none", HOLDERS.map(|session| ES256.authorize(session)).collect()),
            operation("oidc: discovery", document(".well-known/openid-configuration")),
            operation("oidc: keys", document("jwks/")),
        ]
    }

    /// Measures what redeems codes and rotates refresh tokens. Each is used once, so each number of connections has its own.
    pub fn sign_ins(&self, server: &Server, place: &Place, connections: &[usize], only: &str, report: &mut Report) {
        let mut is_measured = false;
        for (name, app, bound) in REDEEMED.into_iter().filter(|(name, ..)| is_named(name, only)) {
            let sessions: Vec<u32> = CODES.collect();
            for (at_once, sessions) in connections.iter().zip(sessions.chunks(sessions.len() / connections.len())) {
                let mut client = Client::connect(&server.address);
                let asks: Vec<Ask> = sessions.iter().map(|session| app.redeem(&app.code(&mut client, *session))).collect();
                let measured = measure::once_from(server, Some(place), &asks, *at_once);
                report.add(&Row { name, connections: *at_once, measured, ceiling: None, bound });
            }
            is_measured = true;
        }
        if is_measured {
            report.note(
                "oidc: code redeemed: the request of the app's server alone, first in its session; what gave the code is not in it. In it: the client's \
                 secret, the code used up, the app session with its event, both tokens, all on the disk. The ID token is signed where one is named.",
            );
        }
        if !is_named(REFRESH, only) {
            return;
        }
        for (at_once, tokens) in connections.iter().zip(self.tokens.chunks(self.tokens.len() / connections.len())) {
            let form = |tokens: &Tokens| format!("grant_type=refresh_token&refresh_token={}", encoded(&tokens.refresh));
            let asks: Vec<Ask> = tokens.iter().map(|tokens| ES256.call("/application/o/token/", form(tokens))).collect();
            let measured = measure::once_from(server, Some(place), &asks, *at_once);
            report.add(&Row { name: REFRESH, connections: *at_once, measured, ceiling: None, bound: None });
            let mark = mark(measured.rate >= REFRESHES);
            report.note(&format!("{REFRESH}, {at_once} at once: {:.0} a second (goal: {REFRESHES:.0} {mark})", measured.rate));
        }
    }

    /// Ends the sessions of these users, most of which have apps, and waits a while for the apps to be told; next to what the
    /// same took for sessions `without` apps.
    pub fn bulk_end(&self, server: &Server, place: &Place, users: &[i64], without: &Bulk, report: &mut Report) {
        let before = count_app_sessions(&mut Client::connect(&server.address));
        let (told_before, mut owed) = (self.receiver.told(), 0);
        let bulk = measure::bulk_end(server, users, |client| {
            owed = before - count_app_sessions(client);
            self.receiver.wait_for(told_before + u64::try_from(owed).unwrap_or(0));
        });
        let Bulk { sessions, seconds, moving, waits: [signing_out, moved, told], .. } = bulk;
        let each = |bulk: &Bulk| seconds_each(bulk.seconds, bulk.sessions);
        let ratio = each(&bulk) / each(without);
        let move_ratio = seconds_each(moving, sessions) / seconds_each(without.moving, without.sessions);
        report.note(&format!(
            "{BULK_ENDS} signed out {sessions} sessions with {owed} app sessions in {seconds:.2} s: for each session {ratio:.2} of what one without \
             apps takes (bound {OF_WITHOUT_APPS} {}). They were among the ended sessions {moving:.1} s later: {move_ratio:.2} of it for each",
            mark(ratio <= OF_WITHOUT_APPS)
        ));
        let delivered = self.receiver.told() - told_before;
        let passed = self.receiver.last().map_or(0.0, |last| last.saturating_duration_since(bulk.signed_out).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 notices")]
        let rate = delivered as f64 / TOLD.len() as f64 / passed.max(0.001);
        let read = [signing_out, moved, told].iter().map(|waits| waits.read).fold(0.0, f64::max);
        let sign_in = [signing_out, moved, told].iter().map(|waits| waits.sign_in).fold(0.0, f64::max);
        report.note(&format!(
            "{delivered} of {owed} notices were delivered within {passed:.1} s of it: {rate:.0} a second to each of {} apps (goal: their pace, {IN_A_SECOND}); \
             during all that no list or check waited longer than {read:.1} ms, no sign-in longer than {sign_in:.1} ms",
            TOLD.len()
        ));
        // What is left would be sent while other things are measured.
        for slug in TOLD {
            place.run(&["app", "notices", "drop", slug]);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 sessions")]
fn seconds_each(seconds: f64, sessions: i64) -> f64 {
    seconds / sessions.max(1) as f64
}

fn mark(is_met: bool) -> &'static str {
    if is_met { "✓" } else { "✗" }
}

fn count_app_sessions(client: &mut Client) -> i64 {
    client.get_json("/api/v3/core/app_sessions/?page_size=1", &bearer())["pagination"]["count"].as_i64().unwrap()
}

/// Whether rows are asked for that are compared with the check of a cookie.
pub fn needs_check(only: &str) -> bool {
    [USERINFO, INTROSPECTION].iter().any(|name| is_named(name, only))
}

/// What userinfo and introspection cost, in checks of a cookie of the same run.
pub fn note_ratios(report: &mut Report, rows: &[(&Operation, usize, Measured, Measured)]) {
    let cost = |name: &str, connections: usize| {
        let row = rows.iter().find(|(operation, at_once, ..)| operation.name == name && *at_once == connections);
        row.map(|(_, _, measured, _)| measured.cpu_ms())
    };
    for name in [USERINFO, INTROSPECTION] {
        let own = rows.iter().filter(|(operation, ..)| operation.name == name);
        let said: Vec<String> = own
            .filter_map(|(_, connections, measured, _)| {
                let ratio = measured.cpu_ms() / cost(CHECK, *connections)?;
                Some(format!("{ratio:.2} {connections} at once {}", mark(ratio <= OF_A_CHECK)))
            })
            .collect();
        if !said.is_empty() {
            report.note(&format!("{name}, CPU in checks of a cookie (bound {OF_A_CHECK}): {}", said.join(", ")));
        }
    }
}
