//! Clients that call: which one, and whether it is the one.

use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::guesses::{self, Guess};
use crate::domain::application::client::Client;
use crate::domain::application::{Application, ClientPart};
use crate::domain::caller::Actor;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;

/// The client of an application.
#[derive(Clone, Debug)]
pub struct Known {
    /// The application.
    pub application: Arc<Application>,
}

impl Known {
    /// The client's part; a [`Known`] has one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] otherwise.
    pub fn part(&self) -> Result<&ClientPart, StoreError> {
        self.application.client.as_ref().ok_or(StoreError::Corrupt("an application without its client"))
    }

    /// The settings of the client.
    ///
    /// # Errors
    /// As for [`Known::part`].
    pub fn settings(&self) -> Result<&Client, StoreError> {
        self.part().map(|part| &part.client)
    }
}

/// The client with this `client_id`, if an application has it.
///
/// # Errors
/// When the database does not answer.
pub async fn find(app: &App, client_id: &str) -> Result<Option<Known>, StoreError> {
    let applications = app.store.applications().await?;
    Ok(applications.by_client(client_id).map(|application| Known { application: Arc::clone(application) }))
}

/// The same with the secrets that are good now; of no client there are none. One statement, unless an application was
/// changed since the last one.
async fn find_with_secrets(app: &App, client_id: &str) -> Result<(Option<Known>, Vec<HashedSecret>), StoreError> {
    let mut applications = app.store.applications_last_read().await?;
    loop {
        let known = applications.by_client(client_id).map(|application| Known { application: Arc::clone(application) });
        let provider = known.as_ref().map_or(Ok(0), |known| known.part().map(|part| part.id))?;
        let (secrets, version) = app.store.read().list_client_secrets_at_version(provider, app.clock.now()).await?;
        if version == applications.version() {
            return Ok((known, secrets));
        }
        applications = app.store.applications_at(version).await?;
    }
}

/// What a client sent to show that it is the one.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The `client_id`.
    pub id: String,
    /// The secret, in each form that it may have been sent in; none of a public client.
    pub secrets: Vec<PlainSecret>,
}

/// Whether a caller is a client.
#[derive(Clone, Debug)]
pub enum Authenticated {
    /// It is this one.
    Known(Known),
    /// There is no such client, or the secret is wrong.
    Wrong,
    /// The same, and the address has sent too many wrong secrets for it; the next one is looked at after this time.
    Limited(Duration),
}

/// Finds out which client calls. That there is no such client costs the same as a wrong secret, and is answered the same.
/// Wrong ones are limited for an address and a client together. The right secret is never refused, so that nobody can lock an
/// app out.
///
/// # Errors
/// When the database does not answer.
pub async fn authenticate(app: &App, shown: &Shown, actor: &Actor) -> Result<Authenticated, StoreError> {
    let (known, stored) = find_with_secrets(app, &shown.id).await?;
    let is_public = known.as_ref().map_or(Ok(false), |known| known.settings().map(|client| client.is_public))?;
    let is_right = if is_public { shown.secrets.is_empty() } else { is_one_of(&shown.secrets, &stored) };
    if let Some(known) = known.filter(|_| is_right) {
        return Ok(Authenticated::Known(known));
    }
    match guesses::take(app, Guess::ClientSecret(&shown.id), None, None, actor).await {
        Ok(taken) => {
            taken.settle(app, true).await;
            Ok(Authenticated::Wrong)
        }
        Err(ActionError::Store(error)) => Err(error),
        Err(ActionError::Limited(wait)) => Ok(Authenticated::Limited(wait)),
        Err(_) => Ok(Authenticated::Wrong),
    }
}

fn is_one_of(sent: &[PlainSecret], stored: &[HashedSecret]) -> bool {
    let mut is_one = subtle::Choice::from(0);
    for (sent, stored) in sent.iter().flat_map(|sent| stored.iter().map(move |stored| (sent.hash(), stored))) {
        is_one |= sent.0.ct_eq(&stored.0);
    }
    is_one.into()
}
