//! `/users/{id}/edit`: a form for all that is stored of a user but secrets; and `/users/{id}/remove`, which asks before
//! a user is removed.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes::{self, UserChange};
use crate::actions::people::users;
use crate::domain::user::{MAX_EMAIL_LENGTH, MAX_TEXT_LENGTH, MAX_USERNAME_LENGTH, UserType};
use crate::domain::{Timestamp, UserId};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::people::user_list::ListedUser;
use crate::ui::admin::choices::{self, GroupBoxes, PermissionBox, Words};
use crate::ui::admin::user::{PATH, asked_about, last_administrator, path, question_of_end, user_id};
use crate::ui::error::{LAST_ADMINISTRATOR, PageError, conflict};
use crate::ui::question;
use crate::ui::refusal::Refusal;
use crate::ui::submission::{ManyFields, NoFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/user_edit.html")]
struct EditPage {
    frame: Frame,
    id: i64,
    /// The address of the form.
    action: String,
    /// The stored name.
    username: String,
    given: Given,
    error: String,
    /// What another administrator stored since the form was loaded, in sentences; none: nobody did.
    changed: Option<Vec<String>>,
    kinds: Vec<(UserType, &'static str)>,
    groups: GroupBoxes,
    permissions: Vec<PermissionBox>,
    longest: [usize; 3],
}

/// What the form holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a box of the form, or said of the user")]
struct Given {
    username: String,
    name: String,
    email: String,
    is_verified: bool,
    kind: String,
    path: String,
    /// `None`: they are too long for a form, and stay.
    attributes: Option<String>,
    is_superuser: bool,
    is_auditor: bool,
    permissions: Vec<String>,
    #[serde(with = "three_way::uuids")]
    groups: Vec<Uuid>,
    typed_group: String,
    /// The form says it, and does not change it.
    is_active: bool,
    /// The version of the user that the form shows.
    version: i64,
    /// What the form showed, as it carries it.
    shown: String,
}

impl Form for Given {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("is_active", "Active", FieldKind::Mark),
        ("username", "Username", FieldKind::Text),
        ("name", "Full name", FieldKind::Text),
        ("email", "E-mail", FieldKind::Text),
        ("is_verified", "The e-mail address is known to be theirs", FieldKind::Box),
        ("kind", "Type", FieldKind::Text),
        ("path", "Path", FieldKind::Text),
        ("is_superuser", "Administrator", FieldKind::Box),
        ("is_auditor", "Auditor", FieldKind::Box),
        ("permissions", "Permissions", FieldKind::Text),
        ("groups", "Groups", FieldKind::Text),
        ("attributes", "Attributes", FieldKind::Json),
    ];
}

impl Given {
    /// What is stored.
    fn of(row: &ListedUser, permissions: Vec<String>) -> Self {
        let (profile, user) = (&row.profile, &row.profile.user);
        let given = Self {
            username: user.username.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            is_verified: profile.is_email_verified,
            kind: profile.kind.as_str().to_owned(),
            path: profile.path.clone(),
            attributes: choices::show_attributes(&profile.attributes),
            is_superuser: user.is_superuser,
            is_auditor: profile.is_auditor,
            permissions,
            groups: row.groups.iter().map(|group| group.uuid).collect(),
            typed_group: String::new(),
            is_active: user.is_active,
            version: profile.updated_at.0,
            shown: String::new(),
        };
        Self { shown: three_way::carry(&given), ..given }
    }

    /// What was sent.
    ///
    /// # Errors
    /// When it does not say of which version it is.
    fn read(form: &Query) -> Result<Self, PageError> {
        let version = form.last("version").and_then(|text| text.parse().ok());
        let version = version.ok_or_else(|| PageError::Forged(Refusal::Incomplete("the form has no version".into())))?;
        let text = |name: &str| form.last(name).unwrap_or_default().trim().to_owned();
        Ok(Self {
            username: text("username"),
            name: text("name"),
            email: text("email"),
            is_verified: form.last("verified").is_some(),
            kind: text("type"),
            path: text("path"),
            attributes: form.last("attributes").map(str::to_owned),
            is_superuser: form.last("superuser").is_some(),
            is_auditor: form.last("auditor").is_some(),
            permissions: form.all("permission").map(str::to_owned).collect(),
            groups: form.all("group").filter_map(|text| Uuid::parse_str(text).ok()).collect(),
            typed_group: text("group_name"),
            is_active: false,
            version,
            shown: text("shown"),
        })
    }

    /// The change that makes what is stored like this.
    async fn change(&self, app: &App, form: &Query, stored: &Self) -> Result<Result<UserChange, String>, StoreError> {
        let groups = match choices::read_groups(app, form, "group").await? {
            Ok(groups) => groups,
            Err(text) => return Ok(Err(text)),
        };
        let attributes = match self.attributes.as_deref().map(choices::read_attributes).transpose() {
            Ok(attributes) => attributes,
            Err(text) => return Ok(Err(text)),
        };
        let Some(kind) = UserType::parse(&self.kind) else { return Ok(Err("Sorry: choose what they are.".to_owned())) };
        Ok(Ok(UserChange {
            username: Some(self.username.clone()),
            name: Some(self.name.clone()),
            email: Some(self.email.clone()),
            // Ticked as before, it says nothing of another address.
            is_email_verified: Some(self.is_verified).filter(|is_verified| *is_verified != stored.is_verified),
            is_superuser: Some(self.is_superuser).filter(|is_superuser| *is_superuser != stored.is_superuser),
            is_auditor: Some(self.is_auditor),
            attributes,
            path: Some(self.path.clone()),
            kind: Some(kind),
            groups: Some(groups),
            permissions: Some(choices::read_permissions(form)),
            expected: Some(Timestamp(self.version)),
            ..UserChange::default()
        }))
    }
}

/// The form.
pub async fn show(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let id = user_id(&id)?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let (row, stored) = find(&app, id).await?;
    answer(&app, &visitor, &row, stored, Problem::default()).await
}

async fn find(app: &App, id: UserId) -> Result<(ListedUser, Given), PageError> {
    let db = app.store.read();
    let row = db.find_listed_user(id).await?.ok_or(PageError::NotFound)?;
    let permissions = db.list_permissions(id).await?;
    let given = Given::of(&row, permissions);
    Ok((row, given))
}

/// Why a form is shown again.
#[derive(Default)]
struct Problem {
    error: String,
    changed: Option<Vec<String>>,
}

impl Problem {
    fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), changed: None }
    }
}

async fn answer(app: &App, visitor: &Visitor, row: &ListedUser, given: Given, problem: Problem) -> PageResult {
    let profile = &row.profile;
    let status = if problem.error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let kinds = UserType::ALL.into_iter().filter(|kind| *kind == profile.kind || *kind != UserType::InternalServiceAccount);
    let groups = GroupBoxes::of(&app.store.read(), &given.groups, None, given.typed_group.clone()).await?;
    let shown = EditPage {
        frame: visitor.frame(app, Section::Users),
        id: profile.user.id.0,
        action: format!("{}/edit", path(profile.user.id)),
        username: profile.user.username.clone(),
        error: problem.error,
        changed: problem.changed,
        kinds: kinds.map(|kind| (kind, choices::type_words(kind))).collect(),
        groups,
        permissions: choices::permission_boxes(&given.permissions),
        longest: [MAX_USERNAME_LENGTH, MAX_TEXT_LENGTH, MAX_EMAIL_LENGTH],
        given,
    };
    Ok(page(status, &shown))
}

/// Changes the user.
pub async fn submit(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let back = format!("{}/edit", path(id));
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    let form = form.query();
    let (given, (row, stored)) = (Given::read(&form)?, find(&app, id).await?);
    let change = match given.change(&app, &form, &stored).await? {
        Ok(change) => change,
        Err(text) => return answer(&app, &visitor, &row, given, Problem::new(text)).await,
    };
    let again = async |problem: Problem| answer(&app, &visitor, &row, given.clone(), problem).await;
    match changes::change(&app, By::Principal(&who, &visitor.actor()), id, change).await {
        Ok(()) => Ok(Redirect::to(&path(id)).into_response()),
        Err(ActionError::Rule(rule)) => again(Problem::new(format!("Sorry: {rule}."))).await,
        Err(ActionError::Exists(what)) => conflict(again(Problem::new(format!("Sorry: there is {what} already."))).await),
        Err(ActionError::NoGroup(_)) => conflict(again(Problem::new("Sorry: one of the groups is gone.")).await),
        Err(ActionError::LastAdministrator) => conflict(again(Problem::new(LAST_ADMINISTRATOR)).await),
        Err(ActionError::Outdated) => {
            let (row, stored) = find(&app, id).await?;
            let words = Words::of(&app.store.read(), "groups", &given, [&given.groups, &stored.groups]).await?;
            let Merged { form, lines } = three_way::onto(&given, &stored, &|field, item| words.item(field, item));
            let problem = Problem {
                error: "Somebody else changed this user since you opened the form. Nothing was stored.".into(),
                changed: Some(lines),
            };
            conflict(answer(&app, &visitor, &row, form, problem).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks before a user is removed.
pub async fn ask_remove(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (visitor, user) = asked_about(&app, &id, request).await?;
    let then = [
        "Groups, second factors, permissions and policy of the user are gone. Ended sessions and events stay.",
        "This cannot be undone. To keep a user out for a time, deactivate them.",
    ];
    let question = question_of_end(&app, user, ("Remove", "remove"), &then).await?;
    Ok(question::ask(&app, &visitor, Section::Users, question))
}

/// Removes a user.
pub async fn remove(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    let by = visitor.actor();
    let user = users::find_by_id(&app, By::Principal(&who, &by), id).await?;
    match users::remove(&app, By::Principal(&who, &by), &user).await {
        Ok(()) => Ok(Redirect::to(PATH).into_response()),
        Err(ActionError::LastAdministrator) => last_administrator(&app, &visitor, user).await,
        Err(error) => Err(error.into()),
    }
}
