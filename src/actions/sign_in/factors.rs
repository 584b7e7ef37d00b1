//! Second factors: proving one, adding, naming and removing authenticators, and recovery codes.
//!
//! Passkeys use the same functions: a check returns [`Checked`], and adding one ends in `added_in`.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::sessions::end_in;
use crate::actions::sign_in::guesses;
use crate::actions::sign_in::guesses::Guess;
use crate::actions::sign_in::proof;
use crate::actions::sign_in::proof::Started;
use crate::actions::sign_in::refusal_log::Refused;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::factor::{FactorKind, MAX_FACTORS};
use crate::domain::session::check_label;
use crate::domain::user::UserRule;
use crate::domain::{EndReason, FactorId, HashedSecret, Method, Methods, PlainSecret, Timestamp, UserId, recovery, secret, totp};
use crate::store::people::users::UserRow;
use crate::store::sessions::end::Which;
use crate::store::sessions::rows::LiveSession;
use crate::store::sign_in::factors::{FactorRow, NewFactor};
use crate::store::{Db, StoreError};

/// The purpose that seeds are sealed with.
const SEED: &str = "totp seed";

/// The outcome of a second factor's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is right, and proves these methods.
    Right(Methods),
    /// It is wrong, or was used before.
    Wrong,
    /// There were too many wrong ones: none is checked before this time.
    Blocked(Timestamp),
}

/// Whether a session must prove a second factor before it opens anything: one is required, and there
/// was none when it began.
#[must_use]
pub fn is_missing(app: &App, session: &LiveSession) -> bool {
    !session.methods.has_factor() && (app.config.sessions.require_factor || session.is_factor_required)
}

/// Checks a code of an authenticator app, or a recovery code, of a user whose password was proved,
/// and uses it up: of concurrent requests with one code, one succeeds. `device` is the hash of the
/// secret of a browser that may be known. A known browser has a limit of its own, so that somebody
/// with a stolen password does not lock the owner out of it.
///
/// # Errors
/// [`ActionError::NotFound`] when the user was removed since `user` was read;
/// [`ActionError::ProofOutdated`] when their credentials changed since; or when the database cannot
/// be written.
pub async fn check_code(
    app: &App,
    user: &UserRow,
    code: &str,
    device: Option<HashedSecret>,
    actor: &Actor,
) -> Result<Checked, ActionError> {
    let (id, name, now, proved) = (user.id, user.username.clone(), app.clock.now(), user.clone());
    let known = guesses::known_device(app, id, device).await?;
    let guess = match guesses::take(app, Guess::Code(id), known, Some((id, &name)), actor).await {
        Err(ActionError::Limited(wait)) => return Ok(Checked::Blocked(now.plus(wait))),
        taken => taken?,
    };
    let (own, store) = (app.clone(), app.store.clone());
    let (code, request, is_counted) = (code.to_owned(), actor.clone(), known.is_none() || guess.is_unlimited());
    let checked = store.write(move |db| {
        Box::pin(async move {
            proof::lock(db, &proved).await?;
            check_code_in(&own, db, (id, &name), Typed { code: &code, is_counted }, &request, now).await
        })
    });
    let checked = checked.await;
    match checked {
        Ok(Checked::Wrong) => app.refusal_log.refused(Refused::Code, Some(id), actor),
        Ok(Checked::Blocked(_)) => app.refusal_log.limited("code", actor),
        Ok(Checked::Right(_)) | Err(_) => {}
    }
    guess.settle(app, matches!(checked, Ok(Checked::Wrong))).await;
    checked
}

/// A code as it was typed.
#[derive(Clone, Copy)]
pub(in crate::actions) struct Typed<'a> {
    pub code: &'a str,
    /// Whether wrong codes have longer and longer waits: those from unknown browsers, and those
    /// that no rate limit applies to. Known browsers and sessions have rate limits of their own.
    pub is_counted: bool,
}

/// As [`check_code`], inside a transaction that has locked the user. A wrong code is counted only
/// if the transaction is committed.
pub(in crate::actions) async fn check_code_in(
    app: &App,
    db: &Db<'_>,
    (user, name): (UserId, &str),
    Typed { code, is_counted }: Typed<'_>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Checked, ActionError> {
    let tries = if is_counted { Some(db.find_tries(user).await?) } else { None };
    if let Some(mut tries) = tries.filter(|tries| !tries.is_open(now)) {
        if let Some(bounded) = tries.bounded(now) {
            db.update_tries(user, bounded).await?;
            tries = bounded;
        }
        return Ok(Checked::Blocked(tries.blocked_until));
    }
    let actor = actor.as_user(user, name);
    let mut is_right = false;
    if let Some(code) = totp::read_code(code) {
        let factors = db.list_factors(user).await?;
        for factor in factors.iter().filter(|factor| factor.is_confirmed && factor.kind == FactorKind::Totp) {
            let seed = open_seed(app, factor)?;
            let Some(step) = totp::matching_step(&seed, &code, now, factor.counter) else { continue };
            if db.advance_step(factor.id, step, totp::latest_step(now), now).await? {
                is_right = true;
                break;
            }
        }
    } else if let Some(code) = recovery::read(code) {
        is_right = db.take_recovery_code(user, code).await?;
        if is_right {
            let left = db.count_recovery_codes(user).await?;
            let content = EventContent::RecoveryCodeUsed { left: u64::try_from(left).unwrap_or(0) };
            db.insert_events(&[content.by(&actor, now).about(user, name)]).await?;
        }
    }
    if is_right {
        if is_counted {
            db.delete_tries(user).await?;
        }
        return Ok(Checked::Right(Methods::default().with(Method::OneTimeCode)));
    }
    if let Some(tries) = tries {
        db.update_tries(user, tries.and_failure(now)).await?;
    }
    let content = EventContent::FactorFailed { why: String::new() };
    db.insert_events(&[content.by(&actor, now).about(user, name)]).await?;
    Ok(Checked::Wrong)
}

/// Opens a seed, which is sealed to its row.
fn open_seed(app: &App, factor: &FactorRow) -> Result<Vec<u8>, StoreError> {
    let opened = app.instance_key.open(SEED, factor.uuid.0.as_bytes(), &factor.secret);
    opened.ok_or(StoreError::Corrupt("a seed that this instance's key does not open"))
}

/// Begins to add an authenticator app: generates a seed. An unfinished one of before is deleted.
///
/// # Errors
/// [`ActionError::Forbidden`] without a recent re-authentication, as for all changes of factors;
/// [`ActionError::Label`] when the name breaks a rule; [`ActionError::Rule`] when the user has as
/// many authenticators as allowed.
pub async fn begin_totp(app: &App, session: &LiveSession, name: &str) -> Result<FactorId, ActionError> {
    proof::must_be_fresh(app, session)?;
    let name = check_label(name)?;
    let name = if name.is_empty() { "Authenticator app".to_owned() } else { name };
    let (uuid, mut seed) = (FactorId(secret::random_uuid()?), [0; totp::SEED_LENGTH]);
    getrandom::fill(&mut seed)?;
    let sealed = app.instance_key.seal(SEED, uuid.0.as_bytes(), &seed)?;
    let (user, now, session) = (session.user_id, app.clock.now(), session.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                proof::lock_holder(db, &session).await?;
                db.delete_unconfirmed_factors(user, FactorKind::Totp).await?;
                must_have_room_in(db, user).await?;
                let factor = NewFactor {
                    uuid,
                    user,
                    kind: FactorKind::Totp,
                    name,
                    secret: sealed,
                    credential_id: None,
                    counter: 0,
                    is_confirmed: false,
                };
                db.insert_factor(&factor, now).await?;
                Ok(uuid)
            })
        })
        .await
}

/// Checks that a user may have one more authenticator.
pub(in crate::actions) async fn must_have_room_in(db: &Db<'_>, user: UserId) -> Result<(), ActionError> {
    if db.list_factors(user).await?.len() >= MAX_FACTORS { Err(UserRule::Factors.into()) } else { Ok(()) }
}

/// The seed of an authenticator that is being added, to show it to its owner. A confirmed one is
/// never shown.
///
/// # Errors
/// [`ActionError::NotFound`] when it belongs to another user, or is confirmed.
pub async fn show_totp(app: &App, session: &LiveSession, id: FactorId) -> Result<(FactorRow, Vec<u8>), ActionError> {
    proof::must_be_fresh(app, session)?;
    let factor = app.store.read().find_factor(id).await?.ok_or(ActionError::NotFound)?;
    if factor.user_id != session.user_id || factor.is_confirmed || factor.kind != FactorKind::Totp {
        return Err(ActionError::NotFound);
    }
    let seed = open_seed(app, &factor)?;
    Ok((factor, seed))
}

/// An authenticator was added.
pub struct Added {
    /// The session under its new key; the new factor is among its methods.
    pub started: Started,
    /// The recovery codes, if there were none yet; they are shown this once.
    pub codes: Option<Vec<PlainSecret>>,
}

/// The outcome of confirming an authenticator.
pub enum Confirmed {
    /// It is added.
    Added(Box<Added>),
    /// The code was wrong. No limit applies and no event is written: the caller sees the seed
    /// anyway.
    Wrong,
}

/// Finishes adding an authenticator app: its first code shows that it works. The first
/// authenticator of a user ends their other sessions, since those began with a password alone.
/// `keys` are the session keys of the request.
///
/// # Errors
/// [`ActionError::NotFound`] when the user has no such unfinished authenticator.
pub async fn confirm_totp(
    app: &App,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    id: FactorId,
    code: &str,
    actor: &Actor,
) -> Result<Confirmed, ActionError> {
    proof::must_be_fresh(app, session)?;
    let (now, session, code) = (app.clock.now(), session.clone(), totp::read_code(code));
    let actor = actor.as_user(session.user_id, &session.username);
    let (app, store) = (app.clone(), app.store.clone());
    store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock_holder(db, &session).await?;
                let factor = db.find_factor(id).await?.filter(|factor| factor.user_id == user.id && !factor.is_confirmed);
                let factor = factor.filter(|factor| factor.kind == FactorKind::Totp).ok_or(ActionError::NotFound)?;
                let seed = open_seed(&app, &factor)?;
                let Some(step) = code.and_then(|code| totp::matching_step(&seed, &code, now, 0)) else {
                    return Ok(Confirmed::Wrong);
                };
                let is_first = !db.has_factor(user.id).await?;
                if !db.update_factor_confirmed(factor.id).await? || !db.advance_counter(factor.id, step, now).await? {
                    return Err(ActionError::NotFound);
                }
                let proved = Methods::default().with(Method::OneTimeCode);
                let changed = Change { app: &app, session: &session, keys: &keys, actor: &actor, now };
                let added = added_in(db, &changed, &factor, is_first, proved).await?;
                Ok(Confirmed::Added(Box::new(added)))
            })
        })
        .await
}

/// A change of the caller's own factors: its session, its keys, its author and its time.
pub(in crate::actions) struct Change<'a> {
    pub app: &'a App,
    pub session: &'a LiveSession,
    pub keys: &'a [HashedSecret],
    pub actor: &'a Actor,
    pub now: Timestamp,
}

/// What follows when an authenticator was added and proved: recovery codes if there are none, and
/// the end of the other sessions if it is the first.
pub(in crate::actions) async fn added_in(
    db: &Db<'_>,
    change: &Change<'_>,
    factor: &FactorRow,
    is_first: bool,
    proved: Methods,
) -> Result<Added, ActionError> {
    let Change { session, actor, now, .. } = *change;
    let mut codes = None;
    if db.count_recovery_codes(session.user_id).await? == 0 {
        codes = Some(new_codes_in(db, session.user_id, now).await?);
    }
    if !db.update_methods(session.id, session.methods.and(proved)).await? {
        return Err(ActionError::NotFound);
    }
    let event = EventContent::FactorAdded { name: factor.name.clone() }.by(actor, now);
    db.insert_events(&[event.about(session.user_id, &session.username).of_session(session.uuid)]).await?;
    let started = if is_first { end_others_in(db, change).await? } else { new_key_in(db, change).await? };
    Ok(Added { started, codes })
}

async fn new_codes_in(db: &Db<'_>, user: UserId, now: Timestamp) -> Result<Vec<PlainSecret>, ActionError> {
    let codes = (0..recovery::CODES).map(|_| recovery::generate()).collect::<Result<Vec<_>, _>>()?;
    let hashes: Vec<HashedSecret> = codes.iter().filter_map(|code| recovery::read(code.expose())).collect();
    db.replace_recovery_codes(user, &hashes, now).await?;
    Ok(codes)
}

/// Gives a session a new key.
async fn new_key_in(db: &Db<'_>, change: &Change<'_>) -> Result<Started, ActionError> {
    let (session, key) = (change.session, PlainSecret::generate()?);
    if !db.update_key(session.id, change.keys, key.hash(), (session.proved_at, session.proved_ip)).await? {
        return Err(ActionError::NotFound);
    }
    Ok(proof::started(change.app, session, key))
}

/// Gives a session a new key and ends all others of its user, with the pending sign-ins: proofs
/// from before the change do not count any more.
async fn end_others_in(db: &Db<'_>, change: &Change<'_>) -> Result<Started, ActionError> {
    let Change { session, actor, now, .. } = *change;
    let started = new_key_in(db, change).await?;
    let which = Which::UserExcept(session.user_id, session.uuid);
    end_changed_in(db, session.user_id, &which, actor, now).await?;
    Ok(started)
}

async fn end_changed_in(db: &Db<'_>, user: UserId, which: &Which, actor: &Actor, now: Timestamp) -> Result<(), StoreError> {
    db.delete_pending_sign_ins_of(user).await?;
    // A browser is known by a sign-in with the factors of that time. All of them become unknown.
    db.delete_known_devices(user).await?;
    end_in::end_all_in(db, which, EndReason::FactorsChanged, actor, now).await
}

/// Renames one of the caller's authenticators.
///
/// # Errors
/// [`ActionError::Label`], [`ActionError::NotFound`].
pub async fn rename(app: &App, session: &LiveSession, id: FactorId, name: &str) -> Result<(), ActionError> {
    let (user, name) = (session.user_id, check_label(name)?);
    if name.is_empty() {
        return Err(UserRule::FactorName.into());
    }
    let is_there = app.store.write(move |db| Box::pin(async move { db.update_factor_name(user, id, &name).await })).await?;
    if is_there { Ok(()) } else { Err(ActionError::NotFound) }
}

/// Removes one of the caller's authenticators. All other sessions end, and the recovery codes are
/// deleted with the last authenticator.
///
/// # Errors
/// [`ActionError::NotFound`]; [`ActionError::Rule`] when it is the last one and one is required;
/// [`ActionError::LastAdministrator`] when nobody could sign in as an administrator without it.
pub async fn remove(
    app: &App,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    id: FactorId,
    actor: &Actor,
) -> Result<Started, ActionError> {
    proof::must_be_fresh(app, session)?;
    let (now, session) = (app.clock.now(), session.clone());
    let actor = actor.as_user(session.user_id, &session.username);
    let (app, store) = (app.clone(), app.store.clone());
    store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                let user = proof::lock_holder(db, &session).await?;
                let factor = db.find_factor(id).await?.filter(|factor| factor.user_id == user.id).ok_or(ActionError::NotFound)?;
                db.delete_factor(user.id, id).await?;
                if !db.has_factor(user.id).await? {
                    if app.config.sessions.require_factor || db.find_own_policy(user.id).await?.is_factor_required {
                        return Err(UserRule::LastFactor.into());
                    }
                    db.delete_all_factors(user.id).await?;
                }
                administrators.must_remain(db).await?;
                let event = EventContent::FactorRemoved { name: factor.name }.by(&actor, now);
                db.insert_events(&[event.about(user.id, &user.username).of_session(session.uuid)]).await?;
                end_others_in(db, &Change { app: &app, session: &session, keys: &keys, actor: &actor, now }).await
            })
        })
        .await
}

/// Generates new recovery codes, shown this once, in place of the old ones. All other sessions end.
///
/// # Errors
/// [`ActionError::NotFound`] when the user has no authenticator: recovery codes replace one.
pub async fn renew_codes(app: &App, session: &LiveSession, keys: Vec<HashedSecret>, actor: &Actor) -> Result<Added, ActionError> {
    proof::must_be_fresh(app, session)?;
    let (now, session) = (app.clock.now(), session.clone());
    let actor = actor.as_user(session.user_id, &session.username);
    let (app, store) = (app.clone(), app.store.clone());
    store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock_holder(db, &session).await?;
                if !db.has_factor(user.id).await? {
                    return Err(ActionError::NotFound);
                }
                let codes = new_codes_in(db, user.id, now).await?;
                let event = EventContent::RecoveryCodesRenewed {}.by(&actor, now).about(user.id, &user.username);
                db.insert_events(&[event.of_session(session.uuid)]).await?;
                let change = Change { app: &app, session: &session, keys: &keys, actor: &actor, now };
                Ok(Added { started: end_others_in(db, &change).await?, codes: Some(codes) })
            })
        })
        .await
}

/// Removes all authenticators and recovery codes of a user who lost them, and ends their sessions.
/// Returns how many authenticators there were.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] when they were removed since they
/// were read; [`ActionError::LastAdministrator`] when nobody could sign in as an administrator without them.
pub async fn remove_all(app: &App, by: By<'_>, user: UserId) -> Result<u64, ActionError> {
    by.must_administer()?;
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                let user = db.lock_user(user).await?.ok_or(ActionError::NotFound)?;
                let removed = db.delete_all_factors(user.id).await?;
                if removed == 0 {
                    return Ok(0);
                }
                administrators.must_remain(db).await?;
                let event = EventContent::FactorsReset { count: removed }.by(&actor, now);
                db.insert_events(&[event.about(user.id, &user.username)]).await?;
                end_changed_in(db, user.id, &Which::Users(vec![user.id.0]), &actor, now).await?;
                Ok(removed)
            })
        })
        .await
}
