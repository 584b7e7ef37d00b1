//! Uses of sessions, gathered and written in batches: `last_used`, the address, the user agent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::core::Core;
use crate::domain::{Address, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::rows::{LiveSession, Origin, Touch};

/// The most sessions in the queue; uses of further ones are dropped.
const MOST: usize = 100_000;
/// The most uses in one transaction, so that other writers do not wait long.
const BATCH: usize = 200;

/// Uses that are not written yet.
#[derive(Default)]
pub struct Touches {
    noted: Mutex<HashMap<i64, Use>>,
    /// Uses of app sessions.
    apps: Mutex<HashMap<i64, Timestamp>>,
    /// Held during a write: a caller that gets it knows that all earlier uses are written.
    writing: tokio::sync::Mutex<()>,
}

struct Use {
    at: Timestamp,
    ip: Address,
    user_agent: String,
}

impl Touches {
    /// Notes that a session is used now, if that is due ([`crate::domain::session::Lifetime::is_touch_due`]).
    pub fn note(&self, core: &Core, session: &LiveSession, ip: Address, user_agent: &str) {
        let now = core.clock.now();
        let is_due = |last| session.lifetime.is_touch_due(last, now, core.config.sessions.touch_interval);
        if !is_due(session.last_used_at) {
            return;
        }
        self.queue(session.id, is_due, || Use { at: now, ip, user_agent: user_agent.to_owned() });
    }

    /// Notes that an app session is used now, if the last use that was written is older than `sessions.touch_interval`.
    pub fn note_app(&self, core: &Core, app_session: i64, last: Timestamp) {
        let (now, interval) = (core.clock.now(), core.config.sessions.touch_interval);
        if interval.is_zero() || (last <= now && now.since(last) < interval) {
            return;
        }
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if apps.len() < MOST || apps.contains_key(&app_session) {
            apps.insert(app_session, now);
        }
    }

    /// Queues a use, unless the queue is full or has one of the same session after which none is
    /// due yet.
    fn queue(&self, id: i64, is_due: impl FnOnce(Timestamp) -> bool, new: impl FnOnce() -> Use) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let has_place = noted.get(&id).map_or(noted.len() < MOST, |earlier| is_due(earlier.at));
        if has_place {
            noted.insert(id, new());
        }
    }

    /// Writes the queued uses. Those that cannot be written now stay in the queue, if it has room.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn flush(&self, core: &Core) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let uses = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        let mut uses: Vec<(i64, Use)> = uses.into_iter().collect();
        uses.sort_by_key(|(id, _)| *id);
        while !uses.is_empty() {
            let rest = uses.split_off(uses.len().min(BATCH));
            if let Err(error) = write(core, &uses).await {
                self.put_back(uses.into_iter().chain(rest));
                return Err(error);
            }
            uses = rest;
        }
        let apps = std::mem::take(&mut *self.apps.lock().unwrap_or_else(PoisonError::into_inner));
        let apps: Vec<(i64, Timestamp)> = apps.into_iter().collect();
        for apps in apps.chunks(BATCH) {
            // They are shown and decide nothing; those that cannot be written are dropped.
            let apps = apps.to_vec();
            core.store.write(move |db| Box::pin(async move { db.update_app_sessions_used(&apps).await })).await?;
        }
        Ok(())
    }

    /// Queues uses again that could not be written, as far as there is room. A later use of the
    /// same session replaces them.
    fn put_back(&self, uses: impl Iterator<Item = (i64, Use)>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, kept) in uses {
            if noted.len() >= MOST {
                break;
            }
            noted.entry(id).or_insert(kept);
        }
    }
}

async fn write(core: &Core, uses: &[(i64, Use)]) -> Result<(), StoreError> {
    let mut touches = Vec::with_capacity(uses.len());
    for (id, seen) in uses {
        let origin = origin_of(core, seen.ip, user_agent_key(core, &seen.user_agent).await?);
        touches.push(Touch { id: *id, at: seen.at, origin });
    }
    core.store.write(move |db| Box::pin(async move { db.update_touched(&touches).await })).await
}

/// What is stored of an address and a user agent at a sign-in. A new user agent is added to the
/// dictionary; the key of a known one comes from the cache ([`crate::core::agents::Agents::key`]).
pub(in crate::actions) async fn origin(core: &Core, ip: Address, user_agent: &str) -> Result<Origin, StoreError> {
    if let Some(key) = core.user_agents.key(user_agent) {
        return Ok(origin_of(core, ip, key));
    }
    let key = user_agent_key(core, user_agent).await?;
    core.user_agents.learn_key(user_agent, key);
    Ok(origin_of(core, ip, key))
}

fn origin_of(core: &Core, ip: Address, user_agent_id: i64) -> Origin {
    let (country, asn) = core.geoip.country_and_asn(ip);
    Origin { ip, user_agent_id, country, asn }
}

async fn user_agent_key(core: &Core, user_agent: &str) -> Result<i64, StoreError> {
    if let Some(key) = core.store.read().find_user_agent_id(user_agent).await? {
        return Ok(key);
    }
    let (text, rules) = (user_agent.to_owned(), core.user_agents.fingerprint());
    let parser = std::sync::Arc::clone(&core.user_agents);
    // The first text compiles the rules, which takes a while.
    let parsed = tokio::task::spawn_blocking(move || (parser.parse(&text), text)).await;
    let (parsed, text) = parsed.map_err(|error| StoreError::Failed(error.to_string()))?;
    core.store.write(move |db| Box::pin(async move { db.insert_user_agent(&text, &parsed, &rules).await })).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses of the sessions with these keys, all at one time.
    fn uses(ids: std::ops::Range<i64>, at: i64) -> impl Iterator<Item = (i64, Use)> {
        let ip = Address::parse("192.0.2.7").unwrap();
        ids.map(move |id| (id, Use { at: Timestamp(at), ip, user_agent: String::new() }))
    }

    #[test]
    fn uses_of_more_sessions_than_the_bound_are_not_noted() {
        let most = i64::try_from(MOST).unwrap();
        let touches = Touches::default();
        let queue = |id: i64, at: i64, is_due: bool| {
            let (_, new) = uses(id..id + 1, at).next().unwrap();
            touches.queue(id, |_| is_due, || new);
        };
        (0..=most).for_each(|id| queue(id, 1, true));
        queue(0, 2, true);
        queue(1, 2, false);
        let noted = touches.noted.lock().unwrap();
        let at = |id: i64| noted.get(&id).map(|noted| noted.at.0);
        assert_eq!(noted.len(), MOST);
        assert_eq!((at(most - 1), at(most)), (Some(1), None), "the newest is dropped");
        assert_eq!((at(0), at(1)), (Some(2), Some(1)), "a noted session keeps its place");
    }

    #[test]
    fn uses_that_could_not_be_written_do_not_make_the_queue_longer_than_its_bound() {
        let most = i64::try_from(MOST).unwrap();
        let touches = Touches::default();
        // Noted while older ones were written, which failed.
        touches.noted.lock().unwrap().extend(uses(0..most - 10, 2));
        touches.put_back(uses(most - 15..most + 85, 1));
        let noted = touches.noted.lock().unwrap();
        assert_eq!(noted.len(), MOST);
        let at = |id: i64| noted.get(&id).map(|noted| noted.at.0);
        assert_eq!((at(most - 11), at(most - 10), at(most - 1), at(most)), (Some(2), Some(1), Some(1), None));
    }
}
