//! Settings on the command line. Every command takes them, before its name and behind it:
//! `rollcall --set a=1 serve --set b=2` sets both.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use std::path::PathBuf;

// Settings that every command takes; all others come from `--set`, the environment and `rollcall.toml`.
// No doc comment: clap would print it as the help of each command that takes them. They are not `global`
// in clap's sense: clap keeps what is given at one place only, and drops the rest.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Read this file instead of ./rollcall.toml
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Folder of the instance key and the SQLite file
    #[arg(long, value_name = "FOLDER", help_heading = "Settings")]
    pub data_dir: Option<String>,
    /// postgres://… or sqlite:PATH
    #[arg(long, value_name = "URL", help_heading = "Settings")]
    pub database_url: Option<String>,
    /// Any setting, such as sessions.idle_timeout=30m; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Settings")]
    pub sets: Vec<String>,
}

/// The command with these settings, on it and on all commands below it.
pub(super) fn on_every_command(command: Command) -> Command {
    Settings::augment_args(command).mut_subcommands(on_every_command)
}

impl Settings {
    /// What was given at each level of a command line, together: in the order in which it was given.
    ///
    /// # Errors
    /// When a setting that has one value is given twice.
    pub(super) fn gather(matches: &ArgMatches) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut level = Some(matches);
        while let Some(matches) = level {
            let here = Self::from_arg_matches(matches)?;
            once("--config <FILE>", &mut all.config, here.config)?;
            once("--data-dir <FOLDER>", &mut all.data_dir, here.data_dir)?;
            once("--database-url <URL>", &mut all.database_url, here.database_url)?;
            all.sets.extend(here.sets);
            level = matches.subcommand().map(|(_, below)| below);
        }
        Ok(all)
    }
}

/// Keeps a value; a second one is a mistake, as it is within one level.
fn once<T>(flag: &str, kept: &mut Option<T>, given: Option<T>) -> Result<(), Error> {
    if given.is_none() {
        return Ok(());
    }
    if kept.is_some() {
        return Err(Error::raw(ErrorKind::ArgumentConflict, format!("the argument '{flag}' cannot be used multiple times\n")));
    }
    *kept = given;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    fn of(line: &str) -> Result<Vec<String>, String> {
        let given = parse(line.split(' ').map(Into::into)).map_err(|error| error.to_string())?.1;
        let one = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let config = given.config.map(|path| path.display().to_string());
        Ok([vec![one(config), one(given.data_dir), one(given.database_url)], given.sets].concat())
    }

    #[test]
    fn settings_before_and_behind_a_command_add_up() {
        for line in [
            "rollcall --set a=1 --set b=2 serve",
            "rollcall --set a=1 serve --set b=2",
            "rollcall serve --set a=1 --set=b=2",
            "rollcall --set a=1 user --set b=2 list",
            "rollcall user --set a=1 list --set b=2",
            "rollcall --set a=1 session list --limit 3 --set b=2",
        ] {
            assert_eq!(of(line).unwrap(), ["-", "-", "-", "a=1", "b=2"], "{line}");
        }
        assert_eq!(of("rollcall --set a=1 user --set b=2 list --set c=3").unwrap()[3..], ["a=1", "b=2", "c=3"]);
        assert_eq!(
            of("rollcall --config f --set a=1 token --data-dir d list --database-url sqlite:x --set b=2").unwrap(),
            ["f", "d", "sqlite:x", "a=1", "b=2"]
        );
    }

    #[test]
    fn what_has_one_value_is_given_once() {
        for flag in ["--config", "--data-dir", "--database-url"] {
            for line in [
                format!("rollcall {flag} x serve {flag} y"),
                format!("rollcall {flag} x {flag} y serve"),
                format!("rollcall serve {flag} x {flag} y"),
                format!("rollcall {flag} x user list {flag} y"),
                format!("rollcall user {flag} x list {flag} x"),
            ] {
                let error = of(&line).unwrap_err();
                assert!(error.contains(flag) && error.contains("cannot be used multiple times"), "{line}: {error}");
            }
        }
        assert!(of("rollcall serve --listen a --listen b").unwrap_err().contains("--listen"));
    }
}
