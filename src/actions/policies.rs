//! Policies: the limits of sessions, and what happens to living sessions when a limit gets
//! stricter.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end_in;
use crate::config::Config;
use crate::core::Core;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::policy::{Limits, Policy, StoredLimits};
use crate::domain::user::UserRule;
use crate::domain::{EndReason, Timestamp, UserId};
use crate::store::people::policies::{LivingRow, PolicyOwner};
use crate::store::people::users::Held;
use crate::store::sessions::end::Which;
use crate::store::{CountKey, Db, StoreError};

/// The setting that holds the instance's limits that were last applied to living sessions.
const INSTANCE_SETTING: &str = "instance_policy";
/// How many sessions are looked at in one step.
const STEP: i64 = 2000;

/// The limits of a user.
///
/// # Errors
/// When the database does not answer.
pub async fn limits(app: &App, user: UserId) -> Result<Limits, StoreError> {
    Ok(Limits { instance: instance(app).await?, own: app.store.read().find_own_policy(user).await? })
}

/// The policy of the instance: settings, and where none is given, what is stored.
pub(in crate::actions) async fn instance(core: &Core) -> Result<Policy, StoreError> {
    Ok(core.config.policy(&core.store.read().find_stored_limits().await?))
}

/// Sets what a group or a user, whose name is `name`, has of its own. Living sessions that are longer
/// than it allows are cut at once, and those beyond its limit end, the oldest first; none is extended.
/// Gives how many were cut or ended. Set to what it is, it is no event.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`UserRule::Policy`] when a limit is zero that may not be.
pub async fn set(app: &App, by: By<'_>, owner: PolicyOwner, name: &str, policy: Policy) -> Result<u64, ActionError> {
    set_if(app, by, owner, name, policy, None).await
}

/// The same, only if the policy has not changed since it was read.
///
/// # Errors
/// As for [`set`]; [`ActionError::Outdated`] when it is not `expected`.
pub async fn set_if(
    app: &App,
    by: By<'_>,
    owner: PolicyOwner,
    name: &str,
    policy: Policy,
    expected: Option<Policy>,
) -> Result<u64, ActionError> {
    by.must_administer()?;
    let is_zero = |limit: Option<std::time::Duration>| limit.is_some_and(|limit| limit.is_zero());
    if is_zero(policy.idle_timeout) || is_zero(policy.absolute_timeout) || policy.max_sessions == Some(0) {
        return Err(UserRule::Policy.into());
    }
    let (actor, now, instance, name) = (by.actor(), app.clock.now(), instance(app).await?, name.to_owned());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_policy(owner).await?;
                let users = db.lock_users_under(owner).await?;
                let before = db.find_policy(owner).await?;
                if expected.is_some_and(|expected| expected != before) {
                    return Err(ActionError::Outdated);
                }
                if before != policy {
                    db.update_policy(owner, &policy).await?;
                    let set = |group| EventContent::PolicySet { group, before: Some(before), policy }.by(&actor, now);
                    let event = match owner {
                        PolicyOwner::User(id) => set(None).about(id, &name),
                        PolicyOwner::Group(_) => set(Some(name)),
                    };
                    db.insert_events(&[event]).await?;
                }
                let limits = Limits { instance, own: policy };
                let mut changed = 0;
                let mut after = 0;
                while let Some((last, tightened)) = tighten_some(db, Some(owner), after, limits).await? {
                    (after, changed) = (last, changed + tightened);
                }
                if let Some(most) = policy.max_sessions {
                    for user in users {
                        changed += end_beyond(db, user, most, &actor, now).await?;
                    }
                }
                Ok::<_, ActionError>(changed)
            })
        })
        .await
}

/// Marks the instance's policy as applied, if there is no session yet: the next start then need not check
/// each session that is imported or generated now. Those keep their own limits.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn mark_policy_applied_if_empty(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    if app.store.read().count_sessions_of(&CountKey::All).await? == 0 {
        hold_to_instance(app, by).await?;
    }
    Ok(())
}

/// Applies the instance's settings to living sessions, if they changed since the last start: before
/// the first request is served. Returns how many sessions were cut or ended.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written; the next start does what is left.
pub async fn hold_to_instance(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    hold_all(app).await
}

/// Stores limits of the instance, which hold where no setting gives them. Living sessions that are longer than they
/// allow are cut before this returns, and those beyond the limit of a user end; none is extended. Gives how many were cut
/// or ended.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`UserRule::Policy`] when a limit is zero that may not be;
/// [`ActionError::Given`] when a setting gives a limit that would change; [`ActionError::Outdated`] when the stored limits
/// are not `expected`.
pub async fn set_instance(app: &App, by: By<'_>, limits: StoredLimits, expected: Option<StoredLimits>) -> Result<u64, ActionError> {
    by.must_administer()?;
    if limits.absolute_timeout.is_some_and(|limit| limit.is_zero()) {
        return Err(UserRule::Policy.into());
    }
    let (core, actor, now) = (Arc::clone(&app.core), by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_limits().await?;
                let before = db.find_stored_limits().await?;
                if expected.is_some_and(|expected| expected != before) {
                    return Err(ActionError::Outdated);
                }
                if before == limits {
                    return Ok(());
                }
                if let Some(path) = changed_setting(&core.config, &before, &limits) {
                    let source = core.config.source_of(path).unwrap_or_default();
                    return Err(ActionError::Given(path, source.to_owned()));
                }
                db.update_stored_limits(&limits).await?;
                let (old, new) = (core.config.sessions_with(&before), core.config.sessions_with(&limits));
                let lifetime = core.config.known_device_lifetime(&limits);
                let is_lifetime_new = lifetime != core.config.known_device_lifetime(&before);
                let content = EventContent::InstancePolicySet {
                    before: old.policy(),
                    policy: new.policy(),
                    network_binding: Some(new.network_binding).filter(|binding| *binding != old.network_binding),
                    geoip_binding: Some(new.geoip_binding).filter(|binding| *binding != old.geoip_binding),
                    known_device_lifetime: is_lifetime_new.then_some(lifetime.as_secs()),
                };
                Ok(db.insert_events(&[content.by(&actor, now)]).await?)
            })
        })
        .await?;
    hold_all(app).await
}

/// A setting that is given, and whose stored limit would change.
fn changed_setting(config: &Config, before: &StoredLimits, after: &StoredLimits) -> Option<&'static str> {
    let changes = [
        before.idle_timeout != after.idle_timeout,
        before.absolute_timeout != after.absolute_timeout,
        before.remember_timeout != after.remember_timeout,
        before.max_sessions != after.max_sessions,
        before.at_limit != after.at_limit,
        before.network_binding != after.network_binding,
        before.geoip_binding != after.geoip_binding,
        before.known_device_lifetime != after.known_device_lifetime,
    ];
    let settings = after.settings().into_iter().zip(changes);
    settings.filter(|(_, is_changed)| *is_changed).map(|((path, _), _)| path).find(|path| config.source_of(path).is_some())
}

/// Holds all living sessions to the policy of the instance, unless that was done already.
async fn hold_all(app: &App) -> Result<u64, ActionError> {
    let instance = instance(app).await?;
    let words = instance.to_string();
    if app.store.read().find_setting(INSTANCE_SETTING).await?.as_deref() == Some(&words) {
        return Ok(0);
    }
    let limits = Limits { instance, own: Policy::default() };
    let (mut changed, mut after) = (0, 0);
    let step = async |after| app.store.write(move |db| Box::pin(tighten_some(db, None, after, limits))).await;
    while let Some((last, tightened)) = step(after).await? {
        (after, changed) = (last, changed + tightened);
    }
    if let Some(most) = instance.max_sessions {
        let now = app.clock.now();
        for user in app.store.read().list_users_beyond(most).await? {
            let end = app.store.write(move |db| Box::pin(async move { end_beyond(db, user, most, &Actor::system(), now).await }));
            changed += end.await?;
        }
    }
    app.store.write(move |db| Box::pin(async move { db.update_setting(INSTANCE_SETTING, &words).await })).await?;
    Ok(changed)
}

/// Holds the living sessions of users to the policies of their own and of their groups, after they came under new ones.
/// Gives how many were cut or ended.
pub(in crate::actions) async fn hold_users(
    db: &Db<'_>,
    users: &[UserId],
    instance: Policy,
    actor: &Actor,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for chunk in users.chunks(500) {
        // A sign-in that read the older policies is over, or waits and reads the new ones.
        db.lock_users_at_sign_in(chunk, Held::Wait).await?;
        let mut policies: Vec<(i64, Policy)> = db.list_own_policies(chunk).await?.into_iter().collect();
        policies.sort_by_key(|(user, _)| *user);
        for (user, own) in policies {
            let (owner, limits) = (PolicyOwner::User(UserId(user)), Limits { instance, own });
            let mut after = 0;
            while let Some((last, tightened)) = tighten_some(db, Some(owner), after, limits).await? {
                (after, changed) = (last, changed + tightened);
            }
            if let Some(most) = own.max_sessions {
                changed += end_beyond(db, UserId(user), most, actor, now).await?;
            }
        }
    }
    Ok(changed)
}

/// Tightens some sessions after the key `after`. Gives the last key and how many were tightened;
/// `None`: there were no more.
async fn tighten_some(
    db: &Db<'_>,
    owner: Option<PolicyOwner>,
    after: i64,
    limits: Limits,
) -> Result<Option<(i64, u64)>, StoreError> {
    let rows = db.list_living(owner, after, STEP).await?;
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    let tightened: Vec<LivingRow> =
        rows.iter().filter_map(|row| limits.tighten(&row.living).map(|living| LivingRow { id: row.id, living })).collect();
    Ok(Some((last, db.update_limits(&tightened).await?)))
}

/// Ends those of a user's sessions that are more than `most`, the oldest first.
async fn end_beyond(db: &Db<'_>, user: UserId, most: u32, actor: &Actor, now: Timestamp) -> Result<u64, StoreError> {
    let live = db.list_live_ids(user, now).await?;
    let beyond = live.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    let mut ended = 0;
    for ids in live.get(..beyond).unwrap_or_default().chunks(usize::try_from(end_in::CHUNK).unwrap_or(1)) {
        let which = Which::Uuids(ids.to_vec());
        ended += end_in::end_in(db, &which, end_in::CHUNK, EndReason::LimitReached, actor, now).await?.len() as u64;
    }
    Ok(ended)
}
