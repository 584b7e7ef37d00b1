//! Load data that looks like the real thing: many people, most with few sessions and some with many;
//! a few user agents that most share and a long tail; addresses that the GeoIP files know.
//!
//! The same seed gives the same people and sessions on the same day, keys aside: those are random and
//! thrown away, so nobody can sign in with what was made here.

mod agents;
mod people;
mod places;

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;

use self::agents::Agents;
use self::places::Places;
use super::Actor;
use super::events::EventKind;
use super::import::PLACES_SETTING;
use crate::app::App;
use crate::domain::session::Lifetime;
use crate::domain::{Address, HashedSecret, SessionId, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::sessions::{NewSession, Origin};
use crate::store::users::NewUser;

/// How much one transaction adds. What is committed stays when the rest is not made.
const CHUNK: u32 = 10_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Over how many days the sessions' beginnings are spread.
const DAYS: u64 = 42;
/// The most users and the most sessions of one run.
pub const MOST: u32 = 100_000_000;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many users, at least one when there are sessions.
    pub users: u32,
    /// How many sessions.
    pub sessions: u32,
    /// What decides how everything looks.
    pub seed: u64,
}

/// What was made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Users.
    pub users: u32,
    /// Sessions.
    pub sessions: u32,
}

/// Why not all was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The seed was used in this database before.
    #[error("there are users of the seed {0} already; choose another one")]
    SeedUsed(u64),
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes users, then sessions, and calls `progress` after each transaction; it gives whether to go
/// on. Whatever was made when it stops is whole: a session with its user, counted.
///
/// # Errors
/// [`GenerateError`]; what earlier transactions made stays.
pub async fn run(app: &App, plan: Plan, mut progress: impl FnMut(Made) -> bool) -> Result<Made, GenerateError> {
    let mut made = Made::default();
    let now = app.clock.now();
    let midnight = Timestamp(now.0 - now.0.rem_euclid(i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX)));
    let mut ids = Vec::new();
    while made.users < plan.users {
        let users: Vec<NewUser> = (made.users..plan.users)
            .take(CHUNK as usize)
            .map(|nth| people::user(&mut rng(plan.seed, 1, nth), nth, plan.seed))
            .collect();
        let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let added = app.store.write(move |db| Box::pin(async move { db.insert_users(&users, now).await })).await;
        ids.extend(added.map_err(|error| match error {
            StoreError::Conflict(_) => GenerateError::SeedUsed(plan.seed),
            other => other.into(),
        })?);
        made.users += count;
        if !progress(made) {
            return Ok(made);
        }
    }
    let agents = Agents::new(plan.seed, plan.sessions);
    let places = Places::of(&app.geoip);
    let mut known = HashMap::new();
    while made.sessions < plan.sessions && !ids.is_empty() {
        let last = made.sessions.saturating_add(CHUNK).min(plan.sessions);
        let mut sessions = Vec::with_capacity(CHUNK as usize);
        for nth in made.sessions..last {
            sessions.push(session(&mut rng(plan.seed, 2, nth), &ids, &agents, &places, midnight));
        }
        known = insert(app, sessions, known).await?;
        made.sessions = last;
        if !progress(made) {
            break;
        }
    }
    let (at, actor) = (app.clock.now(), Actor::cli());
    let event =
        EventKind::Import.by(&actor, at).with_detail(format!("{} users, {} sessions, generated", made.users, made.sessions));
    app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await.map_err(GenerateError::Store)?;
    Ok(made)
}

/// A sequence of its own for each thing, so that the n-th looks the same however many there are.
fn rng(seed: u64, kind: u64, nth: u32) -> Rng {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (kind << 32 | u64::from(nth)));
    // Neighbouring seeds begin alike.
    rng.u64(..);
    rng
}

/// A session on its way: its user agent is text still.
struct Draft {
    uuid: SessionId,
    user: UserId,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    ip: Address,
    agent: String,
}

fn session(rng: &mut Rng, users: &[UserId], agents: &Agents, places: &Places, midnight: Timestamp) -> Draft {
    // Skewed: the square of an even spread; and the many sessions are not those of the first names.
    let spread = rng.f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to the number of users"
    )]
    let rank = (spread * spread * users.len() as f64) as usize;
    let at = rank.wrapping_mul(7_919) % users.len();
    let user = users.get(at).copied().unwrap_or(UserId(0));
    let owner = u32::try_from(at).unwrap_or(0);
    let within = |rng: &mut Rng, days: u64| Duration::from_micros(rng.u64(..days * 86_400_000_000));
    let created_at = midnight.minus(within(rng, DAYS));
    let age = Duration::from_micros(rng.u64(..=u64::try_from(midnight.0 - created_at.0).unwrap_or(0)));
    Draft {
        uuid: SessionId(uuid::Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid()),
        user,
        created_at,
        last_used_at: created_at.plus(age),
        // All of them live for a while: load data that sweeps itself away is of no use.
        expires_at: midnight.plus(DAY * 2).plus(within(rng, 28)),
        ip: places.address(rng, owner),
        agent: agents.pick(rng),
    }
}

/// Adds sessions in one transaction. `known` are the ids of user agents; gives it with the new ones.
async fn insert(app: &App, drafts: Vec<Draft>, mut known: HashMap<String, i64>) -> Result<HashMap<String, i64>, GenerateError> {
    let mut keys = vec![[0; 32]; drafts.len()];
    getrandom::fill(keys.as_flattened_mut())?;
    let (user_agents, geoip) = (std::sync::Arc::clone(&app.user_agents), std::sync::Arc::clone(&app.geoip));
    let known = app.store.write(move |db| {
        Box::pin(async move {
            let mut sessions = Vec::with_capacity(drafts.len());
            for (draft, key) in drafts.into_iter().zip(keys) {
                let user_agent_id = match known.get(&draft.agent) {
                    Some(id) => *id,
                    None => {
                        let parsed = user_agents.parse(&draft.agent);
                        let id = db.insert_user_agent(&draft.agent, &parsed, user_agents.fingerprint()).await?;
                        known.insert(draft.agent, id);
                        id
                    }
                };
                let (country, asn) = geoip.country_and_asn(draft.ip);
                sessions.push(NewSession {
                    uuid: draft.uuid,
                    key_hash: HashedSecret(key),
                    user: draft.user,
                    created_at: draft.created_at,
                    last_used_at: draft.last_used_at,
                    lifetime: Lifetime { idle_timeout: None, absolute_expires_at: draft.expires_at },
                    origin: Origin { ip: draft.ip, user_agent_id, country, asn },
                    methods: "",
                    is_remembered: false,
                });
            }
            db.insert_sessions(&sessions).await?;
            // As for an import: another process's files may differ.
            if db.find_setting(PLACES_SETTING).await?.as_deref() != Some(&geoip.fingerprint()) {
                db.update_setting(PLACES_SETTING, "mixed").await?;
            }
            Ok(known)
        })
    });
    known.await.map_err(GenerateError::Store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_look_the_same_for_the_same_seed_only() {
        let first = |seed| people::user(&mut rng(seed, 1, 0), 0, seed).username;
        assert_eq!(first(1), first(1));
        let different: std::collections::HashSet<String> = (0..20).map(first).collect();
        assert_eq!(different.len(), 20);
    }

    #[test]
    fn a_million_sessions_have_some_twenty_thousand_user_agents_and_a_fifth_are_firefox() {
        let agents = Agents::new(1, 1_000_000);
        let picked: Vec<String> = (0..200_000).map(|nth| agents.pick(&mut rng(1, 2, nth))).collect();
        let firefox = picked.iter().filter(|agent| agent.contains("Firefox")).count();
        assert!((36_000..44_000).contains(&firefox), "{firefox} of 200,000");
        let distinct: std::collections::HashSet<&String> = picked.iter().collect();
        assert!((8_000..20_200).contains(&distinct.len()), "{} distinct", distinct.len());
    }
}
