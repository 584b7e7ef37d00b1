//! Admitting those who proved who they are: one transaction for a batch of sign-ins, and one alone
//! where something of the user's ends first or is in the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::batching::Batch;
use crate::actions::sessions::end_in::{CHUNK, end_in};
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

/// How somebody wishes to sign in.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// To stay signed in.
    pub is_remembered: bool,
    /// The keys of the sessions that the browser came with.
    pub replaces: Vec<HashedSecret>,
    /// The session that is to end, where the limit leaves no room for one more.
    pub ends: Option<SessionId>,
    /// What the secret by which the browser may be known hashes to.
    pub device: Option<HashedSecret>,
}

/// Somebody who proved who they are and is to have a session, ready but for the database.
#[derive(Debug)]
pub struct Entrant {
    pub(in crate::actions) user: UserRow,
    pub(in crate::actions) methods: Methods,
    pub(in crate::actions) origin: Origin,
    pub(in crate::actions) uuid: SessionId,
    pub(in crate::actions) key_hash: HashedSecret,
    /// What the secret hashes to by which the browser is known from now on, if it was not.
    pub(in crate::actions) device_hash: HashedSecret,
    pub(in crate::actions) wish: Wish,
    pub(in crate::actions) actor: Actor,
}

/// A session that began.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub(in crate::actions) living: Living,
    pub(in crate::actions) is_known_device: bool,
}

/// The most who are let in by one transaction.
pub const MOST_IN_BATCH: usize = 32;

/// What came of it; `None` for whom a transaction alone is for.
pub type Entry = Option<Result<Begun, ActionError>>;

/// Lets in those who come at the same moment.
#[must_use]
pub fn admit_all(core: Arc<Core>, batch: Batch<Arc<Entrant>, Entry>) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
    Box::pin(async move {
        let (clock, instance) = (core.clock.clone(), core.config.sessions.policy());
        let work = core.store.write(move |db| {
            Box::pin(async move {
                let entrants = batch.take();
                begin_together(db, &entrants, instance, clock.now()).await
            })
        });
        work.await
    })
}

/// What the database says of those who come, while their users are locked.
struct Seen {
    users: HashMap<i64, UserRow>,
    with_factor: HashSet<i64>,
    policies: HashMap<i64, Policy>,
    session_keys: Vec<i64>,
}

/// Somebody whom nothing but the limit on sessions stands in the way of.
struct Granted<'a> {
    entrant: &'a Entrant,
    user: &'a UserRow,
    limits: Limits,
}

impl Seen {
    /// Locks the users: of many sign-ins at once, each sees what the one before it left. All is asked together,
    /// the lock first, as none needs another's answer.
    async fn of(db: &Db<'_>, users: &[UserId], held: Held) -> Result<Self, StoreError> {
        db.prepare_sign_ins(users, held).await?;
        let (users, with_factor, policies, session_keys) = tokio::try_join!(
            biased;
            db.lock_users_at_sign_in(users, held),
            db.list_with_factor(users),
            db.list_own_policies(users),
            db.reserve_session_keys(users.len())
        )?;
        let users = users.into_iter().map(|user| (user.id.0, user)).collect();
        Ok(Self { users, with_factor: with_factor.into_iter().collect(), policies, session_keys })
    }

    /// What is in the way of one of them; `None` where the user is not there, or was left out.
    fn judge<'a>(&'a self, entrant: &'a Entrant, instance: Policy) -> Option<Result<Granted<'a>, ActionError>> {
        self.users.get(&entrant.user.id.0).map(|user| self.judge_user(user, entrant, instance))
    }

    fn judge_user<'a>(&self, user: &'a UserRow, entrant: &'a Entrant, instance: Policy) -> Result<Granted<'a>, ActionError> {
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
        Ok(Granted { entrant, user, limits: Limits { instance, own } })
    }
}

impl Granted<'_> {
    /// The browser they say they had before.
    fn claims(&self) -> Option<(UserId, HashedSecret)> {
        Some((self.user.id, self.entrant.wish.device?))
    }

    fn actor(&self) -> Actor {
        self.entrant.actor.as_user(self.user.id, &self.user.username)
    }
}

/// Begins a session, and ends what makes way for it.
pub(in crate::actions) async fn begin_alone(
    db: &Db<'_>,
    entrant: &Entrant,
    instance: Policy,
    now: Timestamp,
) -> Result<Begun, ActionError> {
    let seen = Seen::of(db, &[entrant.user.id], Held::Wait).await?;
    let granted = seen.judge(entrant, instance).unwrap_or(Err(ActionError::Forbidden))?;
    for key in &entrant.wish.replaces {
        end_in(db, &Which::Key(*key), 1, EndReason::Replaced, &granted.actor(), now).await?;
    }
    make_room(db, &granted, now).await?;
    let granted = [granted];
    let known = touch_devices(db, granted.iter(), now).await?;
    let begun = write(db, &granted, &known, &seen.session_keys, now).await?;
    begun.first().copied().ok_or(ActionError::Store(StoreError::Corrupt("a session that did not begin")))
}

/// Begins sessions for those whose way is free. Nothing is written for the others, and nobody waits for a user
/// whom another transaction holds.
async fn begin_together(
    db: &Db<'_>,
    entrants: &[Arc<Entrant>],
    instance: Policy,
    now: Timestamp,
) -> Result<Vec<Entry>, StoreError> {
    let users: Vec<UserId> = entrants.iter().map(|entrant| entrant.user.id).collect();
    let seen = Seen::of(db, &users, Held::Skip).await?;
    let judged: Vec<_> = entrants.iter().map(|entrant| seen.judge(entrant, instance)).collect();
    let mut room = find_room(db, judged.iter().flatten().flatten(), now).await?;
    let mut has_room = |user: UserId| {
        let Some(left) = room.get_mut(&user.0) else { return true };
        let had = *left;
        *left = had.saturating_sub(1);
        had > 0
    };
    // What is to happen at the limit needs a look at the sessions.
    let ways: Vec<_> = judged
        .into_iter()
        .map(|judged| match judged {
            Some(Ok(one)) if !has_room(one.user.id) => None,
            judged => judged,
        })
        .collect();
    let known = touch_devices(db, ways.iter().flatten().flatten(), now).await?;
    let is_free = |one: &Granted<'_>| one.claims().is_none_or(|claimed| known.contains(&claimed));
    let (mut granted, mut answers) = (Vec::with_capacity(ways.len()), Vec::with_capacity(ways.len()));
    for way in ways {
        answers.push(match way {
            Some(Ok(one)) if is_free(&one) => {
                granted.push(one);
                Way::Free
            }
            Some(Err(error)) => Way::Barred(error),
            // A browser that is somebody else's is known to them by another secret from now on.
            Some(Ok(_)) | None => Way::Other,
        });
    }
    let mut begun = write(db, &granted, &known, &seen.session_keys, now).await?.into_iter();
    let answer = |way| match way {
        Way::Free => begun.next().map(Ok),
        Way::Barred(error) => Some(Err(error)),
        Way::Other => None,
    };
    Ok(answers.into_iter().map(answer).collect())
}

/// What is in somebody's way.
enum Way {
    /// Nothing.
    Free,
    /// This.
    Barred(ActionError),
    /// Something that a transaction alone is for.
    Other,
}

/// How many more sessions those may have who have a limit, by their keys.
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

/// Notes the use of browsers that are known, and gives them.
async fn touch_devices<'a>(
    db: &Db<'_>,
    granted: impl Iterator<Item = &'a Granted<'a>>,
    now: Timestamp,
) -> Result<Devices, StoreError> {
    db.touch_known_devices(&granted.filter_map(Granted::claims).collect::<Devices>(), now).await
}

/// Writes the sessions and all that goes with them, with the last statements of the transaction.
async fn write(
    db: &Db<'_>,
    granted: &[Granted<'_>],
    known: &Devices,
    session_keys: &[i64],
    now: Timestamp,
) -> Result<Vec<Begun>, StoreError> {
    let (mut begun, mut sessions, mut devices, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in granted {
        let Granted { entrant, user, limits } = one;
        let wish = &entrant.wish;
        let is_known_device = one.claims().is_some_and(|claimed| known.contains(&claimed));
        let living = limits.begin(now, wish.is_remembered);
        if !is_known_device {
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
        begun.push(Begun { living, is_known_device });
    }
    db.update_signed_in_last(&sessions.iter().map(|session| session.user).collect::<Vec<_>>(), now);
    db.insert_known_devices_last(&devices, now);
    db.insert_sessions_last(&sessions, session_keys).await?;
    db.insert_events_last(&events)?;
    Ok(begun)
}

/// Makes room for one more session, where there is a limit and it is reached.
async fn make_room(db: &Db<'_>, granted: &Granted<'_>, now: Timestamp) -> Result<(), ActionError> {
    let Granted { entrant, user, limits } = granted;
    let Some(most) = limits.effective().max_sessions else { return Ok(()) };
    let mut live = db.list_live_ids(user.id, now).await?;
    let mut gone = Vec::new();
    // What was chosen goes first, whatever the limit's outcome.
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
