//! Signed identities that are held for a while: in a file that imports nothing of the actions, since the application's state
//! has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::Timestamp;

/// How long a signed identity is sent again.
const USED: Duration = Duration::from_secs(30);
/// The most that are held. One has some 700 bytes.
const MOST: usize = 20_000;

/// A signed identity.
#[derive(Debug)]
pub(in crate::actions) struct Signed {
    /// When it was signed.
    pub at: Timestamp,
    /// By which key.
    pub kid: String,
    /// What it says, its times aside.
    pub claims: String,
    /// The token.
    pub token: Arc<str>,
}

/// Those that were signed lately, by credential and application.
#[derive(Debug, Default)]
pub struct Identities(Mutex<HashMap<Place, Signed>>);

/// The number of a credential, and the primary key of the application.
pub(in crate::actions) type Place = (u128, i64);

impl Identities {
    /// One that says this, was signed by this key, and has half of its life before it.
    pub(in crate::actions) fn find(&self, place: Place, claims: &str, kid: &str, now: Timestamp) -> Option<Arc<str>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = held.get(&place)?;
        let is_same = signed.claims == claims && signed.kid == kid && is_fresh(signed.at, now);
        is_same.then(|| Arc::clone(&signed.token))
    }

    /// Keeps one in place of the last.
    pub(in crate::actions) fn keep(&self, place: Place, signed: Signed) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST {
            let now = signed.at;
            held.retain(|_, known| is_fresh(known.at, now));
            if held.len() >= MOST {
                held.clear();
            }
        }
        held.insert(place, signed);
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.since(at) < USED
}
