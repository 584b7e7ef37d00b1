//! App passwords at the guard: programs that have no browser.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::passwords::app_password;
use crate::actions::guard::check::{Caller, Credential, Judged, Question, Verdict, judge_at, refusal};
use crate::actions::sign_in::guesses::{self, Guess};
use crate::actions::sign_in::refusal_log::Refused;
use crate::domain::Timestamp;
use crate::domain::application::Application;
use crate::domain::application::decide::Door;
use crate::domain::caller::Actor;
use crate::domain::guard::credentials::Given;
use crate::domain::names;
use crate::store::StoreError;

/// Judges a request with an app password by the rules that hold when it is looked up. `None`: another application has the
/// host by now. It makes no session, and no password hash is computed.
///
/// # Errors
/// When the database does not answer.
pub(in crate::actions) async fn check(
    app: &App,
    application: &Arc<Application>,
    question: Question<'_>,
    given: &Given,
    now: Timestamp,
) -> Result<Option<Judged>, StoreError> {
    let found = match app_password(app, &given.key, application).await {
        Ok(found) => found,
        Err(ActionError::Store(error)) => return Err(error),
        Err(other) => return Err(StoreError::Failed(other.to_string())),
    };
    // As at a sign-in, whatever the letter case.
    let is_named = |name: &String| given.username.as_ref().is_none_or(|given| names::are_same(given, name));
    let Some(found) = found.filter(|found| is_named(&found.owner.username)) else {
        let actor = Actor { ip: Some(question.client.ip), request_id: question.request_id.to_owned(), ..Actor::system() };
        // A key of 256 bits needs no limit; those who guess are counted with those who guess passwords.
        match guesses::take(app, Guess::AppPassword, None, None, &actor).await {
            Ok(taken) => {
                taken.settle(app, true).await;
                app.refusal_log.refused(Refused::AppPassword, None, &actor);
            }
            Err(ActionError::Store(error)) => return Err(error),
            Err(_) => {}
        }
        return Ok(Some(Judged { application: Arc::clone(application), verdict: Verdict::WrongPassword }));
    };
    let Some(current) = found.applications.by_host(question.host).filter(|current| current.id == application.id) else {
        return Ok(None);
    };
    let judgement = judge_at(app, current, question, (Door::AppPassword, Some(&found.subject.person)), now);
    let verdict = if judgement.decision.is_met() {
        Verdict::Allowed(Box::new(Caller { credential: Credential::AppPassword(found.owner.token_id), subject: found.subject }))
    } else {
        Verdict::Refused(Box::new(refusal(&judgement, None)))
    };
    Ok(Some(Judged { application: Arc::clone(current), verdict }))
}
