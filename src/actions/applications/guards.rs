//! Guards by themselves, as authentik's API makes them before an application has them.

use serde_json::Map;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::edit::edit;
use crate::actions::applications::{check_guard, named_conflict};
use crate::actions::by::By;
use crate::domain::application::guard::Guard;
use crate::domain::application::{ApplicationRule, MAX_APPLICATIONS, Provider, check_name};
use crate::domain::event::EventContent;

/// What to change of a guard; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct GuardChange {
    /// Its name.
    pub name: Option<String>,
    /// The guard.
    pub guard: Option<Guard>,
    /// What is kept for authentik's API, all of it.
    pub kept: Option<Map<String, serde_json::Value>>,
    /// Only if it is still like this.
    pub expected: Option<Provider>,
}

impl GuardChange {
    fn apply(self, provider: &mut Provider) -> Result<(), ActionError> {
        if self.expected.is_some_and(|expected| expected != *provider) {
            return Err(ActionError::Outdated);
        }
        if let Some(name) = self.name {
            provider.name = name;
        }
        if let Some(guard) = self.guard {
            provider.guard = guard;
        }
        if let Some(kept) = self.kept {
            provider.kept = kept;
        }
        Ok(())
    }
}

fn check(app: &App, mut provider: Provider) -> Result<Provider, ApplicationRule> {
    provider.name = check_name(&provider.name)?;
    provider.guard = check_guard(app, provider.guard)?;
    Ok(provider)
}

fn event(provider: &Provider, act: &str) -> EventContent {
    EventContent::GuardChanged { guard: provider.name.clone(), act: act.to_owned() }
}

/// Adds a guard that no application has, and gives it.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Application`] for a rule that it breaks.
pub async fn add(app: &App, by: By<'_>, wanted: GuardChange) -> Result<Provider, ActionError> {
    by.must_administer()?;
    let empty = Provider { id: 0, name: String::new(), application: None, guard: Guard::default(), kept: Map::new() };
    let (actor, now, app_too) = (by.actor(), app.clock.now(), app.clone());
    let added = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_applications().await?;
            if usize::try_from(db.count_guards().await?).unwrap_or(MAX_APPLICATIONS) >= MAX_APPLICATIONS {
                return Err(ApplicationRule::Many.into());
            }
            let mut provider = empty;
            wanted.apply(&mut provider)?;
            let mut provider = check(&app_too, provider)?;
            provider.id = db.insert_guard(&provider).await?;
            db.insert_events(&[event(&provider, "added").by(&actor, now)]).await?;
            Ok(provider)
        })
    });
    named_conflict(added.await, "")
}

/// Changes a guard, whether an application has it or not, and gives it.
///
/// # Errors
/// As for [`add`], and [`ActionError::NotFound`]; [`ActionError::Outdated`] when it is not as expected.
pub async fn change(app: &App, by: By<'_>, id: i64, wanted: GuardChange) -> Result<Provider, ActionError> {
    by.must_administer()?;
    if let Some(slug) = slug_of(app, id).await? {
        let edited = edit(app, by, &slug, move |application| {
            let provider = application.provider.as_mut().filter(|provider| provider.id == id).ok_or(ActionError::NotFound)?;
            wanted.apply(provider)
        });
        return edited.await?.provider.ok_or(ActionError::NotFound);
    }
    let (actor, now, app_too) = (by.actor(), app.clock.now(), app.clone());
    let changed = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_applications().await?;
            let before = db.find_guard(id).await?.filter(|guard| guard.application.is_none()).ok_or(ActionError::NotFound)?;
            let mut provider = before.clone();
            wanted.apply(&mut provider)?;
            let provider = check(&app_too, provider)?;
            if provider != before {
                db.update_guard(&provider).await?;
                db.insert_events(&[event(&provider, "changed").by(&actor, now)]).await?;
            }
            Ok(provider)
        })
    });
    named_conflict(changed.await, "")
}

/// The slug of the application that has this guard; `None`: none has it.
async fn slug_of(app: &App, id: i64) -> Result<Option<String>, ActionError> {
    let db = app.store.read();
    let guard = db.find_guard(id).await?.ok_or(ActionError::NotFound)?;
    match guard.application {
        Some(application) => Ok(db.find_application_slug(application).await?),
        None => Ok(None),
    }
}

/// Removes a guard. Its application stays, without a guard, and its app sessions end.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`].
pub async fn remove(app: &App, by: By<'_>, id: i64) -> Result<(), ActionError> {
    by.must_administer()?;
    if let Some(slug) = slug_of(app, id).await? {
        let edited = edit(app, by, &slug, move |application| {
            application.provider.take_if(|provider| provider.id == id).ok_or(ActionError::NotFound).map(drop)
        });
        return edited.await.map(drop);
    }
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_applications().await?;
                let guard = db.find_guard(id).await?.filter(|guard| guard.application.is_none()).ok_or(ActionError::NotFound)?;
                db.delete_guard(id).await?;
                Ok(db.insert_events(&[event(&guard, "removed").by(&actor, now)]).await?)
            })
        })
        .await
}
