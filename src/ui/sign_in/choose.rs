//! `/sign-in/choose`: a user who has reached the session limit chooses a session to end.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::sign_in::proof;
use crate::actions::sign_in::proof::Proved;
use crate::auth;
use crate::auth::redirect;
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::{PlainSecret, SessionId};
use crate::ui::sign_in::{finish, refused, stale};
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, describe};
use crate::ui::{Frame, PageResult, Section, page};

/// The number of sessions that are offered: those that were used longest ago.
const OFFERED: i64 = 50;

#[derive(Template)]
#[template(path = "pages/sign_in_limit.html")]
struct LimitPage<'a> {
    frame: Frame,
    next: &'a str,
    /// The key of the proof of the password; used up by the answer.
    ticket: &'a str,
    is_remembered: bool,
    choices: Vec<Choice>,
}

struct Choice {
    id: SessionId,
    agent: String,
    ip: String,
    last_used: Moment,
    signed_in: Moment,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct ChoiceForm {
    #[serde(default)]
    next: String,
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    choice: String,
    remember: Option<String>,
}

/// Asks a user who proved who they are.
pub(in crate::ui) async fn ask(app: &App, visitor: &Visitor, proved: &Proved, next: &str, is_remembered: bool) -> PageResult {
    let user = proved.user.id;
    let ticket = proof::remember(app, proved).await?;
    let now = app.clock.now();
    let after_now = now.plus(Duration::from_micros(1));
    let filter = SessionFilter { visible_to: Some(user), expires_gte: Some(after_now), ..SessionFilter::default() };
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: false }];
    let rows = app.store.page(&filter, &sorts, Wanted::first(OFFERED)).await?.rows;
    let agents = app.user_agents.entries(&app.store.read(), rows.iter().map(|row| row.user_agent_id)).await?;
    let choices = rows.iter().map(|row| Choice {
        id: row.uuid,
        agent: describe(agents.get(&row.user_agent_id)),
        ip: row.last_ip.to_string(),
        last_used: Moment::new(row.last_used_at, now),
        signed_in: Moment::new(row.created_at, now),
    });
    let choices = choices.collect();
    let frame = visitor.frame(app, Section::Elsewhere);
    let mut response = page(StatusCode::OK, &LimitPage { frame, next, ticket: ticket.expose(), is_remembered, choices });
    visitor.keep(app, response.headers_mut());
    Ok(response)
}

/// Ends the chosen session and signs in.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<ChoiceForm>::read(&app, request).await?;
    let next = redirect::safe(&app.config, Some(&submission.form.next));
    if let Err(refusal) = submission.examine(&app) {
        return refused(&app, &submission.visitor, &refusal, "", &next).await;
    }
    let Submission { parts, visitor, form, .. } = submission;
    let Some(proved) = proof::take(&app, &PlainSecret::from_text(form.ticket)).await? else {
        return stale(&app, &visitor, &next).await;
    };
    let wish = auth::SignInWish { is_remembered: form.remember.is_some(), ends: SessionId::parse(&form.choice) };
    // The chosen session may have ended by itself, and another one begun: then the user chooses
    // again.
    finish(&app, &visitor, &parts.headers, proved, wish, &next).await
}
