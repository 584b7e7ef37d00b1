//! The rows of the table.

use std::collections::HashMap;

use askama::Template;

use crate::actions::app::App;
use crate::domain::query::token;
use crate::domain::{SessionId, Timestamp};
use crate::store::sessions::details::SessionDetailRow;
use crate::store::sessions::rows::SessionRow;
use crate::store::watch::names::SessionNames;
use crate::store::{Db, StoreError};
use crate::ui::fleet::copy::SourcePages;
use crate::ui::fleet::view::{Column, View};
use crate::ui::words::{Device, Moment, Whereabouts, describe, grouped, methods, plural};

/// The picture of the link to a session's own page.
const MORE: &str = include_str!("../../../templates/parts/more.svg");

/// How the rows of a table are shown, and the rights of their viewer.
#[derive(Clone, Debug)]
pub(in crate::ui) struct Look {
    pub view: View,
    /// The requesting session.
    pub current: Option<SessionId>,
    /// Whether they may end sessions.
    pub may_end: bool,
    /// Whether they may see users.
    pub is_administrator: bool,
}

#[derive(Template)]
#[template(path = "parts/session_row.html")]
struct RowTemplate<'a> {
    look: &'a Look,
    id: SessionId,
    username: &'a str,
    user_url: String,
    agent: String,
    device: Device,
    place: String,
    network: String,
    ip: String,
    /// Where all sessions of the address are listed.
    ip_url: String,
    used: Moment,
    /// The number of apps that it has open, such as `2 apps`, or `""`.
    apps: String,
    signed_in: Moment,
    /// How the user authenticated, and whether they asked to stay signed in.
    how: String,
    ends: Moment,
    is_ended_by_idling: bool,
    /// Whether it lives at the watched authentik.
    is_watched: bool,
}

/// A row, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ui) struct RenderedRow {
    pub id: SessionId,
    pub html: String,
}

/// Renders rows, with the place of the address and the parsed user agent.
pub(in crate::ui) async fn render(
    app: &App,
    db: &Db<'_>,
    rows: &[SessionRow],
    look: &Look,
    now: Timestamp,
) -> Result<Vec<RenderedRow>, StoreError> {
    let agents = app.user_agents.entries(db, rows.iter().map(|row| row.user_agent_id)).await?;
    let names = db.list_names_of(rows.iter()).await?;
    let source = if rows.iter().any(|row| row.source.is_some()) { SourcePages::of(db).await? } else { None };
    // Read only if one of the two columns that show it is visible.
    let ids: Vec<SessionId> = rows.iter().filter(|row| row.source.is_none()).map(|row| row.uuid).collect();
    let details = if look.view.shows(Column::SignedIn) || look.view.shows(Column::Ends) {
        db.list_session_details(&ids).await?
    } else {
        Vec::new()
    };
    let details: HashMap<SessionId, SessionDetailRow> = details.into_iter().map(|detail| (detail.row.uuid, detail)).collect();
    let opened = db.count_app_sessions_of(&ids).await?;
    let render = |row: &SessionRow| {
        let is_watched = row.source.is_some();
        let detail = details.get(&row.uuid).filter(|_| !is_watched);
        let agent = agents.get(&row.user_agent_id);
        let username = name_of(&names, row);
        let user_url = if let Some(source) = source.as_ref().filter(|_| is_watched) {
            source.user(row.user_id.0)
        } else if look.is_administrator {
            format!("/users/{}", row.user_id.0)
        } else {
            look.view.with_query(&token("user", &username)).url()
        };
        let whereabouts = Whereabouts::of(app, row.last_ip);
        let told = |at: Timestamp| source.as_ref().filter(|_| is_watched).map_or(at, |source| source.by_our_clock(at));
        let template = RowTemplate {
            look,
            id: row.uuid,
            username: &username,
            user_url,
            agent: describe(agent),
            device: Device::of(agent),
            place: whereabouts.place,
            network: whereabouts.network,
            ip: row.last_ip.to_string(),
            ip_url: look.view.url_of_address(&row.last_ip.to_string()),
            used: Moment::new(told(row.last_used_at), now),
            apps: opened.get(&row.uuid).filter(|_| !is_watched).map(|count| apps(*count)).unwrap_or_default(),
            signed_in: Moment::new(row.created_at, now),
            how: detail.map(how).unwrap_or_default(),
            ends: Moment::until(told(row.expires_at), now),
            is_ended_by_idling: detail.is_some_and(|detail| row.expires_at < detail.lifetime.absolute_expires_at),
            is_watched,
        };
        template.render().map(|html| RenderedRow { id: row.uuid, html })
    };
    rows.iter().map(render).collect::<Result<_, _>>().map_err(|error| StoreError::Failed(error.to_string()))
}

/// The name of a session's user, or the number that authentik has for them.
pub(in crate::ui) fn name_of(names: &SessionNames, row: &SessionRow) -> String {
    let unknown = || row.source.map(|_| format!("user {}", row.user_id.0)).unwrap_or_default();
    names.get(row).map_or_else(unknown, str::to_owned)
}

/// A number of apps in words.
pub(in crate::ui) fn apps(count: i64) -> String {
    format!("{} app{}", grouped(count), plural(count))
}

/// How the user signed in: `with password, to stay`.
fn how(detail: &SessionDetailRow) -> String {
    let methods = methods(detail.sign_in.methods);
    let with = if methods.is_empty() { String::new() } else { format!("with {methods}") };
    match (with.as_str(), detail.row.is_remembered) {
        (_, false) => with,
        ("", true) => "to stay".into(),
        (with, true) => format!("{with}, to stay"),
    }
}
