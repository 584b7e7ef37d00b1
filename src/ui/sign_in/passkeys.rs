//! `/sign-in/passkey`: signs in with a passkey alone.

use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::passkeys;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::auth;
use crate::auth::redirect;
use crate::ui::passkey::{PasskeyForm, party, why};
use crate::ui::submission::Submission;
use crate::ui::{PageResult, sign_in};

/// `/sign-in/passkey`: signs in with a passkey alone.
pub async fn sign_in(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<PasskeyForm>::read(&app, request).await?;
    let next = redirect::safe(&app.config, Some(&submission.form.next));
    if let Err(refusal) = submission.examine(&app) {
        return sign_in::refused(&app, &submission.visitor, &refusal, "", &next).await;
    }
    let Submission { parts, visitor, form: given, .. } = submission;
    let (party, actor) = (party(&app, &visitor)?, visitor.client.as_anonymous());
    let purpose = Purpose::SignIn(visitor.bound_to());
    let proved = match passkeys::prove_alone(&app, &party, purpose, &given.passkey, &actor).await {
        Err(ActionError::Passkey(refusal)) => {
            return sign_in::form(&app, &visitor, StatusCode::OK, "", &next, why(refusal)).await;
        }
        other => other?,
    };
    let wish = auth::SignInWish { is_remembered: given.remember.is_some(), ends: None };
    sign_in::finish(&app, &visitor, &parts.headers, proved, wish, &next).await
}
