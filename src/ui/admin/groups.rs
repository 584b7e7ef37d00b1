//! `/groups`: all groups, for administrators; and `/groups/new`, which adds one.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::groups;
use crate::actions::people::groups::GroupChange;
use crate::domain::group::MAX_GROUP_NAME_LENGTH;
use crate::domain::page::Wanted;
use crate::domain::people_lists::GroupFilter;
use crate::domain::search::{MAX_TERMS, folded_terms};
use crate::http::query::Query;
use crate::store::people::group_list::GroupLine;
use crate::ui::admin::choices::{self, GroupBoxes, PermissionBox};
use crate::ui::admin::page_links::PageLinks;
use crate::ui::error::{LAST_ADMINISTRATOR, PageError, conflict};
use crate::ui::submission::{ManyFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

/// The address of the list.
pub(in crate::ui) const PATH: &str = "/groups";
/// The page with the form.
const NEW: &str = "/groups/new";
const PAGE_SIZE: i64 = 50;

#[derive(Template)]
#[template(path = "pages/groups.html")]
struct GroupsPage {
    frame: Frame,
    search: String,
    rows: Vec<GroupLine>,
    count: i64,
    pages: PageLinks,
}

/// The form of a group, a new one or one that is changed.
#[derive(Template)]
#[template(path = "pages/group_edit.html")]
struct FormPage {
    frame: Frame,
    /// Where the form is sent.
    action: String,
    /// The stored name; `""`: a new group.
    stored_name: String,
    /// The page to go back to.
    back: String,
    given: GroupForm,
    error: String,
    /// What another administrator stored since the form was loaded, in sentences; none: nobody did.
    changed: Option<Vec<String>>,
    parents: GroupBoxes,
    permissions: Vec<PermissionBox>,
    longest: usize,
}

/// What the form of a group holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::ui) struct GroupForm {
    pub name: String,
    pub is_superuser: bool,
    pub is_auditor: bool,
    pub permissions: Vec<String>,
    #[serde(with = "three_way::uuids")]
    pub parents: Vec<Uuid>,
    /// The name of one more parent.
    pub typed_parent: String,
    /// `None`: they are too long for a form, and stay.
    pub attributes: Option<String>,
    /// The version of the group that the form shows; `""`: a new one.
    pub version: String,
    /// What the form showed, as it carries it.
    pub shown: String,
}

impl Form for GroupForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("name", "Name", FieldKind::Text),
        ("is_superuser", "Administrators", FieldKind::Box),
        ("is_auditor", "Auditors", FieldKind::Box),
        ("permissions", "Permissions", FieldKind::Text),
        ("parents", "Within the groups", FieldKind::Text),
        ("attributes", "Attributes", FieldKind::Json),
    ];
}

impl GroupForm {
    /// What was sent.
    pub fn read(form: &Query) -> Self {
        let text = |name: &str| form.last(name).unwrap_or_default().trim().to_owned();
        Self {
            name: text("name"),
            is_superuser: form.last("superuser").is_some(),
            is_auditor: form.last("auditor").is_some(),
            permissions: form.all("permission").map(str::to_owned).collect(),
            parents: form.all("parent").filter_map(|text| Uuid::parse_str(text).ok()).collect(),
            typed_parent: text("parent_name"),
            attributes: form.last("attributes").map(str::to_owned),
            version: text("version"),
            shown: text("shown"),
        }
    }

    /// The change that makes a group like this.
    ///
    /// # Errors
    /// A sentence about what is wrong; when the database does not answer.
    pub async fn change(&self, app: &App, form: &Query) -> Result<Result<GroupChange, String>, PageError> {
        let parents = match choices::read_groups(app, form, "parent").await? {
            Ok(parents) => parents,
            Err(text) => return Ok(Err(text)),
        };
        let attributes = match self.attributes.as_deref().map(choices::read_attributes).transpose() {
            Ok(attributes) => attributes,
            Err(text) => return Ok(Err(text)),
        };
        Ok(Ok(GroupChange {
            name: Some(self.name.clone()),
            is_superuser: Some(self.is_superuser),
            is_auditor: Some(self.is_auditor),
            parents: Some(parents),
            attributes,
            permissions: Some(choices::read_permissions(form)),
            expected: Some(self.version.clone()).filter(|version| !version.is_empty()),
            ..GroupChange::default()
        }))
    }
}

/// The group that a form is about, and what it is called.
pub(in crate::ui) type About = (Uuid, String);

/// Why a form is shown again: what is wrong, and what another administrator stored since.
pub(in crate::ui) type Problem = (String, Option<Vec<String>>);

/// The form; `about` is the group that it changes.
pub(in crate::ui) async fn form_page(
    app: &App,
    visitor: &Visitor,
    about: Option<About>,
    given: GroupForm,
    (error, changed): Problem,
) -> PageResult {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let except = about.as_ref().map(|(uuid, _)| *uuid);
    let back = except.map_or_else(|| PATH.to_owned(), path);
    let shown = FormPage {
        frame: visitor.frame(app, Section::Groups),
        action: except.map_or_else(|| PATH.to_owned(), |uuid| format!("{}/edit", path(uuid))),
        back,
        error,
        changed,
        parents: GroupBoxes::of(&app.store.read(), &given.parents, except, given.typed_parent.clone()).await?,
        permissions: choices::permission_boxes(&given.permissions),
        longest: MAX_GROUP_NAME_LENGTH,
        stored_name: about.map(|(_, name)| name).unwrap_or_default(),
        given,
    };
    Ok(page(status, &shown))
}

/// A form that is shown again, with what went wrong.
///
/// # Errors
/// What is no fault of the form.
pub(in crate::ui) async fn again(
    app: &App,
    visitor: &Visitor,
    about: Option<About>,
    given: GroupForm,
    error: ActionError,
) -> PageResult {
    let is_conflict = matches!(error, ActionError::Exists(_) | ActionError::NoGroup(_) | ActionError::LastAdministrator);
    let text = match error {
        ActionError::Rule(rule) => format!("Sorry: {rule}."),
        ActionError::Group(rule) => format!("Sorry: {rule}."),
        ActionError::Exists(what) => format!("Sorry: there is {what} already."),
        ActionError::NoGroup(_) => "Sorry: one of the groups is gone.".to_owned(),
        ActionError::LastAdministrator => LAST_ADMINISTRATOR.to_owned(),
        error => return Err(error.into()),
    };
    let shown = form_page(app, visitor, about, given, (text, None)).await;
    if is_conflict { conflict(shown) } else { shown }
}

/// The address of a group's page.
pub(in crate::ui) fn path(group: Uuid) -> String {
    format!("{PATH}/{group}")
}

/// The list, by name.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let search = query.last("q").unwrap_or_default().trim().replace('\0', "");
    let number = query.last("page").and_then(|text| text.parse().ok()).unwrap_or(1);
    let terms = folded_terms(search.split_whitespace().take(MAX_TERMS)).unwrap_or_default();
    let filter = GroupFilter { search: terms, ..GroupFilter::default() };
    let wanted = Wanted::page_or_last(number, PAGE_SIZE);
    let found = app.store.long_read(move |db| Box::pin(async move { db.page_group_lines(&filter, wanted).await })).await?;
    let parameters: Vec<(&str, String)> = if search.is_empty() { Vec::new() } else { vec![("q", search.clone())] };
    let shown = GroupsPage {
        frame: visitor.frame(&app, Section::Groups),
        search,
        count: found.count,
        pages: PageLinks::of(PATH, &parameters, found.number, found.pages),
        rows: found.rows,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The form for a new group.
pub async fn show_form(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(NEW)?.must_administer()?;
    let empty = GroupForm { attributes: Some(String::new()), ..GroupForm::default() };
    form_page(&app, &visitor, None, empty, Problem::default()).await
}

/// Adds a group.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, NEW).await?;
    let who = visitor.principal(NEW)?;
    who.must_administer()?;
    let form = form.query();
    let given = GroupForm { version: String::new(), ..GroupForm::read(&form) };
    let change = match given.change(&app, &form).await? {
        Ok(change) => change,
        Err(text) => return form_page(&app, &visitor, None, given, (text, None)).await,
    };
    match groups::add(&app, By::Principal(&who, &visitor.actor()), change).await {
        Ok(uuid) => Ok(Redirect::to(&path(uuid)).into_response()),
        Err(error) => again(&app, &visitor, None, given, error).await,
    }
}
