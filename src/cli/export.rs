//! `rollcall export`.

use std::collections::HashSet;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::csv;
use crate::actions::sessions::records::{COLUMNS, ENDED_COLUMNS, cells, ended_records, records};
use crate::cli::source::NOTHING_WATCHED;
use crate::cli::{Failure, Outcome, output};
use crate::config::Config;
use crate::domain::SessionId;
use crate::domain::application::demand::{Allow, Party};
use crate::domain::source::{NAME, Origin};
use crate::store::Db;

/// The columns of an event.
const EVENT_COLUMNS: &[&str] = &[
    "at",
    "kind",
    "uuid",
    "actor",
    "actor_uuid",
    "user",
    "user_uuid",
    "username",
    "ip",
    "request_id",
    "session",
    "is_part",
    "text",
    "content",
];

/// The columns of a user.
const USER_COLUMNS: &[&str] = &[
    "id",
    "uuid",
    "uid",
    "username",
    "name",
    "email",
    "email_verified",
    "is_active",
    "is_superuser",
    "is_auditor",
    "type",
    "path",
    "permissions",
    "groups",
    "attributes",
    "created",
    "last_sign_in",
];
/// The columns of a group.
const GROUP_COLUMNS: &[&str] = &["uuid", "name", "is_superuser", "is_auditor", "permissions", "parents", "members", "attributes"];

/// The columns of an application.
const APPLICATION_COLUMNS: &[&str] = &["slug", "name", "access", "display", "groups_sent", "guard", "client"];

/// How many rows are read at once.
const STEP: i64 = 500;

/// What to export, and how.
#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    what: What,
    /// With sessions: those that live in rollcall (the default), at the watched authentik, or all
    #[arg(long, value_name = "WORD", conflicts_with_all = ["users", "groups", "applications", "ended", "events"],
        value_parser = PossibleValuesParser::new(Origin::ALL.map(Origin::as_str)))]
    source: Option<String>,
    /// With --events: the single ends of ends of many, too
    #[arg(long, requires = "events")]
    parts: bool,
    /// One JSON object a line, or CSV with a header
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct What {
    /// Sessions (what is exported when nothing is named)
    #[arg(long)]
    sessions: bool,
    /// Users
    #[arg(long)]
    users: bool,
    /// Groups: those that others are within come first
    #[arg(long)]
    groups: bool,
    /// Applications, with their guards and clients
    #[arg(long)]
    applications: bool,
    /// Sessions that ended
    #[arg(long)]
    ended: bool,
    /// Events; an end of many is one of them
    #[arg(long)]
    events: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values
    Csv,
}

/// Writes rows in either format, as they come.
struct Sink {
    format: Format,
    columns: &'static [&'static str],
    is_started: bool,
}

impl Sink {
    fn write(&mut self, records: &[Map<String, Value>]) -> Outcome {
        if self.format == Format::Jsonl {
            for record in records {
                output::line(&serde_json::to_string(record)?)?;
            }
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_started, true) {
            output::write(&csv::rows([self.columns])?)?;
        }
        output::write(&csv::rows(records.iter().map(|record| cells(record, self.columns)))?)
    }
}

/// Exports hold no secret: no key, no hash of one, no password hash.
pub(super) async fn run(config: Config, args: ExportArgs) -> Outcome {
    let app = crate::cli::open(config).await?;
    let db = app.store.read();
    let columns: &[&str] = match (args.what.users, args.what.events) {
        _ if args.what.ended => ENDED_COLUMNS,
        _ if args.what.groups => GROUP_COLUMNS,
        _ if args.what.applications => APPLICATION_COLUMNS,
        (true, _) => USER_COLUMNS,
        (_, true) => EVENT_COLUMNS,
        _ => COLUMNS,
    };
    let mut sink = Sink { format: args.format, columns, is_started: false };
    sink.write(&[])?;
    if args.what.groups {
        return export_groups(&db, &mut sink).await;
    }
    if args.what.applications {
        return sink.write(&applications(&app).await?);
    }
    if args.what.users {
        return export_users(&db, &mut sink).await;
    }
    if args.what.events {
        let mut after = 0;
        loop {
            let events = db.list_events(after, STEP).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.id;
            let records = events.iter().filter(|event| args.parts || event.parent.is_none()).map(crate::actions::events::record);
            sink.write(&records.collect::<Vec<_>>())?;
        }
    }
    if args.what.ended {
        let mut after = 0;
        loop {
            let sessions = db.list_ended_after(after, STEP).await?;
            let Some((last, _)) = sessions.last() else { return Ok(()) };
            after = *last;
            let sessions: Vec<_> = sessions.into_iter().map(|(_, row)| row).collect();
            sink.write(&ended_records(&app, &sessions).await?)?;
        }
    }
    let origin = args.source.as_deref().and_then(Origin::parse).unwrap_or(Origin::Rollcall);
    if origin != Origin::Authentik {
        let mut after: Option<SessionId> = None;
        loop {
            let sessions = db.list_sessions_after(after, STEP).await?;
            let Some(last) = sessions.last() else { break };
            after = Some(last.uuid);
            sink.write(&records(&app, &sessions).await?)?;
        }
    }
    if origin != Origin::Rollcall {
        export_watched(&app, &mut sink).await?;
    }
    Ok(())
}

/// The sessions of the copy of the watched authentik.
async fn export_watched(app: &App, sink: &mut Sink) -> Outcome {
    let db = app.store.read();
    let source = db.find_source(NAME).await?.ok_or_else(|| Failure::from(NOTHING_WATCHED))?;
    let mut after = SessionId(uuid::Uuid::nil());
    loop {
        let rows = db.list_watched_after(source.id, after, STEP).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.session.uuid;
        let sessions: Vec<_> = rows.iter().map(|row| row.listed(source.id)).collect();
        sink.write(&records(app, &sessions).await?)?;
    }
}

/// Users as `rollcall import` reads them, but for passwords.
async fn export_users(db: &Db<'_>, sink: &mut Sink) -> Outcome {
    let mut after = String::new();
    loop {
        let users = db.list_users(&after, STEP).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after.clone_from(&last.username);
        let ids: Vec<i64> = users.iter().map(|user| user.id.0).collect();
        let mut rows = db.list_listed_users(&ids).await?;
        let mut records = Vec::with_capacity(users.len());
        for user in users {
            // A user may be gone since the first of the two reads.
            let Some(row) = rows.remove(&user.id.0) else { continue };
            let groups: Vec<&str> = row.groups.iter().map(|group| group.name.as_str()).collect();
            records.push(object(json!({
                "kind": "user", "id": user.id, "uuid": user.uuid.to_string(), "uid": user.uid, "username": user.username,
                "name": user.name, "email": user.email, "email_verified": row.profile.is_email_verified,
                "is_active": user.is_active, "is_superuser": user.is_superuser, "is_auditor": row.profile.is_auditor,
                "type": row.profile.kind.as_str(), "path": row.profile.path,
                "permissions": db.list_permissions(user.id).await?, "groups": groups,
                "attributes": attributes(&row.profile.attributes), "created": user.created_at,
                "last_sign_in": user.last_sign_in_at,
            })));
        }
        sink.write(&records)?;
    }
}

/// Groups as `rollcall import` reads them; each comes after the groups that it is within.
async fn export_groups(db: &Db<'_>, sink: &mut Sink) -> Outcome {
    let mut waiting: Vec<_> = db.list_first_groups(i64::MAX).await?;
    let mut written = HashSet::new();
    while !waiting.is_empty() {
        let (mut records, mut left) = (Vec::new(), Vec::new());
        for group in waiting {
            let parents = db.list_parents(group.id).await?;
            if !parents.iter().all(|parent| written.contains(parent)) {
                left.push(group);
                continue;
            }
            written.insert(group.id);
            records.push(object(json!({
                "kind": "group", "uuid": group.uuid.to_string(), "name": group.name, "is_superuser": group.is_superuser,
                "is_auditor": group.is_auditor, "permissions": db.list_group_permissions(group.id).await?,
                "parents": db.list_group_names(&parents).await?, "members": db.list_members(group.id).await?.len(),
                "attributes": attributes(&group.attributes),
            })));
        }
        if records.is_empty() {
            return Err("a group was added within another one during the export; export again".into());
        }
        sink.write(&records)?;
        waiting = left;
    }
    Ok(())
}

/// Applications as `rollcall import` reads them, but for the secrets of clients.
async fn applications(app: &App) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut records = Vec::new();
    for application in app.store.applications().await?.all() {
        let rules = application.guard().into_iter().flat_map(|guard| &guard.rules).filter_map(|rule| rule.demand.allow.as_ref());
        let parties: Vec<Party> = rules.chain([&application.access.allow]).flat_map(Allow::parties).copied().collect();
        let names = app.store.read().list_party_names(&parties).await?;
        let mut record = object(json!({
            "kind": "application", "slug": application.slug, "name": application.name, "access": application.access,
            "display": application.display, "groups_sent": application.groups_sent,
        }));
        if let Some(guard) = application.guard() {
            record.insert("guard".to_owned(), json!(guard));
        }
        if let Some(part) = &application.client {
            let mut client = object(json!(part.client));
            client.insert("client_id".to_owned(), part.client_id.as_str().into());
            record.insert("client".to_owned(), client.into());
        }
        name_parties(record.get_mut("access"), &names);
        let rules = record.get_mut("guard").and_then(|guard| guard.get_mut("rules")).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            name_parties(Some(rule), &names);
        }
        records.push(record);
    }
    Ok(records)
}

/// Puts `group:NAME` and `user:NAME` in place of uuids in the `allow` of a demand. Those that are gone stay as they are.
fn name_parties(demand: Option<&mut Value>, names: &[(Party, String)]) {
    let allow = demand.and_then(|demand| demand.get_mut("allow")).and_then(Value::as_array_mut);
    for item in allow.into_iter().flatten() {
        let Ok(party) = serde_json::from_value::<Party>(item.clone()) else { continue };
        let Some((_, name)) = names.iter().find(|(known, _)| *known == party) else { continue };
        let kind = if matches!(party, Party::Group(_)) { "group" } else { "user" };
        *item = format!("{kind}:{name}").into();
    }
}

fn attributes(stored: &str) -> Value {
    serde_json::from_str(stored).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
