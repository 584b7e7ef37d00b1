//! The check: whether a request to a guarded host may pass. Every request of every app asks it. It reads the
//! database once, and decides by the rules of the version that this one statement read; only they are cached.

use std::sync::Arc;

use crate::actions::app::App;
use crate::actions::guard::password;
use crate::actions::sessions::check::{Admission, admit};
use crate::domain::application::Application;
use crate::domain::application::decide::{Ask, Decision, Door, Missing, Person, Proof};
use crate::domain::application::guard::{Preflight, Uses};
use crate::domain::application::host::Host;
use crate::domain::application::judge::{Judgement, Reading, judge};
use crate::domain::caller::{Actor, Client};
use crate::domain::event::EventContent;
use crate::domain::guard::credentials::Given;
use crate::domain::signing::identity::Proved;
use crate::domain::{HashedSecret, Methods, Timestamp};
use crate::store::StoreError;
use crate::store::applications::people::Subject;
use crate::store::guard::check::KeyHolder;
use crate::store::sessions::rows::LiveSession;

/// A request to a guarded host.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The host.
    pub host: &'a Host,
    /// The readings of its path; not empty.
    pub readings: &'a [Reading<'a>],
    /// The methods that it may be taken for; empty: any.
    pub methods: &'a [String],
    /// The hash of the key in the host's cookie, if there is one.
    pub key: Option<HashedSecret>,
    /// An app password that was sent with it.
    pub password: Option<&'a Given>,
    /// Where it comes from.
    pub client: &'a Client,
    /// The id of the request.
    pub request_id: &'a str,
    /// Whether it is a navigation.
    pub is_navigation: bool,
    /// Whether it is a preflight.
    pub is_preflight: bool,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Verdict {
    /// It may pass, and nothing is said of who asks.
    Anonymous,
    /// It may pass as this user.
    Allowed(Box<Caller>),
    /// Somebody must sign in first.
    SignIn,
    /// An app password was sent that opens nothing here.
    WrongPassword,
    /// The session must be proved better, or anew.
    Prove(Decision),
    /// It may not pass.
    Refused(Box<Refusal>),
}

/// A user whose request may pass.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub subject: Subject,
    /// By what.
    pub credential: Credential,
}

/// What a request may pass by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A session, with what it proved.
    Session(Proved),
    /// The app password with this primary key.
    AppPassword(i64),
}

impl Credential {
    /// Of a session.
    #[must_use]
    pub fn of(session: &LiveSession) -> Self {
        Self::Session(Proved { session: session.uuid, methods: session.methods, at: session.proved_at })
    }

    /// What a session proved; an app password proves nothing.
    #[must_use]
    pub fn proved(self) -> Option<Proved> {
        match self {
            Self::Session(proved) => Some(proved),
            Self::AppPassword(_) => None,
        }
    }

    /// A number that no other credential has.
    #[must_use]
    pub fn number(self) -> u128 {
        match self {
            Self::Session(proved) => proved.session.0.as_u128(),
            Self::AppPassword(id) => u128::try_from(id).unwrap_or(0),
        }
    }
}

/// A refusal that no proof changes.
#[derive(Debug)]
pub struct Refusal {
    /// Who asks, by name, where that is known.
    pub who: Option<String>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// The rule that refused, counted from 0; `None`: the application's own demand.
    pub rule: Option<usize>,
}

/// A verdict, and the application that it is about.
#[derive(Debug)]
pub struct Judged {
    /// The application that has the host.
    pub application: Arc<Application>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Judges a request. `None`: no application has the host.
///
/// # Errors
/// When the database does not answer: the request is then refused.
pub async fn check(app: &App, question: Question<'_>) -> Result<Option<Judged>, StoreError> {
    let now = app.clock.now();
    let mut known = app.guarded.applications(app).await?;
    let mut is_verified = false;
    // The rules may change while a request is judged; each round reads newer ones.
    loop {
        let found = known.by_host(question.host).cloned();
        let Some(application) = found else {
            if is_verified {
                return Ok(None);
            }
            (known, is_verified) = (app.guarded.now(app).await?, true);
            continue;
        };
        let unknown = judge_request(app, &application, question, None, now);
        let is_sign_in_alone = unknown.decision.missing() == [Missing::SignIn];
        if let Some(given) = question.password.filter(|_| is_sign_in_alone) {
            // It reads the rules itself.
            let judged = Box::pin(password::check(app, &application, question, given, now)).await?;
            match judged {
                Some(judged) => return Ok(Some(judged)),
                None => {
                    (known, is_verified) = (app.guarded.now(app).await?, true);
                    continue;
                }
            }
        }
        let Some(key) = question.key.filter(|_| is_sign_in_alone) else {
            let verdict = without_key(&application, question, &unknown);
            // An exception that was withdrawn ends at once. A sign-in leads to where the rules are read again.
            if is_verified || matches!(verdict, Verdict::SignIn) {
                return Ok(Some(Judged { application, verdict }));
            }
            let before = known.version();
            (known, is_verified) = (app.guarded.now(app).await?, true);
            if known.version() == before {
                return Ok(Some(Judged { application, verdict }));
            }
            continue;
        };
        let holder = app.store.read().find_key_holder(key, question.host.as_str(), application.id, now).await?;
        let Some(holder) = holder else { return Ok(Some(Judged { application, verdict: Verdict::SignIn })) };
        if holder.version != known.version() {
            // Read after the statement, so at least as new.
            (known, is_verified) = (app.guarded.now(app).await?, true);
            continue;
        }
        let verdict = with_session(app, &application, question, holder, now).await?;
        return Ok(Some(Judged { application, verdict }));
    }
}

fn without_key(application: &Application, question: Question<'_>, judgement: &Judgement) -> Verdict {
    // A preflight never has a cookie: where the app answers it, nothing else keeps it from there.
    let is_apps = question.is_preflight && application.guard().is_some_and(|guard| guard.preflight == Preflight::App);
    if judgement.decision.is_met() || (is_apps && judgement.decision.can_be_proved()) {
        return Verdict::Anonymous;
    }
    if judgement.decision.can_be_proved() {
        return Verdict::SignIn;
    }
    Verdict::Refused(Box::new(refusal(judgement, None)))
}

/// The refusal of a session's user, with its event.
pub(in crate::actions) async fn refuse(
    app: &App,
    application: &Application,
    question: Question<'_>,
    judgement: &Judgement,
    session: &LiveSession,
) -> Result<Verdict, StoreError> {
    let (refusal, now) = (refusal(judgement, Some(session.username.clone())), app.clock.now());
    if app.refusals.is_due((session.id, application.id, refusal.rule), now) {
        let rule = refusal.rule.and_then(|rule| u64::try_from(rule + 1).ok());
        let reason = refusal.missing.iter().map(|missing| missing.as_str()).collect::<Vec<_>>().join(" ");
        let content = EventContent::AccessRefused { application: application.slug.clone(), rule, reason };
        let actor = Actor { ip: Some(question.client.ip), request_id: question.request_id.to_owned(), ..Actor::system() };
        let actor = actor.as_user(session.user_id, &session.username);
        let event = content.by(&actor, now).about(session.user_id, &session.username).of_session(session.uuid);
        // The answer is the same without the event.
        let written = app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await;
        if let Err(error) = written {
            tracing::warn!(%error, "the event of a refusal could not be written");
        }
    }
    Ok(Verdict::Refused(Box::new(refusal)))
}

/// The place of a rule that means the size of an identity: no application has as many rules.
const SIZE: Option<usize> = Some(usize::MAX);

/// The event of a user who may open an application and whose identity headers are too large, once a minute.
///
/// # Errors
/// When the user cannot be looked up.
pub async fn too_large(
    app: &App,
    application: &Application,
    (who, bytes): (&Subject, usize),
    question: Question<'_>,
) -> Result<(), StoreError> {
    let Some(user) = app.store.read().find_user_by_uuid(who.identity.uuid).await? else { return Ok(()) };
    let now = app.clock.now();
    if !app.refusals.is_due((user.id.0, application.id, SIZE), now) {
        return Ok(());
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (application, groups) = (application.slug.clone(), count(who.identity.groups.len()));
    let content = EventContent::IdentityTooLarge { application, groups, bytes: count(bytes) };
    let actor = Actor { ip: Some(question.client.ip), request_id: question.request_id.to_owned(), ..Actor::system() };
    let event = content.by(&actor.as_user(user.id, &user.username), now).about(user.id, &user.username);
    // The answer is the same without the event.
    let written = app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await;
    if let Err(error) = written {
        tracing::warn!(%error, "the event of an identity that is too large could not be written");
    }
    Ok(())
}

pub(in crate::actions) fn refusal(judgement: &Judgement, who: Option<String>) -> Refusal {
    let rule = judgement.refused_by.flatten();
    Refusal { who, missing: judgement.decision.missing().to_vec(), rule }
}

async fn with_session(
    app: &App,
    application: &Application,
    question: Question<'_>,
    opened: KeyHolder,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let KeyHolder { session, session_key, app_session_id, app_last_used_at, who, .. } = opened;
    let session = match admit(app, session, session_key, question.client, question.request_id).await? {
        Admission::Open(session) => session,
        // What these need is asked for on Rollcall's own pages.
        Admission::None | Admission::Moved | Admission::Unproved(_) | Admission::FactorMissing(_) => return Ok(Verdict::SignIn),
    };
    let judgement = judge_request(app, application, question, Some((&session, &who.person)), now);
    if !judgement.decision.is_met() {
        if judgement.decision.can_be_proved() {
            return Ok(Verdict::Prove(judgement.decision));
        }
        return Box::pin(refuse(app, application, question, &judgement, &session)).await;
    }
    let uses = application.guard().map(|guard| guard.uses).unwrap_or_default();
    if uses == Uses::All || question.is_navigation {
        app.touches.note(app, &session, question.client.ip, &question.client.user_agent);
        app.touches.note_app(app, app_session_id, app_last_used_at);
    }
    let caller = || Caller { subject: who, credential: Credential::of(&session) };
    Ok(if judgement.decision.is_anonymous() { Verdict::Anonymous } else { Verdict::Allowed(Box::new(caller())) })
}

/// Asks the rules of an application about a request of a session's user, or of nobody.
pub(in crate::actions) fn judge_request(
    app: &App,
    application: &Application,
    question: Question<'_>,
    user: Option<(&LiveSession, &Person)>,
    now: Timestamp,
) -> Judgement {
    let none = Proof { methods: Methods::default(), proved_at: Timestamp(0) };
    let proof = user.map_or(none, |(session, _)| Proof { methods: session.methods, proved_at: session.proved_at });
    judge_at(app, application, question, (Door::Session(proof), user.map(|(_, person)| person)), now)
}

/// The same at any door.
pub(in crate::actions) fn judge_at(
    app: &App,
    application: &Application,
    question: Question<'_>,
    (door, person): (Door, Option<&Person>),
    now: Timestamp,
) -> Judgement {
    let address = Some(question.client.ip).filter(|ip| !ip.is_unknown());
    // A place is looked up only where a rule asks for one.
    let country = if asks_for_country(application) { app.geoip.country_and_asn(question.client.ip).0 } else { String::new() };
    let ask = Ask { person, door, address, country: &country, now };
    let methods = match (question.methods, application.guard()) {
        ([], Some(guard)) => guard.all_methods(),
        (named, _) => named.iter().map(String::as_str).collect(),
    };
    judge(application, question.readings, &methods, &ask)
}

fn asks_for_country(application: &Application) -> bool {
    let rules = application.guard().map_or(0, |guard| guard.rules.len());
    std::iter::once(None).chain((0..rules).map(Some)).any(|rule| !application.demand(rule).countries.is_empty())
}
