//! Load data that looks like the real thing: many people, most with few sessions and some with many;
//! a few user agents that most share and a long tail; addresses that the GeoIP files know.
//!
//! The same seed gives the same people and sessions on the same day, keys aside: those are random and
//! thrown away, so nobody can sign in with what was made here.

mod agents;
mod apps;
mod history;
mod people;
mod places;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::import::PLACES_SETTING;
use crate::actions::sessions::retention::ADDRESSES_SETTING;
use crate::actions::{ActionError, policies};
use crate::cli::load::agents::Agents;
use crate::cli::load::places::Places;
use crate::core::agents::Agents as Dictionary;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::session::Lifetime;
use crate::domain::{HashedSecret, Methods, SessionId, Timestamp, UserId};
use crate::enrich::geoip::GeoIp;
use crate::store::people::users::NewUser;
use crate::store::sessions::rows::{NewSession, Origin};
use crate::store::{Db, StoreError};

/// How many sessions one transaction adds. Each writes all index pages that it touches, which soon
/// are most of them: few large transactions write far less than many small ones.
const CHUNK: u32 = 100_000;
/// How many things are added between two looks at whether to stop.
const STEP: u32 = 5_000;
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
    /// How many app sessions, at most three for each session.
    pub app_sessions: u32,
    /// How many sessions that ended.
    pub ended: u32,
    /// How many events.
    pub events: u32,
    /// What decides how everything looks.
    pub seed: u64,
}

impl Plan {
    /// How many things that is in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.users, self.sessions, self.app_sessions, self.ended, self.events].into_iter().map(u64::from).sum()
    }
}

/// What was made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Users.
    pub users: u32,
    /// Sessions.
    pub sessions: u32,
    /// App sessions.
    pub app_sessions: u32,
    /// Sessions that ended.
    pub ended: u32,
    /// Events.
    pub events: u32,
}

impl Made {
    /// How many things that is in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.users, self.sessions, self.app_sessions, self.ended, self.events].into_iter().map(u64::from).sum()
    }
}

/// Why not all was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The seed was used in this database before.
    #[error("there are users of the seed {0} already; choose another one")]
    SeedUsed(u64),
    /// There are fewer sessions than these app sessions need.
    #[error("these sessions have at most {0} app sessions")]
    ManyAppSessions(u32),
    /// Sessions ended while app sessions were made in them.
    #[error("sessions ended while app sessions were made: there are none left for the others")]
    SessionsEnded,
    /// An application of this slug is there, and is not one of load data.
    #[error("the application {0} has no client: give it one, or another slug")]
    NoClient(String),
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// An action was refused.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Called with what was made so far; returns whether to continue.
pub type Progress = Arc<dyn Fn(Made) -> bool + Send + Sync>;

/// Makes users, then sessions, then their app sessions, then what is kept of ended sessions, then events. Whatever was made when
/// `progress` wants it to stop is whole: a session with its user, counted.
///
/// # Errors
/// [`GenerateError`]; what earlier transactions made stays.
pub async fn run(app: &App, plan: Plan, progress: Progress) -> Result<Made, GenerateError> {
    app.store.expect_many_writes().await?;
    policies::mark_policy_applied_if_empty(app, By::Cli).await?;
    // What is wrong with them is said before there is anything.
    let applications = apps::applications(app, plan).await?;
    let mut made = Made::default();
    let users = add_users(app, plan, &progress, &mut made).await?;
    if made.users == plan.users {
        let apps = apps::Apps::new(applications);
        add_rest(app, plan, (users, apps), &progress, &mut made).await?;
    }
    let (at, actor) = (app.clock.now(), Actor::cli());
    let content = EventContent::Import {
        users: u64::from(made.users),
        groups: 0,
        tokens: 0,
        sessions: u64::from(made.sessions),
        applications: 0,
        is_generated: true,
    };
    let event = content.by(&actor, at);
    app.store
        .write(move |db| {
            Box::pin(async move {
                // They may be older than those that have lost their addresses.
                db.update_setting(ADDRESSES_SETTING, "").await?;
                db.insert_events(&[event]).await
            })
        })
        .await
        .map_err(GenerateError::Store)?;
    Ok(made)
}

async fn add_users(app: &App, plan: Plan, progress: &Progress, made: &mut Made) -> Result<Vec<UserId>, GenerateError> {
    let mut ids = Vec::new();
    let now = app.clock.now();
    while made.users < plan.users {
        let last = made.users.saturating_add(STEP).min(plan.users);
        let users: Vec<NewUser> = (made.users..last).map(|nth| people::user(&mut rng(plan.seed, 1, nth), nth, plan.seed)).collect();
        let added = app.store.write(move |db| Box::pin(async move { db.insert_users(&users, now).await })).await;
        ids.extend(added.map_err(|error| match error {
            StoreError::Conflict(_) => GenerateError::SeedUsed(plan.seed),
            other => other.into(),
        })?);
        made.users = last;
        if !progress(*made) {
            break;
        }
    }
    // Keys ascend with the number.
    ids.sort_unstable_by_key(|id| id.0);
    Ok(ids)
}

async fn add_rest(
    app: &App,
    plan: Plan,
    (users, apps): (Vec<UserId>, apps::Apps),
    progress: &Progress,
    made: &mut Made,
) -> Result<(), GenerateError> {
    let now = app.clock.now();
    let midnight = Timestamp(now.0 - now.0.rem_euclid(i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX)));
    let mut maker = Maker {
        seed: plan.seed,
        users,
        apps,
        agents: Agents::new(plan.seed, plan.sessions.max(plan.ended)),
        places: Places::of(&app.geoip),
        midnight,
        is_stopped: false,
        known: HashMap::new(),
        user_agents: Arc::clone(&app.user_agents),
        geoip: Arc::clone(&app.geoip),
    };
    for what in [What::Sessions, What::AppSessions, What::Ended, What::Events] {
        maker = add_many(app, plan, what, maker, progress, made).await?;
    }
    Ok(())
}

/// What a [`Maker`] makes.
#[derive(Clone, Copy)]
enum What {
    Sessions,
    AppSessions,
    Ended,
    Events,
}

impl What {
    fn planned(self, plan: Plan) -> u32 {
        match self {
            Self::Sessions => plan.sessions,
            Self::AppSessions => plan.app_sessions,
            Self::Ended => plan.ended,
            Self::Events => plan.events,
        }
    }

    fn made(self, made: &mut Made) -> &mut u32 {
        match self {
            Self::Sessions => &mut made.sessions,
            Self::AppSessions => &mut made.app_sessions,
            Self::Ended => &mut made.ended,
            Self::Events => &mut made.events,
        }
    }
}

/// Makes all of one kind; fewer if `progress` wants it to stop.
async fn add_many(
    app: &App,
    plan: Plan,
    what: What,
    mut maker: Maker,
    progress: &Progress,
    made: &mut Made,
) -> Result<Maker, GenerateError> {
    let all = what.planned(plan);
    while !maker.is_stopped && *what.made(made) < all {
        let last = what.made(made).saturating_add(CHUNK).min(all);
        let (mut so_far, progress) = (*made, Arc::clone(progress));
        (maker, *made) = app
            .store
            .write_much(move |db| {
                Box::pin(async move {
                    while !maker.is_stopped && *what.made(&mut so_far) < last {
                        let first = *what.made(&mut so_far);
                        let end = first.saturating_add(STEP).min(last);
                        match what {
                            What::Sessions => maker.add(db, first..end).await?,
                            What::AppSessions => maker.add_app_sessions(db, first..end).await?,
                            What::Ended => maker.add_ended(db, first..end, all).await?,
                            What::Events => maker.add_events(db, first..end, all).await?,
                        }
                        *what.made(&mut so_far) = end;
                        maker.is_stopped = !progress(so_far);
                    }
                    Ok::<_, GenerateError>((maker, so_far))
                })
            })
            .await?;
    }
    Ok(maker)
}

/// Makes sessions and history.
struct Maker {
    seed: u64,
    users: Vec<UserId>,
    apps: apps::Apps,
    agents: Agents,
    places: Places,
    midnight: Timestamp,
    /// Whether to make no more.
    is_stopped: bool,
    /// Ids of user agents.
    known: HashMap<String, i64>,
    user_agents: Arc<Dictionary>,
    geoip: Arc<GeoIp>,
}

impl Maker {
    async fn add(&mut self, db: &Db<'_>, numbers: Range<u32>) -> Result<(), GenerateError> {
        let mut keys = vec![[0; 32]; numbers.len()];
        getrandom::fill(keys.as_flattened_mut())?;
        let mut sessions = Vec::with_capacity(numbers.len());
        for (nth, key) in numbers.zip(keys) {
            sessions.push(self.session(db, &mut rng(self.seed, 2, nth), HashedSecret(key)).await?);
        }
        db.insert_sessions(&sessions).await?;
        // As for an import: another process's files may differ.
        if db.find_setting(PLACES_SETTING).await?.as_deref() != Some(&self.geoip.fingerprint()) {
            db.update_setting(PLACES_SETTING, "mixed").await?;
        }
        Ok(())
    }

    async fn session(&mut self, db: &Db<'_>, rng: &mut Rng, key_hash: HashedSecret) -> Result<NewSession, StoreError> {
        // Skewed: the square of an even spread; and the many sessions are not those of the first names.
        let spread = rng.f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to the number of users"
        )]
        let rank = (spread * spread * self.users.len() as f64) as usize;
        let at = rank.wrapping_mul(7_919) % self.users.len().max(1);
        let within = |rng: &mut Rng, days: u64| Duration::from_micros(rng.u64(..days * 86_400_000_000));
        let created_at = self.midnight.minus(within(rng, DAYS));
        let age = Duration::from_micros(rng.u64(..=u64::try_from(self.midnight.0 - created_at.0).unwrap_or(0)));
        // All of them live for a while: load data that sweeps itself away is of no use.
        let expires_at = self.midnight.plus(DAY * 2).plus(within(rng, 28));
        let ip = self.places.address(rng, u32::try_from(at).unwrap_or(0));
        let [random @ .., _, _, _, _, _, _] = rng.u128(..).to_le_bytes();
        let user_agent_id = self.user_agent(db, self.agents.pick(rng)).await?;
        let (country, asn) = self.geoip.country_and_asn(ip);
        Ok(NewSession {
            uuid: SessionId::from_parts(created_at, random),
            key_hash,
            user: self.users.get(at).copied().unwrap_or(UserId(0)),
            created_at,
            last_used_at: created_at.plus(age),
            lifetime: Lifetime { idle_timeout: None, absolute_expires_at: expires_at },
            origin: Origin { ip, user_agent_id, country, asn },
            methods: Methods::default(),
            is_known_device: false,
            is_remembered: false,
        })
    }

    async fn user_agent(&mut self, db: &Db<'_>, text: String) -> Result<i64, StoreError> {
        if let Some(id) = self.known.get(&text) {
            return Ok(*id);
        }
        let id = db.insert_user_agent(&text, &self.user_agents.parse(&text), &self.user_agents.fingerprint()).await?;
        self.known.insert(text, id);
        Ok(id)
    }
}

/// A sequence of its own for each thing, so that the n-th looks the same however many there are.
fn rng(seed: u64, kind: u64, nth: u32) -> Rng {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (kind << 32 | u64::from(nth)));
    // Neighbouring seeds begin alike.
    rng.u64(..);
    rng
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
