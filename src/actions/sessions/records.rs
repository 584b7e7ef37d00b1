//! Sessions as records, with the parsed user agent and the place of the address: for exports and
//! the command line.

use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::domain::source::Origin;
use crate::store::StoreError;
use crate::store::sessions::history_list::EndedListRow;
use crate::store::sessions::rows::SessionRow;

/// The columns of a session, in tables, CSV and exports.
pub const COLUMNS: &[&str] = &[
    "uuid",
    "user",
    "username",
    "last_ip",
    "city",
    "country",
    "asn",
    "as_org",
    "browser",
    "os",
    "device",
    "created",
    "last_used",
    "expires",
    "source",
    "first_seen",
    "last_user_agent",
];

/// The columns of an ended session, in CSV and exports.
pub const ENDED_COLUMNS: &[&str] = &[
    "uuid",
    "user",
    "username",
    "last_ip",
    "city",
    "country",
    "asn",
    "as_org",
    "browser",
    "os",
    "device",
    "created",
    "last_used",
    "expires",
    "ended",
    "ended_by",
    "reason",
    "comment",
    "source",
    "last_user_agent",
];

/// Sessions with the parsed user agent and the place of the address, under the names of
/// [`COLUMNS`]. When a watched session began is not known; it has the time when it was first seen.
///
/// # Errors
/// When the database does not answer.
pub async fn records(app: &App, rows: &[SessionRow]) -> Result<Vec<Map<String, Value>>, StoreError> {
    let db = app.store.read();
    let agents = app.user_agents.entries(&db, rows.iter().map(|row| row.user_agent_id)).await?;
    let names = db.list_names_of(rows.iter()).await?;
    let record = |row: &SessionRow| {
        let place = app.geoip.place(row.last_ip);
        let network = app.geoip.autonomous_system(row.last_ip);
        let agent = agents.get(&row.user_agent_id);
        let family = |pick: fn(&crate::domain::user_agent::ParsedAgent) -> &String| agent.map(|agent| pick(&agent.parsed).clone());
        let value = json!({
            "kind": "session",
            "uuid": row.uuid,
            "user": row.user_id,
            "username": names.get(row),
            "last_ip": row.last_ip,
            "city": place.as_ref().map(|it| &it.city),
            "country": place.as_ref().map(|it| &it.country),
            "asn": network.as_ref().map(|it| it.number),
            "as_org": network.as_ref().and_then(|it| it.organization.as_ref()),
            "browser": family(|it| &it.browser.family),
            "os": family(|it| &it.system.family),
            "device": family(|it| &it.device.family),
            "created": row.source.is_none().then_some(row.created_at),
            "last_used": row.last_used_at,
            "expires": row.expires_at,
            "source": Origin::of(row.source).as_str(),
            "first_seen": row.source.map(|_| row.created_at),
            "last_user_agent": agent.map(|agent| &agent.text),
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    };
    Ok(rows.iter().map(record).collect())
}

/// Ended sessions under the names of [`ENDED_COLUMNS`].
///
/// # Errors
/// When the database does not answer.
pub async fn ended_records(app: &App, rows: &[EndedListRow]) -> Result<Vec<Map<String, Value>>, StoreError> {
    let sessions: Vec<SessionRow> = rows.iter().map(|row| row.session.clone()).collect();
    let mut all = records(app, &sessions).await?;
    for (record, row) in all.iter_mut().zip(rows) {
        let end = &row.end;
        for (name, value) in [
            ("kind", json!("ended_session")),
            ("username", json!(end.username)),
            ("created", json!(row.session.created_at)),
            ("ended", json!(end.ended_at)),
            ("ended_by", json!(end.ended_by)),
            ("reason", json!(end.reason)),
            ("comment", json!(end.comment)),
        ] {
            record.insert(name.to_owned(), value);
        }
    }
    Ok(all)
}

/// One value, as text.
#[must_use]
pub fn cell(record: &Map<String, Value>, name: &str) -> String {
    match record.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The values of these columns, as text.
#[must_use]
pub fn cells(record: &Map<String, Value>, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| cell(record, name)).collect()
}
