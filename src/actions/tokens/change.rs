//! Changes of what is said about a token, and of what it may do.

use std::collections::BTreeSet;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::tokens::{find, lock, said};
use crate::domain::Timestamp;
use crate::domain::event::{EventContent, differences};
use crate::domain::scope::Scopes;
use crate::domain::user::TokenIntent;
use crate::store::StoreError;
use crate::store::people::token_list::{Term, TokenDetail};

/// What is to change; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TokenChange {
    /// What names it.
    pub identifier: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it opens.
    pub intent: Option<TokenIntent>,
    /// When it ends; `Some(None)`: never.
    pub expires: Option<Option<Timestamp>>,
    /// What it may do of what its owner may.
    pub scopes: Option<Scopes>,
    /// Of an app password: the applications that it opens, each with its primary key and slug.
    pub applications: Option<Vec<(i64, String)>>,
    /// Only if it is still for the same and still ends then: [`TokenDetail::term`] as it was read.
    pub expected: Option<Term>,
}

/// Changes a token, and gives its identifier from now on. What is so already is no event.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or it is somebody else's and no administrator does it;
/// [`ActionError::Exists`] when the new identifier is taken; [`ActionError::Outdated`] when it is not as expected.
pub async fn change(app: &App, by: By<'_>, identifier: &str, change: TokenChange) -> Result<String, ActionError> {
    let found = find(app, by, identifier).await?;
    let (actor, now) = (by.actor(), app.clock.now());
    let name = change.identifier.clone().unwrap_or_else(|| found.identifier.clone());
    let done = app.store.write(move |db| {
        Box::pin(async move {
            // What others changed since it was found stays changed.
            let before = lock(db, &found).await?;
            if change.expected.as_ref().is_some_and(|expected| *expected != before.term()) {
                return Err(ActionError::Outdated);
            }
            let opened = db.list_token_applications(&before.identifier).await?;
            let after = changed(&before, &change);
            let opens = match change.applications.as_ref().filter(|wanted| !are_same(wanted, &opened)) {
                None => opened.clone(),
                Some(applications) => {
                    let ids: Vec<i64> = applications.iter().map(|(id, _)| *id).collect();
                    db.replace_token_applications(after.uuid, &ids).await?;
                    db.list_token_applications(&before.identifier).await?
                }
            };
            let changes = differences(&said(&before, &opened), said(&after, &opens));
            if changes.is_empty() {
                return Ok(());
            }
            if !db.update_token(&after, now).await? {
                return Err(ActionError::NotFound);
            }
            let fields: Vec<&str> = changes.keys().map(String::as_str).collect();
            let content = EventContent::TokenChanged {
                token: after.identifier,
                token_uuid: after.uuid.simple().to_string(),
                fields: fields.join(" "),
                changes,
            };
            db.insert_events(&[content.by(&actor, now).about(after.user_id, &after.username)]).await?;
            Ok(())
        })
    });
    match done.await {
        Err(ActionError::Store(StoreError::Conflict(_))) => Err(ActionError::Exists(format!("a token {name:?}"))),
        other => other.map(|()| name),
    }
}

/// A token as a change makes it.
fn changed(before: &TokenDetail, change: &TokenChange) -> TokenDetail {
    let mut after = before.clone();
    if let Some(identifier) = &change.identifier {
        after.identifier.clone_from(identifier);
    }
    if let Some(description) = &change.description {
        after.description.clone_from(description);
    }
    if let Some(intent) = change.intent {
        intent.as_str().clone_into(&mut after.intent);
    }
    if let Some(expires) = change.expires {
        after.is_expiring = expires.is_some();
        after.expires_at = expires.unwrap_or(before.expires_at);
    }
    if let Some(scopes) = &change.scopes {
        after.scopes = scopes.clone();
    }
    after
}

/// Whether these are the applications that a token opens.
fn are_same(wanted: &[(i64, String)], opened: &[String]) -> bool {
    let wanted: BTreeSet<&String> = wanted.iter().map(|(_, slug)| slug).collect();
    wanted == opened.iter().collect()
}
