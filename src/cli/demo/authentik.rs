//! The made-up authentik of the demo: a second Rollcall with a database of its own, which answers as authentik's API does.
//! The first one knows nothing of it but its address and a token. Its people sign in and out all the time.

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::actions::sessions::end;
use crate::actions::tokens::TokenRequest;
use crate::actions::{import, tokens};
use crate::cli::Failure;
use crate::cli::demo::people::{ADDRESSES, AGENTS, PEOPLE, people_and_sessions};
use crate::config::{Config, EventsMode, Location, Secret, Share, SourceToken, SourceUrl, Watched};
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::scope::Scopes;
use crate::domain::user::{Permission, TokenIntent};
use crate::domain::{Clock, SessionId, secret};
use crate::server;

/// The owner of the token, who sees everything, and may end sessions.
const OWNER: &str = "rollcall";
/// How often somebody signs in or out there.
const PERIOD: Duration = Duration::from_secs(3);
/// How often the demo looks for changes there.
const EVERY: Duration = Duration::from_secs(2);

/// It runs until this is dropped.
pub(super) struct MadeUp {
    pub origin: String,
    /// How many sessions it has at first.
    pub sessions: u64,
    token: String,
    tasks: [AbortHandle; 2],
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl MadeUp {
    /// Starts it on loopback. `config` is the demo's own; `folder` is for its database.
    ///
    /// # Errors
    /// When a port or a file cannot be used.
    pub async fn start(config: &Config, folder: &Path) -> Result<Self, Failure> {
        let mut config = config.clone();
        config.data_dir = folder.join("authentik");
        std::fs::create_dir(&config.data_dir)?;
        config.database = Location::Sqlite(config.data_dir.join("authentik.db"));
        config.watched = None;
        let app = App::start(config, Clock::guarded()).await?;
        let rights = [Permission::ViewSessions, Permission::DeleteSessions].map(Permission::as_str);
        let owner = json!({
            "kind": "user", "id": PEOPLE.len() + 1, "username": OWNER, "name": "Rollcall", "is_auditor": true, "permissions": rights,
        });
        let lines = format!("{owner}\n{}", people_and_sessions(app.clock.now(), None, false)?);
        let done = import::run(&app, By::System, Box::new(read(lines)), import::Stored::Stays, Box::new(|_| {})).await?;
        let owner = users::find(&app, By::System, OWNER).await?;
        let request = TokenRequest {
            intent: TokenIntent::Api,
            identifier: Some("watch".into()),
            description: String::new(),
            lives: None,
            key: None,
            applications: Vec::new(),
            scopes: Scopes::default(),
            is_readable: false,
        };
        let (_, token) = tokens::add(&app, By::System, owner.id, OWNER, request).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let router = server::router(&app);
        let serving = tokio::spawn(server::serve(listener, router, std::future::pending()));
        let coming = tokio::spawn(async move { come_and_go(&app).await });
        let tasks = [serving.abort_handle(), coming.abort_handle()];
        Ok(Self { origin, sessions: done.sessions, token: token.expose().to_owned(), tasks })
    }

    /// What the settings of the demo say of it.
    ///
    /// # Errors
    /// Never: the address is one of loopback.
    pub fn watched(&self) -> Result<Watched, Failure> {
        Ok(Watched {
            url: SourceUrl::parse(&self.origin).ok_or("the address of the made-up authentik cannot be read")?,
            token: SourceToken::given(Secret(self.token.clone())),
            every: EVERY,
            share: Share::ALL,
            ends_per_second: 10,
            events: EventsMode::Auto,
            alert_sessions: 20,
            alert_age: Duration::from_secs(300),
            allow_superuser: false,
        })
    }
}

fn read(lines: String) -> Cursor<Vec<u8>> {
    Cursor::new(lines.into_bytes())
}

/// Begins a session, or ends the one that was not used for longest, again and again.
async fn come_and_go(app: &App) {
    for nth in 0_usize.. {
        tokio::time::sleep(PERIOD).await;
        let outcome = if nth.is_multiple_of(2) { begin(app, nth).await } else { end_one(app).await };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the made-up authentik of the demo");
        }
    }
}

async fn begin(app: &App, nth: usize) -> Result<(), Failure> {
    let now = app.clock.now();
    let pick = |list: &[&'static str], step: usize| list.get(nth * step % list.len()).copied().unwrap_or_default();
    let line = json!({
        "kind": "session", "uuid": SessionId::generate(now)?.to_string(), "session_key": secret::random_alphanumeric(43)?,
        "user": nth * 5 % PEOPLE.len() + 1, "last_ip": pick(ADDRESSES, 3), "last_user_agent": pick(AGENTS, 7), "last_used": now,
        "expires": now.plus(Duration::from_secs(14 * 86_400)),
    });
    import::run(app, By::System, Box::new(read(format!("{line}\n"))), import::Stored::Stays, Box::new(|_| {})).await?;
    Ok(())
}

async fn end_one(app: &App) -> Result<(), Failure> {
    let order = [Sort { key: SortKey::LastUsed, is_descending: false }];
    let found = app.store.page(&SessionFilter::default(), &order, Wanted::first(1)).await?;
    let these: Vec<SessionId> = found.rows.iter().map(|row| row.uuid).collect();
    end::end_listed(app, By::System, &these, "").await?;
    Ok(())
}
