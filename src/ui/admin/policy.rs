//! The policies of users (`/users/{id}/policy`), groups (`/groups/{group_uuid}/policy`) and the instance
//! (`/settings/policy`): what each has of its own, what holds together, and whose it is.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::policies;
use crate::config::parse_duration;
use crate::domain::policy::{AtLimit, Holding, Policy, StoredLimits, holding, spell};
use crate::domain::user::UserRule;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::people::policies::PolicyOwner;
use crate::ui::admin::user::user_id;
use crate::ui::admin::{group, groups, user};
use crate::ui::error::{PageError, conflict};
use crate::ui::refusal::Refusal;
use crate::ui::submission::{ManyFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::words::isolate;
use crate::ui::{Frame, PageResult, Section, page};

/// The address of the instance's policy.
pub(in crate::ui) const INSTANCE: &str = "/settings/policy";

#[derive(Template)]
#[template(path = "pages/policy.html")]
struct PolicyPage {
    frame: Frame,
    /// Whose it is: the title, and the page to go back to with its name.
    title: String,
    back: (String, String),
    action: String,
    /// Whether it is the instance's.
    is_instance: bool,
    given: Given,
    /// What was stored when the form was loaded, as it carries it.
    stored: String,
    /// The settings that cannot be changed here: the field's name, and where it is set.
    fixed: Vec<(&'static str, String)>,
    holding: Vec<Holding>,
    error: String,
    /// What another administrator stored since the form was loaded, in sentences; none: nobody did.
    changed: Option<Vec<String>>,
}

impl PolicyPage {
    /// The fields that are written: name, label, value and hint.
    fn fields(&self) -> [(&'static str, &'static str, &str, &'static str); 4] {
        [
            ("idle", "Idle timeout", &self.given.idle, "Such as 30m or 12h."),
            ("absolute", "Absolute timeout", &self.given.absolute, "Such as 8h or 14d."),
            ("remember", "With “stay signed in”", &self.given.remember, "Such as 30d; 0: not offered."),
            ("most", "Most sessions", &self.given.most, "A number."),
        ]
    }

    /// Where a field's setting is given; `""`: it can be changed here.
    fn source(&self, field: &str) -> &str {
        self.fixed.iter().find(|(name, _)| *name == field).map_or("", |(_, source)| source.as_str())
    }
}

/// What the form holds, as it is written; `""`: not set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Given {
    idle: String,
    absolute: String,
    remember: String,
    most: String,
    at_limit: String,
    factor: bool,
}

impl Form for Given {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("idle", "Idle timeout", FieldKind::Text),
        ("absolute", "Absolute timeout", FieldKind::Text),
        ("remember", "With “stay signed in”", FieldKind::Text),
        ("most", "Most sessions", FieldKind::Text),
        ("at_limit", "At the limit", FieldKind::Text),
        ("factor", "Signing in needs a second factor", FieldKind::Box),
    ];
}

/// The words for a choice.
fn words(field: &str, word: &str) -> Option<String> {
    AtLimit::parse(word).filter(|_| field == "at_limit").map(|outcome| outcome.words().to_owned())
}

/// A form that is shown again.
struct Again {
    given: Given,
    /// What was stored when it was loaded, as it carries it.
    stored: String,
    error: String,
    changed: Option<Vec<String>>,
}

impl Again {
    /// A form of what is stored.
    fn fresh<T: Serialize>(stored: &T, given: impl Fn(&T) -> Given) -> Result<Self, PageError> {
        Ok(Self { given: given(stored), stored: carried(stored)?, error: String::new(), changed: None })
    }

    /// With what is wrong. It stays a form of what it showed.
    fn wrong<T: Serialize>(given: Given, expected: &T, error: String) -> Result<Option<Self>, PageError> {
        Ok(Some(Self { given, stored: carried(expected)?, error, changed: None }))
    }

    /// After another administrator stored `now`: it goes on with that.
    fn outdated<T: Serialize>(given: &Given, was: &Given, (stored, now): (&T, &Given)) -> Result<Option<Self>, PageError> {
        let Merged { form, lines } = three_way::merge(&three_way::shown(was), given, now, &words);
        Ok(Some(Self { given: form, stored: carried(stored)?, error: OUTDATED.to_owned(), changed: Some(lines) }))
    }
}

/// What is stored, as a form carries it.
fn carried<T: Serialize>(stored: &T) -> Result<String, PageError> {
    serde_json::to_string(stored).map_err(|_| PageError::Internal)
}

impl Given {
    fn of(policy: &Policy) -> Self {
        Self {
            idle: policy.idle_timeout.map(spell).unwrap_or_default(),
            absolute: policy.absolute_timeout.map(spell).unwrap_or_default(),
            remember: policy.remember_timeout.map(spell).unwrap_or_default(),
            most: policy.max_sessions.map(|most| most.to_string()).unwrap_or_default(),
            at_limit: policy.at_limit.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
            factor: policy.is_factor_required,
        }
    }

    fn of_instance(limits: &StoredLimits) -> Self {
        let StoredLimits { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, .. } = *limits;
        Self::of(&Policy { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, is_factor_required: false })
    }

    fn read(form: &Query) -> Self {
        let text = |name: &str| form.last(name).unwrap_or_default().trim().to_owned();
        Self {
            idle: text("idle"),
            absolute: text("absolute"),
            remember: text("remember"),
            most: text("most"),
            at_limit: text("at_limit"),
            factor: form.last("factor").is_some(),
        }
    }

    /// The policy that it says.
    ///
    /// # Errors
    /// A sentence about what cannot be read.
    fn policy(&self) -> Result<Policy, String> {
        let duration = |what: &str, text: &str| match text {
            "" => Ok(None),
            text => parse_duration(text).map(Some).ok_or_else(|| {
                format!("Sorry: {what} {text:?} is no duration. Write a number with a unit, such as 30m, 12h or 14d.")
            }),
        };
        let max_sessions = match self.most.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("Sorry: {text:?} is no number of sessions."))?),
        };
        let at_limit = match self.at_limit.as_str() {
            "" => None,
            word => Some(AtLimit::parse(word).ok_or("Sorry: choose what happens at the limit.")?),
        };
        Ok(Policy {
            idle_timeout: duration("the idle timeout", &self.idle)?,
            absolute_timeout: duration("the absolute timeout", &self.absolute)?,
            remember_timeout: duration("the time with “stay signed in”", &self.remember)?,
            max_sessions,
            at_limit,
            is_factor_required: self.factor,
        })
    }

    /// The limits that it says, with those of `stored` that the form does not have.
    fn limits(&self, stored: StoredLimits) -> Result<StoredLimits, String> {
        let Policy { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, .. } = self.policy()?;
        Ok(StoredLimits { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, ..stored })
    }
}

/// Whose policy a page is about.
struct Whose {
    owner: PolicyOwner,
    name: String,
    /// The page of the owner.
    page: String,
    section: Section,
}

impl Whose {
    async fn user(app: &App, id: &str) -> Result<Self, PageError> {
        let id = user_id(id)?;
        let row = app.store.read().find_user(id).await?.ok_or(PageError::NotFound)?;
        Ok(Self { owner: PolicyOwner::User(id), name: row.username, page: user::path(id), section: Section::Users })
    }

    async fn group(app: &App, uuid: &str) -> Result<Self, PageError> {
        let group = group::find(app, uuid).await?;
        let (owner, page) = (PolicyOwner::Group(group.id), groups::path(group.uuid));
        Ok(Self { owner, name: group.name, page, section: Section::Groups })
    }

    fn path(&self) -> String {
        format!("{}/policy", self.page)
    }

    /// All policies that apply together, each with whose it is.
    async fn together(&self, app: &App) -> Result<Vec<(String, Policy)>, StoreError> {
        let db = app.store.read();
        let mut all = vec![("the instance".to_owned(), app.config.policy(&db.find_stored_limits().await?))];
        let above = match self.owner {
            PolicyOwner::User(id) => db.list_group_policies(id).await?,
            PolicyOwner::Group(id) => db.list_policies_above(id).await?,
        };
        all.extend(above.into_iter().map(|(name, policy)| (format!("the group {}", isolate(name)), policy)));
        all.push((isolate(&self.name), db.find_policy(self.owner).await?));
        Ok(all)
    }
}

async fn answer(app: &App, visitor: &Visitor, whose: &Whose, again: Option<Again>) -> PageResult {
    let Again { given, stored, error, changed } = match again {
        Some(again) => again,
        None => Again::fresh(&app.store.read().find_policy(whose.owner).await?, Given::of)?,
    };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shown = PolicyPage {
        frame: visitor.frame(app, whose.section),
        title: isolate(&whose.name),
        back: (whose.page.clone(), whose.name.clone()),
        action: whose.path(),
        is_instance: false,
        given,
        stored,
        fixed: Vec::new(),
        holding: holding(&whose.together(app).await?),
        error,
        changed,
    };
    Ok(page(status, &shown))
}

async fn show(app: &App, visitor: &Visitor, whose: Whose) -> PageResult {
    answer(app, visitor, &whose, None).await
}

/// The policy of a user.
pub async fn show_user(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_inspect()?;
    show(&app, &visitor, Whose::user(&app, &id).await?).await
}

/// The policy of a group.
pub async fn show_group(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_inspect()?;
    show(&app, &visitor, Whose::group(&app, &uuid).await?).await
}

/// Sets the policy of a user.
pub async fn set_user(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let back = format!("{}/policy", user::path(user_id(&id)?));
    let submission = Submission::<ManyFields>::confirmed(&app, request, &back).await?;
    submission.visitor.principal(&back)?.must_administer()?;
    set(&app, submission, Whose::user(&app, &id).await?).await
}

/// Sets the policy of a group.
pub async fn set_group(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let back = format!("{}/{uuid}/policy", groups::PATH);
    let submission = Submission::<ManyFields>::confirmed(&app, request, &back).await?;
    submission.visitor.principal(&back)?.must_administer()?;
    set(&app, submission, Whose::group(&app, &uuid).await?).await
}

/// What the form says is stored.
fn expected<T: serde::de::DeserializeOwned>(form: &Query) -> Result<T, PageError> {
    let stored = form.last("stored").and_then(|text| serde_json::from_str(text).ok());
    stored.ok_or_else(|| PageError::Forged(Refusal::Incomplete("the form does not say what was stored".into())))
}

const OUTDATED: &str = "Somebody else changed this policy since you opened the form. Nothing was stored.";

async fn set(app: &App, submission: Submission<ManyFields>, whose: Whose) -> PageResult {
    let Submission { visitor, form, .. } = submission;
    let (who, form) = (visitor.principal(&whose.page)?, form.query());
    let (given, expected) = (Given::read(&form), expected::<Policy>(&form)?);
    let policy = match given.policy() {
        Ok(policy) => policy,
        Err(text) => return answer(app, &visitor, &whose, Again::wrong(given, &expected, text)?).await,
    };
    let by = visitor.actor();
    match policies::set_if(app, By::Principal(&who, &by), whose.owner, &whose.name, policy, Some(expected)).await {
        Ok(_) => Ok(Redirect::to(&whose.path()).into_response()),
        Err(ActionError::Rule(rule)) => {
            answer(app, &visitor, &whose, Again::wrong(given, &expected, format!("Sorry: {rule}."))?).await
        }
        Err(ActionError::Outdated) => {
            let stored = app.store.read().find_policy(whose.owner).await?;
            let again = Again::outdated(&given, &Given::of(&expected), (&stored, &Given::of(&stored)))?;
            conflict(answer(app, &visitor, &whose, again).await)
        }
        Err(error) => Err(error.into()),
    }
}

async fn answer_instance(app: &App, visitor: &Visitor, again: Option<Again>) -> PageResult {
    const FIELDS: [&str; 6] = ["idle", "absolute", "remember", "most", "at_limit", "factor"];
    let stored = app.store.read().find_stored_limits().await?;
    let Again { mut given, stored: carried, error, changed } = match again {
        Some(again) => again,
        None => Again::fresh(&stored, Given::of_instance)?,
    };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let paths = stored.settings().map(|(path, _)| path);
    let paths = paths.into_iter().take(FIELDS.len() - 1).chain(["sessions.require_factor"]);
    let fixed = FIELDS.into_iter().zip(paths).filter_map(|(field, path)| Some((field, app.config.source_of(path)?.to_owned())));
    let built_in = app.config.policy(&StoredLimits::default());
    given.factor = built_in.is_factor_required;
    let shown = PolicyPage {
        frame: visitor.frame(app, Section::Settings),
        title: "the instance".to_owned(),
        back: ("/settings".to_owned(), "Settings".to_owned()),
        action: INSTANCE.to_owned(),
        is_instance: true,
        given,
        stored: carried,
        fixed: fixed.collect(),
        holding: holding(&[("the instance".to_owned(), app.config.policy(&stored))]),
        error,
        changed,
    };
    Ok(page(status, &shown))
}

/// The policy of the instance.
pub async fn show_instance(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(INSTANCE)?.must_inspect()?;
    answer_instance(&app, &visitor, None).await
}

/// Stores limits of the instance.
pub async fn set_instance(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, INSTANCE).await?;
    let who = visitor.principal(INSTANCE)?;
    who.must_administer()?;
    let form = form.query();
    let (given, expected) = (Given::read(&form), expected::<StoredLimits>(&form)?);
    let limits = match given.limits(expected) {
        Ok(limits) => limits,
        Err(text) => return answer_instance(&app, &visitor, Again::wrong(given, &expected, text)?).await,
    };
    match policies::set_instance(&app, By::Principal(&who, &visitor.actor()), limits, Some(expected)).await {
        Ok(_) => Ok(Redirect::to(INSTANCE).into_response()),
        Err(ActionError::Rule(UserRule::Policy)) => {
            answer_instance(&app, &visitor, Again::wrong(given, &expected, format!("Sorry: {}.", UserRule::Policy))?).await
        }
        Err(error @ ActionError::Given(..)) => {
            conflict(answer_instance(&app, &visitor, Again::wrong(given, &expected, format!("Sorry: {error}."))?).await)
        }
        Err(ActionError::Outdated) => {
            let stored = app.store.read().find_stored_limits().await?;
            let again = Again::outdated(&given, &Given::of_instance(&expected), (&stored, &Given::of_instance(&stored)))?;
            conflict(answer_instance(&app, &visitor, again).await)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        let policy = Policy {
            idle_timeout: Some(Duration::from_secs(5400)),
            absolute_timeout: Some(Duration::from_secs(8 * 3600)),
            remember_timeout: Some(Duration::ZERO),
            max_sessions: Some(3),
            at_limit: Some(AtLimit::Ask),
            is_factor_required: true,
        };
        let given = Given::of(&policy);
        assert_eq!((given.idle.as_str(), given.remember.as_str()), ("1h 30m", "0"));
        assert_eq!(given.policy(), Ok(policy));
        assert_eq!(Given::default().policy(), Ok(Policy::default()));
        for (field, says) in [("idle", "no duration"), ("most", "no number"), ("at_limit", "choose")] {
            let form = Query::of(vec![(field.to_owned(), "soon".to_owned())]);
            assert!(Given::read(&form).policy().unwrap_err().contains(says), "{field}");
        }
    }
}
