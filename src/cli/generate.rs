//! `rollcall generate`.

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::load;
use crate::cli::load::{MOST, Plan};
use crate::cli::{Outcome, output};
use crate::config::Config;

/// What to make.
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// How many users
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    users: u32,
    /// How many sessions
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    sessions: u32,
    /// How many app sessions: at most three for each session, those of every tenth user first. The applications load-1,
    /// load-2 and load-3 are made where they are not there
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    app_sessions: u32,
    /// How many sessions that ended, over the last 90 days
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    ended: u32,
    /// How many events, over the last year
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    events: u32,
    /// The same seed makes the same people and sessions on the same day
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

pub(super) async fn run(config: Config, args: GenerateArgs) -> Outcome {
    let app = crate::cli::open_or_create(config).await?;
    let stop = stopped();
    let GenerateArgs { users, sessions, app_sessions, ended, events, seed } = args;
    let plan = Plan { users, sessions, app_sessions, ended, events, seed };
    // Drawn only where standard error is a terminal.
    let bar = ProgressBar::with_draw_target(Some(plan.total()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} {per_sec} {eta} left") {
        bar.set_style(style);
    }
    let started = std::time::Instant::now();
    let moved = bar.clone();
    let progress = move |made: load::Made| {
        moved.set_position(made.total());
        !stop.load(std::sync::atomic::Ordering::Relaxed)
    };
    let made = load::run(&app, plan, std::sync::Arc::new(progress)).await;
    bar.finish_and_clear();
    let made = made?;
    let seconds = started.elapsed().as_secs_f64();
    let history = match (made.ended, made.events) {
        (0, 0) => String::new(),
        (ended, events) => format!(", {ended} ended sessions and {events} events"),
    };
    let apps = if made.app_sessions > 0 { format!(" with {} app sessions", made.app_sessions) } else { String::new() };
    output::say(&format!("made {} users and {} sessions{apps}{history} in {seconds:.1} s", made.users, made.sessions));
    if made.total() != plan.total() {
        return Err("stopped; what was made stays, whole".into());
    }
    Ok(())
}

/// Becomes true at Ctrl-C. A second one ends the process at once, which harms nothing either.
fn stopped() -> std::sync::Arc<std::sync::atomic::AtomicBool> {
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let raised = std::sync::Arc::clone(&flag);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if raised.swap(true, std::sync::atomic::Ordering::Relaxed) {
                std::process::exit(1);
            }
        }
    });
    flag
}
