//! `rollcall app rule`.

use clap::{Args, Subcommand};

use crate::actions::app::App;
use crate::actions::applications::edit;
use crate::actions::by::By;
use crate::cli::app::fields::{DemandArgs, network};
use crate::cli::app::{edited, find, show};
use crate::cli::{Outcome, output};
use crate::domain::application::guard::PathRule;
use crate::domain::application::path::PathPattern;
use crate::domain::application::{Application, ApplicationRule};

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
            let added = edit(app, By::Cli, &slug, move |application| Ok(add(application, rule, at)?));
            let application = edited(added.await, &slug)?;
            let number = at.unwrap_or_else(|| application.guard().map_or(0, |guard| guard.rules.len()));
            output::say(&format!("added rule {number} of {slug}"));
            Ok(())
        }
        RuleCommand::Remove { number } => {
            let removed = edit(app, By::Cli, &slug, move |application| Ok(remove(application, number)?));
            edited(removed.await, &slug)?;
            output::say(&format!("removed rule {number} of {slug}"));
            Ok(())
        }
    }
}

/// Adds a rule at a place, counted from 1, or at the end.
fn add(application: &mut Application, rule: PathRule, at: Option<usize>) -> Result<(), ApplicationRule> {
    let guard = &mut application.provider.as_mut().ok_or(ApplicationRule::NoGuard)?.guard;
    match at {
        None => guard.rules.push(rule),
        Some(number @ 1..) if number <= guard.rules.len() + 1 => guard.rules.insert(number - 1, rule),
        Some(number) => return Err(ApplicationRule::NoRule(number)),
    }
    Ok(())
}

/// Removes a rule by its place, counted from 1.
fn remove(application: &mut Application, number: usize) -> Result<(), ApplicationRule> {
    let guard = &mut application.provider.as_mut().ok_or(ApplicationRule::NoGuard)?.guard;
    if number == 0 || number > guard.rules.len() {
        return Err(ApplicationRule::NoRule(number));
    }
    guard.rules.remove(number - 1);
    Ok(())
}
