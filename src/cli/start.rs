//! How commands open an instance: the backup before an upgrade, the upgrade, and the rest.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::backup;
use crate::actions::by::By;
use crate::cli::{Failure, output};
use crate::config::Config;
use crate::domain::Clock;
use crate::store::{Held, Store, Use};

/// How long a server waits for another one, or for a restore, to end.
const WAIT: Duration = Duration::from_secs(10);

/// Opens the database and upgrades it, after a backup where one is due.
///
/// # Errors
/// When it cannot be used, or there is no room for the backup.
pub(super) async fn app(config: Config, clock: Clock) -> Result<App, Failure> {
    let store = Store::open(&config.database, &config.pool).await?;
    app_on(store, config, clock).await
}

/// The same for a server: it holds the lock that keeps restores away.
///
/// # Errors
/// As for [`app`], and when a backup is being restored.
pub(super) async fn server(config: Config, clock: Clock) -> Result<(App, Option<Held>), Failure> {
    let store = Store::open(&config.database, &config.pool).await?;
    let held = store.hold(Use::Serve, WAIT).await?;
    Ok((app_on(store, config, clock).await?, held))
}

async fn app_on(store: Store, config: Config, clock: Clock) -> Result<App, Failure> {
    before_upgrade(&store, &config).await?;
    Ok(App::start_on(store, config, clock).await?)
}

/// Makes the backup that an upgrade of the schema needs.
///
/// # Errors
/// When it cannot be made: nothing is upgraded then.
pub(super) async fn before_upgrade(store: &Store, config: &Config) -> Result<(), Failure> {
    if !config.backup_before_upgrade {
        return Ok(());
    }
    let now = Clock::System.now();
    if let Some(path) = backup::before_upgrade(By::Cli, store, now, &config.data_dir, &config.instance_key_path()).await? {
        output::say(&format!("the schema is upgraded; the backup before it is {}", path.display()));
    }
    Ok(())
}
