//! Rate limits on guesses: how many wrong passwords and codes are allowed. A guess is taken from
//! its limits, in the database, before it is checked, and given back when it was right. So
//! concurrent guesses on all nodes together never exceed a limit.
//!
//! A name that no user has is limited as any other. A browser in which the user signed in before
//! has a limit of its own and none of the others, so that guesses of strangers do not lock the user
//! out of it.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::clock;
use crate::actions::sign_in::guess_batch::{Ask, Keyed};
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, GuessLimit};
use crate::domain::names;
use crate::domain::{Address, HashedSecret, PlainSecret, Rate, SessionId, Timestamp, UserId};
use crate::store::StoreError;

/// What is guessed.
#[derive(Clone, Copy, Debug)]
pub enum Guess<'a> {
    /// The password of the user with this name or e-mail address, if there is one.
    Password(&'a str),
    /// A second factor's code, of a user whose first was proved.
    Code(UserId),
    /// What the user of a session proves once more.
    Confirmation(SessionId),
    /// The key of an app password.
    AppPassword,
    /// The secret of the client with this `client_id`, if there is one.
    ClientSecret(&'a str),
    /// The code of a device, typed in this session.
    DeviceCode(SessionId),
    /// Nothing: a device of a client without a secret begins to sign in, which leaves a row.
    DeviceBegun,
}

impl Guess<'_> {
    /// The subject of the limit: the same for all guesses of the same password, code or proof.
    fn subject(&self) -> String {
        match self {
            // The typed name, not the user it finds: a name and an e-mail address of one user must
            // not show that they are the same user's.
            Self::Password(uid) => format!("password {}", names::key(uid)),
            Self::Code(user) => format!("code {}", user.0),
            Self::Confirmation(session) => format!("confirmation {session}"),
            Self::AppPassword => "app password".to_owned(),
            // Callers make up as many names of clients as they like, and each limit is a row.
            Self::ClientSecret(id) => format!("client {}", first_byte(id)),
            Self::DeviceCode(session) => format!("device {session}"),
            Self::DeviceBegun => "device begun".to_owned(),
        }
    }
}

/// One limit that a guess is taken from.
#[derive(Clone, Copy, Debug)]
struct Limit {
    kind: GuessLimit,
    key: HashedSecret,
    rate: Rate,
}

/// A guess that was taken from its limits and may be checked. Give it back when it was right, or
/// when it was not checked.
#[derive(Debug)]
#[must_use]
pub struct Taken(Vec<Limit>);

impl Taken {
    /// Whether nothing limits it.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the guess if it was wrong, else gives it back. If that cannot be written, the limits
    /// hold one guess less until they refill, and the outcome of the check is not changed.
    pub async fn settle(self, app: &App, is_wrong: bool) {
        if is_wrong || self.0.is_empty() {
            return;
        }
        let given = app.guesses.ask(&app.core, Ask::GiveBack(keyed(&self.0))).await;
        if let Err(error) = given {
            tracing::warn!(%error, "a guess may not have been given back");
        }
    }

    /// Gives the guess back, since it was right, and runs `next` at the same time. Returns the
    /// result of `next` when both are done.
    pub async fn give_back_concurrently<T>(self, app: &App, next: impl Future<Output = T>) -> T {
        let ((), next) = tokio::join!(self.settle(app, false), next);
        next
    }
}

/// The user and the hash of the browser's secret, if the user signed in with this browser within
/// `sign_in.known_device_lifetime`.
///
/// # Errors
/// When the database does not answer.
pub async fn known_device(
    app: &App,
    user: UserId,
    device: Option<HashedSecret>,
) -> Result<Option<(UserId, HashedSecret)>, StoreError> {
    let Some(secret) = device else { return Ok(None) };
    let db = app.store.read();
    let since = app.clock.now().minus(app.config.known_device_lifetime(&db.find_stored_limits().await?));
    Ok(db.is_known_device(user, secret, since).await?.then_some((user, secret)))
}

/// Takes a guess from its limits. `device` is the known browser and its user, if the request came
/// from one (see [`known_device`]); `about` is the user whose account is guessed, if there is one.
///
/// # Errors
/// [`ActionError::Limited`] when a limit is used up; the guess must not be checked then.
pub async fn take(
    app: &App,
    guess: Guess<'_>,
    device: Option<(UserId, HashedSecret)>,
    about: Option<(UserId, &str)>,
    actor: &Actor,
) -> Result<Taken, ActionError> {
    let limits = limits_of(app, guess, device, actor.ip);
    let now = app.clock.now();
    let mut refusing = None;
    // Tries again if the limit that refused was refilled since, or was bounded.
    for _ in 0..3 {
        let fitted = take_from(app, keyed(&limits), now).await?;
        let (taken, others): (Vec<Limit>, Vec<Limit>) = limits.iter().partition(|limit| fitted.contains(&limit.key));
        if others.is_empty() {
            return Ok(Taken(taken));
        }
        if taken.is_empty() {
            if bound(app, &limits, now).await? {
                continue;
            }
            refusing = find_exhausted(app, &limits, now).await?;
        } else {
            refusing = others.first().copied();
            let app = app.clone();
            // Spawned, so that it is done also when the caller's future is dropped.
            let _ = tokio::spawn(async move { Taken(taken).settle(&app, false).await }).await;
        }
        if refusing.is_some() {
            break;
        }
    }
    crate::metrics::count_sign_in("limited");
    // Concurrent requests took and gave back the last guesses, so that no limit was found used up:
    // the caller may retry after a second.
    app.refusal_log.limited(refusing.map_or("concurrent", |limit| limit.kind.as_str()), actor);
    let Some(limit) = refusing else { return Err(ActionError::Limited(Duration::from_secs(1))) };
    crate::metrics::count_limited(limit.kind.as_str());
    Err(ActionError::Limited(refuse(app, limit, about, actor, now).await?))
}

/// Takes a guess from these limits, in a batch, and returns the limits that it was taken from.
async fn take_from(app: &App, limits: Keyed, now: Timestamp) -> Result<Vec<HashedSecret>, StoreError> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    match app.guesses.ask(&app.core, Ask::Take(limits.clone())).await {
        Ok(Some(taken)) => return Ok(taken),
        Err(error @ (StoreError::Unavailable(_) | StoreError::Stale(_) | StoreError::Busy)) => return Err(error),
        // An error of the batch may be that of another request in it: this one is tried once more
        // alone.
        Ok(None) | Err(_) => {}
    }
    app.store.write_soon(move |db| Box::pin(async move { db.take_guesses(&limits, now).await })).await
}

/// Lowers limits that were used up under a clock that was ahead, so that no wait is longer than the
/// limit's period. Returns whether there were any.
async fn bound(app: &App, limits: &[Limit], now: Timestamp) -> Result<bool, StoreError> {
    let mut is_any = false;
    for limit in limits {
        let full_at = app.store.read().find_guess_limit(limit.key).await?;
        is_any |= full_at.is_some_and(|full_at| full_at > limit.rate.latest(now));
    }
    if !is_any {
        return Ok(false);
    }
    let limits = keyed(limits);
    let bounded = app.store.write_soon(move |db| Box::pin(async move { db.bound_guess_limits(&limits, now).await })).await?;
    tracing::warn!(bounded, "a clock that was ahead of this one used up limits on guesses; their wait is bounded now");
    Ok(bounded > 0)
}

/// The first of these limits that has no guess left.
async fn find_exhausted(app: &App, limits: &[Limit], now: Timestamp) -> Result<Option<Limit>, StoreError> {
    for limit in limits {
        let full_at = app.store.read().find_guess_limit(limit.key).await?;
        if full_at.is_some_and(|full_at| full_at > limit.rate.last_fit(now)) {
            return Ok(Some(*limit));
        }
    }
    Ok(None)
}

/// Whether the failure of a passkey of this user is worth an event: at most as many as the
/// account's limit on guesses. Signatures cannot be guessed, but a caller who knows the id of a
/// passkey could fill the log.
///
/// # Errors
/// When the database cannot be written.
pub async fn is_worth_telling(app: &App, user: UserId) -> Result<bool, StoreError> {
    let Some(rate) = app.sign_in.load().account_limit else { return Ok(true) };
    let (key, now) = (key_of(app, "passkey", &user.0.to_string()), app.clock.now());
    let work = app.store.write_soon(move |db| {
        Box::pin(async move {
            let limit = [(key, rate)];
            db.bound_guess_limits(&limit, now).await?;
            Ok(!db.take_guesses(&limit, now).await?.is_empty())
        })
    });
    work.await
}

/// Limits as the store takes them.
fn keyed(limits: &[Limit]) -> Keyed {
    limits.iter().map(|limit| (limit.key, limit.rate)).collect()
}

/// Returns how long to wait for this limit, and writes the event of a limit that is hit, once until
/// it is full again.
async fn refuse(
    app: &App,
    limit: Limit,
    about: Option<(UserId, &str)>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Duration, StoreError> {
    let mut event = EventContent::SignInLimited { limit: limit.kind }.by(actor, now);
    let is_of_one = matches!(limit.kind, GuessLimit::Account | GuessLimit::KnownDevice);
    if let Some((id, name)) = about.filter(|_| is_of_one) {
        event = event.about(id, name);
    }
    let full_at = app.store.write(move |db| {
        Box::pin(async move {
            if db.tell_guess_limit(limit.key).await? {
                db.insert_events(&[event]).await?;
            }
            db.find_guess_limit(limit.key).await
        })
    });
    Ok(full_at.await?.map(|full_at| limit.rate.wait(full_at, now)).unwrap_or_default())
}

/// The limits that a guess is taken from.
fn limits_of(app: &App, guess: Guess<'_>, device: Option<(UserId, HashedSecret)>, ip: Option<Address>) -> Vec<Limit> {
    let rates = app.sign_in.load();
    let limit = |kind: GuessLimit, rate: Option<Rate>, subject: String| {
        rate.map(|rate| Limit { kind, key: key_of(app, kind.as_str(), &subject), rate })
    };
    let subject = guess.subject();
    let limits = if let Some((user, secret)) = device {
        // A code has one limit for all known browsers of a user: somebody with the password may
        // have signed in on many browsers before there was a second factor.
        let subject = match guess {
            Guess::Code(_) => subject,
            _ => format!("{} {} {subject}", crate::domain::secret::hex(&secret.0), user.0),
        };
        vec![limit(GuessLimit::KnownDevice, rates.known_device_limit, subject)]
    } else if let Guess::Confirmation(_) = guess {
        // The caller is signed in. Guesses of strangers do not count against this limit.
        vec![limit(GuessLimit::Account, rates.account_limit, subject)]
    } else if let Guess::AppPassword = guess {
        // Nobody's account is named.
        vec![limit(GuessLimit::Address, rates.address_limit, ip.unwrap_or(Address::UNKNOWN).limit_key())]
    } else if let Guess::ClientSecret(_) | Guess::DeviceBegun = guess {
        // Apps of one machine do not limit each other, devices do not limit apps, and neither limits people there.
        let network = ip.unwrap_or(Address::UNKNOWN).limit_key();
        vec![limit(GuessLimit::Address, rates.address_limit, format!("{network} {subject}"))]
    } else if let Guess::DeviceCode(_) = guess {
        let network = ip.unwrap_or(Address::UNKNOWN).limit_key();
        vec![
            limit(GuessLimit::Account, rates.account_limit, subject),
            limit(GuessLimit::Address, rates.address_limit, format!("{network} device")),
        ]
    } else {
        let network = ip.unwrap_or(Address::UNKNOWN).limit_key();
        let (of_all, part) = rates.instance_limit.map(|rate| part_of(rate, &network)).unzip();
        vec![
            // Wrong codes have longer and longer waits of their own (`factors`).
            limit(GuessLimit::Account, rates.account_limit.filter(|_| !matches!(guess, Guess::Code(_))), subject),
            limit(GuessLimit::Address, rates.address_limit, network),
            limit(GuessLimit::Instance, of_all, part.unwrap_or_default()),
        ]
    };
    limits.into_iter().flatten().collect()
}

/// The key that a limit is stored under.
fn key_of(app: &App, name: &str, subject: &str) -> HashedSecret {
    PlainSecret::from_text(app.instance_key.proof(name, subject.as_bytes())).hash()
}

/// The part of the instance's limit that a network takes from, and its name. With a single row all
/// sign-ins would wait for its lock; with parts, a network that uses up its part leaves the others.
fn part_of(rate: Rate, network: &str) -> (Rate, String) {
    const PARTS: u32 = 16;
    /// A limit smaller than twice this is not divided.
    const LEAST: u32 = 50;
    let parts = (rate.times() / LEAST).clamp(1, PARTS);
    (rate.part(parts), if parts == 1 { String::new() } else { (u32::from(first_byte(network)) % parts).to_string() })
}

/// One of 256 numbers for a text, evenly.
fn first_byte(text: &str) -> u8 {
    let [byte, ..] = PlainSecret::from_text(text).hash().0;
    byte
}

/// Deletes the rows of limits that are full again. Does nothing while the clock is [in
/// doubt](clock::doubt).
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn sweep(app: &App, by: By<'_>) -> Result<(), ActionError> {
    const STEP: i64 = 500;
    by.must_operate()?;
    if clock::doubt(app).is_some() {
        return Ok(());
    }
    loop {
        let now = app.clock.now();
        let idle = app.store.read().list_idle_guess_limits(now, STEP).await?;
        for key in &idle {
            let key = *key;
            // One row per transaction: no other transaction waits for more than one lock of this
            // one.
            app.store.write(move |db| Box::pin(async move { db.delete_guess_limit(key, now).await })).await?;
        }
        if i64::try_from(idle.len()).unwrap_or(0) < STEP {
            return Ok(());
        }
    }
}
