//! `rollcall session watch` and `rollcall event watch`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::actions::app::App;
use crate::cli::{Outcome, output};
use crate::domain::event::{EventContent, EventKind};
use crate::store::events::feed::EventFeed;
use crate::store::events::rows::EventRow;

/// How often the database is polled.
const PERIOD: Duration = Duration::from_millis(250);
/// Beginnings and ends of sessions.
const SHOWN: [EventKind; 8] = [
    EventKind::SignIn,
    EventKind::SignOut,
    EventKind::SessionEnded,
    EventKind::SessionExpired,
    EventKind::SessionsEnded,
    EventKind::SourceSessionEnded,
    EventKind::SourceSessionsEnded,
    EventKind::SourceEndFailed,
];

/// Follows sign-ins and ends until it is interrupted. The server may run anywhere: what it writes is in
/// the database.
pub(super) async fn run(app: &App, user: Option<&str>, is_json: bool) -> Outcome {
    follow(app, is_json, |event| is_shown(event, user)).await
}

/// Follows the events that are wanted until it is interrupted.
pub(super) async fn follow(app: &App, is_json: bool, is_wanted: impl Fn(&EventRow) -> bool) -> Outcome {
    let mut feed = EventFeed::from_now(&app.store.read(), Instant::now()).await?;
    output::say("watching; Ctrl-C stops");
    if !is_json {
        output::line(&columns("when", "what", "user", "by", "address", "session"))?;
    }
    let mut ticks = tokio::time::interval(PERIOD);
    let mut is_away = false;
    loop {
        ticks.tick().await;
        let events = match feed.read(&app.store.read(), Instant::now()).await {
            Ok(events) => events,
            Err(error) if error.is_temporary() => {
                if !std::mem::replace(&mut is_away, true) {
                    output::say(&format!("{error}; trying again"));
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if std::mem::take(&mut is_away) {
            output::say("the database is back");
        }
        for event in events.iter().filter(|event| is_wanted(event)) {
            output::line(&if is_json { json_line(event)? } else { line(event) })?;
        }
    }
}

/// An end of many is one line; its single ends are shown when one user is asked for.
fn is_shown(event: &EventRow, user: Option<&str>) -> bool {
    let is_wanted = user.map_or(event.parent.is_none(), |user| user == event.username);
    is_wanted && SHOWN.iter().any(|kind| kind.as_str() == event.kind())
}

fn json_line(event: &EventRow) -> Result<String, serde_json::Error> {
    serde_json::to_string(&json!({
        "at": event.at, "event": event.kind(), "user": event.user_id, "username": event.username, "actor": event.actor,
        "ip": event.ip, "session": event.session, "text": event.text(), "content": event.content.to_json(),
    }))
}

fn line(event: &EventRow) -> String {
    let what = what(event);
    let session = event.session.map(|id| id.to_string()).unwrap_or_default();
    let at = event.at.to_string();
    // To the second: finer is for machines.
    let at = format!("{}Z", at.get(..19).unwrap_or_default());
    columns(&at, &what, &event.username, &event.actor, &event.ip, &session)
}

/// What happened: a word, or the sentence where the other columns do not say it.
fn what(event: &EventRow) -> String {
    match &event.content {
        EventContent::SessionEnded { reason, comment } if comment.is_empty() => reason.as_str().to_owned(),
        EventContent::SessionEnded { reason, comment } => format!("{}: {comment}", reason.as_str()),
        // The other columns say the rest.
        EventContent::SignIn { .. }
        | EventContent::SignInFailed { .. }
        | EventContent::SignInRefused { .. }
        | EventContent::FactorFailed { .. }
        | EventContent::SignOut { .. }
        | EventContent::SessionExpired { .. }
        | EventContent::UserAdded { .. }
        | EventContent::UserRemoved { .. }
        | EventContent::UserActivated { .. }
        | EventContent::UserDeactivated { .. }
        | EventContent::PasswordSet { .. } => event.kind().to_owned(),
        _ => event.text(),
    }
}

/// One line, whatever the values hold; the last column is free.
fn columns(when: &str, what: &str, user: &str, by: &str, address: &str, session: &str) -> String {
    let clean = |text: &str| output::printable(text).replace('\n', " ");
    let line = format!("{when:20}  {:20}  {:20}  {:16}  {address:18}  {session}", clean(what), clean(user), clean(by));
    line.trim_end().to_owned()
}
