//! The page that asks before something is ended or removed: it says what will happen. It changes
//! nothing.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::actions::app::App;
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::{SessionId, UserId};
use crate::store::StoreError;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, Whereabouts, describe, grouped};
use crate::ui::{Frame, Section, page};

/// A user's live sessions in words, except one: their number, and the first of them, the last used
/// first.
pub(in crate::ui) async fn sessions(app: &App, user: UserId, but: Option<SessionId>) -> Result<(usize, Vec<String>), StoreError> {
    let now = app.clock.now();
    let after_now = now.plus(Duration::from_micros(1));
    let filter = SessionFilter { visible_to: Some(user), expires_gte: Some(after_now), except: but, ..SessionFilter::default() };
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let found = app.store.page(&filter, &sorts, Wanted::first(i64::try_from(LISTED).unwrap_or(0))).await?;
    let agents = app.user_agents.entries(&app.store.read(), found.rows.iter().map(|row| row.user_agent_id)).await?;
    let lines = found.rows.iter().map(|row| {
        let place = Whereabouts::of(app, row.last_ip).place;
        let last = Moment::new(row.last_used_at, now);
        format!("{}, {place} ({}), last used {}", describe(agents.get(&row.user_agent_id)), row.last_ip, last.words())
    });
    Ok((usize::try_from(found.count).unwrap_or(0), lines.collect()))
}

/// A sentence about sessions that will end.
pub(in crate::ui) fn sessions_end(count: usize, whose: &str) -> String {
    match count {
        0 => format!("No session of {whose} ends: there is none."),
        1 => format!("1 session of {whose} ends."),
        count => format!("{} sessions of {whose} end.", grouped(count)),
    }
}

/// How many things are listed.
const LISTED: usize = 10;

/// What is asked.
pub(in crate::ui) struct Question {
    /// The action, such as `Deactivate`: the first word of the question, and its button.
    pub verb: &'static str,
    /// What it is done to: a name that users chose, or a few words.
    pub object: String,
    /// The page to go back to: its address and its name.
    pub back: (String, String),
    /// The consequences, one sentence each.
    pub follows: Vec<String>,
    /// The heading of the list.
    pub heading: &'static str,
    /// What ends, in words.
    pub listed: Vec<String>,
    /// The number of all; the list may hold only the first.
    pub count: usize,
    /// The address of the form, and its hidden fields.
    pub action: String,
    pub fields: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "pages/question.html")]
struct QuestionPage {
    frame: Frame,
    question: Question,
    more: usize,
}

/// The page that asks.
pub(in crate::ui) fn ask(app: &App, visitor: &Visitor, section: Section, mut question: Question) -> Response {
    question.listed.truncate(LISTED);
    let more = question.count.saturating_sub(question.listed.len());
    page(StatusCode::OK, &QuestionPage { frame: visitor.frame(app, section), question, more })
}
