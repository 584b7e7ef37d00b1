//! Begins sessions for users who proved who they are: one transaction for a batch of sign-ins. A
//! sign-in that must end another session first, or that needs a closer look, has a transaction of
//! its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::batching::Batch;
use crate::actions::sessions::end_in::{CHUNK, end_in};
use crate::config::Config;
use crate::core::Core;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::policy::{AtLimit, Limits, Living, Policy};
use crate::domain::{EndReason, HashedSecret, Methods, SessionId, Timestamp, UserId};
use crate::store::people::users::{Held, UserRow};
use crate::store::sessions::end::Which;
use crate::store::sessions::rows::{NewSession, Origin};
use crate::store::sign_in::known_devices::NewDevice;
use crate::store::{BoxFuture, Db, StoreError};

/// The options of a sign-in.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Whether to stay signed in.
    pub is_remembered: bool,
    /// The keys of the sessions that the browser came with; these sessions end.
    pub replaces: Vec<HashedSecret>,
    /// The session that the user chose to end, where their session limit is reached.
    pub ends: Option<SessionId>,
    /// The hash of the secret of a browser that may be known.
    pub device: Option<HashedSecret>,
}

/// A sign-in whose proofs are complete, with everything that the database needs to begin its
/// session.
#[derive(Debug)]
pub struct Entrant {
    pub(in crate::actions) user: UserRow,
    pub(in crate::actions) methods: Methods,
    pub(in crate::actions) origin: Origin,
    pub(in crate::actions) uuid: SessionId,
    pub(in crate::actions) key_hash: HashedSecret,
    /// The hash of the new secret that the browser is known by, if it is not a known one yet.
    pub(in crate::actions) device_hash: HashedSecret,
    pub(in crate::actions) wish: Wish,
    pub(in crate::actions) actor: Actor,
}

/// A session that began.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub(in crate::actions) living: Living,
    /// Whether the browser is known from now on by a new secret.
    pub(in crate::actions) is_device_new: bool,
}

/// The most sign-ins in one transaction.
pub const MOST_IN_BATCH: usize = 32;

/// The outcome of a sign-in; `None`: it needs a transaction of its own (`begin_alone`).
pub type Entry = Option<Result<Begun, ActionError>>;

/// Begins the sessions of a batch of sign-ins.
#[must_use]
pub fn admit_all(core: Arc<Core>, batch: Batch<Arc<Entrant>, Entry>) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
    Box::pin(async move {
        let shared = Arc::clone(&core);
        let work = core.store.write(move |db| {
            Box::pin(async move {
                let entrants = batch.take();
                begin_together(db, &entrants, &shared.config, shared.clock.now()).await
            })
        });
        work.await
    })
}

/// What the database holds about the users of a batch, while they are locked.
struct Seen {
    users: HashMap<i64, UserRow>,
    with_factor: HashSet<i64>,
    policies: HashMap<i64, Policy>,
    /// The policy of the instance.
    instance: Policy,
    /// `sign_in.known_device_lifetime`.
    known_device_lifetime: Duration,
    session_keys: Vec<i64>,
}

/// A sign-in that nothing but the session limit can refuse.
struct Granted<'a> {
    entrant: &'a Entrant,
    user: &'a UserRow,
    limits: Limits,
}

impl Seen {
    /// Locks the users, so that of many sign-ins at once each sees what the one before it wrote.
    /// The statements are sent together, the lock first, since none needs another's result.
    async fn of(db: &Db<'_>, users: &[UserId], held: Held, config: &Config) -> Result<Self, StoreError> {
        db.prepare_sign_ins(users, held).await?;
        let (users, with_factor, policies, stored, session_keys) = tokio::try_join!(
            biased;
            db.lock_users_at_sign_in(users, held),
            db.list_with_factor(users),
            db.list_own_policies(users),
            db.find_stored_limits(),
            db.reserve_session_keys(users.len())
        )?;
        let users = users.into_iter().map(|user| (user.id.0, user)).collect();
        let (instance, known_device_lifetime) = (config.policy(&stored), config.known_device_lifetime(&stored));
        let with_factor = with_factor.into_iter().collect();
        Ok(Self { users, with_factor, policies, instance, known_device_lifetime, session_keys })
    }

    /// The sign-in with its limits, or why it is refused; `None` if the user was not found or is
    /// locked by another transaction.
    fn judge<'a>(&'a self, entrant: &'a Entrant) -> Option<Result<Granted<'a>, ActionError>> {
        self.users.get(&entrant.user.id.0).map(|user| self.judge_user(user, entrant))
    }

    fn judge_user<'a>(&self, user: &'a UserRow, entrant: &'a Entrant) -> Result<Granted<'a>, ActionError> {
        if !user.is_active {
            return Err(ActionError::Forbidden);
        }
        if !user.holds(entrant.user.generation()) {
            return Err(ActionError::ProofOutdated);
        }
        if !entrant.methods.has_factor() && self.with_factor.contains(&user.id.0) {
            return Err(ActionError::FactorNeeded);
        }
        let own = self.policies.get(&user.id.0).copied().unwrap_or_default();
        Ok(Granted { entrant, user, limits: Limits { instance: self.instance, own } })
    }
}

impl Granted<'_> {
    /// The user and the secret that the browser sent, if it sent one.
    fn claims(&self) -> Option<(UserId, HashedSecret)> {
        Some((self.user.id, self.entrant.wish.device?))
    }

    fn actor(&self) -> Actor {
        self.entrant.actor.as_user(self.user.id, &self.user.username)
    }
}

/// Begins a session in a transaction of its own, and ends the sessions that it replaces or that are
/// beyond the limit.
pub(in crate::actions) async fn begin_alone(
    db: &Db<'_>,
    entrant: &Entrant,
    config: &Config,
    now: Timestamp,
) -> Result<Begun, ActionError> {
    let seen = Seen::of(db, &[entrant.user.id], Held::Wait, config).await?;
    let granted = seen.judge(entrant).unwrap_or(Err(ActionError::Forbidden))?;
    for key in &entrant.wish.replaces {
        end_in(db, &Which::Key(*key), 1, EndReason::Replaced, &granted.actor(), now).await?;
    }
    make_room(db, &granted, now).await?;
    let granted = [granted];
    let known = touch_devices(db, granted.iter(), &seen, now).await?;
    let begun = write(db, &granted, &known, &seen, now).await?;
    begun.first().copied().ok_or(ActionError::Store(StoreError::Corrupt("a session that did not begin")))
}

/// Begins the sessions that nothing refuses. Writes nothing for the others, and does not wait for a
/// user that another transaction has locked.
async fn begin_together(db: &Db<'_>, entrants: &[Arc<Entrant>], config: &Config, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
    let users: Vec<UserId> = entrants.iter().map(|entrant| entrant.user.id).collect();
    let seen = Seen::of(db, &users, Held::Skip, config).await?;
    let judged: Vec<_> = entrants.iter().map(|entrant| seen.judge(entrant)).collect();
    let mut room = find_room(db, judged.iter().flatten().flatten(), now).await?;
    let mut has_room = |user: UserId| {
        let Some(left) = room.get_mut(&user.0) else { return true };
        let had = *left;
        *left = had.saturating_sub(1);
        had > 0
    };
    // At the limit, the sessions of the user must be read to decide.
    let ways: Vec<_> = judged
        .into_iter()
        .map(|judged| match judged {
            Some(Ok(one)) if !has_room(one.user.id) => None,
            judged => judged,
        })
        .collect();
    let known = touch_devices(db, ways.iter().flatten().flatten(), &seen, now).await?;
    // Without known browsers none gets a new secret.
    let has_none = seen.known_device_lifetime.is_zero();
    let is_free = |one: &Granted<'_>| has_none || one.claims().is_none_or(|claimed| known.contains(&claimed));
    let (mut granted, mut answers) = (Vec::with_capacity(ways.len()), Vec::with_capacity(ways.len()));
    for way in ways {
        answers.push(match way {
            Some(Ok(one)) if is_free(&one) => {
                granted.push(one);
                Way::Free
            }
            Some(Err(error)) => Way::Barred(error),
            // The browser may be known to another user, whose row then gets the new secret: that
            // needs a transaction of its own.
            Some(Ok(_)) | None => Way::Other,
        });
    }
    let mut begun = write(db, &granted, &known, &seen, now).await?.into_iter();
    let answer = |way| match way {
        Way::Free => begun.next().map(Ok),
        Way::Barred(error) => Some(Err(error)),
        Way::Other => None,
    };
    Ok(answers.into_iter().map(answer).collect())
}

/// Whether a sign-in may begin its session.
enum Way {
    /// It may.
    Free,
    /// It is refused, with this error.
    Barred(ActionError),
    /// It needs a transaction of its own.
    Other,
}

/// How many more sessions each user with a session limit may have, by the user's key.
async fn find_room<'a>(
    db: &Db<'_>,
    granted: impl Iterator<Item = &'a Granted<'a>>,
    now: Timestamp,
) -> Result<HashMap<i64, usize>, StoreError> {
    let most = |one: &Granted<'_>| Some((one.user.id, one.limits.effective().max_sessions?));
    let limited: HashMap<UserId, u32> = granted.filter_map(most).collect();
    if limited.is_empty() {
        return Ok(HashMap::new());
    }
    let users: Vec<UserId> = limited.keys().copied().collect();
    let live = db.count_live_of(&users, now).await?;
    let left = |(user, most): (UserId, u32)| {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        (user.0, most.saturating_sub(live.get(&user.0).copied().unwrap_or(0)))
    };
    Ok(limited.into_iter().map(left).collect())
}

type Devices = Vec<(UserId, HashedSecret)>;

/// Updates the last use of known browsers, and returns them.
async fn touch_devices<'a>(
    db: &Db<'_>,
    granted: impl Iterator<Item = &'a Granted<'a>>,
    seen: &Seen,
    now: Timestamp,
) -> Result<Devices, StoreError> {
    let since = now.minus(seen.known_device_lifetime);
    db.touch_known_devices(&granted.filter_map(Granted::claims).collect::<Devices>(), now, since).await
}

/// Writes the sessions, known browsers, events and counts, with the last statements of the
/// transaction.
async fn write(
    db: &Db<'_>,
    granted: &[Granted<'_>],
    known: &Devices,
    seen: &Seen,
    now: Timestamp,
) -> Result<Vec<Begun>, StoreError> {
    let (mut begun, mut sessions, mut devices, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in granted {
        let Granted { entrant, user, limits } = one;
        let wish = &entrant.wish;
        let is_known_device = one.claims().is_some_and(|claimed| known.contains(&claimed));
        let living = limits.begin(now, wish.is_remembered);
        let is_device_new = !is_known_device && !seen.known_device_lifetime.is_zero();
        if is_device_new {
            devices.push(NewDevice { user: user.id, secret: entrant.device_hash, old: wish.device });
        }
        sessions.push(NewSession {
            uuid: entrant.uuid,
            key_hash: entrant.key_hash,
            user: user.id,
            created_at: now,
            last_used_at: now,
            lifetime: living.lifetime,
            origin: entrant.origin.clone(),
            methods: entrant.methods,
            is_known_device,
            is_remembered: living.is_remembered,
        });
        let content = EventContent::SignIn { methods: entrant.methods.to_string() };
        events.push(content.by(&one.actor(), now).about(user.id, &user.username).of_session(entrant.uuid));
        begun.push(Begun { living, is_device_new });
    }
    db.update_signed_in_last(&sessions.iter().map(|session| session.user).collect::<Vec<_>>(), now);
    db.insert_known_devices_last(&devices, now);
    db.insert_sessions_last(&sessions, &seen.session_keys).await?;
    db.insert_events_last(&events)?;
    Ok(begun)
}

/// Ends sessions to make room for one more, if the session limit is reached.
async fn make_room(db: &Db<'_>, granted: &Granted<'_>, now: Timestamp) -> Result<(), ActionError> {
    let Granted { entrant, user, limits } = granted;
    let Some(most) = limits.effective().max_sessions else { return Ok(()) };
    let mut live = db.list_live_ids(user.id, now).await?;
    let mut gone = Vec::new();
    // The chosen session ends first, also when the limit would leave room for it.
    if let Some(at) = entrant.wish.ends.and_then(|chosen| live.iter().position(|id| *id == chosen)) {
        gone.push(live.remove(at));
    }
    let beyond = (live.len() + 1).saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    if beyond > 0 {
        match limits.at_limit() {
            AtLimit::Refuse => return Err(ActionError::AtLimit),
            AtLimit::Ask => return Err(ActionError::ChooseEnd),
            AtLimit::EndOldest => gone.extend(live.drain(..beyond)),
        }
    }
    for ids in gone.chunks(usize::try_from(CHUNK).unwrap_or(1)) {
        end_in(db, &Which::Uuids(ids.to_vec()), CHUNK, EndReason::LimitReached, &granted.actor(), now).await?;
    }
    Ok(())
}
