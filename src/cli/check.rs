//! `rollcall check`: says what is wrong and how to mend it. It changes nothing.

mod keys;
mod network;

use std::path::Path;

use crate::actions::clock::find_note;
use crate::cli::{Outcome, check_source, output};
use crate::config::Config;
use crate::config::Location;
use crate::domain::Clock;
use crate::domain::binding::{GeoipBinding, NetworkBinding};
use crate::domain::clock_guard::TOLERANCE;
use crate::domain::policy::StoredLimits;
use crate::enrich::geoip;
use crate::enrich::user_agents::UserAgents;
use crate::keys::InstanceKey;
use crate::store::{Store, StoreError, foreign_schema, migrations};

/// A MaxMind file older than this causes a warning, in days: new files come out twice a week.
const OLD: u64 = 30;

/// What was found so far.
pub(super) struct Report {
    is_good: bool,
}

impl Report {
    pub(super) fn good(what: &str, detail: &str) -> Outcome {
        output::line(&format!("ok       {what}: {detail}"))
    }

    pub(super) fn warn(what: &str, detail: &str, cure: &str) -> Outcome {
        output::line(&format!("warning  {what}: {detail}\n         {cure}"))
    }

    pub(super) fn bad(&mut self, what: &str, detail: &str, cure: &str) -> Outcome {
        self.is_good = false;
        output::line(&format!("wrong    {what}: {detail}\n         {cure}"))
    }
}

pub(super) async fn run(config: Config) -> Outcome {
    let mut report = Report { is_good: true };
    let detail = match &config.file {
        Some(file) => format!("all settings can be read; the file is {}", file.display()),
        None => "all settings can be read; there is no file".to_owned(),
    };
    Report::good("configuration", &detail)?;
    secret_files(&config)?;
    for warning in &config.warnings {
        Report::warn("environment", warning, "A name without `rollcall` for the service keeps them away, too.")?;
    }
    network::trusted_proxies(&config, &mut report).await?;
    network::certificate(&config, &mut report)?;
    instance_key(&config, &mut report)?;
    let mut stored = StoredLimits::default();
    database(&config, &mut stored, &mut report).await?;
    let files = [
        ("GeoIP City file", &config.geoip.city, "geoip.city", Holds::Places),
        ("GeoIP ASN file", &config.geoip.asn, "geoip.asn", Holds::Networks),
    ];
    for (what, path, key, holds) in files {
        match path {
            None => Report::warn(
                what,
                "none is configured: this part of a place is not shown",
                &format!("Set {key} to a MaxMind .mmdb file."),
            )?,
            Some(path) => geoip_file(&mut report, what, path, holds)?,
        }
    }
    let bindings = config.sessions_with(&stored).bindings();
    for (is_blind, what, key) in [
        (bindings.network != NetworkBinding::None && config.geoip.asn.is_none(), "sessions.network_binding", "geoip.asn"),
        (bindings.geoip != GeoipBinding::None && config.geoip.city.is_none(), "sessions.geoip_binding", "geoip.city"),
    ] {
        if is_blind {
            let cure = format!("Set {key}, or unset {what}.");
            Report::warn(what, &format!("nothing breaks it without {key}: no address is known to any file"), &cure)?;
        }
    }
    match UserAgents::load(config.user_agent.rules.as_ref()) {
        Ok(_) => Report::good("user agent rules", config.user_agent.rules.as_ref().map_or("built in", |_| "the configured file"))?,
        Err(error) => report.bad(
            "user agent rules",
            &error.to_string(),
            "Take regexes.yaml from a release of uap-core, or unset user_agent.rules.",
        )?,
    }
    check_source::run(&config, &mut report).await?;
    network::outbound(&config, &mut report)?;
    network::public_url(&config)?;
    if report.is_good { Ok(()) } else { Err("something is wrong".into()) }
}

/// Files that hold secrets, and that every user of the machine may read.
fn secret_files(config: &Config) -> Outcome {
    #[cfg(unix)]
    for (key, path) in &config.secret_files {
        use std::os::unix::fs::PermissionsExt;
        if path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            let shown = path.display();
            Report::warn(key, &format!("every user may read {shown}"), &format!("chmod o-r {shown}"))?;
        }
    }
    Ok(())
}

fn instance_key(config: &Config, report: &mut Report) -> Outcome {
    let path = config.instance_key_path();
    let shown = path.display().to_string();
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Report::warn("instance key", &format!("{shown} does not exist yet"), "The first `rollcall serve` makes it.")
        }
        Err(error) => report.bad("instance key", &format!("{shown}: {error}"), "Let the user that runs Rollcall read it."),
        Ok(meta) => {
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                if meta.permissions().mode() & 0o077 != 0 {
                    return report.bad("instance key", &format!("others may read {shown}"), &format!("chmod 600 {shown}"));
                }
            }
            let _ = meta;
            match InstanceKey::load(&path) {
                Ok(_) => Report::good("instance key", &shown),
                Err(error) => report.bad(
                    "instance key",
                    &error.to_string(),
                    "Let the user that runs Rollcall read it, or restore it from a backup: second factors are sealed with it.",
                ),
            }
        }
    }
}

/// Looks at the database, and gives the limits that are stored in it.
async fn database(config: &Config, stored: &mut StoredLimits, report: &mut Report) -> Outcome {
    if let Location::Sqlite(path) = &config.database
        && !path.exists()
    {
        let detail = format!("{} does not exist yet", path.display());
        return Report::warn("database", &detail, "The first `rollcall serve` makes it.");
    }
    let cure = "Look at database.url, and whether the database runs and takes connections from here.";
    let store = match Store::open(&config.database, &config.pool).await {
        Ok(store) => store,
        Err(error) => return report.bad("database", &error.to_string(), cure),
    };
    match store.describe().await {
        Ok(version) => Report::good("database", &version)?,
        Err(error) => return report.bad("database", &error.to_string(), cure),
    }
    clock(&store).await?;
    match store.applied_migrations().await {
        Ok(applied) => {
            let missing = migrations().iter().filter(|known| applied.iter().all(|name| name != known.name)).count();
            match (foreign_schema(&applied), missing) {
                (Some(why), _) => report.bad("schema", &why, "Run the version that the message names."),
                (None, 0) => {
                    Report::good("schema", "up to date")?;
                    *stored = store.read().find_stored_limits().await?;
                    users(&store, report).await?;
                    keys::signing_keys(&store, config, report).await?;
                    last_backup(&store).await?;
                    same_names(&store).await
                }
                (None, count) => Report::warn(
                    "schema",
                    &format!("{count} migrations to apply"),
                    "The next `rollcall serve` or `rollcall migrate` applies them.",
                ),
            }
        }
        Err(StoreError::Failed(_)) => Report::warn("schema", "empty", "The first `rollcall serve` makes it."),
        Err(error) => report.bad("schema", &error.to_string(), cure),
    }
}

/// When the last backup was made, by `rollcall backup`.
async fn last_backup(store: &Store) -> Outcome {
    /// A backup older than this causes a warning, in days.
    const OLD: u64 = 7;
    let cure = "`rollcall backup FILE` makes one, also while the server runs; docs/OPERATIONS.md has a timer.";
    let Ok(last) = crate::actions::backup::last(&store.read()).await else { return Ok(()) };
    let Some(last) = last else { return Report::warn("backup", "there was never one", cure) };
    let hours = Clock::System.now().since(last).as_secs() / 3600;
    let age = if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) };
    let detail = format!("the last one was made {age} ago");
    if hours / 24 >= OLD { Report::warn("backup", &detail, cure) } else { Report::good("backup", &detail) }
}

/// Names of users that differ by case alone, and e-mail addresses that several users have: an import may
/// have brought them.
async fn same_names(store: &Store) -> Outcome {
    /// The most groups of names that are shown.
    const SHOWN: i64 = 10;
    let Ok(groups) = store.read().list_same_names(SHOWN).await else { return Ok(()) };
    for names in groups {
        let cure = "Each signs in by the exact name or address. Rename one of them, or give it an address of its own.";
        Report::warn("users with one name or address", &names.join(", "), cure)?;
    }
    Ok(())
}

/// Compares this machine's clock with the database's, or with what the server last wrote down about it.
async fn clock(store: &Store) -> Outcome {
    let now = Clock::System.now();
    if let Ok(Some(database)) = store.now().await {
        if now.is_near(database, TOLERANCE) {
            return Report::good("clock", "as the database's");
        }
        let seconds = now.since(database).max(database.since(now)).as_secs();
        let detail = format!("{seconds} seconds off the database's: nothing is swept or purged from here");
        return Report::warn("clock", &detail, "Set this machine's clock.");
    }
    // A database without a schema has no notes.
    let Ok(Some(note)) = find_note(&store.read()).await else { return Ok(()) };
    if note.doubt.is_empty() && note.expected.since(now) <= TOLERANCE {
        return Report::good("clock", "believed");
    }
    let doubt = if note.doubt.is_empty() { "behind the time that the server last saw".to_owned() } else { note.doubt };
    let cure = "Set the clock, or run `rollcall clock confirm` if it is right now.";
    Report::warn("clock", &format!("{doubt}: nothing is swept or purged by it"), cure)
}

/// Whether there is somebody who can sign in and administer.
async fn users(store: &Store, report: &mut Report) -> Outcome {
    let counts = match store.read().count_administrators().await {
        Ok(counts) => counts,
        Err(error) => return report.bad("users", &error.to_string(), "Look at the database's own log."),
    };
    if counts.users == 0 {
        return Report::warn("users", "there are none", "The first `rollcall serve` adds akadmin and prints a set-up link.");
    }
    if counts.able == 0 {
        let detail = match counts.administrators {
            0 => "no active user is an administrator".to_owned(),
            _ => "no active administrator has a password or a passkey".to_owned(),
        };
        let cure =
            "`rollcall user recovery-link NAME` prints a link that sets a password; `rollcall serve` prints one for akadmin.";
        return Report::warn("administrators", &detail, cure);
    }
    Report::good("administrators", &format!("{} can sign in", counts.able))
}

/// What a MaxMind file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Places,
    Networks,
}

impl Holds {
    /// What a file holds by the name of its kind: `GeoLite2-City`, `GeoIP2-Enterprise`, `GeoLite2-ASN`.
    /// `None` for a name that says neither.
    fn by_name(kind: &str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|word| kind.to_ascii_lowercase().contains(word));
        if has(&["city", "country", "enterprise"]) {
            return Some(Self::Places);
        }
        has(&["asn", "isp"]).then_some(Self::Networks)
    }
}

fn geoip_file(report: &mut Report, what: &str, path: &Path, holds: Holds) -> Outcome {
    let shown = path.display();
    match geoip::open(path) {
        Err(error) => {
            let cure = "Download it again (geoipupdate does); places stay empty until then.";
            report.bad(what, &format!("{shown}: {error}"), cure)
        }
        Ok(reader) => {
            let metadata = reader.metadata();
            if Holds::by_name(&metadata.database_type).is_some_and(|found| found != holds) {
                let detail = format!("{shown} is of the kind {}", metadata.database_type);
                return report.bad(what, &detail, "geoip.city takes a City file, and geoip.asn an ASN file: they may be swapped.");
            }
            if let Err(error) = reader.verify() {
                let cure = "Addresses it cannot tell have no place. If it is MaxMind's, download it again.";
                return Report::warn(what, &format!("{shown}: {error}"), cure);
            }
            let built = crate::domain::Timestamp(i64::try_from(metadata.build_epoch.saturating_mul(1_000_000)).unwrap_or(0));
            let days = Clock::System.now().since(built).as_secs() / 86400;
            let detail = format!("{shown}: {}, {days} days old", metadata.database_type);
            if days > OLD {
                return Report::warn(what, &detail, "Addresses move: let geoipupdate fetch a newer one.");
            }
            Report::good(what, &detail)
        }
    }
}
