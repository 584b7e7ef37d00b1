//! `rollcall restore`.

use std::path::PathBuf;

use clap::Args;

use crate::actions::backup::{self, BackupError, BackupFile, KeyRule};
use crate::actions::by::By;
use crate::cli::backup::{contents, named};
use crate::cli::{Failure, Outcome, lock, output};
use crate::config::Config;
use crate::domain::Clock;
use crate::domain::event::text::{grouped, plural};
use crate::files;
use crate::store::{Store, StoreError, Use, foreign_schema};

/// What to restore, and over what.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Replace what the database holds: all of it
    #[arg(long)]
    replace: bool,
    /// With --replace: do not ask
    #[arg(long, requires = "replace")]
    yes: bool,
    /// Put the backup's instance key in the place of another one
    #[arg(long)]
    replace_key: bool,
    /// Let sessions live on, also those that ended since the backup
    #[arg(long)]
    keep_sessions: bool,
}

/// An error of the file or of a row, with the promise that holds then.
fn nothing_written(args: &RestoreArgs, error: &BackupError) -> Failure {
    match error {
        BackupError::Damaged(_) | BackupError::Refused(..) => {
            format!("{}: {error}; nothing was written", args.file.display()).into()
        }
        _ => named(&args.file, error),
    }
}

pub(super) async fn run(config: Config, args: RestoreArgs) -> Outcome {
    let path = args.file.clone();
    let checked = tokio::task::spawn_blocking(move || backup::check(&path)).await?;
    let checked = checked.map_err(|error| nothing_written(&args, &error))?;
    let _file_lock = lock::take_for_restore(&config).await?;
    let store = Store::open(&config.database, &config.pool).await?;
    let _held = store.hold(Use::Restore, lock::RESTORE_WAIT).await?;
    let users = look(&store).await?;
    if users > 0 && !args.replace {
        let message =
            format!("the database has {} user{}; restore needs an empty one, or --replace", grouped(users), plural(users));
        return Err(message.into());
    }
    let key_path = config.instance_key_path();
    let file = BackupFile::open(&args.file).map_err(|error| nothing_written(&args, &error))?;
    let Some(rule) = KeyRule::of(file.key(), &key_path, args.replace_key)? else {
        let message = format!(
            "{} is another instance key than that of the backup; --replace-key puts the backup's in its place, and keeps this one as {}.replaced",
            key_path.display(),
            key_path.display()
        );
        return Err(message.into());
    };
    if users > 0 && !args.yes {
        output::say(&format!(
            "the database has {} user{}; the backup has {}",
            grouped(users),
            plural(users),
            contents(&checked.rows)
        ));
        if !output::confirm("Replace all that the database holds?")? {
            return Err("nothing was restored".into());
        }
    }
    files::create_folder(&config.data_dir)?;
    let made_at = checked.head.at;
    let now = Clock::System.now();
    let restored = backup::restore(By::Cli, &store, file, now, (&key_path, rule), args.keep_sessions).await;
    let restored = restored.map_err(|error| nothing_written(&args, &error))?;
    output::say(&format!("restored {} of {made_at}", contents(&checked.rows)));
    if rule == KeyRule::Stay && !key_path.exists() {
        output::say(&format!(
            "The backup has no instance key, and {} does not exist: put the key of that time there, or second factors cannot be opened.",
            key_path.display()
        ));
    }
    if args.keep_sessions {
        output::say("Sessions live on, also those that ended since the backup: `rollcall session end all --yes` ends them.");
    } else {
        let ended = restored.ended;
        output::say(&format!("All sessions ended ({} session{}): everybody signs in again.", grouped(ended), plural(ended)));
    }
    output::say(&format!(
        "Passwords, tokens, second factors and rights are those of {made_at}. What was taken back since is valid again; take it back with\n  \
         rollcall user deactivate NAME\n  rollcall user set-password NAME\n  rollcall user set NAME --superuser false\n  \
         rollcall token remove IDENTIFIER"
    ));
    Ok(())
}

/// How many users a database has, if it is one that may be replaced.
async fn look(store: &Store) -> Result<i64, Failure> {
    if !store.has_schema().await? {
        return Ok(0);
    }
    if let Some(why) = foreign_schema(&store.applied_migrations().await?) {
        return Err(why.into());
    }
    match store.read().count_all_users().await {
        Ok(count) => Ok(count),
        // The name of the table of migrations, and none of the others.
        Err(StoreError::Failed(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
