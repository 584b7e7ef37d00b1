//! SIGHUP: the settings are read again while the server runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actions::app::App;
use crate::cli::log::Log;
use crate::cli::notify;
use crate::config::{Config, Flags, Secret};
use crate::enrich::geoip::{GeoIp, NewFiles};
use crate::enrich::user_agents::UserAgents;

/// Where the settings come from, and the log that follows them.
pub(super) struct Reload {
    pub(super) flags: Flags,
    pub(super) log: Log,
}

/// Values as they are given, by the path of the setting.
type Texts = BTreeMap<&'static str, Secret>;

/// Whether a change of the setting is applied without a restart.
pub(super) fn is_applied(path: &str) -> bool {
    ["log.", "geoip.", "sign_in."].iter().any(|section| path.starts_with(section))
        || matches!(path, "user_agent.rules" | "database.password" | "http.trusted_proxies")
}

/// The settings whose values differ.
fn changed<'a>(old: &'a Texts, new: &'a Texts) -> impl Iterator<Item = &'static str> + 'a {
    let given: std::collections::BTreeSet<&'static str> = old.keys().chain(new.keys()).copied().collect();
    given.into_iter().filter(|path| old.get(path) != new.get(path))
}

/// What is made from new settings before any of them is applied.
#[derive(Default)]
struct Prepared {
    rules: Option<UserAgents>,
    geoip: Option<NewFiles>,
}

impl Reload {
    fn read(&self) -> Result<Config, String> {
        Config::load(&self.flags, super::environment()?).map_err(|error| error.to_string())
    }

    /// Reads the settings again and applies those that can change: all of them, or none.
    async fn once(&self, app: &App, current: &mut Texts) -> Result<(), String> {
        let next = self.read()?;
        let applied: Vec<&str> = changed(current, &next.texts).filter(|path| is_applied(path)).collect();
        let (geoip, rules) = (next.geoip.clone(), next.user_agent.rules.clone());
        // A file of rules may have changed under its name.
        let has_rules = rules.is_some() || applied.contains(&"user_agent.rules");
        let has_geoip = applied.iter().any(|path| path.starts_with("geoip."));
        let preparing = tokio::task::spawn_blocking(move || {
            let mut prepared = Prepared::default();
            if has_rules {
                let rules =
                    UserAgents::load(rules.as_ref()).map_err(|error| format!("the user agent rules cannot be used: {error}"))?;
                prepared.rules = Some(rules);
            }
            if has_geoip {
                prepared.geoip = Some(GeoIp::open_files(&geoip)?);
            }
            Ok::<_, String>(prepared)
        });
        let prepared = preparing.await.map_err(|error| error.to_string())??;
        if let Some(rules) = prepared.rules {
            app.user_agents.use_rules(rules);
        }
        if let Some(files) = prepared.geoip {
            app.geoip.use_files(files);
        }
        app.store.use_password(next.pool.password.clone());
        app.sign_in.store(Arc::new(next.sign_in.clone()));
        app.trusted_proxies.store(Arc::new(next.http.trusted_proxies.clone()));
        self.log.apply(&next.log);
        tracing::info!(applied = applied.join(", "), "settings were read again");
        let restart: Vec<&str> = changed(&app.config.texts, &next.texts).filter(|path| !is_applied(path)).collect();
        if !restart.is_empty() {
            tracing::warn!("needs a restart: {}", restart.join(", "));
        }
        *current = next.texts;
        Ok(())
    }

    /// Reads the settings again at each hang-up, for as long as the server runs.
    #[cfg(unix)]
    pub(super) async fn at_each(self, mut hangup: tokio::signal::unix::Signal, app: App) {
        let mut current = app.config.texts.clone();
        while hangup.recv().await.is_some() {
            notify::send("RELOADING=1");
            if let Err(error) = self.once(&app, &mut current).await {
                tracing::error!(error, "settings cannot be read again; nothing was changed");
            }
            notify::send("READY=1");
        }
    }
}
