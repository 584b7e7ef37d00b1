//! Reads the fields of a user from a body.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::people::changes::UserChange;
use crate::api::body::{Body, no_such_pk};
use crate::api::error::{ApiError, NON_FIELD_ERRORS, sentence};
use crate::domain::UserId;
use crate::domain::user::{MAX_TEXT_LENGTH, MAX_USERNAME_LENGTH, UserRule, UserType, check_full_name, check_path, check_username};
use crate::store::people::profiles::UserProfile;

/// 400: the name is taken.
pub(in crate::api) const NOT_UNIQUE: &str = "This field must be unique.";
const NO_INTERNAL: &str = "Setting a user to internal service account is not allowed.";
const STAYS_INTERNAL: &str = "Can't change internal service account to other user type.";
const NOT_MODIFIED: &str = "Can't modify internal service account users";

/// Reads all fields of a user. With `user`, these are changes of that user.
///
/// # Errors
/// 400 that names all wrong fields; when the database does not answer.
pub(super) async fn read(app: &App, mut body: Body, user: Option<&UserProfile>) -> Result<UserChange, ApiError> {
    let db = app.store.read();
    let mut change = UserChange { username: username(&mut body), ..UserChange::default() };
    if let Some(name) = change.username.as_deref() {
        let is_taken = match user {
            Some(user) if user.user.username == name => false,
            Some(user) => db.is_username_taken_by_other(name, user.user.id).await?,
            None => db.is_username_taken(name).await?,
        };
        if is_taken {
            body.wrong("username", NOT_UNIQUE);
        }
    }
    change.name =
        checked(&mut body, "name", |body| body.field("name").required().or_blank().text(MAX_TEXT_LENGTH), check_full_name);
    change.is_active = body.field("is_active").boolean();
    change.last_sign_in_at = body.field("last_login").instant_or_null();
    change.groups = body.field("groups").uuids();
    if let Some(missing) = db.find_missing_group(change.groups.as_deref().unwrap_or_default()).await? {
        body.refers_to_nothing("groups", missing);
    }
    if change.groups.is_none() && user.is_some() && !body.is_partial() && !body.has("groups") {
        change.groups = Some(Vec::new());
    }
    change.email = body.field("email").email();
    change.attributes = body.field("attributes").object();
    change.path = checked(&mut body, "path", |body| body.field("path").text(MAX_TEXT_LENGTH), check_path);
    change.kind = body.field("type").choice(UserType::parse);
    let was_internal = user.is_some_and(|user| user.kind == UserType::InternalServiceAccount);
    match change.kind {
        Some(UserType::InternalServiceAccount) if !was_internal => body.wrong("type", NO_INTERNAL),
        Some(kind) if was_internal && kind != UserType::InternalServiceAccount => body.wrong("type", STAYS_INTERNAL),
        _ => {}
    }
    change.is_email_verified = body.field("rollcall_email_verified").boolean();
    change.is_auditor = body.field("rollcall_is_auditor").boolean();
    if was_internal {
        body.wrong(NON_FIELD_ERRORS, NOT_MODIFIED);
    }
    body.finish()?;
    Ok(change)
}

fn username(body: &mut Body) -> Option<String> {
    checked(body, "username", |body| body.field("username").required().text(MAX_USERNAME_LENGTH), check_username)
}

/// A text that follows a rule of its own, in the form in which it is stored.
pub(super) fn checked(
    body: &mut Body,
    name: &'static str,
    read: impl FnOnce(&mut Body) -> Option<String>,
    check: fn(&str) -> Result<String, UserRule>,
) -> Option<String> {
    match check(&read(body)?) {
        Ok(text) => Some(text),
        Err(rule) => {
            let why = match rule {
                UserRule::PathEnds => "No leading or trailing slashes allowed.".to_owned(),
                UserRule::PathSegment => "No empty segments in user path allowed.".to_owned(),
                UserRule::Name(rule) => sentence(&rule),
                rule => sentence(&rule),
            };
            body.wrong(name, why);
            None
        }
    }
}

/// What an action on a user refused, in authentik's words.
pub(super) fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Exists(_) => ApiError::parameter("username", NOT_UNIQUE),
        ActionError::NoGroup(uuid) => ApiError::parameter("groups", &no_such_pk(uuid)),
        ActionError::Rule(UserRule::InternalServiceAccount) => ApiError::parameter(NON_FIELD_ERRORS, NOT_MODIFIED),
        other => other.into(),
    }
}

/// The primary key that a part of a path is.
///
/// # Errors
/// 404 for what is no integer, and for one that no user can have.
pub(in crate::api) fn id_of(part: &str) -> Result<UserId, ApiError> {
    use crate::api::django::{Int, int};
    match int(part).ok_or(ApiError::NotFound)? {
        Int::Fits(id) => Ok(UserId(id)),
        Int::TooLarge | Int::TooSmall => Err(ApiError::Missing),
    }
}
