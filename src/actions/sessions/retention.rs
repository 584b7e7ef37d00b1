//! Addresses are kept for `privacy.address_retention`. After that time the address of a session (by its
//! last use), an ended session or an event is cut, or cleared.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::clock;
use crate::domain::{Address, Timestamp};
use crate::store::sessions::addresses::{OldAddress, Step};
use crate::store::{BoxFuture, Db, StoreError};

/// How many rows one transaction processes, so that other writers do not wait long.
const STEP: i64 = 500;
/// How far before the end of the last run the next one begins, so that rows that were committed
/// late are not missed.
const OVERLAP: Duration = Duration::from_secs(600);

/// The setting that says up to which time addresses have been removed, and how. An import deletes
/// it, since it may bring older ones.
pub const ADDRESSES_SETTING: &str = "addresses";

/// The setting that exists while overwritten data may still be in the WAL.
pub const LEFTOVERS_SETTING: &str = "leftovers";

/// The address of a session that was last used at `used`, as it may be kept now.
pub(in crate::actions) fn keepable(app: &App, ip: Address, used: Timestamp) -> Address {
    let retention = app.config.privacy.address_retention;
    let is_old = !retention.is_zero() && used < app.clock.now().minus(retention);
    if is_old { rest(app, ip) } else { ip }
}

/// The form to which an address is reduced when its retention ends.
fn rest(app: &App, ip: Address) -> Address {
    if app.config.privacy.address_cut { ip.cut() } else { Address::UNKNOWN }
}

/// Removes addresses whose retention has ended, and returns how many rows had one. Does nothing
/// while the clock is [in doubt](clock::doubt).
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn fade(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let retention = app.config.privacy.address_retention;
    if retention.is_zero() || clock::doubt(app).is_some() {
        return Ok(0);
    }
    let before = app.clock.now().minus(retention);
    let how = if app.config.privacy.address_cut { "cut" } else { "cleared" };
    let done = app.store.read().find_setting(ADDRESSES_SETTING).await?.unwrap_or_default();
    let done = done.split_once(' ').filter(|(word, _)| *word == how).and_then(|(_, micros)| micros.parse().ok());
    let from = done.map_or(Timestamp(i64::MIN), |micros| Timestamp(micros).minus(OVERLAP));
    let mut faded = 0;
    for table in [fade_sessions, fade_watched, fade_ended_sessions, fade_events] {
        let mut after = Some((from, 0));
        while let Some(step) = after {
            let app_too = app.clone();
            let turn = app.store.write(move |db| {
                Box::pin(async move {
                    let turn = table(app_too, db, step, before).await?;
                    if turn.0 > 0 {
                        db.update_setting(LEFTOVERS_SETTING, "yes").await?;
                    }
                    Ok::<_, StoreError>(turn)
                })
            });
            let (count, next) = turn.await?;
            faded += count;
            after = next;
        }
    }
    if done != Some(before.0) {
        let done = format!("{how} {}", before.0);
        app.store.write(move |db| Box::pin(async move { db.update_setting(ADDRESSES_SETTING, &done).await })).await?;
    }
    Ok(faded)
}

/// Empties the WAL, if overwritten data may still be in it. Returns whether none is left there.
///
/// # Errors
/// When the database does not answer; the next run tries again.
pub async fn clear_leftovers(app: &App, by: By<'_>) -> Result<bool, ActionError> {
    by.must_operate()?;
    if app.store.read().find_setting(LEFTOVERS_SETTING).await?.is_none_or(|value| value.is_empty()) {
        return Ok(true);
    }
    if !app.store.shorten_log().await? {
        return Ok(false);
    }
    app.store.write(|db| Box::pin(async move { db.update_setting(LEFTOVERS_SETTING, "").await })).await?;
    Ok(true)
}

/// The result of one transaction: how many addresses it removed, and where to continue, if there is
/// more.
type Turn = (u64, Option<Step>);

fn turn<A>(rows: &[OldAddress<A>], faded: u64) -> Turn {
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == STEP);
    (faded, rows.last().filter(|_| is_full).map(|row| (row.at, row.id)))
}

fn fade_sessions<'t>(app: App, db: &'t Db<'t>, after: Step, before: Timestamp) -> BoxFuture<'t, Result<Turn, StoreError>> {
    Box::pin(async move {
        let rows = db.list_old_sessions(after, before, STEP).await?;
        let mut faded = 0;
        for row in &rows {
            // A session whose address is cleared is bound to the next address it is used from; one
            // whose address is cut stays bound.
            let proved_ip = row.proved_ip.map(|ip| rest(&app, ip)).filter(|ip| *ip != Address::UNKNOWN);
            let ip = rest(&app, row.ip);
            if (ip, proved_ip) == (row.ip, row.proved_ip) {
                continue;
            }
            let (country, asn) = app.geoip.country_and_asn(ip);
            db.update_old_session(row, (ip, &country, asn), proved_ip).await?;
            faded += 1;
        }
        Ok(turn(&rows, faded))
    })
}

fn fade_watched<'t>(app: App, db: &'t Db<'t>, after: Step, before: Timestamp) -> BoxFuture<'t, Result<Turn, StoreError>> {
    Box::pin(async move {
        let rows = db.list_old_watched(after, before, STEP).await?;
        let mut faded = 0;
        for row in &rows {
            let ip = rest(&app, row.ip);
            if ip != row.ip {
                let (country, asn) = app.geoip.country_and_asn(ip);
                db.update_old_watched(row.id, ip, (&country, asn)).await?;
                faded += 1;
            }
        }
        Ok(turn(&rows, faded))
    })
}

fn fade_ended_sessions<'t>(app: App, db: &'t Db<'t>, after: Step, before: Timestamp) -> BoxFuture<'t, Result<Turn, StoreError>> {
    Box::pin(async move {
        let rows = db.list_old_ended_sessions(after, before, STEP).await?;
        let mut faded = 0;
        for row in &rows {
            let ip = rest(&app, row.ip);
            if ip != row.ip {
                let (country, asn) = app.geoip.country_and_asn(ip);
                db.update_old_ended_session(row.id, ip, (&country, asn)).await?;
                faded += 1;
            }
        }
        Ok(turn(&rows, faded))
    })
}

fn fade_events<'t>(app: App, db: &'t Db<'t>, after: Step, before: Timestamp) -> BoxFuture<'t, Result<Turn, StoreError>> {
    Box::pin(async move {
        let rows = db.list_old_events(after, before, STEP).await?;
        let mut faded = 0;
        for row in rows.iter().filter(|row| !row.ip.is_empty()) {
            let ip = Address::parse(&row.ip).map(|ip| rest(&app, ip)).filter(|ip| *ip != Address::UNKNOWN);
            let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
            if ip != row.ip {
                db.update_old_event(row.id, &ip).await?;
                faded += 1;
            }
        }
        Ok(turn(&rows, faded))
    })
}

/// How many rows one transaction deletes, so that other writers do not wait long.
const PURGE_STEP: i64 = 500;

/// Deletes sessions that ended longer ago than `history.retention`, and returns how many. Does
/// nothing while the clock is [in doubt](clock::doubt).
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn purge(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let retention = app.config.history.retention;
    if retention.is_zero() || clock::doubt(app).is_some() {
        return Ok(0);
    }
    let before = app.clock.now().minus(retention);
    let mut purged = 0;
    loop {
        let gone = app.store.write(move |db| Box::pin(async move { db.delete_ended_sessions(before, PURGE_STEP).await })).await?;
        purged += gone;
        if gone < PURGE_STEP.unsigned_abs() {
            app.store.write(|db| Box::pin(async move { db.delete_unused_names().await })).await?;
            return Ok(purged);
        }
    }
}

/// Forgets events that happened longer ago than `history.event_retention`, the oldest first, and gives how many. Does
/// nothing while the clock is [in doubt](clock::doubt).
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn purge_events(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let retention = app.config.history.event_retention;
    if retention.is_zero() || clock::doubt(app).is_some() {
        return Ok(0);
    }
    let before = app.clock.now().minus(retention);
    let mut purged = 0;
    loop {
        let gone = app.store.write(move |db| Box::pin(async move { db.delete_oldest_events(before, PURGE_STEP).await })).await?;
        purged += gone;
        if gone < PURGE_STEP.unsigned_abs() {
            return Ok(purged);
        }
    }
}
