//! `rollcall session`.

use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::app_sessions;
use crate::actions::by::By;
use crate::actions::oidc::notices;
use crate::actions::sessions::end;
use crate::actions::sessions::end_job::EndTarget;
use crate::actions::sessions::end_matching;
use crate::actions::sessions::end_matching::{EndRequest, MAX_COMMENT_LENGTH};
use crate::actions::sessions::look;
use crate::actions::sessions::question;
use crate::actions::sessions::records::{COLUMNS, cell, cells, records};
use crate::actions::watch;
use crate::actions::watch::many::ManyEnds;
use crate::cli::ended::EndedArgs;
use crate::cli::filters::FilterArgs;
use crate::cli::{Failure, NothingMatched, Outcome, misused, output, source};
use crate::config::{Config, parse_duration};
use crate::domain::application::session::takes_effect;
use crate::domain::listing::{SessionFilter, Sort};
use crate::domain::page::Wanted;
use crate::domain::source::Origin;
use crate::domain::{Clock, SessionId, Timestamp};

/// How often it is looked whether apps were told.
const LOOK: Duration = Duration::from_millis(200);

/// What to do with sessions.
#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions: all, or those that match
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        ended: EndedArgs,
        /// Names separated by commas, each with an optional -: uuid, user, username, last_ip,
        /// last_user_agent, last_used, expires, created, country
        /// (the default is -last_used); of ended sessions also ended (the default is -ended)
        #[arg(long, allow_hyphen_values = true)]
        ordering: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Show one session, or how it ended
    Show {
        /// Which
        uuid: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow sign-ins and ends as they happen, whichever server they happen on
    Watch {
        /// Of this user only
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// End sessions: those whose UUIDs are given, or those that match
    #[command(visible_alias = "revoke")]
    End {
        #[command(flatten)]
        filter: FilterArgs,
        /// All sessions of all users
        #[arg(long)]
        everyone: bool,
        /// Abort unless the number of matches is within 1 % of NUMBER
        #[arg(long, value_name = "NUMBER")]
        expected_count: Option<u64>,
        /// Why, for events and ended sessions
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Wait until apps were told of the ends, and say how many; for 30s, or for DURATION
        #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", require_equals = true)]
        wait: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(config: Config, command: SessionCommand) -> Outcome {
    match command {
        SessionCommand::List { filter, ended, ordering, limit, json, csv } if ended.ended => {
            let mut filter = ended.read(filter.read_ended(Clock::System.now())?)?;
            let sorts = crate::cli::ended::orders(ordering.as_deref().unwrap_or("-ended"))?;
            let app = crate::cli::open(config).await?;
            // The users of ended sessions may be gone, so a name that nobody has is a name like all others.
            filter.session = question::spelled(&app, filter.session).await?;
            crate::cli::ended::list(&app, &filter, &sorts, limit, (json, csv)).await
        }
        SessionCommand::List { filter, ended: _, ordering, limit, json, csv } => {
            let ordering = ordering.unwrap_or_else(|| "-last_used".to_owned());
            let filter = filter.read(Clock::System.now())?;
            let sorts = Sort::parse_list(&ordering).map_err(|name| misused(format!("--ordering: there is no order {name:?}")))?;
            let app = crate::cli::open(config).await?;
            let filter = FilterArgs::look_up(&app, filter).await?;
            list(&app, &filter, &sorts, limit, json, csv).await
        }
        SessionCommand::Show { uuid, json } => {
            let id = parse_id(&uuid)?;
            show(&crate::cli::open(config).await?, id, json).await
        }
        SessionCommand::Watch { user, json } => {
            let app = crate::cli::open(config).await?;
            if let Some(name) = &user
                && app.store.read().find_user_by_name(name).await?.is_none()
            {
                return Err(misused(format!("there is no user named {name}")));
            }
            crate::cli::watch::run(&app, user.as_deref(), json).await
        }
        SessionCommand::End { filter, everyone, expected_count, reason, wait, yes } => {
            let wait = wait.as_deref().map(parse_wait).transpose()?;
            let which = Which::read(&filter, everyone, expected_count)?;
            let comment = reason.trim().to_owned();
            if !end_matching::is_comment(&comment) {
                return Err(misused(format!("--reason: at most {MAX_COMMENT_LENGTH} characters, no control characters")));
            }
            let app = crate::cli::open(config).await?;
            let began = app.clock.now();
            let is_filtered = matches!(&which, Which::Matching(filter) if filter.is_narrow());
            let ended = match which {
                Which::Named(ids) => end_named_sessions(&app, &ids, &comment, yes).await?,
                Which::Matching(filter) => {
                    let filter = FilterArgs::look_up(&app, *filter).await?;
                    if !filter.is_of_rollcall() {
                        let which = EndTarget::Matching(Box::new(filter));
                        return Box::pin(source::end_many(&app, ManyEnds { which, expected: expected_count, comment }, yes)).await;
                    }
                    let what = EndRequest { filter, except: None, expected: expected_count, comment };
                    end_matching_sessions(&app, what, yes).await?
                }
            };
            if ended == 0 && is_filtered {
                return Err(NothingMatched("session").into());
            }
            output::say(&format!("ended {ended} session{}", if ended == 1 { "" } else { "s" }));
            match wait {
                Some(wait) => told(&app, began, wait).await,
                None => Ok(()),
            }
        }
    }
}

/// Which sessions to end.
enum Which {
    /// Those of these UUIDs.
    Named(Vec<SessionId>),
    /// Those that match.
    Matching(Box<SessionFilter>),
}

impl Which {
    /// Reads what the command line says; nothing but UUIDs names sessions one by one.
    fn read(args: &FilterArgs, is_everyone: bool, expected: Option<u64>) -> Result<Self, Failure> {
        let ids: Vec<SessionId> = args.query.iter().filter_map(|text| SessionId::parse(text)).collect();
        if !ids.is_empty() && ids.len() == args.query.len() {
            if is_everyone || expected.is_some() || !args.has_no_flag() {
                return Err(misused("sessions named by UUID take no filters, no --everyone and no --expected-count"));
            }
            return Ok(Self::Named(ids));
        }
        if !ids.is_empty() {
            return Err(misused("give UUIDs, or a query: not both"));
        }
        let filter = args.read(Clock::System.now())?;
        if filter.source == Some(Origin::All) {
            return Err(misused(ActionError::Elsewhere.to_string()));
        }
        if filter.is_narrow() == is_everyone {
            return Err(misused("name sessions, or give a query or filters, or --everyone: one of the three"));
        }
        Ok(Self::Matching(Box::new(filter)))
    }
}

fn parse_wait(text: &str) -> Result<Duration, Failure> {
    parse_duration(text).ok_or_else(|| misused(format!("--wait: {text:?} is no duration such as 30s or 5m")))
}

/// Waits until apps were told of the ends since an instant, for at most this long, and says how many were.
async fn told(app: &App, began: Timestamp, wait: Duration) -> Outcome {
    let until = Instant::now() + wait;
    let progress = loop {
        let progress = notices::progress(app, By::Cli, began).await?;
        if (progress.waiting == 0 && !progress.is_moving) || Instant::now() >= until {
            break progress;
        }
        tokio::time::sleep(LOOK).await;
    };
    let (all, told) = (progress.all(), progress.told);
    if all == 0 && !progress.is_moving {
        output::say("no app is to be told");
        return Ok(());
    }
    output::say(&format!("told {told} of {all} app{}", if all == 1 { "" } else { "s" }));
    if progress.is_moving || told < all {
        return Err(format!("not all were told within {}; a server that runs goes on", humantime::format_duration(wait)).into());
    }
    Ok(())
}

fn parse_id(text: &str) -> Result<SessionId, Failure> {
    SessionId::parse(text).ok_or_else(|| misused(format!("{text} is no session's uuid")))
}

/// Ends sessions by their UUIDs: those of Rollcall here, and those of the watched authentik there.
async fn end_named_sessions(app: &App, ids: &[SessionId], reason: &str, is_sure: bool) -> Result<u64, Failure> {
    let (mut own, mut watched) = (Vec::new(), Vec::new());
    for id in ids {
        if app.store.read().find_session(*id).await?.is_some() {
            own.push(*id);
        } else if watch::look::find(app, By::Cli, *id).await.is_ok() {
            watched.push(*id);
        } else {
            return Err(format!("there is no session {id}; nothing was ended").into());
        }
    }
    if !watched.is_empty() {
        output::say(&source::before_an_end(app).await?);
    }
    if !is_sure && !output::confirm(&format!("End {} session(s)?", ids.len()))? {
        return Err("nothing was ended".into());
    }
    let ended = if own.is_empty() { 0 } else { end::end_listed(app, By::Cli, &own, reason).await? };
    Ok(ended + Box::pin(source::end_each(app, &watched, reason, ended)).await?)
}

/// Ends what matches. After a number was shown, it ends about that many, or none.
async fn end_matching_sessions(app: &App, mut what: EndRequest, is_sure: bool) -> Result<u64, Failure> {
    if !is_sure && what.expected.is_none() {
        let count = app.store.count_sessions(&what.filter).await?;
        if count == 0 {
            return Ok(0);
        }
        if !output::confirm(&format!("End {count} session(s)?"))? {
            return Err("nothing was ended".into());
        }
        what.expected = u64::try_from(count).ok();
    }
    Ok(end_matching::end_matching(app, By::Cli, what).await?)
}

async fn list(app: &App, filter: &SessionFilter, sorts: &[Sort], limit: i64, is_json: bool, is_csv: bool) -> Outcome {
    let copy = source::copy_of(app, filter).await?;
    let found = app.store.page(filter, sorts, Wanted::first(limit)).await?;
    if found.count == 0 && filter.is_narrow() {
        return Err(NothingMatched("session").into());
    }
    let records = records(app, &found.rows).await?;
    if is_json {
        for record in &records {
            output::line(&serde_json::to_string(record)?)?;
        }
        return Ok(());
    }
    if is_csv {
        let rows: Vec<Vec<String>> = records.iter().map(|record| cells(record, COLUMNS)).collect();
        return output::csv(COLUMNS, &rows);
    }
    let mut header = vec!["uuid", "user", "address", "place", "device", "last used", "expires"];
    header.extend(filter.source.map(|_| "source"));
    let agents = app.user_agents.entries(&app.store.read(), found.rows.iter().map(|row| row.user_agent_id)).await?;
    let table = found
        .rows
        .iter()
        .zip(&records)
        .map(|(row, record)| {
            let text = |name: &str| cell(record, name);
            let place = app.geoip.place(row.last_ip).map(|place| place.describe()).unwrap_or_default();
            let device = agents.get(&row.user_agent_id).map(|agent| agent.about().words.clone()).unwrap_or_default();
            let mut cells =
                vec![text("uuid"), text("username"), text("last_ip"), place, device, text("last_used"), text("expires")];
            cells.extend(filter.source.map(|_| text("source")));
            cells
        })
        .collect();
    output::table(&header, table)?;
    let (shown, count) = (found.rows.len(), found.count);
    if i64::try_from(shown).unwrap_or(count) < count {
        output::say(&format!("{shown} of {count} sessions; --limit shows more"));
    }
    if let Some(copy) = copy {
        output::say(&source::how_fresh(&copy));
    }
    Ok(())
}

async fn show(app: &App, id: SessionId, is_json: bool) -> Outcome {
    let db = app.store.read();
    if let Some(row) = db.find_session(id).await? {
        let open = db.list_app_sessions_of(&[id]).await?;
        let now = app.clock.now();
        let tokens = db.list_opened_tokens(&open.iter().map(|row| row.id).collect::<Vec<_>>(), now).await?;
        let opened = open.iter().map(|row| app_sessions::record(row, &tokens, now)).collect();
        let mut records = records(app, std::slice::from_ref(&row)).await?;
        return said(records.pop().unwrap_or_default(), &but("first_seen"), opened, is_json);
    }
    if let Some(watched) = look::find_copied(app, id).await? {
        let mut records = records(app, &[watched.listed()]).await?;
        return said(records.pop().unwrap_or_default(), &but("created"), Vec::new(), is_json);
    }
    let Some(ended) = db.find_ended_detail(id).await? else { return Err(format!("there is no session {id}").into()) };
    let record = json!({
        "uuid": ended.uuid, "username": ended.username, "ended": ended.ended_at, "ended_by": ended.ended_by, "reason": ended.reason,
        "comment": ended.comment,
    });
    let columns = &["uuid", "username", "ended", "ended_by", "reason", "comment"];
    let (notices, now) = (db.list_notices_of(&[id]).await?, app.clock.now());
    let opened = ended.applications.iter().map(|open| app_sessions::ended_record(open, &notices, now)).collect();
    said(record.as_object().cloned().unwrap_or_default(), columns, opened, is_json)
}

/// The columns of a session without the one that is never known of its kind.
fn but(unknown: &str) -> Vec<&'static str> {
    COLUMNS.iter().copied().filter(|name| *name != unknown).collect()
}

/// Prints a session and what it opened.
fn said(mut record: Map<String, Value>, columns: &[&str], opened: Vec<Value>, is_json: bool) -> Outcome {
    if is_json {
        record.insert("applications".to_owned(), Value::Array(opened));
        return output::line(&serde_json::to_string_pretty(&record)?);
    }
    for name in columns {
        output::line(field(name, &cell(&record, name)).trim_end())?;
    }
    for application in opened.iter().filter_map(Value::as_object) {
        let hosts = application.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let where_to: Vec<&str> = hosts.chain(application.get("client_id").and_then(Value::as_str)).collect();
        let (slug, created, used) = (cell(application, "slug"), cell(application, "created"), cell(application, "last_used"));
        let told = application.get("notice").and_then(|notice| notice.get("state")?.as_str());
        let told = told.map(|state| format!(", told of the end: {state}")).unwrap_or_default();
        let left = application.get("ends_within").and_then(Value::as_u64).unwrap_or(0);
        // Of one that ended there is something to say only while the app may not know it.
        let is_said = application.contains_key("tokens") || left > 0;
        let effect = if is_said { format!(", an end takes effect {}", takes_effect(left)) } else { String::new() };
        let words = format!("{slug} ({}), opened {created}, last used {used}{told}{effect}", where_to.join(", "));
        output::line(&field("application", &words))?;
    }
    Ok(())
}

/// A name and its value, on one line whatever the value holds.
fn field(name: &str, value: &str) -> String {
    format!("{name:16} {}", output::printable(value).replace('\n', " "))
}
