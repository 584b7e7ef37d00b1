//! `/groups/{group_uuid}/edit`: changes a group; and `/groups/{group_uuid}/remove`, which asks before one is removed.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::groups;
use crate::domain::page::Wanted;
use crate::domain::people_lists::UserFilter;
use crate::store::people::groups::GroupRow;
use crate::ui::admin::choices::{self, Words};
use crate::ui::admin::group::find;
use crate::ui::admin::groups::{GroupForm, PATH, Problem, again, form_page, path};
use crate::ui::error::{PageError, conflict};
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::refusal::Refusal;
use crate::ui::submission::{ManyFields, NoFields, Submission};
use crate::ui::three_way::{self, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::words::{grouped, plural};
use crate::ui::{PageResult, Section};

/// What is stored.
async fn stored(app: &App, group: &GroupRow) -> Result<GroupForm, PageError> {
    let db = app.store.read();
    let [parents, _] = db.find_group_relatives(group.id).await?;
    let form = GroupForm {
        name: group.name.clone(),
        is_superuser: group.is_superuser,
        is_auditor: group.is_auditor,
        permissions: db.list_group_permissions(group.id).await?,
        parents: parents.iter().map(|parent| parent.uuid).collect(),
        typed_parent: String::new(),
        attributes: choices::show_attributes(&group.attributes),
        version: db.find_group_version(group).await?,
        shown: String::new(),
    };
    Ok(GroupForm { shown: three_way::carry(&form), ..form })
}

/// The form.
pub async fn show(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let group = find(&app, &uuid).await?;
    let given = stored(&app, &group).await?;
    form_page(&app, &visitor, Some((group.uuid, group.name)), given, Problem::default()).await
}

/// Changes the group.
pub async fn submit(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{uuid}/edit");
    let Submission { visitor, form, .. } = Submission::<ManyFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    let group = find(&app, &uuid).await?;
    let form = form.query();
    let (given, about) = (GroupForm::read(&form), (group.uuid, group.name));
    if given.version.is_empty() {
        return Err(PageError::Forged(Refusal::Incomplete("the form has no version".into())));
    }
    let change = match given.change(&app, &form).await? {
        Ok(change) => change,
        Err(text) => return form_page(&app, &visitor, Some(about), given, (text, None)).await,
    };
    match groups::change(&app, By::Principal(&who, &visitor.actor()), group.uuid, change).await {
        Ok(()) => Ok(Redirect::to(&path(group.uuid)).into_response()),
        Err(ActionError::Outdated) => {
            let group = find(&app, &uuid).await?;
            let stored = stored(&app, &group).await?;
            let words = Words::of(&app.store.read(), "parents", &given, [&given.parents, &stored.parents]).await?;
            let Merged { form, lines } = three_way::onto(&given, &stored, &|field, item| words.item(field, item));
            let text = "Somebody else changed this group since you opened the form. Nothing was stored.".to_owned();
            conflict(form_page(&app, &visitor, Some((group.uuid, group.name)), form, (text, Some(lines))).await)
        }
        Err(error) => again(&app, &visitor, Some(about), given, error).await,
    }
}

/// Asks before a group is removed.
pub async fn ask_remove(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (visitor, _) = Visitor::administrator(&app, request).await?;
    let group = find(&app, &uuid).await?;
    let filter = UserFilter { group_uuids: vec![group.uuid], ..UserFilter::default() };
    let members = app.store.page(&filter, &[], Wanted::first(10)).await?;
    let [_, children] = app.store.read().find_group_relatives(group.id).await?;
    let count = members.count;
    let question = Question {
        verb: "Remove",
        follows: vec![
            format!("Its {} member{} stay users, and lose what only this group gives them.", grouped(count), plural(count)),
            match children.len() {
                0 => "No group is within it.".to_owned(),
                1 => "The group within it stays, and loses what only this group gives it.".to_owned(),
                many => format!("The {} groups within it stay, and lose what only this group gives them.", grouped(many)),
            },
        ],
        heading: "These users lose it",
        listed: members.rows.into_iter().map(|row| row.profile.user.username).collect(),
        count: usize::try_from(count).unwrap_or(0),
        action: format!("{}/remove", path(group.uuid)),
        fields: Vec::new(),
        back: (path(group.uuid), group.name.clone()),
        object: group.name,
    };
    Ok(question::ask(&app, &visitor, Section::Groups, question))
}

/// Removes a group.
pub async fn remove(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{uuid}");
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    let group = find(&app, &uuid).await?;
    groups::remove(&app, By::Principal(&who, &visitor.actor()), group.uuid).await?;
    Ok(Redirect::to(PATH).into_response())
}
