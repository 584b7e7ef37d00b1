//! Alerts about sessions at the watched authentik: which ones, judged by what is known of their users. An alert is an event and
//! a count; it changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::actions::app::App;
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, SourceAlert};
use crate::domain::travel::{Coordinates, is_too_far};
use crate::domain::{Address, SessionId, Timestamp, UserKey, country};
use crate::metrics;
use crate::store::events::rows::NewEvent;
use crate::store::watch::alerts::PastSession;
use crate::store::watch::sessions::WatchedSession;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};

/// The event of an alert, which is counted; `about` is a user by primary key and name, or `None`: the source as a whole.
pub(super) fn event(
    source: &SourceRow,
    alert: SourceAlert,
    detail: String,
    about: Option<(i64, &str)>,
    now: Timestamp,
) -> NewEvent {
    metrics::count_source_alert(alert.as_str());
    let content = EventContent::SourceAlert { source: source.name.clone(), alert, detail };
    let event = content.by(&Actor::system(), now);
    match about {
        Some((pk, name)) => NewEvent { user: Some(UserKey::Uuid(source.user_uuid(pk))), username: name.to_owned(), ..event },
        None => event,
    }
}

/// What the source showed, next to what the copy knew before.
pub(super) struct Seen<'a> {
    pub app: &'a App,
    pub source: &'a SourceRow,
    /// Sessions that are new or changed, each with the key of its user agent.
    pub rows: &'a [(WatchedSession, i64)],
    /// What the copy has of them so far.
    pub known: &'a HashMap<SessionId, WatchedSession>,
    /// How many sessions a user may have; 0: any number.
    pub most: u32,
    pub now: Timestamp,
}

impl Seen<'_> {
    fn is_new(&self, session: &WatchedSession) -> bool {
        !self.known.contains_key(&session.uuid)
    }

    /// Whether a session came to another address.
    fn is_moved(&self, session: &WatchedSession) -> bool {
        self.known.get(&session.uuid).is_some_and(|known| known.ip != session.ip)
    }

    /// The alerts about these sessions, inside the transaction that writes them, before it does.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn alerts(&self, db: &Db<'_>) -> Result<Vec<NewEvent>, StoreError> {
        let mut of_user: BTreeMap<i64, Vec<&(WatchedSession, i64)>> = BTreeMap::new();
        for row in self.rows.iter().filter(|(session, _)| self.is_new(session) || self.is_moved(session)) {
            of_user.entry(row.0.user_pk).or_default().push(row);
        }
        let mut events = Vec::new();
        for (pk, rows) in of_user {
            events.extend(self.alerts_of(db, pk, &rows).await?);
        }
        Ok(events)
    }

    /// The alerts about sessions of one user.
    async fn alerts_of(&self, db: &Db<'_>, pk: i64, rows: &[&(WatchedSession, i64)]) -> Result<Vec<NewEvent>, StoreError> {
        let user = db.find_source_user(self.source.id, pk).await?;
        let is_superuser = user.as_ref().is_some_and(|user| user.is_superuser);
        let name = user.map_or_else(|| format!("user {pk}"), |user| user.username);
        let about = Some((pk, name.as_str()));
        let mut events = Vec::new();
        let new = rows.iter().filter(|(session, _)| self.is_new(session)).count();
        let count = db.count_watched_of(self.source.id, pk).await?;
        let (most, after) = (i64::from(self.most), count + i64::try_from(new).unwrap_or(0));
        if most > 0 && count <= most && after > most {
            events.push(event(self.source, SourceAlert::ManySessions, format!("{after} sessions"), about, self.now));
        }
        let mut past = db.list_past_of(self.source, pk).await?;
        for (session, user_agent) in rows {
            let device = db.find_device(*user_agent).await?;
            let mut told = Vec::new();
            if self.is_new(session) && !past.is_empty() {
                told.extend(new_place(session, &past));
                told.extend(new_device(&device, &past).filter(|_| is_superuser));
            }
            told.extend(self.too_far(session, &past));
            events.extend(
                told.into_iter().map(|(alert, detail)| event(self.source, alert, detail, about, self.now).of_session(session.uuid)),
            );
            let (country, asn, ip, used_at) = (session.country.clone(), session.asn, session.ip, session.last_used_at);
            past.push(PastSession { country, asn, ip, used_at, device });
        }
        Ok(events)
    }

    /// A session that is so far from another of the same user that nobody travels there in the time between their uses.
    fn too_far(&self, session: &WatchedSession, past: &[PastSession]) -> Option<(SourceAlert, String)> {
        let here = coordinates(self.app, session.ip)?;
        past.iter().filter(|other| other.ip != session.ip).find_map(|other| {
            let there = coordinates(self.app, other.ip)?;
            let (kilometres, between) = (here.kilometres_to(there), apart(session.last_used_at, other.used_at));
            is_too_far(kilometres, between).then(|| {
                let place = |ip: Address| self.app.geoip.place(ip).map(|place| place.describe()).unwrap_or_default();
                let between = humantime::format_duration(Duration::from_secs(between.as_secs()));
                let detail = format!("{} and {}, {kilometres:.0} km within {between}", place(other.ip), place(session.ip));
                (SourceAlert::TooFar, detail)
            })
        })
    }
}

/// The time between two instants, whichever comes first.
fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

fn coordinates(app: &App, ip: Address) -> Option<Coordinates> {
    let place = app.geoip.place(ip)?;
    Some(Coordinates { latitude: place.latitude?, longitude: place.longitude? })
}

/// The country, else the network, of a new session, where none of its user's sessions was there.
fn new_place(session: &WatchedSession, past: &[PastSession]) -> Option<(SourceAlert, String)> {
    if !session.country.is_empty() && !past.iter().any(|known| known.country == session.country) {
        return Some((SourceAlert::NewCountry, country::name(&session.country).to_owned()));
    }
    let asn = session.asn.filter(|asn| !past.iter().any(|known| known.asn == Some(*asn)))?;
    Some((SourceAlert::NewNetwork, format!("AS{asn}")))
}

/// The browser and the system of a new session, where none of its user's sessions had both.
fn new_device(device: &(String, String), past: &[PastSession]) -> Option<(SourceAlert, String)> {
    let is_known = past.iter().any(|known| known.device == *device);
    (!is_known).then(|| (SourceAlert::NewDevice, format!("{} on {}", device.0, device.1)))
}
