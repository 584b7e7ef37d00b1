//! `/tokens`: API credentials, one's own, and everybody's for administrators; `/tokens/new` makes one, and
//! `/tokens/rotate` gives one a new key. A key is shown once, when it is made.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::search::folded_terms;
use crate::domain::user::TokenIntent;
use crate::domain::{PlainSecret, secret};
use crate::http::query::Query;
use crate::store::people::token_list::{TokenDetail, TokenFilter, TokenSortKey};
use crate::ui::error::{PageError, conflict};
use crate::ui::fleet::view::address;
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, isolate, spell};
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/tokens";
/// The page with the form.
const NEW: &str = "/tokens/new";
/// The longest identifier and description, in characters.
const LONGEST: usize = 200;
/// The offered lifetimes, in days; 0: without end.
const DAYS: [u64; 5] = [1, 30, 90, 365, 0];
/// How long the key before a new one can open the same, in hours.
const HOURS: [u64; 4] = [0, 1, 24, 168];
/// How many tokens a page lists.
const PAGE_SIZE: i64 = 100;

#[derive(Template)]
#[template(path = "pages/tokens.html")]
struct TokensPage {
    frame: Frame,
    rows: Vec<TokenLine>,
    /// The key of a token that was just made, and its identifier.
    made: Option<Made>,
    origin: String,
    /// Whether the tokens of all users are listed.
    is_all: bool,
    query: String,
    count: i64,
    /// The addresses of the pages before and after, or `""`.
    previous: String,
    next: String,
}

/// What a token opens, in words.
fn may(token: &TokenDetail) -> String {
    match TokenIntent::parse(&token.intent) {
        Some(TokenIntent::AppPassword) => "open applications that accept app passwords".to_owned(),
        Some(TokenIntent::Recovery) => "set a password, once".to_owned(),
        Some(TokenIntent::Verification) => "prove an e-mail address".to_owned(),
        Some(TokenIntent::Api) | None => token.scopes.about(),
    }
}

/// A key that was just made.
struct Made {
    identifier: String,
    key: String,
    /// Until when the key before opens the same; `""`: not at all.
    old_until: String,
    /// Whether it opens the API.
    is_api: bool,
}

#[derive(Template)]
#[template(path = "pages/token_new.html")]
struct NewTokenPage {
    frame: Frame,
    error: String,
    given: TokenForm,
    /// Whether the token may be another user's.
    is_for_all: bool,
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
    /// What it may do, in words.
    may: String,
    used: Option<Moment>,
    /// Until when the key before the last one opens the same.
    old_until: Option<Moment>,
    can_rotate: bool,
    /// Whether the visitor may change and remove it: an auditor only sees it.
    may_change: bool,
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
    /// The words of its scopes, each in a field of its own (`scope.sessions:read`).
    #[serde(flatten)]
    scopes: BTreeMap<String, String>,
}

impl TokenForm {
    /// Whether this scope is chosen.
    fn has(&self, scope: impl Borrow<Scope>) -> bool {
        self.scopes.contains_key(&format!("scope.{}", scope.borrow().as_str()))
    }

    fn scopes(&self) -> Scopes {
        Scopes::new(Scope::ALL.into_iter().filter(|scope| self.has(scope)).collect())
    }
}

/// The list.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let number = query.last("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    list(&app, &visitor, (query.last("q").unwrap_or_default().trim(), number), None).await
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
    let is_for_all = visitor.principal(NEW)?.rights.is_superuser;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let made_up = format!("api-{}", secret::random_alphanumeric(10).map_err(ActionError::from)?);
    Ok(page(status, &NewTokenPage { frame: visitor.frame(app, Section::Tokens), error, given, is_for_all, made_up }))
}

/// One's own tokens, or all tokens for administrators: those that a search finds, and the number of the page.
async fn list(app: &App, visitor: &Visitor, (query, number): (&str, i64), made: Option<Made>) -> PageResult {
    let who = visitor.principal(PATH)?;
    let is_all = who.must_inspect().is_ok();
    let now = app.clock.now();
    let filter = TokenFilter {
        visible_to: Some(who.user_id).filter(|_| !is_all),
        search: folded_terms(query.split_whitespace()).unwrap_or_default(),
        ..TokenFilter::default()
    };
    let order = [Sort { key: TokenSortKey::Identifier, is_descending: false }];
    let found = app.store.page(&filter, &order, Wanted::page_or_last(number, PAGE_SIZE)).await?;
    let url = |number: i64| {
        let q = Some(("q", query.to_owned())).filter(|_| !query.is_empty());
        let number = Some(("page", number.to_string())).filter(|_| number > 1);
        address(PATH, &q.into_iter().chain(number).collect::<Vec<_>>())
    };
    let (previous, next) = (
        Some(url(found.number - 1)).filter(|_| found.number > 1),
        Some(url(found.number + 1)).filter(|_| found.number < found.pages),
    );
    let rows = found.rows.into_iter().map(|token| TokenLine {
        may: may(&token),
        used: token.last_used_at.map(|at| Moment::new(at, now)),
        old_until: token.old_key_until.filter(|until| *until > now).map(|until| Moment::until(until, now)),
        may_change: who.rights.is_superuser || token.user_id == who.user_id,
        can_rotate: TokenIntent::parse(&token.intent).is_some_and(|it| matches!(it, TokenIntent::Api | TokenIntent::AppPassword)),
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
    let template = TokensPage {
        frame,
        rows: rows.collect(),
        made,
        origin,
        is_all,
        query: query.to_owned(),
        count: found.count,
        previous: previous.unwrap_or_default(),
        next: next.unwrap_or_default(),
    };
    Ok(page(StatusCode::OK, &template))
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
        scopes: form.scopes(),
        is_readable: false,
    };
    let error = match add_for(&app, By::Principal(&who, &visitor.actor()), form.username.trim(), request).await {
        Ok((identifier, key)) => {
            let made = Made { identifier, key: key.expose().to_owned(), old_until: String::new(), is_api: true };
            return list(&app, &visitor, ("", 1), Some(made)).await;
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

/// Makes a token for the user of that name; for the one who asks, without a name.
async fn add_for(app: &App, by: By<'_>, username: &str, request: TokenRequest) -> Result<(String, PlainSecret), ActionError> {
    if let By::Principal(who, _) = by
        && (username.is_empty() || username == who.username)
    {
        return tokens::add(app, by, who.user_id, &who.username, request).await;
    }
    let user = users::find(app, by, username).await?;
    tokens::add(app, by, user.id, &user.username, request).await
}

/// Asks before a token is removed.
pub async fn ask_remove(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let token = asked(&app, &visitor, &parts).await?;
    let is_described = !token.description.is_empty();
    let about = if is_described { format!(", for {}", isolate(&token.description)) } else { String::new() };
    let question = Question {
        verb: "Remove",
        object: format!("the token {}", isolate(&token.identifier)),
        follows: vec![
            match TokenIntent::parse(&token.intent) {
                Some(TokenIntent::Api) => format!("It opens the API as {}{about}.", isolate(&token.username)),
                Some(TokenIntent::AppPassword) => format!("It opens applications as {}{about}.", isolate(&token.username)),
                _ => format!("It is a link for {}{about}, and does not open the API.", isolate(&token.username)),
            },
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

/// The token that an address names, for a question about it.
async fn asked(app: &App, visitor: &Visitor, parts: &Parts) -> Result<TokenDetail, PageError> {
    let who = visitor.principal(PATH)?;
    let back = parts.uri.path_and_query().map_or(PATH, |path| path.as_str());
    visitor.confirmed(app, back)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let identifier = query.last("identifier").unwrap_or_default();
    Ok(tokens::find(app, By::Principal(&who, &visitor.actor()), identifier).await?)
}

#[derive(Template)]
#[template(path = "pages/token_rotate.html")]
struct RotatePage {
    frame: Frame,
    identifier: String,
    username: String,
}

/// Asks how long the key before opens the same.
pub async fn ask_rotate(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let token = asked(&app, &visitor, &parts).await?;
    let frame = visitor.frame(&app, Section::Tokens);
    Ok(page(StatusCode::OK, &RotatePage { frame, identifier: token.identifier, username: token.username }))
}

/// What the form for a new key sends.
#[derive(Deserialize)]
pub(in crate::ui) struct RotateForm {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    hours: String,
}

/// Gives a token a new key, which is shown in the answer.
pub async fn rotate(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<RotateForm>::confirmed(&app, request, PATH).await?;
    let who = visitor.principal(PATH)?;
    let hours = form.hours.parse::<u64>().ok().filter(|hours| HOURS.contains(hours)).ok_or(PageError::NotFound)?;
    let keep = Duration::from_secs(hours * 3600);
    let (actor, identifier) = (visitor.actor(), &form.identifier);
    let token = tokens::find(&app, By::Principal(&who, &actor), identifier).await?;
    let key = tokens::keys::rotate(&app, By::Principal(&who, &actor), identifier, keep).await?;
    let old_until = if hours == 0 { String::new() } else { spell(keep) };
    let is_api = TokenIntent::parse(&token.intent) == Some(TokenIntent::Api);
    let made = Made { identifier: form.identifier, key: key.expose().to_owned(), old_until, is_api };
    list(&app, &visitor, ("", 1), Some(made)).await
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
    match tokens::remove(&app, By::Principal(&who, &visitor.actor()), &form.identifier).await {
        // It was removed before, which was the purpose.
        Ok(()) | Err(ActionError::NotFound) => Ok(Redirect::to(PATH).into_response()),
        Err(error) => Err(error.into()),
    }
}

/// A number of hours in words.
fn kept(hours: impl Borrow<u64>) -> String {
    spell(Duration::from_secs(hours.borrow() * 3600))
}
