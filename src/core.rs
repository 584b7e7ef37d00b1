//! What actions use: settings, the database, the clock, and what reads addresses and user agents.

pub mod agents;
pub mod trust;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Config, SignInConfig};
use crate::core::agents::Agents;
use crate::core::trust::TrustedProxies;
use crate::domain::Clock;
use crate::enrich::geoip::GeoIp;
use crate::enrich::user_agents::{RulesError, UserAgents};
use crate::keys::{InstanceKey, KeyError};
use crate::store::{Store, StoreError};
use crate::watch::{Client, SourceError};

/// The parts that every action may use. They are shared by all requests of a process.
pub struct Core {
    /// All settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Parses user agents, and caches the dictionary of those that are stored.
    pub user_agents: Arc<Agents>,
    /// Looks addresses up in the GeoIP files.
    pub geoip: Arc<GeoIp>,
    /// `[sign_in]` as it is now: SIGHUP replaces it. `config.sign_in` is that of the start.
    pub sign_in: ArcSwap<SignInConfig>,
    /// `http.trusted_proxies` and `http.client_address` as they are now.
    pub trusted_proxies: TrustedProxies,
    /// The client of the authentik that is watched, if one is.
    pub watched: Option<Client>,
    /// Seals secrets at rest and the state of sign-ins under way, and makes the proofs of forms.
    pub instance_key: InstanceKey,
}

/// Why the server or a command cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user agent rules cannot be used.
    #[error("the user agent rules cannot be used: {0}")]
    Rules(#[from] RulesError),
    /// The watched authentik cannot be asked at all.
    #[error("[authentik]: {0}")]
    Watched(#[from] SourceError),
    /// The instance key cannot be read or made.
    #[error("the instance key: {0}")]
    InstanceKey(#[from] KeyError),
}

impl Core {
    /// Opens the database, applies the migrations that are missing, and reads the key and the files.
    ///
    /// # Errors
    /// When one of them cannot be used. A GeoIP file that cannot be used is logged and left out.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let store = Store::open(&config.database, &config.pool).await?;
        Self::start_on(store, config, clock).await
    }

    /// The same, with a database that is open already.
    ///
    /// # Errors
    /// When something of it cannot be used.
    pub async fn start_on(store: Store, config: Config, clock: Clock) -> Result<Self, StartError> {
        let user_agents = UserAgents::load(config.user_agent.rules.as_ref())?;
        store.use_index(config.sessions.index_limit);
        for name in store.migrate().await? {
            tracing::info!(name, "applied a migration");
        }
        let instance_key = InstanceKey::load_or_create(&config.instance_key_path())?;
        let geoip = GeoIp::load(&config.geoip);
        let watched = config.watched.clone().map(Client::new).transpose()?;
        Ok(Self {
            user_agents: Arc::new(Agents::new(user_agents)),
            geoip: Arc::new(geoip),
            sign_in: ArcSwap::from_pointee(config.sign_in.clone()),
            trusted_proxies: TrustedProxies::new(&config.http),
            watched,
            instance_key,
            clock,
            store,
            config,
        })
    }
}
