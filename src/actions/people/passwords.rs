//! Passwords: Argon2id at OWASP's parameters, on a bounded pool, so that sign-ins cannot take the
//! processor and the memory from everything else.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::actions::ActionError;
use crate::config::PublicUrl;
use crate::core::Core;
use crate::domain::password;
use crate::domain::password::Context;
use crate::domain::user::UserRule;
use crate::store::StoreError;

/// Memory in KiB, passes, lanes: the first choice of OWASP's Password Storage Cheat Sheet.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The most hashes that wait for a turn.
const QUEUE: usize = 64;

/// The pool.
#[derive(Clone)]
pub struct Passwords {
    /// One turn for each processor but one, and at least one.
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = processors.saturating_sub(1).max(1);
        Self { turns: Arc::new(Semaphore::new(turns)), places: Arc::new(Semaphore::new(QUEUE + turns)) }
    }

    /// Hashes a new password, in PHC form.
    ///
    /// # Errors
    /// [`ActionError::Busy`] when too many are waiting.
    pub async fn hash(&self, password: String) -> Result<String, ActionError> {
        self.run(move || hash(&password)).await?.map_err(|error| StoreError::Failed(error).into())
    }

    /// Whether a password fits a stored hash. Without a hash it takes the same time and says no, so
    /// that nobody learns which names exist.
    ///
    /// # Errors
    /// [`ActionError::Busy`] when too many are waiting.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, ActionError> {
        self.run(move || {
            let is_known = stored.is_some();
            let stored = stored.unwrap_or_else(|| NOBODYS.to_owned());
            let fits =
                PasswordHash::new(&stored).is_ok_and(|stored| argon2().verify_password(password.as_bytes(), &stored).is_ok());
            fits && is_known
        })
        .await
    }

    async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, ActionError> {
        let _place = self.places.try_acquire().map_err(|_| ActionError::Busy)?;
        let _turn = self.turns.acquire().await.map_err(|_| ActionError::Busy)?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| StoreError::Failed(error.to_string()).into())
    }
}

/// Checks a new password of whoever has these names, on this server.
///
/// # Errors
/// The rule it breaks.
pub fn check(core: &Core, password: &str, names: [&String; 3]) -> Result<(), UserRule> {
    let server = core.config.http.public_url.as_ref().map(PublicUrl::host);
    let context = Context::of(names.into_iter().map(String::as_str).chain(server));
    Ok(password::check(password, &context)?)
}

/// A hash at our parameters that no password is known to fit: names without one are checked against
/// it.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBwYXNzd29yZA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a stored text is a hash that passwords can be checked against: Argon2, in PHC form.
#[must_use]
pub fn is_usable_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes on the calling thread: for the command line.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn hash(password: &str) -> Result<String, String> {
    Ok(argon2().hash_password(password.as_bytes()).map_err(|error| error.to_string())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_at_owasps_parameters_and_verifies() {
        let passwords = Passwords::new();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
        assert!(PasswordHash::new(NOBODYS).is_ok(), "else it would answer at once");
        assert!(!passwords.verify("x".into(), Some("garbage".into())).await.unwrap());
    }
}
