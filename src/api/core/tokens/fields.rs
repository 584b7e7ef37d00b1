//! What a body says about a token, and the rules for it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::actions::app::App;
use crate::actions::applications::access::list_allowed;
use crate::actions::by::By;
use crate::actions::tokens::change::TokenChange;
use crate::api::body::{Body, no_such_pk, type_name};
use crate::api::duration;
use crate::api::endpoint::{Call, NO_STRING};
use crate::api::error::ApiError;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::user::TokenIntent;
use crate::domain::{Timestamp, UserId};
use crate::store::people::token_list::TokenDetail;

/// The attribute of a user that says how long their app passwords live at most.
const MOST_ATTRIBUTE: &str = "goauthentik.io/user/token-maximum-lifetime";
/// The longest description, in characters.
const MOST_DESCRIPTION: usize = 10_000;
/// The longest identifier, in characters.
const MOST_IDENTIFIER: usize = 255;

/// What a new token should be.
pub struct NewToken {
    /// Whose it is.
    pub user: UserId,
    /// The name of its owner.
    pub username: String,
    /// What it opens.
    pub intent: TokenIntent,
    /// How long it lives; `None`: for ever.
    pub lives: Option<Duration>,
    /// The other fields.
    pub fields: TokenChange,
}

/// Reads the fields that a change and a new token have in common.
async fn read(
    app: &App,
    call: &Call,
    body: &mut Body,
    owner: UserId,
    before: Option<&TokenDetail>,
) -> Result<TokenChange, ApiError> {
    let identifier = body.field("identifier").required().slug(MOST_IDENTIFIER);
    let intent = body.field("intent").choice(TokenIntent::parse);
    if let Some(intent) = intent.filter(|intent| !matches!(intent, TokenIntent::Api | TokenIntent::AppPassword)) {
        body.wrong("intent", format!("Invalid intent {}", intent.as_str()));
    }
    let description = body.field("description").or_blank().text(MOST_DESCRIPTION);
    let expires = body.field("expires").instant_or_null().flatten();
    let expiring = body.field("expiring").boolean();
    let scopes = body.field("rollcall_scopes").list(scope);
    let will_expire = expiring.unwrap_or(before.is_none_or(|token| token.is_expiring));
    let old_intent = before.and_then(|token| TokenIntent::parse(&token.intent)).unwrap_or(TokenIntent::Api);
    let applications = match body.field("rollcall_applications").list(text) {
        None => None,
        Some(slugs) => applications(app, call, body, &slugs, intent.unwrap_or(old_intent)).await?,
    };
    let now = app.clock.now();
    let ends = match (will_expire, intent.unwrap_or(old_intent)) {
        (false, _) => None,
        (true, TokenIntent::AppPassword) => {
            let most = now.plus(longest(app, owner).await?);
            let kept = before.filter(|token| token.is_expiring).map(|token| token.expires_at);
            let ends = expires.or(kept).unwrap_or(most);
            if expires.is_some_and(|ends| ends > most) {
                body.wrong("expires", format!("Token expires exceeds maximum lifetime ({most} UTC)."));
            }
            Some(ends)
        }
        (true, _) => Some(now.plus(app.config.api.token_lifetime)),
    };
    let (scopes, expected) = (scopes.map(Scopes::new), before.map(TokenDetail::term));
    Ok(TokenChange { identifier, description, intent, expires: Some(ends), scopes, applications, expected })
}

/// The applications of these slugs, each once; `None`: one of them is wrong. Who is no administrator can name those that
/// they may open themselves, and does not learn which others there are.
async fn applications(
    app: &App,
    call: &Call,
    body: &mut Body,
    slugs: &[String],
    intent: TokenIntent,
) -> Result<Option<Vec<(i64, String)>>, ApiError> {
    let all = app.store.applications().await?;
    let own = if call.who.rights.is_superuser {
        None
    } else {
        Some(list_allowed(app, By::Principal(&call.who, &call.actor), call.who.user_id).await?)
    };
    let mut found = BTreeMap::new();
    for slug in slugs {
        let application = all.by_slug(slug);
        let may_name = |id: i64| own.as_ref().is_none_or(|own| own.iter().any(|application| application.id == id));
        match application.filter(|application| may_name(application.id)) {
            Some(application) => drop(found.insert(application.id, application.slug.clone())),
            None => {
                body.wrong("rollcall_applications", no_such_pk(slug));
                return Ok(None);
            }
        }
    }
    if !found.is_empty() && intent != TokenIntent::AppPassword {
        body.wrong("rollcall_applications", "Only app passwords open applications.");
        return Ok(None);
    }
    Ok(Some(found.into_iter().collect()))
}

/// How long an app password of this user may live.
async fn longest(app: &App, owner: UserId) -> Result<Duration, ApiError> {
    let attributes = app.store.read().find_profile(owner).await?.map(|profile| profile.attributes).unwrap_or_default();
    let attributes: Value = serde_json::from_str(&attributes).unwrap_or_default();
    let own = attributes.get(MOST_ATTRIBUTE).and_then(Value::as_str).and_then(duration::parse);
    let own = own.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
    Ok(own.unwrap_or(app.config.api.token_lifetime))
}

/// Reads a token to make.
///
/// # Errors
/// 400 that names all wrong fields.
pub async fn new_token(app: &App, call: &Call, mut body: Body) -> Result<NewToken, ApiError> {
    let mut owner = (call.who.user_id, call.who.username.clone());
    let named = body.field("user").key();
    // Everybody else makes their own, whatever is sent.
    if let Some(id) = named.filter(|_| call.who.rights.is_superuser) {
        match app.store.read().find_user(UserId(id)).await? {
            Some(user) => owner = (user.id, user.username),
            None => body.wrong("user", no_such_pk(id)),
        }
    }
    let fields = read(app, call, &mut body, owner.0, None).await?;
    body.finish()?;
    let now = app.clock.now();
    let lives = fields.expires.flatten().map(|ends: Timestamp| ends.since(now));
    Ok(NewToken { user: owner.0, username: owner.1, intent: fields.intent.unwrap_or(TokenIntent::Api), lives, fields })
}

/// Reads what changes of a token.
///
/// # Errors
/// 400 that names all wrong fields.
pub async fn change(app: &App, call: &Call, mut body: Body, token: &TokenDetail) -> Result<TokenChange, ApiError> {
    if body.field("user").key().is_some_and(|user| user != token.user_id.0) {
        body.wrong("user", "User cannot be changed");
    }
    // A link for one purpose must not become a key for another one, or live longer.
    if !matches!(TokenIntent::parse(&token.intent), Some(TokenIntent::Api | TokenIntent::AppPassword)) {
        body.wrong("intent", format!("Invalid intent {}", token.intent));
    }
    let change = read(app, call, &mut body, token.user_id, Some(token)).await?;
    // It keeps its key, and the guard knows keys of app passwords by their beginning.
    if token.intent == TokenIntent::Api.as_str() && change.intent == Some(TokenIntent::AppPassword) {
        body.wrong("intent", "An API token does not become an app password, whose key begins with rcp_: make a new token.");
    }
    body.finish()?;
    Ok(change)
}

fn scope(value: &Value) -> Result<Scope, String> {
    let word = text(value)?;
    Scope::parse(&word).ok_or_else(|| format!("\"{word}\" is not a valid choice."))
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(format!("Incorrect type. Expected str value, received {}.", type_name(value))),
        _ => Err(NO_STRING.to_owned()),
    }
}
