//! `rollcall clock`: what the server thinks of this machine's clock.

use clap::Subcommand;

use crate::actions::by::By;
use crate::actions::clock;
use crate::cli::{Outcome, output};
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum ClockCommand {
    /// Confirm that this machine's clock is right now, after the server found that it jumped
    Confirm,
}

pub(super) async fn run(config: Config, command: ClockCommand) -> Outcome {
    let app = super::open(config).await?;
    match command {
        ClockCommand::Confirm => {
            if app.store.now().await?.is_some() {
                return Err("with PostgreSQL the database's clock decides: set this machine's clock by it".into());
            }
            clock::request_confirmation(&app, By::Cli).await?;
            output::say(&format!("confirmed: it is {}; a server that runs believes it within seconds", app.clock.now()));
        }
    }
    Ok(())
}
