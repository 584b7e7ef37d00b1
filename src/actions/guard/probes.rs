//! Probes: requests of `rollcall check proxy` that carry a proof by the instance key. The server that a proxy asks about
//! such a request writes down what arrived, and answers it as any other.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end;
use crate::core::Core;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::domain::clock::AHEAD;
use crate::domain::event::EventContent;
use crate::domain::session::Lifetime;
use crate::domain::{Address, Method, Methods, PlainSecret, SessionId, Timestamp, UserId, secret};
use crate::store::StoreError;
use crate::store::applications::app_sessions::Opened;
use crate::store::guard::keys::NewAppKey;
use crate::store::sessions::rows::{NewSession, Origin};

/// How the value of the proof begins: not as an app password does.
pub const START: &str = "rcprobe.";
/// The parameter of the query that carries the proof, too.
pub const PARAMETER: &str = "rollcall-probe";
const PURPOSE: &str = "probe of a proxy";
/// How long a proof is accepted.
const LIVES: Duration = Duration::from_secs(60);
/// How long what was seen is kept, and how long the session of a check of a proxy lives at the longest.
const KEPT: Duration = Duration::from_secs(300);

/// The user agent of probes.
pub const AGENT: &str = "rollcall check proxy";

/// What a server saw of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The path of the request that arrived, without its query: that of a check, or a page of a guarded host.
    pub address: String,
    /// The kind of the proxy by that path; `""`: it was no check.
    pub kind: String,
    /// Whether its sender is in `http.trusted_proxies`.
    pub is_trusted: bool,
    /// The host that was asked about; `""`: it is not clear what was asked about.
    pub host: String,
    /// The path and query.
    pub target: String,
    /// The method; `""`: not told.
    pub method: String,
    /// The client's address, as rules and events see it.
    pub client: String,
    /// Whether `X-Forwarded-For` was there.
    pub is_forwarded: bool,
    /// The status of the answer.
    pub status: u16,
}

/// A probe that is about to be sent.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its id.
    pub id: Uuid,
    /// The value that proves it.
    pub proof: String,
}

/// A new probe. Its proof is good for a minute, and the first server that sees it reports it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the operating system has no randomness to give.
pub fn issue(core: &Core, by: By<'_>) -> Result<Probe, ActionError> {
    by.must_operate()?;
    let id = secret::random_uuid().map_err(no_randomness)?;
    let content = [id.as_bytes().as_slice(), &core.clock.now().0.to_be_bytes()].concat();
    let sealed = core.instance_key.seal(PURPOSE, b"", &content).map_err(no_randomness)?;
    Ok(Probe { id, proof: format!("{START}{}", URL_SAFE_NO_PAD.encode(sealed)) })
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Failed(format!("no randomness: {error}"))
}

/// The probe that a value proves; `None`: it proves none, or is older than a minute.
#[must_use]
pub fn open(core: &Core, proof: &str) -> Option<Uuid> {
    let sealed = URL_SAFE_NO_PAD.decode(proof.strip_prefix(START)?).ok()?;
    let content = core.instance_key.open(PURPOSE, b"", &sealed)?;
    let (id, made_at) = content.split_first_chunk::<16>()?;
    let (made_at, now) = (Timestamp(i64::from_be_bytes(made_at.try_into().ok()?)), core.clock.now());
    let is_young = now.since(made_at) <= LIVES && made_at <= now.plus(AHEAD);
    is_young.then(|| Uuid::from_bytes(*id))
}

/// Keeps what was seen of a probe whose proof was opened.
///
/// # Errors
/// When the database cannot be written.
pub async fn keep(core: &Core, id: Uuid, seen: &Seen) -> Result<(), StoreError> {
    let (report, until) = (serde_json::to_string(seen).unwrap_or_default(), core.clock.now().plus(KEPT));
    core.store.write(move |db| Box::pin(async move { db.insert_probe(id, &report, until).await })).await
}

/// What was seen of a probe; `None`: no server saw it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
pub async fn find(core: &Core, by: By<'_>, id: Uuid) -> Result<Option<Seen>, ActionError> {
    by.must_operate()?;
    let report = core.store.read().find_probe(id).await?;
    Ok(report.and_then(|report| serde_json::from_str(&report).ok()))
}

/// A session for probes, with an app key of one host.
#[derive(Debug)]
pub struct ProbeSession {
    /// The session.
    pub uuid: SessionId,
    /// The value of the host's cookie.
    pub key: PlainSecret,
}

/// Begins a session of a user that opens one application on one host: for requests that must be let in as people are. It
/// has every proof, lives five minutes, and [`end_session`] ends it before. Both leave their events.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; [`ActionError::NotFound`] when there is no such user, or the
/// application is gone; when the database cannot be written.
pub async fn begin_session(
    app: &App,
    by: By<'_>,
    user: UserId,
    application: &Application,
    host: &Host,
) -> Result<ProbeSession, ActionError> {
    by.must_operate()?;
    let (key, cookie) = (PlainSecret::generate().map_err(no_randomness)?, PlainSecret::generate().map_err(no_randomness)?);
    let uuid = SessionId(secret::random_uuid().map_err(no_randomness)?);
    let (now, actor) = (app.clock.now(), by.actor());
    let methods = [Method::Password, Method::OneTimeCode, Method::HardwareKey, Method::SoftwareKey];
    let methods = methods.into_iter().fold(Methods::default(), Methods::with);
    let (application, host, app_key) = (application.clone(), host.as_str().to_owned(), cookie.hash());
    let core = app.core.clone();
    app.store
        .write(move |db| {
            Box::pin(async move {
                let who = db.find_subject(user).await?.filter(|who| who.is_active).ok_or(ActionError::NotFound)?;
                let agents = &core.user_agents;
                let user_agent_id = match db.find_user_agent_id(AGENT).await? {
                    Some(id) => id,
                    None => db.insert_user_agent(AGENT, &agents.parse(AGENT), &agents.fingerprint()).await?,
                };
                let lifetime = Lifetime { idle_timeout: None, absolute_expires_at: now.plus(KEPT) };
                let session = NewSession {
                    uuid,
                    key_hash: key.hash(),
                    user,
                    created_at: now,
                    last_used_at: now,
                    lifetime,
                    origin: Origin { ip: Address::UNKNOWN, user_agent_id, country: String::new(), asn: None },
                    methods,
                    is_known_device: true,
                    is_remembered: false,
                };
                db.insert_session(&session).await?;
                let row = db.find_live_session(key.hash(), now).await?.ok_or(ActionError::NotFound)?;
                let begun = db.begin_app_session(row.id, &application, Opened::Host(&host), &who.identity.uid, now).await?;
                let begun = begun.ok_or(ActionError::NotFound)?;
                let (app_session_id, session_id) = (begun.id, row.id);
                let new = NewAppKey { hash: app_key, app_session_id, session_id, host: &host, created_at: now };
                db.insert_app_key(&new).await?;
                let content = EventContent::SignIn { methods: methods.to_string() };
                let event = content.by(&actor, now).about(user, &who.identity.username).of_session(uuid);
                db.insert_events(&[event]).await?;
                Ok::<_, ActionError>(())
            })
        })
        .await?;
    Ok(ProbeSession { uuid, key: cookie })
}

/// Ends the session of probes.
///
/// # Errors
/// As [`end::end_listed`].
pub async fn end_session(app: &App, by: By<'_>, session: &ProbeSession) -> Result<(), ActionError> {
    end::end_listed(app, by, &[session.uuid], "rollcall check proxy").await.map(drop)
}
