//! Alerts about what happens at the watched authentik. An alert is an event and a count; it changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::error::PollError;
use crate::actions::watch::poller::Poller;
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, SourceAlert};
use crate::domain::source::are_many;
use crate::domain::{Timestamp, UserKey, country};
use crate::metrics;
use crate::store::events::rows::NewEvent;
use crate::store::watch::sessions::WatchedSession;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};

/// What an alert is about: a user by primary key and name, or the source as a whole.
struct About<'a>(Option<(i64, &'a str)>);

fn event(source: &SourceRow, alert: SourceAlert, detail: String, about: &About<'_>, now: Timestamp) -> NewEvent {
    metrics::count_source_alert(alert.as_str());
    let content = EventContent::SourceAlert { source: source.name.clone(), alert, detail };
    let event = content.by(&Actor::system(), now);
    match about.0 {
        Some((pk, name)) => NewEvent { user: Some(UserKey::Uuid(source.id.user_uuid(pk))), username: name.to_owned(), ..event },
        None => event,
    }
}

/// The alerts about sessions that are new to the copy, inside the transaction that writes them, before it does.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn of_new(
    db: &Db<'_>,
    source: &SourceRow,
    new: &[&WatchedSession],
    most: u32,
    now: Timestamp,
) -> Result<Vec<NewEvent>, StoreError> {
    let mut events = Vec::new();
    let mut of_user: BTreeMap<i64, Vec<&WatchedSession>> = BTreeMap::new();
    for session in new {
        of_user.entry(session.user_pk).or_default().push(session);
    }
    for (pk, sessions) in of_user {
        let (count, name) = db.count_watched_of(source.id, pk).await?;
        let name = name.unwrap_or_else(|| format!("user {pk}"));
        let about = About(Some((pk, &name)));
        let (most, after) = (i64::from(most), count + i64::try_from(sessions.len()).unwrap_or(0));
        if most > 0 && count <= most && after > most {
            events.push(event(source, SourceAlert::ManySessions, format!("{after} sessions"), &about, now));
        }
        let mut places = db.list_places_of(source.id, pk).await?;
        for session in sessions {
            let asn = session.asn.unwrap_or(0);
            if !places.is_empty() {
                let is_new_country = !session.country.is_empty() && !places.iter().any(|(known, _)| *known == session.country);
                let is_new_network = asn != 0 && !places.iter().any(|(_, known)| *known == asn);
                let found = match (is_new_country, is_new_network) {
                    (true, _) => Some((SourceAlert::NewCountry, country::name(&session.country).to_owned())),
                    (false, true) => Some((SourceAlert::NewNetwork, format!("AS{asn}"))),
                    (false, false) => None,
                };
                events.extend(found.map(|(alert, detail)| event(source, alert, detail, &about, now).of_session(session.uuid)));
            }
            places.push((session.country.clone(), asn));
        }
    }
    Ok(events)
}

impl Poller {
    /// Tells when many sessions are new in one poll.
    pub(super) async fn alert_of_many_new(&mut self, app: &App) -> Result<(), PollError> {
        let new = std::mem::take(&mut self.new_in_poll);
        let before = app.store.read().count_watched(self.source()?.id).await?.saturating_sub(i64::try_from(new).unwrap_or(0));
        if !are_many(new, usize::try_from(before).unwrap_or(0)) {
            return Ok(());
        }
        self.alert(app, SourceAlert::ManyNew, format!("{new} sessions are new at once, and there were {before} before")).await
    }

    /// Tells once that the copy is old, until it is fresh again.
    ///
    /// # Errors
    /// [`PollError::Action`] for callers of the server; when the database does not answer.
    pub async fn alert_of_age(&mut self, app: &App, by: By<'_>, most: Duration) -> Result<(), PollError> {
        by.must_operate()?;
        let Some(source) = &self.source else { return Ok(()) };
        let (seen_at, detail) = (source.status.seen_at, source.status.detail.clone());
        let age = app.clock.now().since(seen_at);
        if self.was_told_old || most.is_zero() || seen_at == Timestamp(0) || age <= most {
            return Ok(());
        }
        self.was_told_old = true;
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        self.alert(app, SourceAlert::OldCopy, format!("the copy is {age} old. {detail}").trim_end().to_owned()).await
    }

    /// Writes an alert about the source as a whole.
    pub(super) async fn alert(&mut self, app: &App, alert: SourceAlert, detail: String) -> Result<(), PollError> {
        let event = event(self.source()?, alert, detail, &About(None), app.clock.now());
        let written: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await;
        Ok(written?)
    }
}
