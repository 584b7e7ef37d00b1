//! The server under test.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::import;
use rollcall::actions::import::{ImportError, Stored, Summary};
use rollcall::actions::people::changes::UserChange;
use rollcall::actions::people::{changes, passwords, users};
use rollcall::actions::sessions::bulk_end;
use rollcall::actions::sign_in;
use rollcall::actions::tokens;
use rollcall::actions::tokens::TokenRequest;
use rollcall::domain::caller::Actor;
use rollcall::domain::caller::Client;
use rollcall::domain::scope::Scopes;
use rollcall::domain::user::TokenIntent;
use rollcall::domain::{Address, Clock, EndReason, Permission, SessionId, Timestamp, UserId};
use rollcall::store::StoreError;
use rollcall::store::events::list::EventFilter;
use rollcall::store::events::rows::EventRow;
use rollcall::store::people::users::NewUser;
use rollcall::store::sessions::end::Which;
use rollcall::store::sessions::history::End;
use rollcall::store::sessions::pending_end::PendingEnd;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Answer, Caller, SIGN_IN_FLOW, TestDb};

/// Where every test's clock starts.
pub const NOW: &str = "2026-11-01T12:00:00Z";
/// The password of everybody who has one.
pub const PASSWORD: &str = "correct horse battery staple";
/// Hashed once: it is made to be slow.
static PASSWORD_HASH: LazyLock<String> = LazyLock::new(|| passwords::hash(PASSWORD).expect("a hash"));

/// The counts that are kept: what of, and how many.
pub const KEPT_COUNTS: &str =
    "SELECT kind || '/' || key, CAST(SUM(n) AS BIGINT) FROM session_counts GROUP BY kind, key HAVING SUM(n) <> 0";
/// The same, counted from the rows that are there. `DIGITS` is a uuid's digits, as each database writes them.
pub const COUNTED_ROWS: &str = "SELECT 'all/', count(*) FROM sessions HAVING count(*) > 0 \
    UNION ALL SELECT 'user/' || CAST(user_id AS TEXT), count(*) FROM sessions GROUP BY user_id \
    UNION ALL SELECT 'user_agent/' || CAST(user_agent_id AS TEXT), count(*) FROM sessions GROUP BY user_agent_id \
    UNION ALL SELECT 'country/' || country, count(*) FROM sessions GROUP BY country \
    UNION ALL SELECT 'asn/' || COALESCE(CAST(asn AS TEXT), ''), count(*) FROM sessions GROUP BY asn \
    UNION ALL SELECT 'ended/', count(*) FROM ended_sessions HAVING count(*) > 0 \
    UNION ALL SELECT 'ended_user/' || DIGITS, count(*) FROM ended_sessions GROUP BY user_uuid";

/// A running server with a clock that only tests move. No jobs run: tests call their actions.
pub struct TestApp {
    pub app: App,
    pub address: SocketAddr,
    /// Removes the files when the test ends.
    pub db: TestDb,
}

impl TestApp {
    /// With the default settings.
    pub async fn new(db: TestDb) -> Self {
        Self::with(db, &[]).await
    }

    /// With these settings, as environment variables without `ROLLCALL_`.
    pub async fn with(db: TestDb, settings: &[(&str, &str)]) -> Self {
        let config = db.config(settings);
        let app = App::start(config, Clock::fixed(at(NOW))).await.expect("the server starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(rollcall::server::serve(listener, rollcall::server::router(&app), std::future::pending()));
        Self { app, address, db }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.app.clock.set(self.app.clock.now().plus(by));
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody without credentials. Keeps cookies, as browsers do.
    pub fn anonymous(&self) -> Caller {
        Caller::new(self.address)
    }

    /// A plain user without a password.
    pub async fn user(&self, name: &str) -> TestUser<'_> {
        self.add(name, false, &[], false).await
    }

    /// A plain user with [`PASSWORD`].
    pub async fn user_with_password(&self, name: &str) -> TestUser<'_> {
        self.add(name, false, &[], true).await
    }

    /// A user with global permissions.
    pub async fn user_who_may(&self, name: &str, permissions: &[Permission]) -> TestUser<'_> {
        self.add(name, false, permissions, false).await
    }

    /// Somebody who reads everything and changes nothing.
    pub async fn auditor(&self, name: &str) -> TestUser<'_> {
        let user = self.add(name, false, &[], false).await;
        let change = UserChange { is_auditor: Some(true), ..UserChange::default() };
        changes::change(&self.app, By::Cli, user.id, change).await.expect("a user can be an auditor");
        user
    }

    pub async fn superuser(&self, name: &str) -> TestUser<'_> {
        self.add(name, true, &[], false).await
    }

    /// An administrator with [`PASSWORD`].
    pub async fn superuser_with_password(&self, name: &str) -> TestUser<'_> {
        self.add(name, true, &[], true).await
    }

    /// A user who is there already.
    pub async fn known(&self, name: &str) -> TestUser<'_> {
        let user = users::find(&self.app, By::Cli, name).await.expect("the user exists");
        TestUser { app: self, id: user.id, name: name.to_owned() }
    }

    /// The same database and clock under other settings, as after a restart. It serves nobody.
    pub async fn restarted(&self, settings: &[(&str, &str)]) -> App {
        App::start(self.db.config(settings), self.app.clock.clone()).await.expect("the server starts")
    }

    /// A token that may do everything.
    pub async fn admin_token(&self) -> Caller {
        self.superuser("the admin").await.token().await
    }

    /// A plain user whose name is older than the rule for names, which no door takes now.
    pub async fn user_of_before(&self, name: &str) -> TestUser<'_> {
        let (user, now) = (new_user(name, false, &[], false), self.app.clock.now());
        let id: Result<_, StoreError> =
            self.app.store.write(move |db| Box::pin(async move { db.insert_user(&user, now).await })).await;
        TestUser { app: self, id: id.expect("a user can be added"), name: name.to_owned() }
    }

    async fn add(&self, name: &str, is_superuser: bool, permissions: &[Permission], has_password: bool) -> TestUser<'_> {
        let user = new_user(name, is_superuser, permissions, has_password);
        let id = users::add(&self.app, By::Cli, user, None).await.expect("a user can be added");
        TestUser { app: self, id, name: name.to_owned() }
    }

    /// Imports lines of JSON.
    pub async fn import(&self, lines: &[Value]) -> Summary {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.import_bytes(text, false).await.expect("lines that can be imported")
    }

    /// Imports anything.
    pub async fn import_bytes(&self, bytes: impl Into<Vec<u8>>, is_replacing: bool) -> Result<Summary, ImportError> {
        let source = Box::new(Cursor::new(bytes.into()));
        let stored = if is_replacing { Stored::GoesWithAdministrators } else { Stored::Stays };
        import::run(&self.app, By::Cli, source, stored, Box::new(|_| {})).await
    }

    /// The events so far: the kind, and the user that each is about.
    pub async fn events(&self) -> Vec<(String, String)> {
        let events = self.app.store.read().list_events(0, 100_000).await.expect("events");
        events.into_iter().map(|event| (event.kind().to_owned(), event.username)).collect()
    }

    /// How many events there are of that kind.
    pub async fn count_events(&self, kind: &str) -> usize {
        self.events().await.iter().filter(|(known, _)| known == kind).count()
    }

    /// The latest events of that kind, the last one first.
    pub async fn latest(&self, kind: &str) -> Vec<EventRow> {
        let filter = EventFilter { kind: Some(kind.to_owned()), ..EventFilter::default() };
        self.app.store.read().list_latest_events(&filter, 1_000).await.expect("events")
    }

    /// One number out of the database.
    pub async fn number(&self, sql: &str) -> i64 {
        self.app.store.read().one::<i64>(sql, &[]).await.expect("a query that can be run").expect("a row")
    }

    /// Why a session ended, and who ended it.
    pub async fn ending(&self, uuid: &str) -> Option<(String, String)> {
        let id = SessionId::parse(uuid).expect("a uuid");
        let ended = self.app.store.read().find_ended_session(id).await.expect("an answer");
        ended.map(|row| (row.reason, row.ended_by))
    }

    /// Records the end of at most `limit` of a user's sessions as very large ends do, and moves none of them. Gives how
    /// many.
    pub async fn record_ends_of(&self, user: i64, limit: i64) -> usize {
        let actor = Actor { ip: Address::parse("203.0.113.77"), request_id: "the request".into(), ..Actor::cli() };
        let end = End { comment: "many".into(), ..End::by(&actor, self.app.clock.now(), EndReason::Revoked) };
        let pending = PendingEnd { end, ip: "203.0.113.77".into(), request_id: actor.request_id, event: None };
        let recorded = self
            .app
            .store
            .write(move |db| Box::pin(async move { db.record_ends(&Which::Users(vec![user]), limit, &pending).await }));
        let recorded: Result<_, StoreError> = recorded.await;
        recorded.expect("they are recorded").users.len()
    }

    /// Moves sessions with a pending end to the history, as the job does.
    pub async fn move_pending(&self) {
        let is_left = bulk_end::move_some(&self.app, Duration::MAX).await.expect("they are moved");
        assert!(!is_left);
    }

    /// The counts that are kept agree with the rows that are there.
    pub async fn assert_counts(&self) {
        let db = self.app.store.read();
        let mut kept = db.all::<(String, i64)>(KEPT_COUNTS, &[]).await.expect("counts");
        let digits = if self.db.is_sqlite() { "lower(hex(user_uuid))" } else { "replace(CAST(user_uuid AS TEXT), '-', '')" };
        let mut counted = db.all::<(String, i64)>(&COUNTED_ROWS.replace("DIGITS", digits), &[]).await.expect("rows");
        kept.sort();
        counted.sort();
        assert_eq!(kept, counted, "the counts that are kept and the rows that are there");
    }
}

/// A user of the server under test.
pub struct TestUser<'a> {
    app: &'a TestApp,
    pub id: UserId,
    pub name: String,
}

impl TestUser<'_> {
    /// A caller with a new API token of theirs.
    pub async fn token(&self) -> Caller {
        self.app.anonymous().with_bearer(&self.token_key(TokenIntent::Api, None).await)
    }

    /// The key of a new token.
    pub async fn token_key(&self, intent: TokenIntent, lives: Option<Duration>) -> String {
        let request = TokenRequest {
            intent,
            identifier: None,
            description: String::new(),
            lives,
            key: None,
            scopes: Scopes::default(),
            applications: Vec::new(),
            is_readable: false,
        };
        let made = tokens::add(&self.app.app, By::Cli, self.id, &self.name, request).await;
        made.expect("a token can be made").1.expose().to_owned()
    }

    /// Makes an API token of this identifier.
    pub async fn named_token(&self, identifier: &str) {
        let request = TokenRequest {
            intent: TokenIntent::Api,
            identifier: Some(identifier.to_owned()),
            description: String::new(),
            lives: None,
            key: None,
            scopes: Scopes::default(),
            applications: Vec::new(),
            is_readable: true,
        };
        tokens::add(&self.app.app, By::Cli, self.id, &self.name, request).await.expect("a token can be made");
    }

    /// A browser with a session that was started without the ceremony, and with a CSRF secret.
    pub async fn session(&self) -> Browser {
        self.session_on("192.0.2.1", "").await
    }

    /// The same, from an address and with a user agent.
    pub async fn session_on(&self, ip: &str, user_agent: &str) -> Browser {
        let client = Client { ip: Address::parse(ip).expect("an address"), user_agent: user_agent.to_owned() };
        let actor = Actor { name: "anonymous".into(), ip: Some(client.ip), ..Actor::default() };
        let user = self.app.app.store.read().find_user(self.id).await.expect("the database answers").expect("the user exists");
        let started = sign_in::start_session(&self.app.app, user, &client, false, Vec::new(), &actor).await;
        let started = started.expect("a session can be started");
        let caller = self.app.anonymous();
        caller.set_cookie("rollcall_session", started.key.expose());
        Browser { caller, uuid: started.uuid.to_string(), key: started.key.expose().to_owned() }
    }

    /// Signs in through the flow executor, as people do.
    pub async fn sign_in(&self) -> Caller {
        let caller = self.app.anonymous();
        let last = sign_in_as(&caller, &self.name, PASSWORD, false).await;
        assert_eq!(last.json()["component"], "xak-flow-redirect", "{}", last.text());
        caller
    }
}

/// A signed-in browser.
pub struct Browser {
    pub caller: Caller,
    pub uuid: String,
    pub key: String,
}

impl Browser {
    /// The address of this session.
    pub fn url(&self) -> String {
        format!("{}{}/", super::SESSIONS, self.uuid)
    }

    /// The same browser, with a CSRF cookie and the header that agrees.
    pub fn with_csrf(&self) -> Caller {
        let secret = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
        self.caller.set_cookie("authentik_csrf", secret);
        self.caller.with_header("x-authentik-csrf", secret)
    }
}

impl std::ops::Deref for Browser {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Answers the sign-in flow's challenges and gives the last answer.
pub async fn sign_in_as(caller: &Caller, uid: &str, password: &str, remember: bool) -> Answer {
    caller.get(SIGN_IN_FLOW).await.assert_status(200);
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": uid})).await.assert_status(200);
    let answer = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": password})).await;
    if answer.json()["component"] != "ak-stage-user-login" {
        return answer;
    }
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": remember})).await
}

/// An instant.
pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

fn new_user(name: &str, is_superuser: bool, permissions: &[Permission], has_password: bool) -> NewUser {
    NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: name.to_owned(),
        name: String::new(),
        email: String::new(),
        password_hash: has_password.then(|| PASSWORD_HASH.clone()),
        is_active: true,
        is_superuser,
        permissions: permissions.to_vec(),
    }
}
