//! `rollcall session`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::actions::app::App;
use crate::actions::sessions::end;
use crate::actions::sessions::end_matching;
use crate::actions::sessions::end_matching::{MAX_COMMENT_LENGTH, Revocation};
use crate::actions::sessions::records::{COLUMNS, cell, cells, records};
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::Config;
use crate::domain::caller::Actor;
use crate::domain::listing::{SessionFilter, Sort, Window};
use crate::domain::{Address, Network, SessionId, Timestamp, UserId, search};

/// What to do with sessions.
#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Names separated by commas, each with an optional -: username, last_used, expires, last_ip, …
        #[arg(long, default_value = "-last_used", allow_hyphen_values = true)]
        ordering: String,
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
    /// End sessions: those named, or those that match
    Revoke {
        /// Which
        uuids: Vec<String>,
        #[command(flatten)]
        filter: FilterArgs,
        /// Everybody's
        #[arg(long)]
        everyone: bool,
        /// End nothing unless about so many match; more or fewer by one in a hundred is about so many
        #[arg(long, value_name = "NUMBER", conflicts_with = "uuids")]
        expected_count: Option<u64>,
        /// Why, for events and ended sessions
        #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "uuids")]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The API's filters.
#[derive(Args)]
pub(super) struct FilterArgs {
    /// Username, exactly
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user's primary key
    #[arg(long, value_name = "KEY")]
    user_pk: Option<i64>,
    /// Terms, each part of the username, the address or the user agent
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Last address
    #[arg(long, value_name = "ADDRESS")]
    last_ip: Option<String>,
    /// Network of the last address, such as 10.0.0.0/8
    #[arg(long, value_name = "CIDR")]
    network: Option<String>,
    /// Country code of the last address
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// Autonomous system number of the last address
    #[arg(long, value_name = "NUMBER")]
    asn: Option<i64>,
    /// Last user agent, exactly
    #[arg(long, value_name = "TEXT")]
    last_user_agent: Option<String>,
    /// Browser, such as Firefox
    #[arg(long, value_name = "FAMILY")]
    browser: Option<String>,
    /// System, such as Windows
    #[arg(long, value_name = "FAMILY")]
    os: Option<String>,
    /// Device, such as iPhone
    #[arg(long, value_name = "FAMILY")]
    device: Option<String>,
    /// Last used at this instant or later, such as 2026-11-01T12:00:00Z
    #[arg(long, value_name = "INSTANT")]
    last_used_gte: Option<String>,
    /// Last used at this instant or earlier
    #[arg(long, value_name = "INSTANT")]
    last_used_lte: Option<String>,
    /// Expires at this instant or later
    #[arg(long, value_name = "INSTANT")]
    expires_gte: Option<String>,
    /// Expires at this instant or earlier
    #[arg(long, value_name = "INSTANT")]
    expires_lte: Option<String>,
    /// All but this session
    #[arg(long, value_name = "UUID")]
    except: Option<String>,
}

impl FilterArgs {
    fn read(self) -> Result<SessionFilter, Failure> {
        let instant = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse(&text).map(Some).ok_or_else(|| misused(format!("{text} is no ISO 8601 date and time"))),
        };
        let last_ip = match self.last_ip {
            None => None,
            Some(text) => Some(Address::parse(&text).ok_or_else(|| misused(format!("{text} is no IPv4 or IPv6 address")))?),
        };
        let network = match self.network {
            None => None,
            Some(text) => Some(Network::parse(&text).ok_or_else(|| misused(format!("{text} is no network, such as 10.0.0.0/8")))?),
        };
        let terms = search::folded_terms(self.search.as_deref().unwrap_or_default());
        Ok(SessionFilter {
            visible_to: None,
            username: self.user,
            user: self.user_pk.map(UserId),
            last_ip,
            user_agent: self.last_user_agent,
            network,
            country: self.country.map(|code| code.to_ascii_uppercase()),
            asn: self.asn,
            browser: self.browser,
            os: self.os,
            device: self.device,
            last_used_gte: instant(self.last_used_gte)?,
            last_used_lte: instant(self.last_used_lte)?,
            expires_gte: instant(self.expires_gte)?,
            expires_lte: instant(self.expires_lte)?,
            search: terms.ok_or_else(|| misused("too many search terms"))?,
            except: self.except.as_deref().map(parse_id).transpose()?,
        })
    }
}

pub(super) async fn run(config: Config, command: SessionCommand) -> Outcome {
    match command {
        SessionCommand::List { filter, ordering, limit, json, csv } => {
            let filter = filter.read()?;
            let app = crate::cli::open(config).await?;
            list(&app, &filter, &Sort::parse_list(&ordering), limit, json, csv).await
        }
        SessionCommand::Show { uuid, json } => {
            let id = parse_id(&uuid)?;
            show(&crate::cli::open(config).await?, id, json).await
        }
        SessionCommand::Watch { user, json } => {
            crate::cli::watch::run(&crate::cli::open(config).await?, user.as_deref(), json).await
        }
        SessionCommand::Revoke { uuids, filter, everyone, expected_count, reason, yes } => {
            let ids = uuids.iter().map(|uuid| parse_id(uuid)).collect::<Result<Vec<_>, _>>()?;
            let filter = filter.read()?;
            let has_filter = SessionFilter { except: None, ..filter.clone() } != SessionFilter::default();
            if usize::from(!ids.is_empty()) + usize::from(has_filter) + usize::from(everyone) != 1 {
                return Err(misused("name sessions, or give filters, or --everyone: one of the three"));
            }
            if !ids.is_empty() && filter.except.is_some() {
                return Err(misused("--except is for filters and --everyone, not for sessions that are named"));
            }
            let comment = reason.trim().to_owned();
            if !end_matching::is_comment(&comment) {
                return Err(misused(format!("--reason: at most {MAX_COMMENT_LENGTH} characters, no control characters")));
            }
            let app = crate::cli::open(config).await?;
            let what = Revocation { filter, except: None, expected: expected_count, comment };
            let ended = if ids.is_empty() {
                revoke_matching(&app, what, yes).await?
            } else {
                revoke_named(&app, &ids, &what.comment, yes).await?
            };
            output::say(&format!("ended {ended} session{}", if ended == 1 { "" } else { "s" }));
            Ok(())
        }
    }
}

fn parse_id(text: &str) -> Result<SessionId, Failure> {
    SessionId::parse(text).ok_or_else(|| misused(format!("{text} is no session's uuid")))
}

async fn revoke_named(app: &App, ids: &[SessionId], reason: &str, is_sure: bool) -> Result<u64, Failure> {
    let mut found = Vec::new();
    for id in ids {
        match app.store.read().find_session(*id).await? {
            Some(_) => found.push(*id),
            None => return Err(format!("there is no session {id}; nothing was ended").into()),
        }
    }
    if !is_sure && !output::confirm(&format!("End {} session(s)?", found.len()))? {
        return Err("nothing was ended".into());
    }
    Ok(end::revoke_listed(app, &found, reason, &Actor::cli()).await?)
}

/// Ends what matches. Whoever was shown a number ends about that many, or none.
async fn revoke_matching(app: &App, mut what: Revocation, is_sure: bool) -> Result<u64, Failure> {
    if !is_sure && what.expected.is_none() {
        let count = app.store.read().count_sessions(&what.filter).await?;
        if count == 0 {
            return Ok(0);
        }
        if !output::confirm(&format!("End {count} session(s)?"))? {
            return Err("nothing was ended".into());
        }
        what.expected = u64::try_from(count).ok();
    }
    Ok(end_matching::revoke_matching(app, what, &Actor::cli()).await?)
}

async fn list(app: &App, filter: &SessionFilter, sorts: &[Sort], limit: i64, is_json: bool, is_csv: bool) -> Outcome {
    let db = app.store.read();
    let count = db.count_sessions(filter).await?;
    let rows = db.list_sessions(filter, sorts, Window { offset: 0, limit }, count).await?;
    let records = records(app, &rows).await?;
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
    let header = ["uuid", "user", "address", "place", "device", "last used", "expires"];
    let table = records
        .iter()
        .map(|record| {
            let text = |name: &str| cell(record, name);
            let place: Vec<String> = [text("city"), text("country")].into_iter().filter(|part| !part.is_empty()).collect();
            let device = format!("{} on {}", text("browser"), text("os"));
            vec![text("uuid"), text("username"), text("last_ip"), place.join(", "), device, text("last_used"), text("expires")]
        })
        .collect();
    output::table(&header, table)?;
    let shown = i64::try_from(rows.len()).unwrap_or(count);
    if shown < count {
        output::say(&format!("{shown} of {count} sessions; --limit shows more"));
    }
    Ok(())
}

async fn show(app: &App, id: SessionId, is_json: bool) -> Outcome {
    let db = app.store.read();
    if let Some(row) = db.find_session(id).await? {
        let records = records(app, std::slice::from_ref(&row)).await?;
        for record in records {
            if is_json {
                output::line(&serde_json::to_string_pretty(&record)?)?;
                continue;
            }
            for name in COLUMNS {
                output::line(field(name, &cell(&record, name)).trim_end())?;
            }
        }
        return Ok(());
    }
    let Some(ended) = db.find_ended_session(id).await? else { return Err(format!("there is no session {id}").into()) };
    if is_json {
        return output::line(&serde_json::to_string_pretty(&json!({
            "uuid": ended.uuid, "username": ended.username, "ended": ended.ended_at, "ended_by": ended.ended_by, "reason": ended.reason,
            "comment": ended.comment,
        }))?);
    }
    for (name, value) in [
        ("uuid", ended.uuid.to_string()),
        ("username", ended.username),
        ("ended", ended.ended_at.to_string()),
        ("ended_by", ended.ended_by),
        ("reason", ended.reason),
        ("comment", ended.comment),
    ] {
        output::line(field(name, &value).trim_end())?;
    }
    Ok(())
}

/// A name and its value, on one line whatever the value holds.
fn field(name: &str, value: &str) -> String {
    format!("{name:16} {}", output::printable(value).replace('\n', " "))
}
