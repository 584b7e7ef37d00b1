//! `/apps/passwords`: a user's own app passwords, which let programs without a browser into apps. A password is shown
//! once, when it is made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::actions::applications::passwords;
use crate::actions::by::By;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::domain::application::Application;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::scope::Scopes;
use crate::domain::secret;
use crate::domain::user::TokenIntent;
use crate::http::query::Query;
use crate::store::people::token_list::{TokenDetail, TokenFilter, TokenSortKey};
use crate::ui::admin::page_links::PageLinks;
use crate::ui::error::{PageError, conflict};
use crate::ui::question::Question;
use crate::ui::submission::{ManyFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, isolate};
use crate::ui::{Frame, PageResult, Section, page, question};

const PATH: &str = "/apps/passwords";
/// The page with the form.
const NEW: &str = "/apps/passwords/new";
const REMOVE: &str = "/apps/passwords/remove";
/// The longest description, in characters.
const LONGEST: usize = 200;
/// The offered lifetimes, in days; 0: without end.
const DAYS: [u64; 4] = [30, 90, 365, 0];
/// How many app passwords a page lists.
const PAGE_SIZE: i64 = 100;

#[derive(Template)]
#[template(path = "pages/app_passwords.html")]
struct PasswordsPage {
    frame: Frame,
    username: String,
    rows: Vec<Line>,
    /// What a password that was just made is for, and the password.
    made: Option<(String, String)>,
    /// Whether there is an app that takes one.
    is_offered: bool,
    pages: PageLinks,
}

struct Line {
    identifier: String,
    description: String,
    /// The names of its applications.
    apps: Vec<String>,
    made: Moment,
    used: Option<Moment>,
    expires: Option<Moment>,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "pages/app_password_new.html")]
struct NewPasswordPage {
    frame: Frame,
    error: String,
    given: Given,
    apps: Vec<AppBox>,
    longest: usize,
    /// The identifier of the password to make: if the form is sent twice, one is made.
    made_up: String,
}

/// An app to tick.
struct AppBox {
    slug: String,
    name: String,
    is_on: bool,
}

/// What the form for a new app password holds.
struct Given {
    description: String,
    days: String,
    apps: Vec<String>,
    made_up: String,
}

impl Given {
    fn read(form: &Query) -> Self {
        let text = |name: &str| form.last(name).unwrap_or_default().trim().to_owned();
        let apps = form.all("app").map(str::to_owned).collect();
        Self { description: text("description"), days: text("days"), apps, made_up: text("made_up") }
    }
}

/// The list.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let number = query.last("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    list(&app, &visitor, number, None).await
}

async fn list(app: &App, visitor: &Visitor, number: i64, made: Option<(String, String)>) -> PageResult {
    let (who, now) = (visitor.principal(PATH)?, app.clock.now());
    let filter = TokenFilter {
        user: Some(who.user_id),
        intent: Some(TokenIntent::AppPassword.as_str().to_owned()),
        ..TokenFilter::default()
    };
    let order = [Sort { key: TokenSortKey::Description, is_descending: false }];
    let found = app.store.page(&filter, &order, Wanted::page_or_last(number, PAGE_SIZE)).await?;
    let ids: Vec<i64> = found.rows.iter().map(|token| token.id).collect();
    let mut slugs = app.store.read().list_applications_of_tokens(&ids).await?;
    let all = app.store.applications().await?;
    let names: HashMap<&str, &str> = all.all().iter().map(|it| (it.slug.as_str(), it.name.as_str())).collect();
    let rows = found.rows.into_iter().map(|token| Line {
        apps: slugs
            .remove(&token.id)
            .unwrap_or_default()
            .into_iter()
            .map(|slug| names.get(slug.as_str()).map_or(slug.clone(), |name| (*name).to_owned()))
            .collect(),
        made: Moment::new(token.created_at, now),
        used: token.last_used_at.map(|at| Moment::new(at, now)),
        expires: token.is_expiring.then(|| Moment::until(token.expires_at, now)),
        is_over: token.is_expiring && token.expires_at <= now,
        identifier: token.identifier,
        description: token.description,
    });
    let shown = PasswordsPage {
        frame: visitor.frame(app, Section::Apps),
        rows: rows.collect(),
        made,
        is_offered: !passwords::offered(app, By::Principal(&who, &visitor.actor()), who.user_id).await?.is_empty(),
        pages: PageLinks::of::<&str>(PATH, &[], found.number, found.pages),
        username: who.username,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The form for a new app password.
pub async fn show_form(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let apps = query.all("app").map(str::to_owned).collect();
    let given = Given { description: String::new(), days: "365".into(), apps, made_up: String::new() };
    form_page(&app, &visitor, String::new(), given).await
}

async fn form_page(app: &App, visitor: &Visitor, error: String, given: Given) -> PageResult {
    let who = visitor.principal(NEW)?;
    let offered = passwords::offered(app, By::Principal(&who, &visitor.actor()), who.user_id).await?;
    let is_only = offered.len() == 1;
    let one = |application: &Arc<Application>| AppBox {
        slug: application.slug.clone(),
        name: application.name.clone(),
        is_on: is_only || given.apps.iter().any(|slug| slug.eq_ignore_ascii_case(&application.slug)),
    };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let made_up = format!("app-{}", secret::random_alphanumeric(10).map_err(ActionError::from)?);
    let apps = offered.iter().map(one).collect();
    let frame = visitor.frame(app, Section::Apps);
    Ok(page(status, &NewPasswordPage { frame, error, given, apps, longest: LONGEST, made_up }))
}

/// Makes an app password. It is in the answer itself, not in a redirect or an address, so that it is stored nowhere.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, NEW).await?;
    let who = visitor.principal(NEW)?;
    let given = Given::read(&form.query());
    let is_text = |text: &str| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    let days = given.days.parse::<u64>().ok().filter(|days| DAYS.contains(days));
    let (Some(days), true) = (days, is_text(&given.description) && is_text(&given.made_up)) else {
        let error = format!("What it is for is one line of at most {LONGEST} characters.");
        return form_page(&app, &visitor, error, given).await;
    };
    let request = TokenRequest {
        intent: TokenIntent::AppPassword,
        identifier: Some(given.made_up.clone()).filter(|name| !name.is_empty()),
        description: given.description.clone(),
        lives: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        key: None,
        applications: Vec::new(),
        scopes: Scopes::default(),
        is_readable: false,
    };
    let (actor, owner) = (visitor.actor(), (who.user_id, who.username.as_str()));
    match passwords::add(&app, By::Principal(&who, &actor), owner, &given.apps, request).await {
        Ok((identifier, key)) => {
            let what = if given.description.is_empty() { identifier } else { given.description };
            list(&app, &visitor, 1, Some((what, key.expose().to_owned()))).await
        }
        Err(ActionError::Exists(_)) => Err(PageError::Conflict(
            "This form was sent before, and its app password was made then. It was shown that once; if it is lost, make another one."
                .into(),
        )),
        Err(ActionError::Application(rule)) => form_page(&app, &visitor, format!("Sorry: {rule}."), given).await,
        // An application was removed at this moment.
        Err(ActionError::Store(crate::store::StoreError::Conflict(_))) => {
            conflict(form_page(&app, &visitor, "Sorry: one of the apps is gone.".into(), given).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// The visitor's own app password of this identifier.
async fn find(app: &App, visitor: &Visitor, identifier: &str) -> Result<TokenDetail, PageError> {
    let who = visitor.principal(PATH)?;
    let token = tokens::find(app, By::Principal(&who, &visitor.actor()), identifier).await?;
    let is_own = token.user_id == who.user_id && token.intent == TokenIntent::AppPassword.as_str();
    if is_own { Ok(token) } else { Err(PageError::NotFound) }
}

/// Asks before an app password is removed.
pub async fn ask_remove(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.signed_in(PATH)?;
    visitor.confirmed(&app, parts.uri.path_and_query().map_or(REMOVE, |path| path.as_str()))?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let token = find(&app, &visitor, query.last("identifier").unwrap_or_default()).await?;
    let apps = app.store.read().list_token_applications(&token.identifier).await?;
    let what = if token.description.is_empty() { &token.identifier } else { &token.description };
    let question = Question {
        verb: "Remove",
        object: format!("the app password {}", isolate(what)),
        follows: vec![
            if apps.is_empty() { "It opens no app.".to_owned() } else { format!("It opens {}.", apps.join(", ")) },
            "The program that uses it is refused from its next request. This cannot be undone.".into(),
        ],
        heading: "",
        listed: Vec::new(),
        count: 0,
        action: REMOVE.into(),
        fields: vec![("identifier", token.identifier)],
        back: (PATH.into(), "App passwords".into()),
    };
    Ok(question::ask(&app, &visitor, Section::Apps, question))
}

/// Removes an app password.
pub async fn remove(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, PATH).await?;
    let who = visitor.principal(PATH)?;
    let form = form.query();
    let identifier = form.last("identifier").unwrap_or_default();
    match find(&app, &visitor, identifier).await {
        Ok(token) => tokens::remove(&app, By::Principal(&who, &visitor.actor()), &token.identifier).await?,
        // It was removed before, which was the purpose.
        Err(PageError::NotFound) => {}
        Err(error) => return Err(error),
    }
    Ok(Redirect::to(PATH).into_response())
}
