//! Begins a session for a user who proved who they are.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sessions::touch;
use crate::actions::sign_in::admit::{Begun, Entrant, Wish, begin_alone};
use crate::actions::sign_in::proof::{Proved, Started};
use crate::domain::caller::{Actor, Client};
use crate::domain::event::{EventContent, SignInRefusal};
use crate::domain::{PlainSecret, SessionId};
use crate::store::StoreError;

/// Starts a session as [`start_session`](crate::actions::sign_in::start_session) does, within the
/// user's limits (`domain::policy::Limits`), however they proved who they are. Every session begins
/// here: a password alone begins none for a user who has a second factor, whichever page or flow it
/// came from.
///
/// # Errors
/// As for [`start_session`](crate::actions::sign_in::start_session).
pub async fn begin(app: &App, proved: Proved, client: &Client, wish: Wish, actor: &Actor) -> Result<Started, ActionError> {
    let mut begun = begin_once(app, proved.clone(), client, wish.clone(), actor).await;
    let is_conflict = |begun: &Result<_, _>| matches!(begun, Err(ActionError::Store(StoreError::Conflict(_))));
    // The cached key of the user agent may be outdated: entries that nothing refers to are deleted.
    if is_conflict(&begun) && app.user_agents.forget_key(&client.user_agent) {
        begun = begin_once(app, proved, client, wish, actor).await;
    }
    if is_conflict(&begun) {
        crate::metrics::count_sign_in("refused");
    }
    begun
}

async fn begin_once(app: &App, proved: Proved, client: &Client, wish: Wish, actor: &Actor) -> Result<Started, ActionError> {
    let origin = touch::origin(app, client.ip, &client.user_agent).await?;
    let (key, uuid, device) = (PlainSecret::generate()?, SessionId::generate(app.clock.now())?, PlainSecret::generate()?);
    let Proved { user, methods } = proved;
    let (key_hash, device_hash, actor) = (key.hash(), device.hash(), actor.clone());
    let entrant = Arc::new(Entrant { user, methods, origin, uuid, key_hash, device_hash, wish, actor });
    match let_in(app, &entrant).await {
        Ok(Begun { living, is_device_new }) => {
            crate::metrics::count_sign_in("done");
            let lives = living.lifetime.absolute_expires_at.since(living.created_at);
            let cookie_max_age = living.is_remembered.then_some(lives);
            Ok(Started { key, uuid, cookie_max_age, device: is_device_new.then_some(device) })
        }
        // The sign-in continues with its second factor, or is retried.
        Err(error @ (ActionError::FactorNeeded | ActionError::Store(StoreError::Conflict(_)))) => Err(error),
        Err(error) => {
            crate::metrics::count_sign_in("refused");
            if matches!(error, ActionError::AtLimit) {
                let Entrant { user, actor, .. } = entrant.as_ref();
                let content = EventContent::SignInRefused { reason: SignInRefusal::LimitReached };
                let event = content.by(actor, app.clock.now()).about(user.id, &user.username);
                app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
            }
            Err(error)
        }
    }
}

async fn let_in(app: &App, entrant: &Arc<Entrant>) -> Result<Begun, ActionError> {
    if entrant.wish.replaces.is_empty() && entrant.wish.ends.is_none() {
        match app.sign_ins.ask(&app.core, Arc::clone(entrant)).await {
            Ok(Some(answer)) => return answer,
            Err(error @ (StoreError::Unavailable(_) | StoreError::Stale(_) | StoreError::Busy)) => return Err(error.into()),
            // What stopped the batch may concern another sign-in in it: this one is tried once more
            // alone.
            Ok(None) | Err(_) => {}
        }
    }
    let (now, core, entrant) = (app.clock.now(), Arc::clone(&app.core), Arc::clone(entrant));
    app.store.write(move |db| Box::pin(async move { begin_alone(db, &entrant, &core.config, now).await })).await
}
