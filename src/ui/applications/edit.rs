//! `/applications/{slug}/edit`: what an application is called and how it is shown; and `/applications/{slug}/remove`, which
//! asks before one is removed.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::domain::application::values::GroupsSent;
use crate::domain::application::{Application, ApplicationRule, Display, MAX_NAME_LENGTH, MAX_SLUG_LENGTH};
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::ui::applications::said::{HostLine, Wrong, lines};
use crate::ui::applications::{PATH, find};
use crate::ui::error::conflict;
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::words::{grouped, plural};
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/application_edit.html")]
struct EditPage {
    frame: Frame,
    /// The stored slug and name.
    slug: String,
    name: String,
    given: EditForm,
    longest_slug: usize,
    longest_name: usize,
    wrong: Wrong,
}

/// What the form sends.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct EditForm {
    version: String,
    /// What the form showed, as it carries it.
    shown: String,
    slug: String,
    name: String,
    group: String,
    launch_url: String,
    icon: String,
    description: String,
    publisher: String,
    open_in_new_tab: Option<String>,
    is_hidden: Option<String>,
    groups_sent: String,
}

impl Form for EditForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("slug", "Slug", FieldKind::Text),
        ("name", "Name", FieldKind::Text),
        ("groups_sent", "Groups that the app is told of", FieldKind::Text),
        ("group", "Heading", FieldKind::Text),
        ("description", "Description", FieldKind::Text),
        ("publisher", "Publisher", FieldKind::Text),
        ("launch_url", "Where it is opened", FieldKind::Text),
        ("icon", "Address of its icon", FieldKind::Text),
        ("open_in_new_tab", "Open it in a new tab", FieldKind::Box),
        ("is_hidden", "Leave it out of My apps", FieldKind::Box),
    ];
}

impl EditForm {
    fn of(application: &Application) -> Self {
        let display = application.display.clone();
        let yes = |is: bool| is.then(|| "yes".to_owned());
        let form = Self {
            version: application.version(),
            shown: String::new(),
            slug: application.slug.clone(),
            name: application.name.clone(),
            group: display.group,
            launch_url: display.launch_url,
            icon: display.icon,
            description: display.description,
            publisher: display.publisher,
            open_in_new_tab: yes(display.open_in_new_tab),
            is_hidden: yes(display.is_hidden),
            groups_sent: match &application.groups_sent {
                GroupsSent::All => String::new(),
                GroupsSent::Only(names) => names.join("\n"),
            },
        };
        Self { shown: three_way::carry(&form), ..form }
    }

    fn change(&self) -> ApplicationChange {
        let names: Vec<String> = lines(&self.groups_sent).map(str::to_owned).collect();
        ApplicationChange {
            slug: Some(self.slug.trim().to_owned()),
            name: Some(self.name.trim().to_owned()),
            display: Some(Display {
                group: self.group.trim().to_owned(),
                launch_url: self.launch_url.trim().to_owned(),
                icon: self.icon.trim().to_owned(),
                description: self.description.trim().to_owned(),
                publisher: self.publisher.trim().to_owned(),
                open_in_new_tab: self.open_in_new_tab.is_some(),
                is_hidden: self.is_hidden.is_some(),
            }),
            groups_sent: Some(if names.is_empty() { GroupsSent::All } else { GroupsSent::Only(names) }),
            expected: Some(self.version.clone()),
            ..ApplicationChange::default()
        }
    }
}

/// The field that a rule is about.
fn field(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::Slug => "slug",
        ApplicationRule::NameLength | ApplicationRule::Name(_) => "name",
        ApplicationRule::GroupsSent => "groups_sent",
        ApplicationRule::Shown(field) | ApplicationRule::Address(field) => field,
        _ => "",
    }
}

fn form_page(app: &App, visitor: &Visitor, application: &Application, given: EditForm, wrong: Wrong) -> Response {
    let status = if wrong.text.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = EditPage {
        frame: visitor.frame(app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        given,
        longest_slug: MAX_SLUG_LENGTH,
        longest_name: MAX_NAME_LENGTH,
        wrong,
    };
    page(status, &template)
}

/// The form.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let application = find(&app, &slug).await?;
    Ok(form_page(&app, &visitor, &application, EditForm::of(&application), Wrong::default()))
}

/// Changes the application.
pub async fn submit(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}/edit");
    let Submission { visitor, form, .. } = Submission::<EditForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let again = |given: EditForm, wrong: Wrong| Ok(form_page(&app, &visitor, &application, given, wrong));
    match applications::change(&app, By::Principal(&who, &visitor.actor()), &slug, form.change()).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => again(form, Wrong::sorry(field(&rule), rule)),
        Err(ActionError::Exists(what)) => conflict(again(form, Wrong::sorry("slug", format!("there is {what} already")))),
        Err(ActionError::Outdated) => {
            let now = find(&app, &slug).await?;
            let Merged { form, lines } = three_way::onto(&form, &EditForm::of(&now), &|_, _| None);
            conflict(again(form, Wrong::outdated(lines)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks before an application is removed.
pub async fn ask_remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (visitor, _) = Visitor::administrator(&app, request).await?;
    let application = find(&app, &slug).await?;
    let hosts = application.guard().map(|guard| HostLine::all(&guard.hosts)).unwrap_or_default();
    let filter = AppSessionFilter { application: Some(application.slug.clone()), ..AppSessionFilter::default() };
    let open = app.store.read().count_app_sessions(&filter).await?;
    let question = Question {
        verb: "Remove",
        object: application.name.clone(),
        follows: vec![
            "It opens for nobody from the next request on, and its rules are gone.".to_owned(),
            match open {
                0 => "No session has it open.".to_owned(),
                open => format!(
                    "It ends in the {} session{} that {} it open.",
                    grouped(open),
                    plural(open),
                    if open == 1 { "has" } else { "have" }
                ),
            },
        ],
        heading: "These hosts are not guarded any more",
        count: hosts.len(),
        listed: hosts.into_iter().map(|host| host.text).collect(),
        action: format!("{PATH}/{slug}/remove"),
        fields: Vec::new(),
        back: (format!("{PATH}/{slug}"), application.name.clone()),
    };
    Ok(question::ask(&app, &visitor, Section::Applications, question))
}

/// Removes an application.
pub async fn remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    applications::remove(&app, By::Principal(&who, &visitor.actor()), &slug).await?;
    Ok(Redirect::to(PATH).into_response())
}
