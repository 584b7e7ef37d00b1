//! Tokens of apps, for those who may see them: one's own, or all for administrators and auditors.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::tokens::{About, id_claims};
use crate::domain::UserId;
use crate::domain::application::Application;
use crate::store::applications::people::Subject;
use crate::store::oidc::token_list::{ListedToken, TokenFilter};

/// A token with its application, and what its ID token said of the user.
#[derive(Clone, Debug)]
pub struct ShownToken {
    /// The token.
    pub token: ListedToken,
    /// The application whose client has it.
    pub application: Arc<Application>,
    /// The claims of an ID token of that moment; empty where the scopes ask for none.
    pub claims: Map<String, Value>,
}

/// Tokens that the caller may see, the newest first: those after the first `skip`, at most `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(app: &App, by: By<'_>, filter: TokenFilter, skip: i64, limit: i64) -> Result<Vec<ShownToken>, ActionError> {
    let filter = TokenFilter { visible_to: by.reads_only(), ..filter };
    let tokens = app.store.read().list_tokens_of_apps(&filter, skip, limit).await?;
    let applications = app.store.applications().await?;
    let mut subjects: HashMap<UserId, Subject> = HashMap::new();
    let mut shown = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Some(application) = applications.by_id(token.application_id).filter(|one| one.client.is_some()) else { continue };
        let subject = match subjects.get(&token.user_id) {
            Some(subject) => subject.clone(),
            None => match app.store.read().find_subject(token.user_id).await? {
                Some(subject) => subjects.entry(token.user_id).or_insert(subject).clone(),
                None => continue,
            },
        };
        let known = Known { application: Arc::clone(application) };
        let about = About { sub: token.sub.clone(), session: token.session, proof: token.proof.clone(), nonce: None, subject };
        let claims = id_claims(app, &known, (&token.scope, &about), token.created_at)?.unwrap_or_default();
        shown.push(ShownToken { token, application: known.application, claims });
    }
    Ok(shown)
}

/// How many the caller may see.
///
/// # Errors
/// When the database does not answer.
pub async fn count(app: &App, by: By<'_>, filter: TokenFilter) -> Result<i64, ActionError> {
    let filter = TokenFilter { visible_to: by.reads_only(), ..filter };
    Ok(app.store.read().count_tokens_of_apps(&filter).await?)
}

/// Takes a token back: a refresh token with its family, an access token alone.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller may not see it; [`ActionError::Forbidden`] for somebody
/// else's, unless an administrator does it.
pub async fn remove(app: &App, by: By<'_>, is_refresh: bool, id: i64) -> Result<(), ActionError> {
    let filter = TokenFilter { is_refresh, id: Some(id), visible_to: by.reads_only(), ..TokenFilter::default() };
    let token = app.store.read().list_tokens_of_apps(&filter, 0, 1).await?.pop().ok_or(ActionError::NotFound)?;
    by.must_own_or_administer(token.user_id)?;
    let removed = app.store.write(move |db| {
        Box::pin(
            async move { if is_refresh { db.delete_family(token.family).await } else { db.delete_token_of_app(token.hash).await } },
        )
    });
    let removed: u64 = removed.await?;
    tracing::info!(token = id, is_refresh, removed, "a token of an app was taken back");
    Ok(())
}
