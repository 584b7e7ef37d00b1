//! Changes of what is said about a token, and of what it may do.

use std::collections::BTreeSet;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::tokens::find;
use crate::domain::Timestamp;
use crate::domain::event::EventContent;
use crate::domain::scope::Scopes;
use crate::domain::user::TokenIntent;
use crate::store::StoreError;

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
}

/// Changes a token, and gives its identifier from now on.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or it is somebody else's and no administrator does it;
/// [`ActionError::Exists`] when the new identifier is taken.
pub async fn change(app: &App, by: By<'_>, identifier: &str, change: TokenChange) -> Result<String, ActionError> {
    let before = find(app, by, identifier).await?;
    let opened = app.store.read().list_token_applications(identifier).await?;
    let (actor, now) = (by.actor(), app.clock.now());
    let mut after = before.clone();
    let mut fields = Vec::new();
    let mut note = |name: &'static str, has_changed: bool| {
        if has_changed {
            fields.push(name);
        }
    };
    if let Some(identifier) = change.identifier {
        note("identifier", identifier != before.identifier);
        after.identifier = identifier;
    }
    if let Some(description) = change.description {
        note("description", description != before.description);
        after.description = description;
    }
    if let Some(intent) = change.intent {
        note("intent", intent.as_str() != before.intent);
        intent.as_str().clone_into(&mut after.intent);
    }
    if let Some(expires) = change.expires {
        after.is_expiring = expires.is_some();
        after.expires_at = expires.unwrap_or(before.expires_at);
        note("expires", (after.is_expiring, after.expires_at) != (before.is_expiring, before.expires_at));
    }
    if let Some(scopes) = change.scopes {
        note("rollcall_scopes", scopes != before.scopes);
        after.scopes = scopes;
    }
    if let Some(applications) = &change.applications {
        let slugs: BTreeSet<&String> = applications.iter().map(|(_, slug)| slug).collect();
        note("rollcall_applications", slugs != opened.iter().collect());
    }
    let applications = change.applications.map(|applications| applications.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
    let name = after.identifier.clone();
    let done = app.store.write(move |db| {
        Box::pin(async move {
            if !db.update_token(&after, now).await? {
                return Err(ActionError::NotFound);
            }
            if let Some(applications) = applications {
                db.replace_token_applications(after.uuid, &applications).await?;
            }
            let content = EventContent::TokenChanged {
                token: after.identifier,
                token_uuid: after.uuid.simple().to_string(),
                fields: fields.join(" "),
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
