//! SIGHUP: the settings are read again while the server runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::actions::app::App;
use crate::cli::log::Log;
use crate::cli::notify;
use crate::cli::server_file::ServerFile;
use crate::config::{Config, Flags, Secret};
use crate::enrich::geoip::{GeoIp, NewFiles};
use crate::enrich::user_agents::UserAgents;
use crate::http::tls::{Certificates, Pair};

/// Where the settings come from, and the log that follows them.
pub(super) struct Reload {
    pub(super) flags: Flags,
    pub(super) log: Log,
}

/// Values as they are given, by the path of the setting.
type Texts = BTreeMap<&'static str, Secret>;

/// Whether a change of the setting is applied without a restart.
pub(super) fn is_applied(path: &str) -> bool {
    ["log.", "geoip.", "sign_in.", "tls."].iter().any(|section| path.starts_with(section))
        || matches!(
            path,
            "user_agent.rules" | "database.password" | "http.trusted_proxies" | "http.client_address" | "authentik.token"
        )
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
    certificate: Option<(PathBuf, PathBuf, Pair)>,
}

impl Reload {
    fn read(&self) -> Result<Config, String> {
        Config::load(&self.flags, super::environment()?).map_err(|error| error.to_string())
    }

    /// Reads the settings again and applies those that can change: all of them, or none.
    async fn once(&self, app: &App, certificates: Option<&Certificates>, current: &mut Texts) -> Result<(), String> {
        let next = self.read()?;
        let applied: Vec<&str> = changed(current, &next.texts).filter(|path| is_applied(path)).collect();
        let (geoip, rules) = (next.geoip.clone(), next.user_agent.rules.clone());
        // A file of rules may have changed under its name.
        let has_rules = rules.is_some() || applied.contains(&"user_agent.rules");
        let has_geoip = applied.iter().any(|path| path.starts_with("geoip."));
        // So may the certificate.
        let tls = match (certificates, next.tls.files()) {
            (None, _) => None,
            (Some(_), None) => return Err("a listener speaks TLS, and tls.certificate and tls.key are not set any more".to_owned()),
            (Some(_), files) => files,
        };
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
            if let Some((certificate, key)) = tls {
                let pair = Pair::read(&certificate, &key)?;
                prepared.certificate = Some((certificate, key, pair));
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
        if let Some((certificates, (certificate, key, pair))) = certificates.zip(prepared.certificate) {
            if let Err(error) = ServerFile::note_certificate(&app.config.data_dir, &certificate) {
                tracing::warn!(%error, "server.json cannot be written; `rollcall healthcheck` asks for the last certificate");
            }
            certificates.use_pair(certificate, key, pair);
        }
        app.store.use_password(next.pool.password.clone());
        app.sign_in.store(Arc::new(next.sign_in.clone()));
        app.trusted_proxies.apply(&next.http).await;
        if let (Some(client), Some(next)) = (&app.watched, &next.watched) {
            client.use_token(next.token.clone());
        }
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
    pub(super) async fn at_each(self, mut hangup: tokio::signal::unix::Signal, app: App, certificates: Option<Arc<Certificates>>) {
        let mut current = app.config.texts.clone();
        while hangup.recv().await.is_some() {
            notify::send("RELOADING=1");
            if let Err(error) = self.once(&app, certificates.as_deref(), &mut current).await {
                tracing::error!(error, "settings cannot be read again; nothing was changed");
            }
            notify::send("READY=1");
        }
    }
}
