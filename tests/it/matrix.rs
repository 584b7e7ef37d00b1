//! Every address, every method, every kind of caller: who is answered what. The table is
//! `tests/golden/matrix.txt`; a route, a method or an answer that is not in it fails the test.
//!
//! `UPDATE_MATRIX=1` writes the table anew, for a change that is meant: read its diff as a reviewer.

use std::fmt::Write;
use std::time::Duration;

use rollcall::auth::csrf;
use rollcall::domain::user::TokenIntent;
use rollcall::domain::{Permission, SessionId};
use serde_json::json;

use crate::support::app::{PASSWORD, TestUser};
use crate::support::caller::send;
use crate::support::{Caller, TestApp};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/matrix.txt");
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What the forms of those who have no session are bound to.
const FORM_COOKIE: &str = "0123456789abcdef0123456789abcdef";
const DAY: Duration = Duration::from_secs(86400);

/// The columns: without credentials, with a token, with a session's cookie.
const COLUMNS: [(&str, &[&str]); 3] = [
    ("", &["nobody"]),
    ("token", &["owner", "other", "viewer", "deleter", "auditor", "admin", "expired", "inactive", "intent"]),
    ("cookie", &["owner", "other", "viewer", "deleter", "auditor", "admin", "expired", "inactive", "unmeant"]),
];

/// The columns of the owner's cookie with and without its proofs.
const OWNER: usize = 10;
const UNMEANT: usize = 18;

/// Each column's kind and name.
fn columns() -> Vec<(&'static str, &'static str)> {
    COLUMNS.iter().flat_map(|(kind, names)| names.iter().map(|name| (*kind, *name))).collect()
}

const ABOUT: &str = "\
Every address and method (rows), and what each kind of caller (columns) is answered. Written by
tests/it/matrix.rs; a change here is a change of who may do what.

Callers: nobody; with a token, and then with the cookie of a session and its proofs: the owner of the
session, user or link that the address names; another user; one who may view all sessions; one who may
delete them; an auditor; an administrator; one whose time is over; one whose user is deactivated. `intent` is the
owner's token of another intent than `api`; `unmeant` is the owner's cookie without any proof that the
request was meant (CSRF). `out` is 303 to the sign-in page; `end`: the owner's session ended.
";

/// Somebody who calls.
struct Column {
    caller: Caller,
    /// The proof their forms carry.
    proof: String,
}

/// The people, the session that addresses name, and a set-up link.
struct Cast<'a> {
    app: &'a TestApp,
    users: Vec<TestUser<'a>>,
    newcomer: TestUser<'a>,
    columns: Vec<Column>,
    uuid: String,
    /// The group that addresses name.
    group: String,
    /// Where that session was used: no other was.
    ip: String,
    link: String,
}

impl<'a> Cast<'a> {
    async fn of(app: &'a TestApp) -> Self {
        let users = vec![
            app.user_with_password("owner").await,
            app.user("other").await,
            app.user_who_may("viewer", &[Permission::ViewSessions]).await,
            app.user_who_may("deleter", &[Permission::DeleteSessions]).await,
            app.auditor("auditor").await,
            app.superuser("admin").await,
            app.superuser("expired").await,
            app.superuser("inactive").await,
        ];
        let newcomer = app.user("newcomer").await;
        let (uuid, group, ip, link) = Default::default();
        let mut this = Self { app, users, newcomer, columns: Vec::new(), uuid, group, ip, link };
        this.name().await;
        for column in 0..columns().len() {
            let column = this.column(column).await;
            this.columns.push(column);
        }
        this
    }

    /// One caller anew, and what addresses name: the last request may have ended them.
    async fn renew(&mut self, column: usize) {
        self.name().await;
        // The owner's sessions may have ended with others of theirs.
        for column in [column, OWNER, UNMEANT] {
            self.columns[column] = self.column(column).await;
        }
    }

    /// A new session and a new link for addresses to name.
    async fn name(&mut self) {
        self.restore().await;
        self.link = self.newcomer.token_key(TokenIntent::Recovery, None).await;
        let link: u32 = self.link.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.ip = format!("2001:db8::{:x}:{:x}", link >> 16, link & 0xffff);
        self.uuid = self.users[0].session_on(&self.ip, "").await.uuid;
    }

    /// The user and the group that addresses name, again where they were removed.
    async fn restore(&mut self) {
        let (store, id) = (&self.app.app.store, self.newcomer.id);
        if store.read().find_user(id).await.unwrap().is_none() {
            self.app.import(&[json!({"kind": "user", "id": id, "username": "newcomer"})]).await;
        }
        if store.read().find_group_id("staff").await.unwrap().is_none() {
            self.app.import(&[json!({"kind": "group", "name": "staff"})]).await;
        }
        if store.read().find_token("owners").await.unwrap().is_none() {
            self.users[0].named_token("owners").await;
        }
        let key = store.read().find_group_id("staff").await.unwrap().unwrap();
        self.group = store.read().find_group_by_id(key).await.unwrap().unwrap().uuid.to_string();
    }

    async fn column(&self, column: usize) -> Column {
        let (kind, name) = columns()[column];
        let user = self.users.iter().find(|user| user.name == name).unwrap_or(&self.users[0]);
        match (kind, name) {
            (_, "nobody") => self.with_form_cookie(self.app.anonymous()),
            (_, "unmeant") => Column { caller: user.session().await.caller, proof: String::new() },
            ("token", "intent") => self.with_token(&user.token_key(TokenIntent::AppPassword, None).await),
            ("token", "expired") => self.with_token(&self.dead_token(user).await),
            ("token", _) => self.with_token(&user.token_key(TokenIntent::Api, None).await),
            (_, "expired") => {
                let browser = user.session().await;
                self.expire(user).await;
                self.with_form_cookie(browser.with_csrf())
            }
            (_, "inactive") => {
                self.set_active(user, true).await;
                let browser = user.session().await;
                self.set_active(user, false).await;
                self.with_form_cookie(browser.with_csrf())
            }
            _ => {
                let browser = user.session().await;
                Column { caller: browser.with_csrf(), proof: csrf::form_proof(&self.app.app, &browser.uuid) }
            }
        }
    }

    fn with_token(&self, key: &str) -> Column {
        self.with_form_cookie(self.app.anonymous().with_bearer(key))
    }

    fn with_form_cookie(&self, caller: Caller) -> Column {
        caller.set_cookie("rollcall_form", FORM_COOKIE);
        Column { caller, proof: csrf::form_proof(&self.app.app, FORM_COOKIE) }
    }

    /// By the database alone: what the action does to sessions is another test's matter, and this one
    /// is about who comes with a credential that is left.
    async fn set_active(&self, user: &TestUser<'_>, is_active: bool) {
        let word = if is_active { "TRUE" } else { "FALSE" };
        self.execute(format!("UPDATE users SET is_active = {word} WHERE id = {}", user.id.0)).await;
    }

    async fn dead_token(&self, user: &TestUser<'_>) -> String {
        let key = user.token_key(TokenIntent::Api, Some(DAY)).await;
        let now = self.app.app.clock.now().0;
        self.execute(format!("UPDATE tokens SET expires_at = {now} WHERE user_id = {} AND is_expiring", user.id.0)).await;
        key
    }

    /// Lets the time of all of a user's sessions be over.
    async fn expire(&self, user: &TestUser<'_>) {
        let now = self.app.app.clock.now().0;
        self.execute(format!(
            "UPDATE session_rows SET expires_at = {now}, absolute_expires_at = {now} WHERE user_id = {}",
            user.id.0
        ))
        .await;
    }

    async fn execute(&self, sql: String) {
        self.app.app.store.write(move |db| Box::pin(async move { db.execute(&sql, &[]).await })).await.unwrap();
    }

    /// The addresses to request for a route: the row's name, and the address with its parts filled
    /// in.
    fn samples(&self, route: &str) -> Vec<(String, String)> {
        let owner = self.users[0].id.0;
        let parts: &[(&str, &str)] = match route {
            _ if route.contains("{flow_slug}") => &[
                ("{flow_slug}", "default-authentication-flow"),
                ("{flow_slug}", "default-invalidation-flow"),
                ("{flow_slug}", "unknown-flow"),
            ],
            "/api/v3/browser/{file}" => &[("{file}", "start.js"), ("{file}", "unknown.js")],
            _ if route.contains("{file}") => &[("{file}", "icon.svg"), ("{file}", "unknown.svg")],
            _ if route.contains("{slug}") => &[("{slug}", "default-authentication-flow"), ("{slug}", "unknown-flow")],
            _ if route.contains("{identifier}") => &[("{identifier}", "owners"), ("{identifier}", "unknown")],
            _ if route.contains("{stage_uuid}") => {
                &[("{stage_uuid}", "6f6c6c63-616c-4c00-8000-757365726c67"), ("{stage_uuid}", "unknown")]
            }
            _ if route.contains("{pm_uuid}") => &[("{pm_uuid}", "6f6c6c63-616c-4c00-8000-00006f706964"), ("{pm_uuid}", "unknown")],
            _ if route.contains("{kp_uuid}") => &[("{kp_uuid}", "6f6c6c63-616c-4c00-8000-6b6579706172"), ("{kp_uuid}", "unknown")],
            _ if route.contains("{policy_binding_uuid}") => {
                &[("{policy_binding_uuid}", "00000000-0000-4000-8000-00000000dead"), ("{policy_binding_uuid}", "unknown")]
            }
            _ if route.contains("{event_uuid}") => &[("{event_uuid}", "00000000-0000-4000-8000-00000000dead")],
            _ if route.contains("{page}") => &[("{page}", "start"), ("{page}", "who"), ("{page}", "ping"), ("{page}", "unknown")],
            _ if route.contains("{app}") => &[("{app}", "wiki")],
            _ if route.contains("{name}") => &[("{name}", "unknown")],
            _ => &[],
        };
        let query = if route.ends_with("/bulk_delete/") { format!("?user_pks={owner}") } else { String::new() };
        let fill = |path: String| {
            let path = path.replace("{*path}", "x").replace("{uuid}", &self.uuid).replace("{group_uuid}", &self.group);
            let path = path.replace("{number}", "1").replace("{opened}", "00000000-0000-4000-8000-00000000dead");
            path.replace("{key}", &self.link).replace("{id}", &self.newcomer.id.0.to_string()) + &query
        };
        let mut samples: Vec<(String, String)> =
            parts.iter().map(|(name, part)| route.replace(name, part)).map(|path| (path.clone(), fill(path))).collect();
        if parts.is_empty() {
            samples.push((route.to_owned(), fill(route.to_owned())));
        }
        for unknown in ["{uuid}", "{key}", "{group_uuid}"].into_iter().filter(|name| route.contains(name)) {
            let nothing = "00000000-0000-4000-8000-00000000dead";
            samples.push((route.replace(unknown, "unknown"), fill(route.replace(unknown, nothing))));
        }
        for (_, path) in &samples {
            assert!(!path.contains('{'), "{path}: add a sample for this part to tests/it/matrix.rs");
        }
        samples
    }

    /// Whether the session that addresses name is there.
    async fn is_there(&self) -> bool {
        let id = SessionId::parse(&self.uuid).unwrap();
        self.app.app.store.read().find_session(id).await.unwrap().is_some()
    }

    /// Asks, and gives the cell of the table.
    async fn ask(&mut self, column: usize, method: &str, path: &str) -> String {
        let Column { caller, proof } = &self.columns[column];
        let request = caller.build(method, path);
        let request = match path {
            _ if method == "GET" || method == "OPTIONS" => request,
            _ if path.ends_with("/revoke/") => request.json(&json!({"session__last_ip": self.ip, "expected_count": 1})),
            _ if path.starts_with("/api/") => request.json(&json!({})),
            _ => request.form(&[
                ("proof", proof.as_str()),
                ("uid", "owner"),
                ("password", PASSWORD),
                ("again", PASSWORD),
                ("active", "yes"),
                ("next", "/sessions"),
            ]),
        };
        if path.ends_with("/live") && method == "GET" {
            // It goes on and on: who is let in is all that is asked.
            let response = request.try_clone().expect("a request without a body").send().await.expect("an answer");
            if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
                return response.status().as_u16().to_string();
            }
        }
        let answer = send(request).await;
        if answer.status == 303 && answer.header("location").is_some_and(|to| to.starts_with("/sign-in")) {
            return "out".to_owned();
        }
        answer.status.to_string()
    }
}

/// The whole table.
async fn table(app: &TestApp) -> String {
    let mut cast = Cast::of(app).await;
    let names: Vec<String> = columns().iter().map(|(_, name)| (*name).to_owned()).collect();
    let mut text = format!("{ABOUT}\n{:24}  {:8} | {:80} | cookie\n{}", "", "", "token", line("", &names));
    for route in rollcall::routes::routes().paths {
        for nth in 0..cast.samples(route).len() {
            text += &format!("\n{}\n", cast.samples(route)[nth].0);
            let mut rows: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
            for method in METHODS {
                let mut cells = Vec::new();
                for column in 0..names.len() {
                    let path = cast.samples(route)[nth].1.clone();
                    let mut cell = cast.ask(column, method, &path).await;
                    // A request that succeeded may have changed what the next one finds.
                    let is_done = cell.starts_with('2') || cell.starts_with('3') || cell == "out";
                    if is_done && method != "GET" && method != "OPTIONS" {
                        if !cast.is_there().await {
                            cell += " end";
                        }
                        cast.renew(column).await;
                    }
                    cells.push(cell);
                }
                match rows.iter_mut().find(|(known, _)| *known == cells) {
                    Some((_, methods)) => methods.push(method),
                    None => rows.push((cells, vec![method])),
                }
            }
            for (cells, methods) in rows {
                text += &line(&methods.join(" "), &cells);
            }
        }
    }
    text
}

/// A row of the table. Where all are answered the same, that is said once.
fn line(first: &str, cells: &[String]) -> String {
    let mut line = format!("{first:<24} ");
    if cells.iter().all(|cell| *cell == cells[0]) {
        line += &format!(" {:<8} for all", cells[0]);
    } else {
        for (at, cell) in cells.iter().enumerate() {
            let gap = if at == 1 || at == OWNER { " |" } else { "" };
            write!(line, "{gap} {cell:<8}").unwrap();
        }
    }
    format!("{}\n", line.trim_end())
}

db_test!(who_is_answered_what, |db| async move {
    let is_sqlite = db.is_sqlite();
    let app = TestApp::new(db).await;
    let table = table(&app).await;
    assert!(!table.contains(" 500"), "{table}");
    if is_sqlite && std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let golden = std::fs::read_to_string(FILE).unwrap_or_default();
    let lines = |text: &str| text.trim_end().split("\n\n").map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (is, should) = (lines(&table), lines(&golden));
    let new: Vec<_> = is.difference(&should).cloned().collect();
    let missing: Vec<_> = should.difference(&is).cloned().collect();
    assert!(
        new.is_empty() && missing.is_empty(),
        "tests/golden/matrix.txt does not have:\n\n{}\n\nand has:\n\n{}",
        new.join("\n\n"),
        missing.join("\n\n")
    );
    app.assert_counts().await;
});
