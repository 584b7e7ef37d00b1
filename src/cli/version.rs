//! `rollcall version`.

use clap::Args;
use serde_json::json;

use crate::cli::{Outcome, output};
use crate::enrich::user_agents::UserAgents;
use crate::store::migrations;

/// In which form.
#[derive(Args)]
pub(super) struct VersionArgs {
    /// One JSON object: version, commit, target, features, schema, rules of user agents
    #[arg(long)]
    json: bool,
}

/// Prints what this program is.
pub(super) fn run(args: &VersionArgs) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if !args.json {
        return output::line(&format!("rollcall {version}"));
    }
    let features: &[&str] = if cfg!(feature = "otlp") { &["otlp"] } else { &[] };
    let described = json!({
        "version": version,
        // The build calls no git: the script of a release names the commit.
        "commit": option_env!("ROLLCALL_COMMIT").unwrap_or("unknown"),
        "target": env!("BUILD_TARGET"),
        "features": features,
        "schema": migrations().last().map(|migration| migration.name),
        "user_agent_rules": UserAgents::load(None)?.fingerprint(),
    });
    output::line(&described.to_string())
}
