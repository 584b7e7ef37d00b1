//! All ends of sessions except ends by a filter.

use futures_util::future::join_all;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::principal::{CallerToken, Principal};
use crate::actions::sessions::bulk_end::{Many, ManyEnds, begin_event, finish_event};
use crate::actions::sessions::end_in::{CHUNK, Fold, events_of};
use crate::actions::sessions::look;
use crate::domain::burst::Verdict;
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, FilterTerms};
use crate::domain::{EndReason, PlainSecret, SessionId, Timestamp, UserId};
use crate::store::sessions::end::Which;
use crate::store::sessions::history::End;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// Ends one session: one's own, or anybody's for those who may see and end all.
///
/// # Errors
/// [`ActionError::NotFound`] as for [`look::find`]; [`ActionError::Forbidden`] when the caller may see it
/// and not end it; [`ActionError::EndsRefused`] when the caller is a token that ended sessions of too many other users
/// within a minute (`safety.burst_sessions`).
pub async fn end_session(app: &App, who: &Principal, id: SessionId, actor: &Actor) -> Result<(), ActionError> {
    // For a caller who may see and end all sessions, the end itself shows whether there was one.
    if !(who.rights.may_view_sessions && who.rights.may_delete_sessions) {
        let session = look::find(app, who, id).await?;
        if !who.may_end(session.user_id) {
            return Err(ActionError::Forbidden);
        }
    }
    let most = app.config.safety.burst_sessions;
    match &who.token {
        Some(token) if most > 0 => end_counted(app, who, token, id, actor).await,
        _ if end_one(app, id, EndReason::Revoked, actor).await? => Ok(()),
        _ => Err(ActionError::NotFound),
    }
}

/// Ends one session for a token, and counts it in the same transaction, under the lock of the token's row: of
/// many at once, on all nodes together, no more pass than the bound permits.
async fn end_counted(app: &App, who: &Principal, token: &CallerToken, id: SessionId, actor: &Actor) -> Result<(), ActionError> {
    let now = app.clock.now();
    let (count, end) = (Count::of(app, who, token, actor), End::by(actor, now, EndReason::Revoked));
    let done = app.store.write(move |db| {
        Box::pin(async move {
            let user = db.find_session_owner(id).await?.ok_or(ActionError::NotFound)?;
            let verdict = count.judge(db, user, now).await?;
            if verdict == Verdict::Permitted {
                let gone = db.end_one(id, &end).await?.ok_or(ActionError::NotFound)?;
                db.insert_events_last(&events_of(std::slice::from_ref(&gone), &end, &count.actor, None))?;
            }
            Ok::<_, ActionError>(verdict)
        })
    });
    permitted(done.await?)
}

/// Counts an end of a session elsewhere for a token, if a token asks for it. `user` counts as the session's user.
///
/// # Errors
/// [`ActionError::EndsRefused`] when the token ended sessions of too many other users within a minute.
pub(in crate::actions) async fn count_end(app: &App, who: &Principal, user: UserId, actor: &Actor) -> Result<(), ActionError> {
    let Some(token) = who.token.as_ref().filter(|_| app.config.safety.burst_sessions > 0) else { return Ok(()) };
    let (count, now) = (Count::of(app, who, token, actor), app.clock.now());
    permitted(app.store.write(move |db| Box::pin(async move { count.judge(db, user, now).await })).await?)
}

fn permitted(verdict: Verdict) -> Result<(), ActionError> {
    match verdict {
        Verdict::Permitted => Ok(()),
        Verdict::Refused(wait) => {
            crate::metrics::count_refused_end();
            Err(ActionError::EndsRefused(wait))
        }
    }
}

/// Counts ends of a token.
struct Count {
    token: CallerToken,
    owner: (UserId, String),
    actor: Actor,
    most: u32,
}

impl Count {
    fn of(app: &App, who: &Principal, token: &CallerToken, actor: &Actor) -> Self {
        let (owner, most) = ((who.user_id, who.username.clone()), app.config.safety.burst_sessions);
        Self { token: token.clone(), owner, actor: actor.clone(), most }
    }

    /// Counts an end of a session of `user` inside a transaction. The first refusal of a minute is an event.
    async fn judge(&self, db: &Db<'_>, user: UserId, now: Timestamp) -> Result<Verdict, ActionError> {
        let mut burst = db.lock_burst(self.token.id).await?.ok_or(ActionError::NotFound)?;
        let was_refused = burst.is_refused;
        let verdict = burst.count(user, now, self.most);
        if matches!(verdict, Verdict::Refused(_)) {
            if was_refused {
                return Ok(verdict);
            }
            let users = u64::try_from(burst.ended.len()).unwrap_or(u64::MAX);
            let token = self.token.identifier.clone();
            let content = EventContent::EndsRefused { token, sessions: burst.sessions(), users };
            db.insert_events(&[content.by(&self.actor, now).about(self.owner.0, &self.owner.1)]).await?;
        }
        db.update_burst(self.token.id, &burst).await?;
        Ok(verdict)
    }
}

/// Ends all sessions of these users and gives how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may end everybody's sessions.
pub async fn end_of_users(app: &App, who: &Principal, users: Vec<i64>, actor: &Actor) -> Result<u64, ActionError> {
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden);
    }
    let expected = app.store.read().count_sessions_of_users(&users).await?;
    let filter = terms_of_users(app, &users).await?;
    let many = Many { filter: &filter, expected, reason: EndReason::Revoked, comment: "" };
    let part = users.len().div_ceil(app.store.writers()).max(1);
    if part == users.len() {
        let (ends, outcome) = end_users(ManyEnds::begin(app, many, actor).await?, &users).await;
        let ended = ends.finish().await?;
        outcome?;
        return Ok(ended);
    }
    // Parts of one end, which run at the same time and share its event.
    let mut fold = if expected > 1 { begin_event(app, many, actor).await? } else { Fold::part(None) };
    let parts = users.chunks(part).map(|users| end_users(ManyEnds::part(app, many, actor, fold.event()), users));
    let mut outcome = Ok(());
    for (ends, ended) in join_all(parts).await {
        fold.join(ends.into_fold());
        outcome = outcome.and(ended);
    }
    let count = fold.count();
    finish_event(app, fold, End::by(actor, app.clock.now(), EndReason::Revoked)).await?;
    outcome?;
    Ok(count)
}

/// Ends the sessions of these users. Returns what ended, also when an error stopped it.
async fn end_users<'a>(mut ends: ManyEnds<'a>, users: &[i64]) -> (ManyEnds<'a>, Result<(), StoreError>) {
    let mut users = users;
    while !users.is_empty() {
        let (now, later) = users.split_at(ends.users_at_once().min(users.len()));
        if let Err(error) = ends.end(Which::Users(now.to_vec())).await {
            return (ends, Err(error));
        }
        users = later;
    }
    (ends, Ok(()))
}

/// Users for an event: the names of the first, and how many more there are.
async fn terms_of_users(app: &App, users: &[i64]) -> Result<FilterTerms, StoreError> {
    const NAMED: usize = 10;
    let first = users.get(..users.len().min(NAMED)).unwrap_or_default();
    let names = app.store.read().list_usernames(first).await?;
    let mut text = names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ");
    if users.len() > NAMED {
        text = format!("{text} and {} more", users.len() - NAMED);
    }
    Ok([("users".to_owned(), text)].into())
}

/// Ends all of one's own sessions but the one this request came with.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_others(app: &App, current: &LiveSession, actor: &Actor) -> Result<u64, ActionError> {
    let which = Which::UserExcept(current.user_id, current.uuid);
    let filter = [("username", current.username.clone()), ("except", current.uuid.to_string())];
    let filter = filter.map(|(name, value)| (name.to_owned(), value)).into();
    end_all(app, which, filter, EndReason::Revoked, actor).await
}

/// Ends the session that a key opens: its owner signs out. A key that opens nothing is no error. Gives
/// whether it opened one.
///
/// # Errors
/// When the database cannot be written.
pub async fn sign_out(app: &App, key: &PlainSecret, actor: &Actor) -> Result<bool, ActionError> {
    let Some(session) = app.store.read().find_live_session(key.hash(), app.clock.now()).await? else {
        return Ok(false);
    };
    sign_out_session(app, &session, actor).await?;
    Ok(true)
}

/// Ends a session that was opened: its owner signs out, on whichever host.
///
/// # Errors
/// When the database cannot be written.
pub async fn sign_out_session(app: &App, session: &LiveSession, actor: &Actor) -> Result<(), StoreError> {
    let actor = actor.as_user(session.user_id, &session.username);
    end_one(app, session.uuid, EndReason::SignedOut, &actor).await.map(drop)
}

/// Ends the sessions with these UUIDs, of any user: for the command line, which has full access.
/// Returns how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn end_listed(app: &App, by: By<'_>, ids: &[SessionId], comment: &str) -> Result<u64, ActionError> {
    by.must_operate()?;
    Ok(end_all_listed(app, ids, comment, &by.actor()).await?)
}

/// The same for a caller whose permission was checked.
pub(in crate::actions) async fn end_all_listed(
    app: &App,
    ids: &[SessionId],
    comment: &str,
    actor: &Actor,
) -> Result<u64, StoreError> {
    let filter = listed(ids);
    let many = Many { filter: &filter, expected: ids.len() as u64, reason: EndReason::Revoked, comment };
    let mut ends = ManyEnds::begin(app, many, actor).await?;
    let outcome = end_each(&mut ends, ids).await;
    let ended = ends.finish().await?;
    outcome?;
    Ok(ended)
}

/// Sessions by UUID, for an event.
pub(in crate::actions) fn listed(ids: &[SessionId]) -> FilterTerms {
    [("named".to_owned(), ids.len().to_string())].into()
}

/// Ends the sessions with these UUIDs.
async fn end_each(ends: &mut ManyEnds<'_>, ids: &[SessionId]) -> Result<(), StoreError> {
    let mut ids = ids;
    while !ids.is_empty() {
        let (now, later) = ids.split_at(ends.chunk().min(ids.len()));
        ends.end(Which::Uuids(now.to_vec())).await?;
        ids = later;
    }
    Ok(())
}

/// Ends the sessions that had expired at `now`, and gives how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn sweep(app: &App, by: By<'_>, now: Timestamp) -> Result<u64, ActionError> {
    by.must_operate()?;
    let filter = [("expires_lte".to_owned(), now.to_string())].into();
    end_all(app, Which::ExpiredAt(now), filter, EndReason::Expired, &Actor::system()).await
}

/// Ends everything `which` names, chunk after chunk.
async fn end_all(app: &App, which: Which, filter: FilterTerms, reason: EndReason, actor: &Actor) -> Result<u64, ActionError> {
    let mut fold = Fold::of(filter);
    loop {
        let (before, which, actor) = (fold.count(), which.clone(), actor.clone());
        let end = End::by(&actor, app.clock.now(), reason);
        let ended = app.store.write_much(move |db| {
            Box::pin(async move {
                let gone = db.end_sessions(&which, CHUNK, &end).await?;
                fold.note(db, &gone, &end, &actor).await?;
                Ok::<_, StoreError>(fold)
            })
        });
        fold = ended.await?;
        // A short chunk need not be the last one: another end may have taken some of the same rows.
        if fold.count() == before {
            return Ok(fold.count());
        }
    }
}

/// Ends the session with this UUID; returns whether there was one.
async fn end_one(app: &App, id: SessionId, reason: EndReason, actor: &Actor) -> Result<bool, StoreError> {
    let (actor, end) = (actor.clone(), End::by(actor, app.clock.now(), reason));
    app.store
        .write(move |db| {
            Box::pin(async move {
                let gone = db.end_one(id, &end).await?;
                db.insert_events_last(&events_of(gone.as_slice(), &end, &actor, None))?;
                Ok(gone.is_some())
            })
        })
        .await
}
