//! `rollcall man` and `rollcall help settings`: what the program says about itself.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use clap::Command;

use crate::cli::{Failure, Outcome, output, reload};
use crate::config::{Key, SECTIONS};

/// Where the pages go.
#[derive(Args)]
pub(super) struct ManArgs {
    /// Write rollcall.1 and one page for each command into this folder, and make it if it is missing
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Prints `rollcall.1`, or writes it and the pages of all commands below `command` into a folder.
///
/// # Errors
/// When the folder cannot be made or written.
pub(super) fn run(args: &ManArgs, command: Command) -> Outcome {
    let Some(folder) = &args.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return output::write(&page);
    };
    let failed = |error: std::io::Error| -> Failure { format!("{}: {error}", folder.display()).into() };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder).map_err(failed)
}

/// Whether a command line asks for the table of settings: `rollcall help settings`.
pub(super) fn asks_for_settings(line: impl IntoIterator<Item = OsString>) -> bool {
    line.into_iter().skip(1).eq(["help", "settings"].map(OsString::from))
}

/// Prints every setting.
pub(super) fn settings() -> Outcome {
    let mut text = String::from(
        "Every setting, with the variable that sets it. docs/settings.md says where settings come from, and which place\n\
         is stronger. A secret may be in a file that the variable with _FILE behind it names. SIGHUP applies what is\n\
         marked \"applied on reload\"; the rest needs a restart.\n",
    );
    for section in SECTIONS {
        let title = if section.name.is_empty() { "server" } else { section.name };
        let _ = write!(text, "\n{title}: {}\n", section.about());
        for key in section.keys {
            entry(&mut text, key);
        }
    }
    output::write(text.as_bytes())
}

/// One setting: path, variable, what it takes, default, meaning, secret or not, applied on reload or not.
fn entry(text: &mut String, key: &Key) {
    let variable = format!("ROLLCALL_{}", key.path.replace('.', "__").to_uppercase());
    let _ = writeln!(text, "\n  {} ({variable})", key.path);
    let _ = writeln!(text, "    takes {}; default: {}", key.form, key.default_text());
    let marks = [(key.is_secret, "secret"), (reload::is_applied(key.path), "applied on reload")];
    let marks: Vec<&str> = marks.into_iter().filter_map(|(holds, mark)| holds.then_some(mark)).collect();
    if !marks.is_empty() {
        let _ = writeln!(text, "    {}", marks.join(", "));
    }
    let _ = writeln!(text, "    {}", [key.about(), key.details()].join(" ").trim_end());
}
