//! The password of PostgreSQL's user, where it is given on its own. Each new connection uses the password of
//! that moment, so that one can be changed without a restart.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool_postgres::{ConfigConnectImpl, Connect};
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Password, Secret};

/// The password that new connections use. All pools of a process share it.
#[derive(Clone)]
pub(in crate::store) struct CurrentPassword(Arc<Mutex<Option<State>>>);

struct State {
    given: Password,
    /// The last one that could be read.
    last: Secret,
    /// Whether the last read failed: the log has one line for each failure that begins, not one for each
    /// connection.
    has_failed: bool,
}

impl CurrentPassword {
    /// `None`: the password of the URL.
    pub fn new(given: Option<Password>) -> Self {
        Self(Arc::new(Mutex::new(given.map(State::new))))
    }

    /// Takes the password of settings that were read again.
    pub fn replace(&self, given: Option<Password>) {
        *self.state() = given.map(State::new);
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The password to use now. A file is read again; when that fails, the last password stays and the log
    /// says so.
    fn now(&self) -> Option<Secret> {
        let mut state = self.state();
        let state = state.as_mut()?;
        match state.given.now() {
            Ok(secret) => {
                state.last = secret;
                state.has_failed = false;
            }
            Err(error) if !state.has_failed => {
                state.has_failed = true;
                tracing::warn!(%error, "the database's password cannot be read again; the last one is used");
            }
            Err(_) => {}
        }
        Some(state.last.clone())
    }
}

impl State {
    fn new(given: Password) -> Self {
        Self { last: given.secret.clone(), given, has_failed: false }
    }
}

/// Connects with the password of the moment.
pub(super) struct WithPassword {
    inner: Arc<ConfigConnectImpl<MakeRustlsConnect>>,
    password: CurrentPassword,
}

impl WithPassword {
    pub fn new(tls: MakeRustlsConnect, password: CurrentPassword) -> Self {
        Self { inner: Arc::new(ConfigConnectImpl { tls }), password }
    }
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for WithPassword {
    fn connect(&self, config: &tokio_postgres::Config) -> Connecting<'_> {
        let (mut config, inner, password) = (config.clone(), Arc::clone(&self.inner), self.password.clone());
        Box::pin(async move {
            // A file may be on a slow disk.
            if let Ok(Some(secret)) = tokio::task::spawn_blocking(move || password.now()).await {
                config.password(secret.0);
            }
            inner.connect(&config).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_again_and_the_last_one_stays_when_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "one\n").unwrap();
        let password = CurrentPassword::new(Some(Password { secret: Secret("one".into()), file: Some(file.clone()) }));
        let now = || password.now().map(|secret| secret.0);
        assert_eq!(now().as_deref(), Some("one"));
        std::fs::write(&file, "two\n").unwrap();
        assert_eq!(now().as_deref(), Some("two"));
        std::fs::write(&file, "").unwrap();
        assert_eq!(now().as_deref(), Some("two"), "an empty file is no password");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(now().as_deref(), Some("two"));
        std::fs::write(&file, "three").unwrap();
        assert_eq!(now().as_deref(), Some("three"));
        password.replace(Some(Password { secret: Secret("four".into()), file: None }));
        assert_eq!(now().as_deref(), Some("four"));
        password.replace(None);
        assert_eq!(now(), None);
    }
}
