//! `/groups/{group_uuid}`: a group, its members page by page, and what it gives them; members are added and removed here.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{groups, users};
use crate::domain::UserId;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::people_lists::{UserFilter, UserSortKey};
use crate::domain::search::{MAX_TERMS, folded_terms};
use crate::http::query::Query;
use crate::store::people::groups::GroupRow;
use crate::store::people::policies::PolicyOwner;
use crate::ui::admin::choices::{self, Attributes};
use crate::ui::admin::groups::{PATH, path};
use crate::ui::admin::page_links::PageLinks;
use crate::ui::error::{LAST_ADMINISTRATOR, PageError, conflict};
use crate::ui::fleet::view::address;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

/// How many members a page shows.
const PAGE_SIZE: i64 = 50;

#[derive(Template)]
#[template(path = "pages/group.html")]
struct GroupPage {
    frame: Frame,
    group: GroupRow,
    parents: Vec<GroupRow>,
    children: Vec<GroupRow>,
    rights: Vec<String>,
    policy: String,
    attributes: Attributes,
    search: String,
    /// The number of the page, for forms that come back to it.
    number: i64,
    members: Vec<MemberLine>,
    /// How many members match the search.
    count: i64,
    pages: PageLinks,
    error: String,
    /// The name that was typed.
    typed: String,
}

struct MemberLine {
    id: i64,
    username: String,
    name: String,
    email: String,
    is_active: bool,
    last_sign_in: Option<Moment>,
}

/// Which members are shown.
struct Shown {
    search: String,
    number: i64,
}

impl Shown {
    fn read(query: &Query) -> Self {
        Self {
            search: query.last("q").unwrap_or_default().trim().replace('\0', ""),
            number: query.last("page").and_then(|text| text.parse().ok()).unwrap_or(1),
        }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        if self.search.is_empty() { Vec::new() } else { vec![("q", self.search.clone())] }
    }
}

/// The group that an address names.
///
/// # Errors
/// [`PageError::NotFound`].
pub(in crate::ui) async fn find(app: &App, uuid: &str) -> Result<GroupRow, PageError> {
    let uuid = Uuid::parse_str(uuid).map_err(|_| PageError::NotFound)?;
    app.store.read().find_group(uuid).await?.ok_or(PageError::NotFound)
}

/// The page.
pub async fn show(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_inspect()?;
    let group = find(&app, &uuid).await?;
    let shown = Shown::read(&Query::parse(parts.uri.query().unwrap_or_default()));
    answer(&app, &visitor, group, shown, String::new(), String::new()).await
}

async fn answer(app: &App, visitor: &Visitor, group: GroupRow, shown: Shown, error: String, typed: String) -> PageResult {
    let (now, db) = (app.clock.now(), app.store.read());
    let filter = UserFilter {
        group_uuids: vec![group.uuid],
        search: folded_terms(shown.search.split_whitespace().take(MAX_TERMS)).unwrap_or_default(),
        ..UserFilter::default()
    };
    let order = [Sort { key: UserSortKey::Username, is_descending: false }];
    let found = app.store.page(&filter, &order, Wanted::page_or_last(shown.number, PAGE_SIZE)).await?;
    let [parents, children] = db.find_group_relatives(group.id).await?;
    let (above, sources) = (db.list_groups_above(group.id).await?, db.list_group_permission_sources(group.id).await?);
    let rights = choices::rights_words((group.is_superuser, group.is_auditor), &above, &sources);
    let members = found.rows.iter().map(|row| {
        let user = &row.profile.user;
        MemberLine {
            id: user.id.0,
            username: user.username.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            is_active: user.is_active,
            last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
        }
    });
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = GroupPage {
        frame: visitor.frame(app, Section::Groups),
        policy: db.find_policy(PolicyOwner::Group(group.id)).await?.to_string(),
        attributes: Attributes::stored(&group.attributes),
        pages: PageLinks::of(&path(group.uuid), &shown.parameters(), found.number, found.pages),
        number: found.number,
        members: members.collect(),
        count: found.count,
        search: shown.search,
        group,
        parents,
        children,
        rights,
        error,
        typed,
    };
    Ok(page(status, &template))
}

/// What the forms for members send: a name to add, or a key to remove.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct MemberForm {
    username: String,
    remove: Option<i64>,
    q: String,
    page: String,
}

/// Adds a member, or removes one.
pub async fn set_member(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{uuid}");
    let Submission { visitor, form, .. } = Submission::<MemberForm>::confirmed(&app, request, &back).await?;
    let (who, actor) = (visitor.principal(PATH)?, visitor.actor());
    who.must_administer()?;
    let by = By::Principal(&who, &actor);
    let group = find(&app, &uuid).await?;
    let shown = Shown { search: form.q.trim().replace('\0', ""), number: form.page.parse().unwrap_or(1) };
    let typed = form.username.trim().replace('\0', "");
    let (user, is_member) = match form.remove {
        Some(id) => (UserId(id), false),
        None if typed.is_empty() => {
            return answer(&app, &visitor, group, shown, "Sorry: type the username of a user to add.".into(), typed).await;
        }
        None => match users::find(&app, by, &typed).await {
            Ok(user) => (user.id, true),
            Err(ActionError::NotFound) => {
                let error = format!("Sorry: there is no user named {typed:?}.");
                return answer(&app, &visitor, group, shown, error, typed).await;
            }
            Err(error) => return Err(error.into()),
        },
    };
    match groups::set_member(&app, by, group.uuid, user, is_member).await {
        Ok(_) => {
            let mut parameters = shown.parameters();
            if shown.number > 1 {
                parameters.push(("page", shown.number.to_string()));
            }
            // A new member may be on any page: the search finds them.
            if is_member {
                parameters = vec![("q", typed)];
            }
            Ok(Redirect::to(&address(&path(group.uuid), &parameters)).into_response())
        }
        Err(ActionError::LastAdministrator) => {
            conflict(answer(&app, &visitor, group, shown, LAST_ADMINISTRATOR.to_owned(), String::new()).await)
        }
        Err(error) => Err(error.into()),
    }
}
