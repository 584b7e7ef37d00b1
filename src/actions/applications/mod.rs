//! Applications: adding, changing and removing them and their guards, who may open them, and their app sessions.

pub mod access;
pub mod app_sessions;
pub mod client_parts;
pub mod clients;
pub mod edit;
pub mod guards;
pub(in crate::actions) mod import;
pub mod passwords;
pub mod rules;
pub mod secrets;
pub mod test;

pub use edit::{ApplicationChange, add, change, edit, remove, remove_and_keep_parts};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::domain::application::guard::Guard;
use crate::domain::application::host::Host;
use crate::domain::application::{Application, ApplicationRule};
use crate::store::StoreError;

/// A guard as it is stored: with the rules that need the settings. Rollcall's own host belongs to no guard, though a
/// pattern may fit it.
fn check_guard(app: &App, guard: Guard) -> Result<Guard, ApplicationRule> {
    let guard = guard.check()?;
    let public = app.config.http.public_url.as_ref().ok_or(ApplicationRule::NoPublicUrl)?;
    let own = own_host(public.origin());
    if guard.jwt && app.config.issuer_url().is_none() {
        return Err(ApplicationRule::SignedNeedsHttps);
    }
    match own.filter(|own| guard.hosts.iter().any(|host| !host.is_wildcard() && host.host() == own)) {
        Some(own) => Err(ApplicationRule::OwnHost(own.to_string())),
        None => Ok(guard),
    }
}

/// Makes the keys that a guard or a client needs, so that the first answer need not wait for them. That they are not made is no reason to
/// take the change back: the first answer makes them.
async fn prepare_keys(app: &App, application: &Application) {
    let signs = application.client.is_some() || application.guard().is_some_and(|guard| guard.jwt);
    if signs && let Err(error) = app.keyring.now(&app.core).await {
        tracing::warn!(%error, "there are no keys for signed identities yet");
    }
}

/// The host of an origin such as `https://sessions.example.com`; `None` for an address of IPv6.
#[must_use]
pub fn own_host(origin: &str) -> Option<Host> {
    Host::typed(origin.split_once("://").map_or(origin, |(_, host)| host))
}

/// A conflict with what is stored: the slug, or a host. `hosts` says whether hosts were written.
fn named_conflict<T>(done: Result<T, ActionError>, slug: &str) -> Result<T, ActionError> {
    match done {
        Err(ActionError::Store(StoreError::Conflict(what))) if what.contains("app_hosts") => Err(ApplicationRule::HostTaken.into()),
        Err(ActionError::Store(StoreError::Conflict(what))) if what.contains("client_id") => {
            Err(ApplicationRule::ClientIdTaken.into())
        }
        Err(ActionError::Store(StoreError::Conflict(what))) if what.contains("client_secrets") => {
            Err(ApplicationRule::SecretTaken.into())
        }
        Err(ActionError::Store(StoreError::Conflict(what))) if what.contains("providers") => {
            Err(ApplicationRule::GuardExists.into())
        }
        Err(ActionError::Store(StoreError::Conflict(_))) => {
            Err(ActionError::Exists(format!("an application with the slug {slug:?}")))
        }
        other => other,
    }
}
