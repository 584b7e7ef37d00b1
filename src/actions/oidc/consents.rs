//! What users agree to: the question to one of them, the answer, and taking it back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::clients::Known;
use crate::domain::application::session::AppEndReason;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::oidc::claims::granted;
use crate::domain::oidc::consent::{Consent, terms};
use crate::domain::{Timestamp, UserId};
use crate::store::StoreError;
use crate::store::oidc::consents::{ConsentFilter, ListedConsent};
use crate::store::sessions::rows::LiveSession;

/// The mark of a request whose user declined. A request that has it is refused.
pub const DECLINED: &str = "rollcall_declined";
const PURPOSE: &str = "question of an app to a user";
/// How long a question can be answered.
const LIVES: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// A question to the user of a session. It travels sealed to that session, so that nobody asks in an app's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The slug of the application that asks.
    pub slug: String,
    /// What it is to get: scopes, separated by blanks.
    pub scope: String,
    /// Where the answer leads: the request, on this site.
    pub back: String,
    /// When it was asked, in microseconds since 1970.
    pub asked_at: i64,
}

/// Seals a question for the session of the user who is asked, in URL-safe base64.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn seal(app: &App, session: &LiveSession, question: &Question) -> Result<String, getrandom::Error> {
    let text = serde_json::to_vec(question).unwrap_or_default();
    let sealed = app.instance_key.seal(PURPOSE, session.uuid.to_string().as_bytes(), &text)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// Opens a question to this session's user. `None`: it is another session's, too old, or not ours.
#[must_use]
pub fn open(app: &App, session: &LiveSession, sealed: &str) -> Option<Question> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let text = app.instance_key.open(PURPOSE, session.uuid.to_string().as_bytes(), &bytes)?;
    let question: Question = serde_json::from_slice(&text).ok()?;
    Timestamp(question.asked_at).is_near(app.clock.now(), LIVES).then_some(question)
}

/// The client of the application that asks; `None`: it is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn asker(app: &App, question: &Question) -> Result<Option<Known>, StoreError> {
    let applications = app.store.applications().await?;
    let application = applications.by_slug(&question.slug).filter(|application| application.client.is_some());
    Ok(application.map(|application| Known { application: application.clone() }))
}

/// Notes that the user of a session agreed. `false`: the question was answered already, or its client is gone.
///
/// # Errors
/// When the database cannot be written.
pub async fn give(app: &App, session: &LiveSession, question: &Question, actor: &Actor) -> Result<bool, StoreError> {
    let Some(known) = asker(app, question).await? else { return Ok(false) };
    let (provider, terms, now) = (known.part()?.id, terms(known.settings()?), app.clock.now());
    let (user, asked_at, asked) = (session.user_id, Timestamp(question.asked_at), question.scope.clone());
    let slug = known.application.slug.clone();
    let event = move |scope: String| EventContent::ConsentGiven { application: slug, scope };
    let (actor, session, username) = (actor.clone(), session.uuid, session.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                // Of two answers at once, the second one knows what the first one agreed to.
                db.lock_user(user).await?;
                // What was agreed to before stays, while the client is what it was.
                let before = db.find_consent(user, provider).await?.filter(|before| before.terms == terms);
                let both = before.map_or_else(|| asked.clone(), |before| format!("{} {asked}", before.scope));
                let all: Vec<String> = both.split(' ').map(str::to_owned).collect();
                let consent = Consent { scope: granted(Some(&both), &all), terms, given_at: now };
                if !db.update_consent((user, provider), &consent, asked_at).await? {
                    return Ok(false);
                }
                let event = event(consent.scope).by(&actor, now).about(user, &username).of_session(session);
                db.insert_events(&[event]).await?;
                Ok(true)
            })
        })
        .await
}

/// How many consents the caller may see.
///
/// # Errors
/// When the database does not answer.
pub async fn count(app: &App, by: By<'_>, filter: ConsentFilter) -> Result<i64, ActionError> {
    let filter = ConsentFilter { visible_to: by.reads_only(), ..filter };
    Ok(app.store.read().count_all_consents(&filter).await?)
}

/// What users agreed to, as far as the caller may see it, the newest first: those after the first `skip`, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(app: &App, by: By<'_>, filter: ConsentFilter, skip: i64, limit: i64) -> Result<Vec<ListedConsent>, ActionError> {
    let filter = ConsentFilter { visible_to: by.reads_only(), ..filter };
    Ok(app.store.read().list_all_consents(&filter, skip, limit).await?)
}

/// Takes back what a user agreed to for an application, and ends that user's app sessions there.
///
/// # Errors
/// [`ActionError::Forbidden`] for somebody else's, unless an administrator does it; [`ActionError::NotFound`] when nothing was
/// agreed to.
pub async fn withdraw(app: &App, by: By<'_>, user: UserId, slug: &str) -> Result<(), ActionError> {
    by.must_own_or_administer(user)?;
    let application = app.store.applications().await?.by_slug(slug).cloned().ok_or(ActionError::NotFound)?;
    let provider = application.client.as_ref().ok_or(ActionError::NotFound)?.id;
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let scope = db.take_consent(user, provider).await?.ok_or(ActionError::NotFound)?;
                let owner = db.find_user(user).await?.ok_or(ActionError::NotFound)?;
                let slug = application.slug.clone();
                let content = EventContent::ConsentWithdrawn { application: slug.clone(), scope };
                let mut events = vec![content.by(&actor, now).about(user, &owner.username)];
                let count = db.end_app_sessions_of_user(user, application.id, now).await?;
                if count > 0 {
                    let content =
                        EventContent::AppSessionEnded { application: slug, reason: AppEndReason::ConsentWithdrawn, count };
                    events.push(content.by(&actor, now).about(user, &owner.username));
                }
                Ok(db.insert_events(&events).await?)
            })
        })
        .await
}
