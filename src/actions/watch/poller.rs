//! One process polls a source: it holds the lease, asks, writes what it read, and notes the state of the copy.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::retention;
use crate::actions::watch::alerts::Seen;
use crate::actions::watch::error::{OWNER, PollError, SESSION, USERS};
use crate::actions::watch::event_log::EventLog;
use crate::actions::watch::walk::Walk;
use crate::domain::source::{CopyState, NAME};
use crate::domain::{SessionId, Timestamp, secret};
use crate::store::StoreError;
use crate::store::sessions::end_job::Lease;
use crate::store::watch::sessions::WatchedSession;
use crate::store::watch::sources::SourceRow;
use crate::store::watch::users::SourceUser;
use crate::watch::answer::{SeenOwner, SeenSession, SeenUser};
use crate::watch::call::Names;
use crate::watch::{Client, SourceError, Timed};

/// How long a lease lasts: longer than a request and the pause after it.
const LEASE: Duration = Duration::from_secs(45);
/// How old a lease is when it is renewed.
const RENEWED: Duration = Duration::from_secs(5);
/// How often names are read again while some are missing, and while none is.
const NAMES_SOON: Duration = Duration::from_secs(30);
const NAMES_LATER: Duration = Duration::from_secs(600);
/// How often all users are read, and those that the source does not have any more are forgotten.
const NAMES_WHOLE: Duration = Duration::from_secs(86_400);
/// How far the clocks of two nodes may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
/// How many sessions of the copy are looked at to recognize a source behind another token.
const RECOGNIZED_BY: i64 = 8;
/// Up to how many new sessions are asked for before their page is doubted: some may have ended since.
const SEEN_AGAIN: usize = 4;
/// For how long another owner or instance must answer before an empty copy, which cannot recognize it, becomes its own.
const TAKEN_AFTER: Duration = Duration::from_secs(600);
/// What has no end.
const NEVER: Timestamp = Timestamp(253_402_300_799_000_000);

/// Polls one source. All that it keeps in memory is made again after a restart.
#[derive(Default)]
pub struct Poller {
    holder: String,
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
    has_version: bool,
    /// Who answers for an empty copy in place of the owner that it knows, and since when.
    stranger: Option<(SeenOwner, Timestamp)>,
    /// When authentik's event log may be asked.
    pub(super) event_log: EventLog,
    /// How many sessions this poll found that the copy did not have.
    pub(super) new_in_poll: usize,
    /// Whether it was told that the copy is old.
    pub(super) was_told_old: bool,
    named_at: Option<Timestamp>,
    named_whole_at: Option<Timestamp>,
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
        self.new_in_poll = 0;
        self.identify(app, client).await?;
        let total = self.read_latest(app, client).await?;
        self.settle_asked(app, client).await?;
        self.name_users(app, client, began).await?;
        let missing = self.find_missing(app, client, total).await?;
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
    async fn hold(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
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
            *self = Self { holder: std::mem::take(&mut self.holder), small: self.small, ..Self::default() };
            return Err(PollError::NotOurs);
        };
        self.held_at = Some(Instant::now());
        if is_new {
            self.names = Names::of_version(&source.status.version);
            self.source = Some(source);
        }
        Ok(())
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
        if written? { Ok(()) } else { Err(PollError::NotOurs) }
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
        }
        let pause = client.source().share.pause_after(took);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        value.map_err(|error| PollError::Source { what, error })
    }

    /// Asks who the token's owner is, and whether this is the instance that the copy is of.
    ///
    /// # Errors
    /// [`PollError::Superuser`]; [`PollError::Doubt`] for another instance.
    pub(super) async fn identify(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let owner = self.ask(app, client, OWNER, client.owner()).await?;
        if owner.is_superuser && !client.source().allow_superuser {
            return Err(PollError::Superuser);
        }
        let status = &self.source()?.status;
        let is_known = (status.owner_pk, status.owner_uid.as_str()) == (owner.pk, owner.uid.as_str());
        let is_first = status.owner_uid.is_empty();
        if is_known {
            self.stranger = None;
        }
        if is_known && self.has_version {
            return Ok(());
        }
        if !is_known && !is_first && !self.is_recognized(app, client, &owner).await? {
            return Err(PollError::Doubt(
                "the token or the instance is another one, and none of the sessions that were copied is visible to it".into(),
            ));
        }
        // Where the version is not told, the order of the rows shows the names.
        let version = self.ask(app, client, "the version", client.version()).await.unwrap_or_default();
        (self.names, self.has_version) = (Names::of_version(&version), true);
        let status = &mut self.source()?.status;
        (status.owner_pk, status.owner_uid, status.version) = (owner.pk, owner.uid, version);
        self.write_status(app).await
    }

    /// Whether the source shows a session of the copy that is not the owner's own: its UUID is 128 random bits, so that
    /// the source is the one that the copy is of. The owner is asked for once more between two looks at the session: the
    /// instances may change places while they are asked.
    ///
    /// # Errors
    /// As for requests; those of [`Poller::may_take`] where the copy is empty.
    async fn is_recognized(&mut self, app: &App, client: &Client, owner: &SeenOwner) -> Result<bool, PollError> {
        let id = self.source()?.id;
        let known = app.store.read().list_latest_watched(id, owner.pk, RECOGNIZED_BY).await?;
        if known.is_empty() {
            return Ok(self.may_take(owner, app.clock.now())? && self.is_still(app, client, owner).await?);
        }
        for uuid in known {
            if self.shows(app, client, uuid).await? {
                return Ok(self.is_still(app, client, owner).await? && self.shows(app, client, uuid).await?);
            }
        }
        Ok(false)
    }

    /// Whether this owner answers still.
    async fn is_still(&mut self, app: &App, client: &Client, owner: &SeenOwner) -> Result<bool, PollError> {
        Ok(self.ask(app, client, OWNER, client.owner()).await? == *owner)
    }

    /// Whether the source shows a session.
    async fn shows(&mut self, app: &App, client: &Client, uuid: SessionId) -> Result<bool, PollError> {
        match self.ask(app, client, SESSION, client.session(uuid)).await {
            Ok(_) => Ok(true),
            Err(PollError::Source { error: SourceError::Missing, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an empty copy may become that of another owner or instance, which answers at `now`.
    ///
    /// # Errors
    /// [`PollError::Doubt`] until it has answered for [`TAKEN_AFTER`].
    fn may_take(&mut self, owner: &SeenOwner, now: Timestamp) -> Result<bool, PollError> {
        let since = match &self.stranger {
            Some((stranger, since)) if stranger == owner => *since,
            _ => now,
        };
        self.stranger = Some((owner.clone(), since));
        if now.since(since) >= TAKEN_AFTER {
            return Ok(true);
        }
        Err(PollError::Doubt(
            "the token or the instance is another one, and the copy has no session to recognize it by; it is taken when it \
             still answers ten minutes later"
                .into(),
        ))
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
        if !changed.is_empty() {
            let app_too = app.clone();
            let written = app.store.write(move |db| {
                Box::pin(async move {
                    db.lock_source(id).await?;
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
                    db.keep_watched(id, &rows, now).await
                })
            });
            let written: Result<(), StoreError> = written.await;
            written?;
        }
        Ok(())
    }

    /// Reads the names of users, if some are missing or it was long ago.
    async fn name_users(&mut self, app: &App, client: &Client, now: Timestamp) -> Result<(), PollError> {
        let id = self.source()?.id;
        let age = self.named_at.map(|at| now.since(at));
        if age.is_some_and(|age| age < NAMES_SOON) {
            return Ok(());
        }
        if age.is_some_and(|age| age < NAMES_LATER) && app.store.read().count_unnamed_users(id).await? == 0 {
            return Ok(());
        }
        self.named_at = Some(now);
        let is_whole = self.named_whole_at.is_none_or(|at| now.since(at) >= NAMES_WHOLE);
        let (mut page, mut all) = (1, Vec::new());
        loop {
            let answer = match self.ask(app, client, USERS, client.users(page)).await {
                Ok(answer) => answer,
                // Names are welcome, and the copy is whole without them.
                Err(PollError::Source { error: SourceError::NoPage | SourceError::Forbidden, .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.identify(app, client).await?;
            // A page that shifted shows a user twice, and a statement takes it once.
            let users: HashMap<i64, SourceUser> = answer.results.into_iter().map(|user| (user.pk, named(user))).collect();
            let is_last = users.is_empty() || page >= answer.pagination.total_pages;
            all.extend(users.keys().copied());
            let is_changed = self.keep_users(app, users).await?;
            if is_last && is_whole {
                self.named_whole_at = Some(now);
                app.store.write(move |db| Box::pin(async move { db.forget_source_users(id, &all).await })).await?;
                return Ok(());
            }
            // Users that changed come first.
            if is_last || (!is_whole && !is_changed && app.store.read().count_unnamed_users(id).await? == 0) {
                return Ok(());
            }
            page += 1;
        }
    }

    /// Writes users that changed, and returns whether there were any.
    async fn keep_users(&mut self, app: &App, users: HashMap<i64, SourceUser>) -> Result<bool, PollError> {
        let id = self.source()?.id;
        let known = app.store.read().list_source_users(id).await?;
        let known: HashMap<i64, SourceUser> = known.into_iter().map(|user| (user.pk, user)).collect();
        let changed: Vec<SourceUser> = users.into_values().filter(|user| known.get(&user.pk) != Some(user)).collect();
        if changed.is_empty() {
            return Ok(false);
        }
        let written: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { db.keep_source_users(id, &changed).await })).await;
        written?;
        Ok(true)
    }
}

fn named(seen: SeenUser) -> SourceUser {
    let SeenUser { pk, username, name, is_active, is_superuser } = seen;
    SourceUser { pk, username, name, is_active, is_superuser }
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
