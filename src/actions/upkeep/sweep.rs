//! The sweep: ends expired sessions, and removes what was kept long enough.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::clock;
use crate::actions::sessions::end;

/// How long after its expiry a session is swept: another node may take this long to write a use of
/// it.
const GRACE: Duration = Duration::from_secs(5);

/// Ends expired sessions, and removes old end jobs, ends at a source that were settled, expired pending sign-ins and challenges, and
/// known browsers that no sign-in used for `sign_in.known_device_lifetime`. Returns how many sessions ended.
/// Does nothing while the clock is [in doubt](clock::doubt).
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written, and the next run goes on
/// where this one stopped.
pub async fn run(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    app.touches.flush(app).await?;
    if clock::doubt(app).is_some() {
        return Ok(0);
    }
    let now = app.clock.now();
    let ended = end::sweep(app, by, now.minus(GRACE)).await?;
    let known_since = now.minus(app.config.known_device_lifetime(&app.store.read().find_stored_limits().await?));
    let work = app.store.write(move |db| {
        Box::pin(async move {
            db.delete_expired_challenges(now).await?;
            db.delete_old_end_jobs(now).await?;
            db.delete_old_source_jobs(now).await?;
            db.delete_old_asked_ends(now).await?;
            db.delete_unused_known_devices(known_since).await?;
            db.delete_expired_pending_sign_ins(now).await
        })
    });
    work.await?;
    Ok(ended)
}
