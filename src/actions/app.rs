//! What actions keep between requests: batches, pools, and uses that are not written yet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use crate::actions::batching::{self, Batching};
use crate::actions::guard::identities::Identities;
use crate::actions::guard::recent::Recent;
use crate::actions::guard::refusals::Refusals;
use crate::actions::people::passwords::Passwords;
use crate::actions::sessions::end_jobs::EndJobs;
use crate::actions::sessions::moves::Moves;
use crate::actions::sessions::touch::Touches;
use crate::actions::sessions::watch::Streams;
use crate::actions::sign_in::admit::{self, Entrant, Entry};
use crate::actions::sign_in::guess_batch::{self, Ask, Taking};
use crate::actions::sign_in::refusal_log::RefusalLog;
use crate::actions::signing::keyring::Keyring;
use crate::actions::tokens::uses::TokenUses;
use crate::config::Config;
use crate::core::{Core, StartError};
use crate::domain::Clock;
use crate::store::Store;

/// The most answers of the guard that are under way at once.
pub const MOST_CHECKS: usize = 1000;

/// The application: [`Core`] and the state of the actions. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// Settings, database, clock, keys, and what reads addresses and user agents.
    pub core: Arc<Core>,
    /// The bounded pool that hashes passwords.
    pub passwords: Passwords,
    /// Uses of sessions that are not written to the database yet.
    pub touches: Touches,
    /// Tokens whose last use this process wrote lately.
    pub token_uses: TokenUses,
    /// Batches sign-ins whose proofs are complete: a batch shares one transaction.
    pub sign_ins: Batching<Arc<Entrant>, Entry>,
    /// Batches guesses of passwords and codes: a batch shares one statement on the limits.
    pub guesses: Batching<Ask, Taking>,
    /// Changes of address that an event was written for.
    pub moves: Moves,
    /// Applications that were read lately, for the guard.
    pub guarded: Recent,
    /// The keys that sign.
    pub keyring: Keyring,
    /// Identities that were signed lately, for the guard.
    pub identities: Identities,
    /// Places for answers of the guard under way.
    pub checks: Semaphore,
    /// Refusals of the guard that an event was written for.
    pub refusals: Refusals,
    /// The log lines about refused sign-ins.
    pub refusal_log: RefusalLog,
    /// Open live views.
    pub streams: Streams,
    /// Ends of many sessions that run in this process.
    pub end_jobs: EndJobs,
    /// Whether the server was told to stop: it is not ready for new clients any more.
    pub is_stopping: AtomicBool,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::ops::Deref for Parts {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl App {
    /// Starts the [`Core`], with empty state.
    ///
    /// # Errors
    /// Those of [`Core::start`].
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        Ok(Self::of(Core::start(config, clock).await?))
    }

    /// Starts the [`Core`] on a database that is open already, with empty state.
    ///
    /// # Errors
    /// Those of [`Core::start_on`].
    pub async fn start_on(store: Store, config: Config, clock: Clock) -> Result<Self, StartError> {
        Ok(Self::of(Core::start_on(store, config, clock).await?))
    }

    fn of(core: Core) -> Self {
        Self(Arc::new(Parts {
            core: Arc::new(core),
            passwords: Passwords::new(),
            touches: Touches::default(),
            token_uses: TokenUses::default(),
            sign_ins: Batching::new(admit::admit_all, batching::at_once(), admit::MOST_IN_BATCH),
            guesses: Batching::new(guess_batch::ask_all, batching::at_once(), guess_batch::MOST_IN_BATCH),
            moves: Moves::default(),
            guarded: Recent::default(),
            keyring: Keyring::default(),
            identities: Identities::default(),
            checks: Semaphore::new(MOST_CHECKS),
            refusals: Refusals::default(),
            refusal_log: RefusalLog::default(),
            streams: Streams::default(),
            end_jobs: EndJobs::default(),
            is_stopping: AtomicBool::new(false),
        }))
    }
}
