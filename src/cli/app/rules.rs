//! `rollcall app rule`.

use clap::{Args, Subcommand};

use crate::actions::app::App;
use crate::actions::applications::rules;
use crate::actions::applications::rules::RuleChange;
use crate::actions::by::By;
use crate::cli::app::fields::{DemandArgs, network};
use crate::cli::app::show;
use crate::cli::app::there::{edited, find};
use crate::cli::{Outcome, output};
use crate::domain::application::guard::PathRule;
use crate::domain::application::path::PathPattern;

/// The rules of which application, and what to do with them.
#[derive(Args)]
pub(in crate::cli) struct RuleArgs {
    /// Which application
    slug: String,
    #[command(subcommand)]
    command: RuleCommand,
}

#[derive(Subcommand)]
enum RuleCommand {
    /// List the rules in the order in which they are tried; the first that fits decides
    List {
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Add a rule at the end, or at a place
    Add(Box<AddArgs>),
    /// Move a rule to another place
    Move {
        /// Which, counted from 1
        number: usize,
        /// Where to
        #[arg(value_name = "TO")]
        to: usize,
    },
    /// Remove a rule
    Remove {
        /// Which, counted from 1
        number: usize,
    },
}

#[derive(Args)]
struct AddArgs {
    /// Paths such as /health, /api/*/status or /admin/**
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// A method that it is for; may be repeated; all when not given
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// It is for addresses in this network only; may be repeated
    #[arg(long = "if-network", value_name = "CIDR")]
    if_network: Vec<String>,
    /// Its place, counted from 1; at the end when not given
    #[arg(long, value_name = "N")]
    at: Option<usize>,
    #[command(flatten)]
    demand: DemandArgs,
}

pub(super) async fn run(app: &App, args: RuleArgs) -> Outcome {
    let slug = args.slug;
    match args.command {
        RuleCommand::List { json } => show::rules(app, &*find(app, &slug).await?, json).await,
        RuleCommand::Add(args) => {
            let rule = PathRule {
                paths: args.paths.iter().map(|path| PathPattern::parse(path)).collect::<Result<_, _>>()?,
                methods: args.methods,
                if_network: args.if_network.iter().map(|text| network(text)).collect::<Result<_, _>>()?,
                demand: args.demand.change(app).await?,
            };
            let at = args.at;
            let application = edited(rules::change(app, By::Cli, &slug, None, RuleChange::Add(rule, at)).await, &slug)?;
            let number = at.unwrap_or_else(|| application.guard().map_or(0, |guard| guard.rules.len()));
            output::say(&format!("added rule {number} of {slug}"));
            Ok(())
        }
        RuleCommand::Move { number, to } => {
            edited(rules::change(app, By::Cli, &slug, None, RuleChange::Move(number, to)).await, &slug)?;
            output::say(&format!("moved rule {number} of {slug} to place {to}"));
            Ok(())
        }
        RuleCommand::Remove { number } => {
            edited(rules::change(app, By::Cli, &slug, None, RuleChange::Remove(number)).await, &slug)?;
            output::say(&format!("removed rule {number} of {slug}"));
            Ok(())
        }
    }
}
