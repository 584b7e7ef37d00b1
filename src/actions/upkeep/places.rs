//! Stored countries and networks follow the GeoIP files, so that filters find what the list shows.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::import::PLACES_SETTING;
use crate::store::StoreError;
use crate::store::sessions::rows::PlaceRow;

/// How many sessions are looked at in one step.
const STEP: i64 = 500;

/// Reads GeoIP files that changed, and then looks up all sessions again.
///
/// # Errors
/// As for [`refresh`].
pub async fn reload(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let geoip = std::sync::Arc::clone(&app.geoip);
    // Reading a file blocks.
    let is_changed = tokio::task::spawn_blocking(move || geoip.reload_changed()).await.unwrap_or(false);
    if is_changed { refresh(app, by).await } else { Ok(()) }
}

/// Looks all sessions up again, if what is stored came from other files than those in use.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn refresh(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let fingerprint = app.geoip.fingerprint();
    if app.store.read().find_setting(PLACES_SETTING).await?.as_deref() == Some(&fingerprint) {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows = app.store.read().list_places(after, STEP).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        let changed: Vec<PlaceRow> = rows
            .into_iter()
            .filter_map(|mut row| {
                let (country, asn) = app.geoip.country_and_asn(row.origin.ip);
                if (&country, asn) == (&row.origin.country, row.origin.asn) {
                    return None;
                }
                (row.origin.country, row.origin.asn) = (country, asn);
                Some(row)
            })
            .collect();
        if !changed.is_empty() {
            app.store
                .write(move |db| {
                    Box::pin(async move {
                        for row in &changed {
                            db.update_place(row.id, &row.origin).await?;
                        }
                        Ok::<_, StoreError>(())
                    })
                })
                .await?;
        }
    }
    app.store.write(move |db| Box::pin(async move { db.update_setting(PLACES_SETTING, &fingerprint).await })).await?;
    Ok(())
}
