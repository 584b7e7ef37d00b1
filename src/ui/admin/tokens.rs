//! `/tokens`: API credentials, for administrators; and `/tokens/new`, which makes one. A key is shown once,
//! when it is made.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::domain::scope::Scopes;
use crate::domain::user::TokenIntent;
use crate::domain::{PlainSecret, secret};
use crate::http::query::Query;
use crate::ui::error::{PageError, conflict};
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, isolate};
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/tokens";
/// The page with the form.
const NEW: &str = "/tokens/new";
/// The longest identifier and description, in characters.
const LONGEST: usize = 200;
/// The offered lifetimes, in days; 0: without end.
const DAYS: [u64; 5] = [1, 30, 90, 365, 0];

#[derive(Template)]
#[template(path = "pages/tokens.html")]
struct TokensPage {
    frame: Frame,
    rows: Vec<TokenLine>,
    /// The key of a token that was just made, and its identifier.
    made: Option<(String, String)>,
    origin: String,
}

#[derive(Template)]
#[template(path = "pages/token_new.html")]
struct NewTokenPage {
    frame: Frame,
    error: String,
    given: TokenForm,
    /// The identifier of a token whose form leaves it empty: if the form is sent twice, one token
    /// is made.
    made_up: String,
}

struct TokenLine {
    identifier: String,
    description: String,
    intent: String,
    username: String,
    made: Moment,
    expires: Option<Moment>,
    is_over: bool,
}

/// What the form for a new token sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct TokenForm {
    username: String,
    identifier: String,
    made_up: String,
    description: String,
    days: String,
}

/// The list.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    list(&app, &visitor, None).await
}

/// The form for a new token: for the user that the parameter `user` names, else for the visitor.
pub async fn show_form(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let username = query.last("user").map(str::to_owned);
    let own = visitor.session.as_ref().map(|session| session.username.clone());
    let given = TokenForm { username: username.or(own).unwrap_or_default(), days: "90".into(), ..TokenForm::default() };
    form_page(&app, &visitor, String::new(), given)
}

fn form_page(app: &App, visitor: &Visitor, error: String, given: TokenForm) -> PageResult {
    visitor.principal(NEW)?.must_administer()?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let made_up = format!("api-{}", secret::random_alphanumeric(10).map_err(ActionError::from)?);
    Ok(page(status, &NewTokenPage { frame: visitor.frame(app, Section::Tokens), error, given, made_up }))
}

async fn list(app: &App, visitor: &Visitor, made: Option<(String, String)>) -> PageResult {
    visitor.principal(PATH)?.must_inspect()?;
    let now = app.clock.now();
    let rows = app.store.read().list_tokens(None).await?.into_iter().map(|token| TokenLine {
        made: Moment::new(token.created_at, now),
        expires: token.is_expiring.then(|| Moment::until(token.expires_at, now)),
        is_over: token.is_expiring && token.expires_at <= now,
        identifier: token.identifier,
        description: token.description,
        intent: token.intent,
        username: token.username,
    });
    let origin = visitor.client.public_origin(app);
    let frame = visitor.frame(app, Section::Tokens);
    Ok(page(StatusCode::OK, &TokensPage { frame, rows: rows.collect(), made, origin }))
}

/// Makes a token. Its key is in the answer itself, not in a redirect or an address, so that it is
/// stored nowhere.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<TokenForm>::confirmed(&app, request, NEW).await?;
    let who = visitor.principal(NEW)?;
    let identifier = if form.identifier.trim().is_empty() { form.made_up.trim() } else { form.identifier.trim() };
    let is_text = |text: &str| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    let days = form.days.parse::<u64>().ok().filter(|days| DAYS.contains(days));
    let (Some(days), true) = (days, is_text(identifier) && is_text(&form.description) && !identifier.is_empty()) else {
        let error = format!("Identifier and description are one line of at most {LONGEST} characters each.");
        return form_page(&app, &visitor, error, form);
    };
    let request = TokenRequest {
        intent: TokenIntent::Api,
        identifier: Some(identifier.to_owned()),
        description: form.description.trim().to_owned(),
        lives: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        key: None,
        applications: Vec::new(),
        scopes: Scopes::default(),
        is_readable: false,
    };
    let error = match add_for(&app, By::Principal(&who, &visitor.actor()), form.username.trim(), request).await {
        Ok((identifier, key)) => {
            return list(&app, &visitor, Some((identifier, key.expose().to_owned()))).await;
        }
        Err(ActionError::Exists(_)) if form.identifier.trim().is_empty() => {
            return Err(PageError::Conflict(
                "This form was sent before, and its token was made then. Its key was shown that once; if it is lost, make another token."
                    .into(),
            ));
        }
        Err(ActionError::Exists(what)) => {
            return conflict(form_page(&app, &visitor, format!("Sorry: there is {what} already."), form));
        }
        Err(ActionError::NotFound) => format!("Sorry: there is no user named {:?}.", form.username.trim()),
        Err(error) => return Err(error.into()),
    };
    form_page(&app, &visitor, error, form)
}

/// Makes a token for the user of that name.
async fn add_for(app: &App, by: By<'_>, username: &str, request: TokenRequest) -> Result<(String, PlainSecret), ActionError> {
    let user = users::find(app, by, username).await?;
    tokens::add(app, by, user.id, &user.username, request).await
}

/// Asks before a token is removed.
pub async fn ask_remove(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_administer()?;
    let back = parts.uri.path_and_query().map_or(PATH, |path| path.as_str());
    visitor.confirmed(&app, back)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let identifier = query.last("identifier").unwrap_or_default();
    let all = app.store.read().list_tokens(None).await?;
    let token = all.into_iter().find(|token| token.identifier == identifier).ok_or(PageError::NotFound)?;
    let is_described = !token.description.is_empty();
    let about = if is_described { format!(", for {}", isolate(&token.description)) } else { String::new() };
    let question = Question {
        verb: "Remove",
        object: format!("the token {}", isolate(&token.identifier)),
        follows: vec![
            format!("It opens the API as {}{about}.", isolate(&token.username)),
            "What uses it is refused from its next request. This cannot be undone.".into(),
        ],
        heading: "",
        listed: Vec::new(),
        count: 0,
        action: "/tokens/remove".into(),
        fields: vec![("identifier", token.identifier)],
        back: (PATH.into(), "Tokens".into()),
    };
    Ok(question::ask(&app, &visitor, Section::Tokens, question))
}

/// What the button that removes a token sends.
#[derive(Deserialize)]
pub(in crate::ui) struct RemoveForm {
    #[serde(default)]
    identifier: String,
}

/// Removes a token.
pub async fn remove(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<RemoveForm>::confirmed(&app, request, PATH).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    match tokens::remove(&app, By::Principal(&who, &visitor.actor()), &form.identifier).await {
        // Another administrator removed it, which was the purpose.
        Ok(()) | Err(ActionError::NotFound) => Ok(Redirect::to(PATH).into_response()),
        Err(error) => Err(error.into()),
    }
}
