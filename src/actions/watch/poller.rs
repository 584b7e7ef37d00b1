//! One process polls a source: it holds the lease, asks, writes what it read, and notes the state of the copy.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::retention;
use crate::actions::watch::alerts::Seen;
use crate::actions::watch::error::PollError;
use crate::actions::watch::event_log::EventLog;
use crate::actions::watch::walk::Walk;
use crate::domain::source::{CopyState, NAME};
use crate::domain::{SessionId, Timestamp, secret};
use crate::store::StoreError;
use crate::store::sessions::end_job::Lease;
use crate::store::watch::sessions::WatchedSession;
use crate::store::watch::sources::SourceRow;
use crate::watch::answer::{SeenOwner, SeenSession};
use crate::watch::call::Names;
use crate::watch::{Client, Timed};

/// How long a lease lasts: longer than a request and the pause after it.
pub(super) const LEASE: Duration = Duration::from_secs(45);
/// How old a lease is when it is renewed.
const RENEWED: Duration = Duration::from_secs(5);
/// How far the clocks of two nodes may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
/// Up to how many new sessions are asked for before their page is doubted: some may have ended since.
const SEEN_AGAIN: usize = 4;
/// What has no end.
const NEVER: Timestamp = Timestamp(253_402_300_799_000_000);

/// Polls one source. All that it keeps in memory is made again after a restart.
#[derive(Default)]
pub struct Poller {
    pub(super) holder: String,
    held_at: Option<Instant>,
    pub(super) source: Option<SourceRow>,
    pub(super) names: Names,
    /// A walk through all sessions that has begun.
    pub(super) walk: Option<Walk>,
    /// When the walk began that found what is settled now.
    pub(super) walked: Option<Timestamp>,
    /// When the latest sessions were last read.
    pub(super) latest_at: Option<Instant>,
    /// Sessions of other users that the source showed lately: as long as they are visible, the token sees all.
    pub(super) witnesses: Vec<SessionId>,
    /// Since when enough sessions are missing at once to doubt it.
    pub(super) many_since: Option<Timestamp>,
    /// How far the source's clock is ahead of ours, in microseconds.
    pub(super) clock_ahead: i64,
    /// When the last request was sent.
    pub(super) asked_at: Option<Timestamp>,
    /// Whether the version was asked for since the start: an upgrade of authentik may have changed it.
    pub(super) has_version: bool,
    /// Who answers for an empty copy in place of the owner that it knows, and since when.
    pub(super) stranger: Option<(SeenOwner, Timestamp)>,
    /// When authentik's event log may be asked.
    pub(super) event_log: EventLog,
    /// Sessions that this poll saw for the first time, but for those of the first copy.
    pub(super) began: Vec<SessionId>,
    /// How many sessions this poll found that the copy did not have.
    pub(super) new_in_poll: usize,
    /// Whether it was told that the copy is old.
    pub(super) was_told_old: bool,
    pub(super) named_at: Option<Timestamp>,
    pub(super) named_whole_at: Option<Timestamp>,
    /// Up to how many sessions each poll reads all of them; `None`: as is usual.
    pub(super) small: Option<i64>,
}

impl Poller {
    /// A poller that reads all sessions at each poll up to this number of them, and searches above it.
    #[must_use]
    pub fn walking_up_to(sessions: i64) -> Self {
        Self { small: Some(sessions), ..Self::default() }
    }

    /// Polls once: reads what changed, finds what ended, and notes the state of the copy.
    ///
    /// # Errors
    /// Why it did not come to its end; the copy has what was read before. [`ActionError::Forbidden`] for callers of the
    /// server.
    pub async fn poll(&mut self, app: &App, by: By<'_>) -> Result<(), PollError> {
        by.must_operate()?;
        let client = app.watched.as_ref().ok_or(PollError::NotSet)?;
        self.hold(app, client).await?;
        let outcome = self.poll_held(app, client).await;
        self.note(app, &outcome).await?;
        outcome
    }

    async fn poll_held(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let began = app.clock.now();
        (self.new_in_poll, self.began) = (0, Vec::new());
        let since = self.source()?.status.seen_at;
        self.identify(app, client).await?;
        let total = self.read_latest(app, client).await?;
        self.settle_asked(app, client).await?;
        self.name_users(app, client, began).await?;
        let missing = self.find_missing(app, client, total).await?;
        self.match_sign_ins(app, client, since).await?;
        self.settle(app, client, &missing).await?;
        if self.source()?.status.swept_at != Timestamp(0) {
            self.alert_of_many_new(app).await?;
        }
        let walked = self.walked.take();
        let status = &mut self.source()?.status;
        status.swept_at = walked.unwrap_or(status.swept_at);
        status.seen_at = began;
        self.was_told_old = false;
        Ok(())
    }

    /// The source, once the lease was taken.
    pub(super) fn source(&mut self) -> Result<&mut SourceRow, PollError> {
        self.source.as_mut().ok_or(PollError::NotOurs)
    }

    /// Takes the lease, or renews it.
    pub(super) async fn hold(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        if self.held_at.is_some_and(|at| at.elapsed() < RENEWED) && self.source.is_some() {
            return Ok(());
        }
        if self.holder.is_empty() {
            self.holder = secret::random_alphanumeric(20).map_err(ActionError::from)?;
        }
        let now = app.clock.now();
        let (lease, url) = (Lease { holder: self.holder.clone(), until: now.plus(LEASE) }, client.source().url.origin().to_owned());
        let is_new = self.source.is_none();
        let held = app.store.write(move |db| {
            Box::pin(async move {
                let source = if is_new { db.keep_source(NAME, &url).await? } else { db.find_source(NAME).await?.ok_or(GONE)? };
                Ok::<_, StoreError>(db.hold_source(source.id, &lease, now).await?.then_some(source))
            })
        });
        let Some(source) = held.await? else {
            // Another process goes on; what this one knows of the source is old when it polls again.
            return Err(self.begin_anew());
        };
        if self.source.as_ref().is_some_and(|known| known.instance != source.instance) {
            return Err(self.begin_anew());
        }
        self.held_at = Some(Instant::now());
        if is_new {
            self.names = Names::of_version(&source.status.version);
            self.source = Some(source);
        }
        Ok(())
    }

    /// Forgets what this process knows of the source; the next poll begins with what the database has.
    pub(super) fn begin_anew(&mut self) -> PollError {
        *self = Self { holder: std::mem::take(&mut self.holder), small: self.small, ..Self::default() };
        PollError::NotOurs
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
    pub async fn release(&mut self, app: &App, by: By<'_>) -> Result<(), ActionError> {
        by.must_operate()?;
        let Some(source) = self.source.take() else { return Ok(()) };
        let holder = self.holder.clone();
        app.store.write(move |db| Box::pin(async move { db.release_source(source.id, &holder).await })).await?;
        self.held_at = None;
        Ok(())
    }

    /// Writes the state that a poll leaves.
    async fn note(&mut self, app: &App, outcome: &Result<(), PollError>) -> Result<(), PollError> {
        let (state, detail) = match outcome {
            Ok(()) => (CopyState::Fresh, String::new()),
            Err(error) => match error.state() {
                Some(state) => (state, format!("{error}.{}", error.cure())),
                None => return Ok(()),
            },
        };
        let before = self.source()?.status.state;
        if before != state {
            tracing::info!(state = state.as_str(), detail, "the copy of authentik's sessions");
        }
        let status = &mut self.source()?.status;
        (status.state, status.detail) = (state, detail);
        self.write_status(app).await
    }

    pub(super) async fn write_status(&mut self, app: &App) -> Result<(), PollError> {
        let (source, holder) = (self.source()?.clone(), self.holder.clone());
        let written =
            app.store.write(move |db| Box::pin(async move { db.update_source(source.id, &holder, &source.status).await }));
        let written: Result<bool, StoreError> = written.await;
        if written? { Ok(()) } else { Err(self.begin_anew()) }
    }

    /// Sends a request and pauses, so that the share of the settings holds.
    pub(super) async fn ask<T>(
        &mut self,
        app: &App,
        client: &Client,
        what: &'static str,
        request: impl Future<Output = Timed<T>>,
    ) -> Result<T, PollError> {
        self.hold(app, client).await?;
        self.asked_at = Some(app.clock.now());
        let Timed { value, took, date } = request.await;
        if let Some(date) = date {
            self.clock_ahead = date.0 - app.clock.now().0;
            let ahead = self.clock_ahead;
            self.source()?.status.note_clock(ahead);
        }
        let pause = client.source().share.pause_after(took);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        value.map_err(|error| PollError::Source { what, error })
    }

    /// Asks for one of the sessions that are new to the copy. Another instance may have answered up to the moment before
    /// the source was identified, and its sessions would count as ended when it is gone.
    ///
    /// # Errors
    /// [`PollError::Doubt`] when none of them is there.
    async fn see_again(&mut self, app: &App, client: &Client, new: &[SessionId]) -> Result<(), PollError> {
        for uuid in new.iter().take(SEEN_AGAIN) {
            if self.shows(app, client, *uuid).await? {
                return Ok(());
            }
        }
        Err(PollError::Doubt("authentik showed new sessions, and none of them is there a moment later".into()))
    }

    /// Writes sessions that one answer of the source showed, those that changed, and remembers witnesses. Where some are
    /// new, the source is identified first: they may be of another instance that answers under the name.
    pub(super) async fn merge(&mut self, app: &App, client: &Client, seen: Vec<SeenSession>) -> Result<(), PollError> {
        if seen.is_empty() {
            return Ok(());
        }
        // What ended here since the request was sent may have been alive when the answer was made.
        let ended_since = self.asked_at.unwrap_or(app.clock.now()).minus(CLOCKS);
        let id = self.source()?.id;
        let uuids: Vec<SessionId> = seen.iter().map(|session| session.uuid).collect();
        let known = app.store.read().list_watched(id, &uuids).await?;
        let known: HashMap<SessionId, WatchedSession> = known.into_iter().map(|row| (row.session.uuid, row.session)).collect();
        let new: Vec<SessionId> = uuids.iter().filter(|uuid| !known.contains_key(uuid)).copied().collect();
        if !new.is_empty() {
            self.identify(app, client).await?;
            self.see_again(app, client, &new).await?;
        }
        let owner = self.source()?.status.owner_pk;
        let of_others = seen.iter().filter(|session| session.user != owner).map(|session| session.uuid);
        let witnesses: Vec<SessionId> = of_others.take(4).collect();
        self.witnesses.retain(|known| !witnesses.contains(known));
        self.witnesses.splice(0..0, witnesses);
        self.witnesses.truncate(8);
        let mut is_taken = HashSet::new();
        let sessions = seen.into_iter().map(|session| watched(app, session));
        // A page that shifted shows a session twice, and a statement takes it once.
        let changed: Vec<WatchedSession> = sessions
            .filter(|session| known.get(&session.uuid) != Some(session))
            .filter(|session| is_taken.insert(session.uuid))
            .collect();
        let now = app.clock.now();
        self.new_in_poll += changed.iter().filter(|session| !known.contains_key(&session.uuid)).count();
        // In the first copy, everything is new.
        let (source, most) = (self.source()?.clone(), client.source().alert_sessions);
        let is_judged = source.status.swept_at != Timestamp(0);
        if is_judged {
            self.began.extend(changed.iter().map(|session| session.uuid).filter(|uuid| !known.contains_key(uuid)));
        }
        if !changed.is_empty() {
            let app_too = app.clone();
            let written = app.store.write(move |db| {
                Box::pin(async move {
                    if !db.lock_source(&source).await? {
                        return Ok(false);
                    }
                    let uuids: Vec<SessionId> = changed.iter().map(|session| session.uuid).collect();
                    let ended = db.list_ended_since(id, &uuids, ended_since).await?;
                    let changed: Vec<WatchedSession> =
                        changed.into_iter().filter(|session| !ended.contains(&session.uuid)).collect();
                    let mut rows = Vec::with_capacity(changed.len());
                    for session in changed {
                        let key = match db.find_user_agent_id(&session.user_agent).await? {
                            Some(key) => key,
                            None => {
                                let parsed = app_too.user_agents.parse(&session.user_agent);
                                let rules = app_too.user_agents.fingerprint();
                                db.insert_user_agent(&session.user_agent, &parsed, &rules).await?
                            }
                        };
                        rows.push((session, key));
                    }
                    if is_judged {
                        let seen = Seen { app: &app_too, source: &source, rows: &rows, known: &known, most, now };
                        db.insert_events(&seen.alerts(db).await?).await?;
                    }
                    db.keep_watched(id, &rows, now).await?;
                    Ok(true)
                })
            });
            let is_written: Result<bool, StoreError> = written.await;
            if !is_written? {
                return Err(self.begin_anew());
            }
        }
        Ok(())
    }
}

/// Holds for a source whose row is not there any more.
const GONE: StoreError = StoreError::Corrupt("a source without a row");

/// A session as the copy has it.
fn watched(app: &App, seen: SeenSession) -> WatchedSession {
    let ip = retention::keepable(app, seen.last_ip, seen.last_used);
    let (country, asn) = app.geoip.country_and_asn(ip);
    WatchedSession {
        uuid: seen.uuid,
        user_pk: seen.user,
        ip,
        user_agent: seen.last_user_agent,
        country,
        asn,
        last_used_at: seen.last_used,
        expires_at: seen.expires.unwrap_or(NEVER),
    }
}
