//! `rollcall backup`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::actions::backup::{self, BackupError, Options};
use crate::actions::by::By;
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::{Config, Location};
use crate::domain::event::text::{grouped, plural};
use crate::domain::{Clock, Timestamp};
use crate::files;
use crate::store::Store;

/// What names in a folder of backups begin and end with.
const NAME: (&str, &str) = ("rollcall-", ".backup");

/// Where the backup goes.
#[derive(Args)]
pub(super) struct BackupArgs {
    /// The file to write; - for standard output
    #[arg(required_unless_present_any = ["into", "check"], conflicts_with_all = ["into", "check"])]
    file: Option<PathBuf>,
    /// Write into this folder, under the name of the time
    #[arg(long, value_name = "FOLDER", conflicts_with = "check")]
    into: Option<PathBuf>,
    /// With --into: remove the oldest backups of these names until this number is left
    #[arg(long, value_name = "NUMBER", requires = "into", conflicts_with_all = ["file", "check"], value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Replace a file that exists
    #[arg(long, conflicts_with_all = ["into", "check"])]
    force: bool,
    /// Leave the instance key out: without it, second factors cannot be opened
    #[arg(long, conflicts_with = "check")]
    without_key: bool,
    /// Write nothing, and read all of this backup: exit code 0 if it is whole
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

impl BackupArgs {
    /// The backup that is only to be read.
    pub(super) fn to_check(&self) -> Option<&Path> {
        self.check.as_deref()
    }
}

/// Reads a whole backup, and says what is in it.
pub(super) fn check(file: &Path) -> Outcome {
    let checked = backup::check(file).map_err(|error| named(file, &error))?;
    let head = checked.head;
    output::line(&format!("whole: made {} by version {} on {}", head.at, head.version, head.database))?;
    output::line(&format!("instance key: {}", if head.has_key { "in it" } else { "not in it" }))?;
    for (table, rows) in &checked.rows {
        output::line(&format!("{table}: {rows}"))?;
    }
    Ok(())
}

pub(super) async fn run(config: Config, args: BackupArgs) -> Outcome {
    let store = open(&config).await?;
    let now = Clock::System.now();
    let to_output = args.file.as_deref().is_some_and(|file| file == Path::new("-"));
    if to_output && std::io::stdout().is_terminal() {
        return Err(misused("a backup is not for a terminal: name a file, or send it through a pipe"));
    }
    let path = match (&args.into, args.file) {
        (Some(folder), _) => {
            files::create_folder(folder).map_err(|error| format!("{}: {}", folder.display(), files::plain(&error)))?;
            Some(folder.join(name_at(now)))
        }
        (None, file) => file.filter(|_| !to_output),
    };
    let key = config.instance_key_path();
    if !args.without_key && !key.exists() {
        let missing = format!("the instance key is not here: {} does not exist; --without-key leaves it out", key.display());
        return Err(missing.into());
    }
    let options = Options { key: (!args.without_key).then_some(&*key), to: path.as_deref(), is_replacing: args.force };
    let made = backup::make(By::Cli, &store, now, options).await;
    let made = made.map_err(|error| match &path {
        Some(path) => exists_or_named(path, &error),
        None => error.into(),
    })?;
    if let Err(error) = backup::note(By::Cli, &store, now).await {
        tracing::warn!(%error, "the time of the backup could not be written down");
    }
    let place = path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    output::say(&format!("backed up {} to {place}", contents(&made.rows)));
    if let (Some(folder), Some(keep)) = (&args.into, args.keep) {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        backup::remove_old(folder, keep, is_name).map_err(|error| format!("{}: {}", folder.display(), files::plain(&error)))?;
    }
    Ok(())
}

/// Opens the database as it is: a backup upgrades nothing and makes nothing.
async fn open(config: &Config) -> Result<Store, Failure> {
    if let Location::Sqlite(path) = &config.database
        && !path.exists()
    {
        return Err(super::no_instance(config, &format!("{} does not exist", path.display())));
    }
    let store = Store::open(&config.database, &config.pool).await?;
    if !store.has_schema().await? {
        return Err(super::no_instance(config, "the database has no tables of Rollcall"));
    }
    if let Some(why) = crate::store::foreign_schema(&store.applied_migrations().await?) {
        return Err(why.into());
    }
    Ok(store)
}

/// `12 users, 340 sessions`.
pub(super) fn contents(rows: &BTreeMap<String, u64>) -> String {
    let of = |table: &str, word: &str| {
        let count = rows.get(table).copied().unwrap_or(0);
        format!("{} {word}{}", grouped(count), plural(count))
    };
    format!("{}, {}", of("users", "user"), of("session_rows", "session"))
}

/// An error with the name of the file that it is about.
pub(super) fn named(file: &Path, error: &BackupError) -> Failure {
    let file = file.display();
    match error {
        BackupError::Foreign | BackupError::Newer(_) => format!("{file} {error}").into(),
        BackupError::Store(_) | BackupError::Key(_) | BackupError::Action(_) | BackupError::NoRoom { .. } => {
            error.to_string().into()
        }
        BackupError::Damaged(_) | BackupError::Refused(..) | BackupError::File(_) => format!("{file}: {error}").into(),
    }
}

fn exists_or_named(file: &Path, error: &BackupError) -> Failure {
    match error {
        BackupError::File(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            format!("{} exists; --force replaces it", file.display()).into()
        }
        error => named(file, error),
    }
}

/// `rollcall-20261128T145410Z.backup`.
fn name_at(now: Timestamp) -> String {
    let text: String = now.to_string().chars().take_while(|c| *c != '.' && *c != 'Z').filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{}{text}Z{}", NAME.0, NAME.1)
}

/// Whether a file was named by [`name_at`].
fn is_name(name: &str) -> bool {
    let time = name.strip_prefix(NAME.0).and_then(|name| name.strip_suffix(NAME.1)).unwrap_or_default();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00000000T000000Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_in_a_folder_are_known_by_their_names() {
        let at = |text| Timestamp::parse(text).unwrap();
        let name = "rollcall-20261128T145410Z.backup";
        assert_eq!(name_at(at("2026-11-28T14:54:10.123456Z")), name);
        assert_eq!(name_at(at("2026-11-28T14:54:10Z")), name);
        assert!(is_name(name));
        for other in
            ["rollcall-20261128T145410Z.backup.part", "rollcall-2026.backup", "before-0.1.0.backup", "x", "rollcall-.backup"]
        {
            assert!(!is_name(other), "{other}");
        }
    }
}
