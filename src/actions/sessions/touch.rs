//! Uses of sessions, gathered and written in batches: `last_used`, the address, the user agent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::core::Core;
use crate::domain::{Address, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::rows::{LiveSession, Origin, Touch};

/// The most uses in the queue; further ones are dropped.
const MOST: usize = 100_000;
/// The most uses in one transaction, so that other writers do not wait long.
const BATCH: usize = 200;

/// Uses that are not written yet.
#[derive(Default)]
pub struct Touches {
    noted: Mutex<HashMap<i64, Use>>,
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
        let mut uses = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.get(&session.id).is_some_and(|noted| !is_due(noted.at)) || uses.len() >= MOST {
            return;
        }
        uses.insert(session.id, Use { at: now, ip, user_agent: user_agent.to_owned() });
    }

    /// Writes the queued uses. Those that cannot be written now stay in the queue.
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
                let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
                for (id, kept) in uses.into_iter().chain(rest) {
                    noted.entry(id).or_insert(kept);
                }
                return Err(error);
            }
            uses = rest;
        }
        Ok(())
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
    let (text, rules) = (user_agent.to_owned(), core.user_agents.fingerprint().to_owned());
    let parser = std::sync::Arc::clone(&core.user_agents);
    // The first text compiles the rules, which takes a while.
    let parsed = tokio::task::spawn_blocking(move || (parser.parse(&text), text)).await;
    let (parsed, text) = parsed.map_err(|error| StoreError::Failed(error.to_string()))?;
    core.store.write(move |db| Box::pin(async move { db.insert_user_agent(&text, &parsed, &rules).await })).await
}
