//! Watching an authentik. It is played by a strict server of our own (`authentik.rs`).

mod alerts;
mod authentik;
pub mod commands;
mod copy;
mod ends;
mod histories;
mod instances;
mod lists;
mod many;
mod pace;

use std::collections::BTreeMap;

use authentik::{Authentik, Session, TOKEN};
use rollcall::actions::ActionError;
use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::watch::end::{EndedAtSource, end_one};
use rollcall::actions::watch::error::PollError;
use rollcall::actions::watch::poller::Poller;
use rollcall::domain::source::{AskedState, CopyState};
use rollcall::domain::{Clock, SessionId, Timestamp};
use rollcall::store::watch::sessions::WatchedRow;
use rollcall::store::watch::sources::SourceRow;

use crate::support::app::at;
use crate::support::{NOW, TestApp, TestDb};

/// A Rollcall that watches an authentik. No job polls: tests call the poller.
pub struct Watch {
    pub rollcall: TestApp,
    pub authentik: Authentik,
    pub poller: Poller,
}

impl Drop for Watch {
    /// Whatever a test was about, authentik heard nothing but what the list of requests has.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.authentik.world().strange, [""; 0]);
        }
    }
}

impl Watch {
    pub async fn new(db: TestDb) -> Self {
        Self::with(db, &[]).await
    }

    /// With these settings, too.
    pub async fn with(db: TestDb, more: &[(&str, &str)]) -> Self {
        let authentik = Authentik::start(Clock::fixed(at(NOW))).await;
        let origin = authentik.origin();
        let settings = [("AUTHENTIK__URL", origin.as_str()), ("AUTHENTIK__TOKEN", TOKEN), ("AUTHENTIK__SHARE", "1")];
        let rollcall = TestApp::with(db, &[&settings, more].concat()).await;
        // One clock for both, which only tests move.
        authentik.world().clock = rollcall.app.clock.clone();
        Self { rollcall, authentik, poller: Poller::default() }
    }

    pub fn app(&self) -> &App {
        &self.rollcall.app
    }

    pub fn now(&self) -> Timestamp {
        self.app().clock.now()
    }

    pub async fn poll(&mut self) -> Result<(), PollError> {
        self.poller.poll(&self.rollcall.app, By::System).await
    }

    /// Adds sessions of the users 2, 3, …, one second between two uses.
    pub fn begin(&self, count: usize) -> Vec<SessionId> {
        let now = self.now();
        let mut world = self.authentik.world();
        let uuids: Vec<SessionId> = (0..count).map(|_| SessionId::generate(now).unwrap()).collect();
        for (nth, uuid) in (0_i64..).zip(&uuids) {
            world.begin(*uuid, session(2 + nth % 7, Timestamp(now.0 - nth * 1_000_000)));
        }
        uuids
    }

    pub async fn source(&self) -> SourceRow {
        self.app().store.read().find_source("authentik").await.unwrap().expect("it was polled")
    }

    pub async fn state(&self) -> CopyState {
        self.source().await.status.state
    }

    /// The copy, by UUID.
    pub async fn copy(&self) -> BTreeMap<SessionId, WatchedRow> {
        let id = self.source().await.id;
        let all = self.app().store.read().list_watched_after(id, SessionId(uuid::Uuid::nil()), 1_000_000).await.unwrap();
        all.into_iter().map(|row| (row.session.uuid, row)).collect()
    }

    /// Asks authentik for the end of a session, by the command line.
    pub async fn end(&self, uuid: SessionId) -> Result<EndedAtSource, ActionError> {
        end_one(self.app(), By::Cli, uuid, "a reason").await
    }

    /// The state of the end of a session that was asked for last.
    pub async fn asked(&self, uuid: SessionId) -> Option<AskedState> {
        let asked = self.app().store.read().find_asked_end(self.source().await.id, uuid).await.unwrap();
        asked.map(|asked| asked.state)
    }

    /// UUID and reason of each session in the history.
    pub async fn history(&self) -> Vec<(SessionId, String)> {
        let rows = self.app().store.read().list_ended_after(0, 1_000_000).await.unwrap();
        rows.into_iter().map(|(_, row)| (row.end.uuid, row.end.reason)).collect()
    }

    /// The copy is what authentik has, row by row.
    pub async fn assert_whole(&self) {
        let copy: BTreeMap<SessionId, Session> = self.copy().await.into_iter().map(|(uuid, row)| (uuid, of_row(&row))).collect();
        assert_eq!(copy, self.authentik.world().sessions);
    }
}

fn of_row(row: &WatchedRow) -> Session {
    let it = &row.session;
    Session {
        user: it.user_pk,
        ip: it.ip.to_string(),
        agent: it.user_agent.clone(),
        last_used: it.last_used_at,
        expires: it.expires_at,
    }
}

/// A session of this user.
pub fn session(user: i64, last_used: Timestamp) -> Session {
    let expires = last_used.plus(std::time::Duration::from_secs(14 * 86400));
    Session { user, ip: format!("192.0.2.{}", user % 250), agent: format!("Browser/{}", user % 5), last_used, expires }
}
