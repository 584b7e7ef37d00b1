//! The removal of a part of an application, its guard or its client: the question before it, and the act.

use axum::extract::Request;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::domain::application::Application;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::ui::applications::PATH;
use crate::ui::question::{self, Question};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{grouped, plural};
use crate::ui::{PageResult, Section};

/// A part, in the words of the question.
pub(super) struct Part<'a> {
    /// Its name, which is also that of its address.
    pub name: &'a str,
    /// What follows from the removal, in a sentence or two.
    pub follows: &'a str,
    /// What the list below is of.
    pub heading: &'static str,
    /// The hosts or addresses.
    pub listed: Vec<String>,
}

/// Asks before a part is removed.
pub(super) async fn ask(app: &App, visitor: &Visitor, application: &Application, part: Part<'_>) -> PageResult {
    let filter = AppSessionFilter { application: Some(application.slug.clone()), ..AppSessionFilter::default() };
    let ends = match app.store.read().count_app_sessions(&filter).await? {
        0 => "No session has it open.".to_owned(),
        open => format!("{} app session{} end{}.", grouped(open), plural(open), if open == 1 { "s" } else { "" }),
    };
    let back = format!("{PATH}/{}", application.slug);
    let question = Question {
        verb: "Remove",
        object: format!("the {} of {}", part.name, application.name),
        follows: vec![part.follows.to_owned(), ends],
        heading: part.heading,
        count: part.listed.len(),
        listed: part.listed,
        action: format!("{back}/{}/remove", part.name),
        fields: Vec::new(),
        back: (back, application.name.clone()),
    };
    Ok(question::ask(app, visitor, Section::Applications, question))
}

/// Removes a part, as `wanted` says.
pub(super) async fn remove(app: &App, slug: &str, request: Request, wanted: ApplicationChange) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    applications::change(app, By::Principal(&who, &visitor.actor()), slug, wanted).await?;
    Ok(Redirect::to(&back).into_response())
}
