//! Changes of applications. Each is one transaction that reads the application, changes it, writes it, raises the
//! version and adds the event.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::clients::{self, ClientWish, set_client};
use crate::actions::applications::{access, check_guard, named_conflict, prepare_keys, secrets};
use crate::actions::by::By;
use crate::domain::application::demand::Demand;
use crate::domain::application::guard::Guard;
use crate::domain::application::session::AppEndReason;
use crate::domain::application::values::GroupsSent;
use crate::domain::application::{
    Application, ApplicationRule, Binding, Display, MAX_APPLICATIONS, Provider, check_name, check_slug,
};
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::{PlainSecret, Timestamp, secret};
use crate::store::Db;

/// What to change of an application; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ApplicationChange {
    /// The slug.
    pub slug: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The demand.
    pub access: Option<Demand>,
    /// How it is shown.
    pub display: Option<Display>,
    /// Which names of groups its headers carry.
    pub groups_sent: Option<GroupsSent>,
    /// The guard; `Some(None)` removes it.
    pub guard: Option<Option<Guard>>,
    /// The client; `Some(None)` removes it.
    pub client: Option<Option<ClientWish>>,
    /// Which provider it has in place of the [one that is shown](Application::shown_provider), by primary key; `Some(None)`:
    /// none. The one it had stays without an application.
    pub provider: Option<Option<i64>>,
    /// Whether app sessions end whose users may not open it any more.
    pub apply_now: bool,
    /// Only if it is still of this version ([`Application::version`]).
    pub expected: Option<String>,
}

impl ApplicationChange {
    /// Makes the change.
    fn apply(self, application: &mut Application) -> Result<(), ActionError> {
        if let Some(slug) = self.slug {
            application.slug = slug;
        }
        if let Some(name) = self.name {
            application.name = name;
        }
        if let Some(access) = self.access {
            application.access = access;
        }
        if let Some(display) = self.display {
            application.display = display;
        }
        if let Some(groups_sent) = self.groups_sent {
            application.groups_sent = groups_sent;
        }
        match self.guard {
            None => {}
            Some(None) => application.provider = None,
            Some(Some(guard)) => set_guard(application, guard),
        }
        match self.client {
            None => Ok(()),
            Some(None) => {
                application.client = None;
                Ok(())
            }
            Some(Some(client)) => set_client(application, client),
        }
    }
}

/// Gives an application this guard: in place of its own, or as a new one that is called like the application.
pub fn set_guard(application: &mut Application, guard: Guard) {
    match &mut application.provider {
        Some(provider) => provider.guard = guard,
        None => {
            let (name, application_id) = (application.name.clone(), Some(application.id));
            application.provider = Some(Provider { id: 0, name, application: application_id, guard, kept: serde_json::Map::new() });
        }
    }
}

/// Checks all parts of an application.
fn check(app: &App, application: Application) -> Result<Application, ApplicationRule> {
    let mut checked = application;
    checked.slug = check_slug(&checked.slug)?;
    checked.name = check_name(&checked.name)?;
    checked.access = std::mem::take(&mut checked.access).check()?;
    checked.display = std::mem::take(&mut checked.display).check()?;
    checked.groups_sent = std::mem::take(&mut checked.groups_sent).check()?;
    if let Some(provider) = &mut checked.provider {
        provider.name = check_name(&provider.name)?;
        provider.guard = check_guard(app, std::mem::take(&mut provider.guard))?;
    }
    checked.client = checked.client.map(|part| clients::check(app, part)).transpose()?;
    Ok(checked)
}

/// Adds an application, which opens for nobody unless the change says so, and gives it.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Application`] for a rule that it breaks;
/// [`ActionError::Exists`] when the slug is taken.
pub async fn add(app: &App, by: By<'_>, wanted: ApplicationChange) -> Result<Application, ActionError> {
    by.must_administer()?;
    let (actor, now) = (by.actor(), app.clock.now());
    let (slug, app_too) = (wanted.slug.clone().unwrap_or_default(), app.clone());
    let added = app.store.write(move |db| {
        Box::pin(async move {
            let application = insert(db, &app_too, wanted).await?;
            let content = EventContent::ApplicationAdded {
                application: application.slug.clone(),
                name: application.name.clone(),
                application_uuid: application.uuid.simple().to_string(),
            };
            db.insert_events(&[content.by(&actor, now)]).await?;
            Ok(application)
        })
    });
    let added = named_conflict(added.await, &slug)?;
    prepare_keys(app, &added).await;
    Ok(added)
}

/// Adds an application in a transaction, without an event, and gives it.
pub(in crate::actions) async fn insert(db: &Db<'_>, app: &App, wanted: ApplicationChange) -> Result<Application, ActionError> {
    db.lock_applications().await?;
    if usize::try_from(db.count_applications().await?).unwrap_or(MAX_APPLICATIONS) >= MAX_APPLICATIONS {
        return Err(ApplicationRule::Many.into());
    }
    let slug = wanted.slug.clone().unwrap_or_default();
    let mut application = Application::new(0, secret::random_uuid()?, slug.clone(), slug, app.clock.now());
    let attached = wanted.provider;
    wanted.apply(&mut application)?;
    let mut application = check(app, application)?;
    application.settle_bindings(secret::random_uuid)?;
    application.id = db.insert_application(&application).await?;
    if let Some(provider) = &mut application.provider {
        provider.application = Some(application.id);
        provider.id = db.insert_guard(provider).await?;
    }
    if let Some(part) = &mut application.client {
        part.application = Some(application.id);
        part.id = db.insert_client(part).await?;
    }
    if let Some(Some(id)) = attached {
        attach(db, &mut application, id).await?;
    }
    Ok(application.prepared())
}

/// Gives an application the guard or the client with this primary key.
async fn attach(db: &Db<'_>, application: &mut Application, id: i64) -> Result<(), ActionError> {
    let check = |has: Option<i64>| match has {
        Some(other) if other != application.id => Err(ApplicationRule::ProviderTaken),
        _ => Ok(Some(application.id)),
    };
    if let Some(mut provider) = db.find_guard(id).await? {
        provider.application = check(provider.application)?;
        if application.provider.as_ref().is_some_and(|own| own.id != id) {
            return Err(ApplicationRule::GuardExists.into());
        }
        db.update_guard(&provider).await?;
        application.provider = Some(provider);
        return Ok(());
    }
    let mut part = db.find_client(id).await?.ok_or(ApplicationRule::NoProvider(id))?;
    part.application = check(part.application)?;
    db.update_client(&part).await?;
    application.client = Some(part);
    Ok(())
}

/// Changes an application and gives it.
///
/// # Errors
/// As for [`add`], [`ActionError::NotFound`], and [`ActionError::Outdated`] when it is not of the expected version.
pub async fn change(app: &App, by: By<'_>, slug: &str, wanted: ApplicationChange) -> Result<Application, ActionError> {
    let extra = Extra { provider: wanted.provider, apply_now: wanted.apply_now, secret: None, expected: wanted.expected.clone() };
    edit_with(app, by, slug, extra, move |application: &mut Application| wanted.apply(application))
        .await
        .map(|(application, _)| application)
}

/// Changes an application by a function of it as it is, and gives it. The function and the write are one transaction, so
/// that no concurrent change is lost.
///
/// # Errors
/// As for [`change`], and any error of the function.
pub async fn edit<F>(app: &App, by: By<'_>, slug: &str, change: F) -> Result<Application, ActionError>
where
    F: FnOnce(&mut Application) -> Result<(), ActionError> + Send + 'static,
{
    edit_with(app, by, slug, Extra::default(), change).await.map(|(application, _)| application)
}

/// The same for its client, which gets this secret, or one that is drawn if it has none. Gives the secret if it is new.
pub(super) async fn edit_client<F>(
    app: &App,
    by: By<'_>,
    slug: &str,
    secret: Option<PlainSecret>,
    change: F,
) -> Result<(Application, Option<PlainSecret>), ActionError>
where
    F: FnOnce(&mut Application) -> Result<(), ActionError> + Send + 'static,
{
    edit_with(app, by, slug, Extra { secret: Some(secret), ..Extra::default() }, change).await
}

/// What an edit does beyond its function.
#[derive(Default)]
#[expect(clippy::option_option, reason = "whether it changes, and to which one or none")]
struct Extra {
    /// Which provider it gets, or none.
    provider: Option<Option<i64>>,
    /// Whether app sessions end whose users may not open it any more.
    apply_now: bool,
    /// Whether the secret of its client is settled, and which one was chosen.
    secret: Option<Option<PlainSecret>>,
    /// Only if the application is still of this version.
    expected: Option<String>,
}

async fn edit_with<F>(
    app: &App,
    by: By<'_>,
    slug: &str,
    extra: Extra,
    change: F,
) -> Result<(Application, Option<PlainSecret>), ActionError>
where
    F: FnOnce(&mut Application) -> Result<(), ActionError> + Send + 'static,
{
    by.must_administer()?;
    let (actor, now, app_too, slug_too) = (by.actor(), app.clock.now(), app.clone(), slug.to_owned());
    let done = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_applications().await?;
            let before = db.lock_application(&slug_too).await?.ok_or(ActionError::NotFound)?;
            if extra.expected.is_some_and(|expected| expected != before.version()) {
                return Err(ActionError::Outdated);
            }
            let mut after = before.clone();
            match extra.provider {
                Some(wanted) if wanted != before.shown_provider() => {
                    detach(db, &mut after).await?;
                    if let Some(id) = wanted {
                        attach(db, &mut after, id).await?;
                    }
                }
                _ => {}
            }
            change(&mut after)?;
            let mut after = check(&app_too, after)?;
            after.settle_bindings(secret::random_uuid)?;
            let fields = changed_fields(&before, &after);
            if !fields.is_empty() {
                after.updated_at = now;
                db.update_application(&after).await?;
                // The app sessions of a part that is gone end before it.
                end_of_parts(db, &before, &after, &actor, now).await?;
                write_guard(db, &before, &mut after).await?;
                clients::write(db, &before, &mut after).await?;
                let content = EventContent::ApplicationChanged {
                    application: after.slug.clone(),
                    application_uuid: after.uuid.simple().to_string(),
                    fields,
                };
                db.insert_events(&[content.by(&actor, now)]).await?;
            }
            let after = after.prepared();
            if extra.apply_now {
                access::end_refused(db, &after, &actor, now).await?;
            }
            let secret = match (extra.secret, &after.client) {
                (Some(chosen), Some(part)) => secrets::settle(db, &app_too, (part, &after.slug), chosen, (&actor, now)).await?,
                _ => None,
            };
            Ok((after, secret))
        })
    });
    let done = named_conflict(done.await, slug)?;
    prepare_keys(app, &done.0).await;
    Ok(done)
}

/// Leaves the part of an application that is shown without an application.
async fn detach(db: &Db<'_>, application: &mut Application) -> Result<(), ActionError> {
    if let Some(mut part) = application.client.take() {
        part.application = None;
        db.update_client(&part).await?;
        db.delete_grants_of_client(part.id).await?;
    } else if let Some(mut provider) = application.provider.take() {
        provider.application = None;
        db.update_guard(&provider).await?;
    }
    Ok(())
}

/// Writes a guard that was added or changed, and removes one that is gone. One that was detached is left.
async fn write_guard(db: &Db<'_>, before: &Application, after: &mut Application) -> Result<(), ActionError> {
    if let Some(old) = &before.provider
        && after.provider.as_ref().is_none_or(|new| new.id != old.id)
        && db.find_guard(old.id).await?.is_some_and(|stored| stored.application == Some(before.id))
    {
        db.delete_guard(old.id).await?;
    }
    match &mut after.provider {
        Some(provider) if provider.id == 0 => provider.id = db.insert_guard(provider).await?,
        Some(provider) if before.provider.as_ref() != Some(provider) => db.update_guard(provider).await?,
        _ => {}
    }
    Ok(())
}

/// The names of what differs.
fn changed_fields(before: &Application, after: &Application) -> Vec<String> {
    let bindings = |application: &Application| -> Vec<Binding> { application.bindings.clone() };
    let guard = |application: &Application| application.provider.clone();
    let parts = [
        ("slug", before.slug != after.slug),
        ("name", before.name != after.name),
        ("access", before.access != after.access || bindings(before) != bindings(after)),
        ("display", before.display != after.display),
        ("groups_sent", before.groups_sent != after.groups_sent),
        ("guard", guard(before) != guard(after)),
        ("client", before.client != after.client),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

/// Ends the app sessions of an application that lost a part.
async fn end_of_parts(
    db: &Db<'_>,
    before: &Application,
    after: &Application,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ActionError> {
    let guard = |application: &Application| application.provider.as_ref().map(|provider| provider.id);
    let client = |application: &Application| application.client.as_ref().map(|part| part.id);
    let is_lost = |old: Option<i64>, new: Option<i64>| old.is_some() && old != new;
    if is_lost(guard(before), guard(after)) || is_lost(client(before), client(after)) {
        end_all(db, after, AppEndReason::ApplicationRemoved, actor, now).await
    } else {
        Ok(())
    }
}

/// Ends all app sessions of an application, with an event if there were any.
async fn end_all(
    db: &Db<'_>,
    application: &Application,
    reason: AppEndReason,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ActionError> {
    let count = db.end_app_sessions_of_application(application.id, now).await?;
    if count > 0 {
        let content = EventContent::AppSessionEnded { application: application.slug.clone(), reason, count };
        db.insert_events(&[content.by(actor, now)]).await?;
    }
    Ok(())
}

/// Removes an application with its guard and its client. Its app sessions end first.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`].
pub async fn remove(app: &App, by: By<'_>, slug: &str) -> Result<(), ActionError> {
    take_out(app, by, slug, false).await
}

/// The same, and leaves its guard and its client without an application, as authentik does.
///
/// # Errors
/// As for [`remove`].
pub async fn remove_and_keep_parts(app: &App, by: By<'_>, slug: &str) -> Result<(), ActionError> {
    take_out(app, by, slug, true).await
}

async fn take_out(app: &App, by: By<'_>, slug: &str, keeps_parts: bool) -> Result<(), ActionError> {
    by.must_administer()?;
    let (actor, now, slug) = (by.actor(), app.clock.now(), slug.to_owned());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_applications().await?;
                let application = db.lock_application(&slug).await?.ok_or(ActionError::NotFound)?;
                end_all(db, &application, AppEndReason::ApplicationRemoved, &actor, now).await?;
                match &application.client {
                    Some(part) if keeps_parts => db.delete_grants_of_client(part.id).await?,
                    Some(part) => db.delete_client(part.id).await?,
                    None => {}
                }
                if let Some(provider) = application.provider.as_ref().filter(|_| !keeps_parts) {
                    db.delete_guard(provider.id).await?;
                }
                db.delete_application(application.id).await?;
                let content = EventContent::ApplicationRemoved {
                    application: application.slug,
                    application_uuid: application.uuid.simple().to_string(),
                };
                db.insert_events(&[content.by(&actor, now)]).await?;
                Ok(())
            })
        })
        .await
}
