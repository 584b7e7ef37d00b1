//! `/account`: a user's own account: name and e-mail address, what happened to it, and the way to everything else that
//! is theirs.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::people::account;
use crate::actions::people::account::OwnChange;
use crate::domain::Timestamp;
use crate::domain::user::{MAX_EMAIL_LENGTH, MAX_TEXT_LENGTH, OwnRemoval};
use crate::http::query::Query;
use crate::store::people::profiles::UserProfile;
use crate::ui::account::activity;
use crate::ui::error::{PageError, conflict};
use crate::ui::refusal::Refusal;
use crate::ui::submission::Submission;
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::words::{EventLine, Moment, grouped, plural};
use crate::ui::{Frame, PageResult, Section, page};

pub(in crate::ui) const PATH: &str = "/account";
/// How many events are shown.
const EVENTS: i64 = 10;

#[derive(Template)]
#[template(path = "pages/account.html")]
struct AccountPage {
    frame: Frame,
    username: String,
    given: AccountForm,
    is_email_verified: bool,
    may_change_email: bool,
    longest: [usize; 2],
    error: String,
    /// What was stored elsewhere since the form was loaded, in sentences; none: nothing.
    changed: Option<Vec<String>>,
    /// What was just done, in a sentence.
    done: &'static str,
    added: Moment,
    last_sign_in: Option<Moment>,
    removal: OwnRemoval,
    /// When the user asked to be removed.
    asked: Option<Moment>,
    /// How many failed attempts there were of late, in a sentence; `""`: none.
    failed: String,
    events: Vec<EventLine>,
}

/// What the form sends.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct AccountForm {
    name: String,
    email: String,
    /// The version of the account that the form shows.
    version: String,
    /// What the form showed, as it carries it.
    shown: String,
}

impl Form for AccountForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] =
        &[("name", "Full name", FieldKind::Text), ("email", "E-mail", FieldKind::Text)];
}

impl AccountForm {
    /// What is stored.
    fn of(profile: &UserProfile) -> Self {
        let form = Self {
            name: profile.user.name.clone(),
            email: profile.user.email.clone(),
            version: profile.updated_at.0.to_string(),
            shown: String::new(),
        };
        Self { shown: three_way::carry(&form), ..form }
    }
}

/// What a page says next to its form.
#[derive(Default)]
struct Said {
    error: String,
    changed: Option<Vec<String>>,
    /// What was just done, in a sentence.
    done: &'static str,
}

/// The page.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let profile = account::find(&app, visitor.signed_in(PATH)?).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let done = match query.last("done") {
        Some("saved") => "Your account is saved.",
        Some("asked") if profile.removal_asked_at.is_some() => "The administrators see that you asked to be removed.",
        Some("kept") if profile.removal_asked_at.is_none() => "Your account stays. Nobody is asked to remove it any more.",
        _ => "",
    };
    answer(&app, &visitor, &profile, AccountForm::of(&profile), Said { done, ..Said::default() }).await
}

/// The page with what was typed, and an error or what was done.
async fn answer(
    app: &App,
    visitor: &Visitor,
    profile: &UserProfile,
    given: AccountForm,
    Said { error, changed, done }: Said,
) -> PageResult {
    let (user, now) = (&profile.user, app.clock.now());
    let latest = activity::latest(app, user.uuid, EVENTS).await?;
    let failed = activity::count_failed(app, user.uuid, now).await?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shown = AccountPage {
        frame: visitor.frame(app, Section::Account),
        username: user.username.clone(),
        is_email_verified: profile.is_email_verified,
        may_change_email: app.config.account.change_email,
        longest: [MAX_TEXT_LENGTH, MAX_EMAIL_LENGTH],
        error,
        changed,
        done,
        added: Moment::new(user.created_at, now),
        last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
        removal: app.config.account.removal,
        asked: profile.removal_asked_at.map(|at| Moment::new(at, now)),
        failed: match failed {
            0 => String::new(),
            count => format!("{} failed attempt{} in {} days", grouped(count), plural(count), activity::LATE_DAYS),
        },
        events: latest.iter().map(|event| EventLine::new(app, event, now, Some(user.id))).collect(),
        given,
    };
    Ok(page(status, &shown))
}

/// Changes name and e-mail address. Another address needs a re-authentication.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<AccountForm>::signed_in(&app, request, PATH).await?;
    let profile = account::find(&app, submission.visitor.signed_in(PATH)?).await?;
    let mut given = submission.form.clone();
    let version: Option<i64> = given.version.parse().ok();
    let version = version.ok_or_else(|| PageError::Forged(Refusal::Incomplete("the form has no version".into())))?;
    if !app.config.account.change_email {
        given.email.clone_from(&profile.user.email);
    }
    if given.email.trim() != profile.user.email {
        submission.must_be_confirmed(&app, PATH)?;
    }
    let visitor = &submission.visitor;
    let session = visitor.signed_in(PATH)?;
    let change = OwnChange { name: given.name.clone(), email: given.email.clone(), expected: Timestamp(version) };
    let (error, is_conflict) = match account::change(&app, session, change, &visitor.actor()).await {
        Ok(()) => return Ok(Redirect::to("/account?done=saved").into_response()),
        Err(ActionError::Rule(rule)) => (format!("Sorry: {rule}."), false),
        Err(ActionError::Exists(what)) => (format!("Sorry: there is {what} already."), true),
        Err(ActionError::Outdated) => {
            let profile = account::find(&app, session).await?;
            let Merged { form, lines } = three_way::onto(&given, &AccountForm::of(&profile), &|_, _| None);
            let error = "Your account changed since you opened the form. Nothing was stored.".to_owned();
            return conflict(answer(&app, visitor, &profile, form, Said { error, changed: Some(lines), done: "" }).await);
        }
        Err(error) => return Err(error.into()),
    };
    let shown = answer(&app, visitor, &profile, given, Said { error, ..Said::default() }).await;
    if is_conflict { conflict(shown) } else { shown }
}
