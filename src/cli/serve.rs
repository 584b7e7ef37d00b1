//! `rollcall serve`.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::clock;
use crate::actions::people::bootstrap;
use crate::actions::policies;
use crate::cli::listen::Listeners;
use crate::cli::reload::Reload;
use crate::cli::server_file::ServerFile;
use crate::cli::{Outcome, lock, notify, output, start};
use crate::config::{Config, Listen};
use crate::domain::Clock;
use crate::http::listener::Inherited;
use crate::jobs::Jobs;
use crate::store::StoreError;
use crate::{metrics, server};

/// How long a stop may take, from the moment that no more connections are taken: it stays within 10 s.
const STOP_TIME: Duration = Duration::from_millis(9500);

pub(super) async fn run(config: Config, reload: Reload, inherited: Vec<Inherited>) -> Outcome {
    // From here on a hang-up no longer ends the process.
    #[cfg(unix)]
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    let _lock = lock::take(&config).await?;
    if config.metrics.listen.is_some() {
        // Before anything worth counting.
        metrics::start()?;
    }
    let (app, _held) = start::server(config, Clock::guarded()).await?;
    clock::resume(&app, By::System).await?;
    let link = bootstrap::run(&app, By::System).await?;
    let changed = policies::hold_to_instance(&app, By::System).await?;
    if changed > 0 {
        tracing::info!(changed, "held living sessions to tighter settings");
    }
    app.trusted_proxies.look_up().await;
    let listeners = Listeners::bind(&app.config, inherited).await?;
    let origin = app.config.origin(&listeners.places());
    remember_origin(&app, origin.clone()).await?;
    let _written = ServerFile::write(&app.config.data_dir, &listeners, origin.clone())?;
    if let Some(link) = link {
        let minutes = bootstrap::LINK_LIVES.as_secs() / 60;
        output::say(&format!(
            "\nNobody has set a password for akadmin yet. Open this link to do so; it works once, for {minutes} minutes:\n\n  {}/set-up/{}\n",
            origin,
            link.expose()
        ));
    }
    #[cfg(unix)]
    let reloading = tokio::spawn(reload.at_each(hangup, app.clone(), listeners.certificates.clone()));
    let outcome = until_stopped(&app, listeners).await;
    #[cfg(unix)]
    reloading.abort();
    outcome
}

/// The fact that holds where the server was reached when it last started.
const ORIGIN: &str = "origin";

/// Writes down where the server is reached, for commands that print links: they may run with other flags
/// than the server does, and cannot know a port that it took by chance.
async fn remember_origin(app: &App, origin: String) -> Result<(), StoreError> {
    if app.store.read().find_setting(ORIGIN).await?.as_deref() == Some(origin.as_str()) {
        return Ok(());
    }
    app.store.write(move |db| Box::pin(async move { db.update_setting(ORIGIN, &origin).await })).await
}

/// Where people reach the server, as a command knows it: the public URL, else where the server was reached
/// when it last started, else the address that it would listen on.
pub(super) async fn origin(app: &App) -> Result<String, StoreError> {
    if let Some(url) = &app.config.http.public_url {
        return Ok(url.origin().to_owned());
    }
    let known = app.store.read().find_setting(ORIGIN).await?;
    Ok(known.unwrap_or_else(|| app.config.origin(&app.config.listen.iter().collect::<Vec<_>>())))
}

/// Serves until SIGTERM or SIGINT, finishes what runs, and writes down what is only in memory.
pub(super) async fn until_stopped(app: &App, listeners: Listeners) -> Outcome {
    let (over, mut is_over) = tokio::sync::watch::channel(());
    if let Some(metrics_address) = app.config.metrics.listen {
        let stop = async move { drop(is_over.changed().await) };
        let metrics_address = super::metrics::serve(app, metrics_address, listeners.certificates.clone(), stop).await?;
        output::say(&format!("metrics at http://{metrics_address}/metrics"));
    }
    let jobs = Jobs::start(app);
    if let Err(error) = app.store.warm_up().await {
        tracing::warn!(%error, "sessions were not read into memory; the first question tries again");
    }
    let signal = stop_signal();
    let shown: Vec<String> = listeners.places().into_iter().map(Listen::shown).collect();
    for place in &shown {
        output::say(&format!("listening on {place}"));
    }
    notify::send(&format!("READY=1\nSTATUS=listening on {}", shown.join(", ")));
    let keeping = listeners.keep_up(app);
    let closing = OnceLock::new();
    let stop = async {
        signal.await;
        notify::send("STOPPING=1");
        app.is_stopping.store(true, Ordering::Relaxed);
        tokio::time::sleep(app.config.http.shutdown_delay).await;
        closing.get_or_init(Instant::now);
        app.streams.close();
        app.end_jobs.close();
    };
    server::run(listeners.all, app, stop).await;
    output::say("stopping");
    drop(keeping);
    drop(over);
    let last = async {
        app.end_jobs.stop().await;
        jobs.stop().await;
        app.touches.flush(app).await
    };
    // Requests have a bound of their own (8 s). What they leave is for the last writes: a disk may be slow.
    let since = closing.get().map(Instant::elapsed).unwrap_or_default();
    match tokio::time::timeout(STOP_TIME.saturating_sub(since), last).await {
        Ok(flushed) => Ok(flushed?),
        Err(_) => Err("the last uses of sessions could not be written down in time".into()),
    }
}

/// Listens for SIGTERM and SIGINT from now on, and gives what is done at the first. A second one ends the
/// process at once.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).ok().zip(signal(SignalKind::interrupt()).ok())
    };
    async move {
        #[cfg(unix)]
        if let Some((mut terminate, mut interrupt)) = signals {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tokio::spawn(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                std::process::exit(1);
            });
            return;
        }
        drop(tokio::signal::ctrl_c().await);
    }
}
