//! A sign-in to an app's host: a ticket is made for a session on Rollcall's host, and becomes an app key on the app's.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::guard::check::{Caller, Credential, Question, Verdict, judge_request, refuse};
use crate::actions::sessions::check::{Admission, admit};
use crate::actions::sessions::end;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::domain::caller::{Actor, Client};
use crate::domain::clock::AHEAD;
use crate::domain::event::EventContent;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;
use crate::store::applications::app_sessions::Opened;
use crate::store::applications::people::Subject;
use crate::store::guard::keys::NewAppKey;
use crate::store::guard::tickets::Ticket;
use crate::store::sessions::rows::LiveSession;

/// How long a ticket can be used.
const LIVES: Duration = Duration::from_secs(60);
/// The most keys of an app session on one host: a browser has one, and several may sign in at once.
const MOST_KEYS: i64 = 4;
/// The most keys of an app session on all hosts together: a guard of `*.example.com` has as many hosts as a caller makes up.
const MOST_KEYS_IN_ALL: i64 = 100;
/// What the keyed hash of the last user is for.
const LAST: &str = "last user of an app's host";

/// Whether the user of a session may open something of an application, as a check on its host would find.
///
/// # Errors
/// When the database does not answer.
pub async fn judge_session(
    app: &App,
    application: &Application,
    question: Question<'_>,
    session: &LiveSession,
) -> Result<Verdict, StoreError> {
    let Some(who) = app.store.read().find_subject(session.user_id).await?.filter(|who| who.is_active) else {
        return Ok(Verdict::SignIn);
    };
    let judgement = judge_request(app, application, question, Some((session, &who.person)), app.clock.now());
    if judgement.decision.is_met() {
        return Ok(Verdict::Allowed(Box::new(Caller { subject: who, credential: Credential::of(session) })));
    }
    if judgement.decision.can_be_proved() {
        return Ok(Verdict::Prove(judgement.decision));
    }
    refuse(app, application, question, &judgement, session).await
}

/// Makes a ticket for a session, an application and a host, and for the browser whose start cookie has this hash.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give.
pub async fn issue(
    app: &App,
    session: &LiveSession,
    application: &Application,
    host: &Host,
    flow: HashedSecret,
) -> Result<PlainSecret, StoreError> {
    let secret = PlainSecret::generate().map_err(no_randomness)?;
    let ticket = Ticket { session_id: session.id, application_id: application.id, host: host.as_str().to_owned(), flow_hash: flow };
    let (hash, expires_at) = (secret.hash(), app.clock.now().plus(LIVES));
    app.store.write(move |db| Box::pin(async move { db.insert_ticket(hash, &ticket, expires_at).await })).await?;
    Ok(secret)
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Failed(format!("no randomness: {error}"))
}

/// What a ticket must be for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The application.
    pub application: &'a Application,
    /// The host.
    pub host: &'a Host,
    /// The hash of the start cookie of this browser.
    pub flow: HashedSecret,
    /// The hash of the app key that the browser has already.
    pub present: Option<HashedSecret>,
    /// Which user signed in on this browser last, as it was told by [`Redeemed::Opened`].
    pub last: Option<&'a str>,
}

/// What became of a ticket.
#[derive(Debug)]
pub enum Redeemed {
    /// It opens nothing: it was used, is too old, is for something else, or its session ended.
    Nothing,
    /// Another user signed in on this browser before, and the app may have kept something of them there.
    OtherUser,
    /// The app is open.
    Opened {
        /// The key for the cookie; `None`: the browser has one that stays.
        key: Option<PlainSecret>,
        /// What the browser keeps of its user.
        last: String,
        /// For how long the cookie may be kept; `None`: until the browser closes.
        max_age: Option<Duration>,
    },
}

/// Uses up a ticket, and makes the app key of its session, in one transaction.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give.
pub async fn redeem(app: &App, ticket: &PlainSecret, wanted: Wanted<'_>, actor: &Actor) -> Result<Redeemed, StoreError> {
    let (now, hash, key) = (app.clock.now(), ticket.hash(), PlainSecret::generate().map_err(no_randomness)?);
    let (application, host) = (wanted.application.clone(), wanted.host.as_str().to_owned());
    let (flow, present, before) = (wanted.flow, wanted.present, wanted.last.map(str::to_owned));
    let (own, actor, store) = (app.clone(), actor.clone(), app.store.clone());
    store
        .write(move |db| {
            Box::pin(async move {
                let Some(ticket) = db.take_ticket(hash, now, now.plus(LIVES + AHEAD)).await? else { return Ok(Redeemed::Nothing) };
                let is_wanted = ticket.application_id == application.id && ticket.host == host && ticket.flow_hash == flow;
                let session = db.find_live_session_by_id(ticket.session_id, now).await?;
                let Some(session) = session.filter(|_| is_wanted) else { return Ok(Redeemed::Nothing) };
                let Some(who) = db.find_subject(session.user_id).await? else { return Ok(Redeemed::Nothing) };
                let last = own.instance_key.proof(LAST, who.identity.uuid.as_bytes());
                if before.is_some_and(|before| before != last) {
                    return Ok(Redeemed::OtherUser);
                }
                let opened = Opened::Host(&host);
                let Some(begun) = db.begin_app_session(session.id, &application, opened, &who.identity.uid, now).await? else {
                    return Ok(Redeemed::Nothing);
                };
                if begun.is_new {
                    let application = application.slug.clone();
                    let content = EventContent::ApplicationOpened {
                        application,
                        host: Some(host.clone()),
                        client_id: None,
                        scope: String::new(),
                    };
                    let actor = actor.as_user(session.user_id, &session.username);
                    let event = content.by(&actor, now).about(session.user_id, &session.username).of_session(session.uuid);
                    db.insert_events(&[event]).await?;
                }
                // A new proof is a new key (OWASP ASVS v5.0.0-7.2.4).
                db.delete_app_keys_before(begun.id, session.proved_at).await?;
                let has_key = match present {
                    Some(present) => db.has_app_key(present, begun.id, &host, session.proved_at).await?,
                    None => false,
                };
                if !has_key {
                    db.delete_oldest_app_keys(begun.id, &host, MOST_KEYS - 1).await?;
                    db.delete_oldest_app_keys_of_all(begun.id, MOST_KEYS_IN_ALL - 1).await?;
                    let (app_session_id, session_id) = (begun.id, session.id);
                    let new = NewAppKey { hash: key.hash(), app_session_id, session_id, host: &host, created_at: now };
                    db.insert_app_key(&new).await?;
                }
                let max_age = session.is_remembered.then(|| session.lifetime.absolute_expires_at.since(now));
                Ok::<_, StoreError>(Redeemed::Opened { key: (!has_key).then_some(key), last, max_age })
            })
        })
        .await
}

/// Whose an app key is, while it opens its application on this host: for what is not a request to the app.
///
/// # Errors
/// When the database does not answer.
pub async fn holder(
    app: &App,
    key: HashedSecret,
    (host, application): (&str, i64),
    client: &Client,
    request_id: &str,
) -> Result<Option<(LiveSession, Subject)>, StoreError> {
    let Some(found) = app.store.read().find_key_holder(key, host, application, app.clock.now()).await? else { return Ok(None) };
    match admit(app, found.session, found.session_key, client, request_id).await? {
        Admission::Open(session) => Ok(Some((session, found.who))),
        _ => Ok(None),
    }
}

/// Ends a session from an app's host: its user signs out.
///
/// # Errors
/// When the database cannot be written.
pub async fn sign_out(app: &App, session: &LiveSession, actor: &Actor) -> Result<(), StoreError> {
    end::sign_out_session(app, session, actor).await
}

/// Removes tickets that expired, and what was seen of probes. A job calls it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn sweep(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.delete_expired_probes(now).await?;
                db.delete_expired_tickets(now).await
            })
        })
        .await?;
    Ok(())
}
