//! `rollcall export`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::actions::csv;
use crate::actions::sessions::records::{COLUMNS, cells, records};
use crate::cli::{Outcome, ended, output};
use crate::config::Config;
use crate::domain::SessionId;
use crate::store::events::rows::EventRow;

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

/// How many rows are read at once.
const STEP: i64 = 500;

/// What to export, and how.
#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    what: What,
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
        _ if args.what.ended => ended::COLUMNS,
        (true, _) => &[
            "id",
            "uuid",
            "uid",
            "username",
            "name",
            "email",
            "is_active",
            "is_superuser",
            "permissions",
            "created",
            "last_sign_in",
        ],
        (_, true) => EVENT_COLUMNS,
        _ => COLUMNS,
    };
    let mut sink = Sink { format: args.format, columns, is_started: false };
    sink.write(&[])?;
    if args.what.users {
        let mut after = String::new();
        loop {
            let users = db.list_users(&after, STEP).await?;
            let Some(last) = users.last() else { return Ok(()) };
            after.clone_from(&last.username);
            let mut records = Vec::with_capacity(users.len());
            for user in users {
                records.push(object(json!({
                    "kind": "user", "id": user.id, "uuid": user.uuid.to_string(), "uid": user.uid, "username": user.username, "name": user.name, "email": user.email,
                    "is_active": user.is_active, "is_superuser": user.is_superuser,
                    "permissions": db.list_permissions(user.id).await?, "created": user.created_at,
                    "last_sign_in": user.last_sign_in_at,
                })));
            }
            sink.write(&records)?;
        }
    }
    if args.what.events {
        let mut after = 0;
        loop {
            let events = db.list_events(after, STEP).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.id;
            let records = events.iter().filter(|event| args.parts || event.parent.is_none()).map(event_record);
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
            sink.write(&ended::ended_records(&app, &sessions).await?)?;
        }
    }
    let mut after: Option<SessionId> = None;
    loop {
        let sessions = db.list_sessions_after(after, STEP).await?;
        let Some(last) = sessions.last() else { return Ok(()) };
        after = Some(last.uuid);
        sink.write(&records(&app, &sessions).await?)?;
    }
}

/// An event under the names of [`EVENT_COLUMNS`].
pub(super) fn event_record(event: &EventRow) -> Map<String, Value> {
    object(json!({
        "kind": event.kind(), "uuid": event.uuid.to_string(), "at": event.at, "actor": event.actor,
        "actor_uuid": event.actor_uuid.map(|uuid| uuid.to_string()), "user": event.user_id,
        "user_uuid": event.user_uuid.map(|uuid| uuid.to_string()), "username": event.username, "ip": event.ip,
        "request_id": event.request_id, "session": event.session, "is_part": event.parent.is_some(), "text": event.text(),
        "content": event.content.to_json(),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
