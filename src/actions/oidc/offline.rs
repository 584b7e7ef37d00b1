//! Sessions that apps keep of their users (`offline_access` as a session of its own): rows like all others, listed under the
//! user, ended by their owner, an administrator, a new password or their own time, and not by signing out of the browser.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::oidc::redeem::{Redeemed, no_randomness};
use crate::domain::session::{Lifetime, SessionKind, check_label};
use crate::domain::{PlainSecret, SessionId, Timestamp};
use crate::store::sessions::rows::{LiveSession, NewSession, Origin};
use crate::store::{Db, StoreError};

/// Begins the session that an app keeps of the user of this one, in the transaction that redeems a code. Nobody is told its
/// key, so no cookie opens it.
pub(super) async fn begin(
    db: &Db<'_>,
    app: &App,
    of: Redeemed<'_>,
    session: &LiveSession,
    now: Timestamp,
) -> Result<LiveSession, StoreError> {
    let gone = || StoreError::Corrupt("a session that is locked and is not there");
    let known = db.find_session(session.uuid).await?.ok_or_else(gone)?;
    let (country, asn) = app.geoip.country_and_asn(known.last_ip);
    let (key, uuid) = (PlainSecret::generate().map_err(no_randomness)?, SessionId::generate(now).map_err(no_randomness)?);
    let seconds = |seconds: u64| Duration::from_secs(seconds);
    let lifetime = Lifetime {
        // An app that does not refresh for so long cannot refresh any more.
        idle_timeout: Some(seconds(of.client.refresh_lifetime)),
        absolute_expires_at: now.plus(seconds(of.client.offline_lifetime)),
    };
    let new = NewSession {
        uuid,
        key_hash: key.hash(),
        user: session.user_id,
        created_at: now,
        last_used_at: now,
        lifetime,
        origin: Origin { ip: known.last_ip, user_agent_id: known.user_agent_id, country, asn },
        methods: session.methods,
        is_known_device: true,
        is_remembered: false,
    };
    db.insert_session(&new).await?;
    let label = check_label(&of.application.name).unwrap_or_else(|_| of.application.slug.clone());
    db.update_kind(uuid, SessionKind::Offline, &label).await?;
    let id = db.find_session_row_id(uuid).await?.ok_or_else(gone)?;
    db.find_live_session_by_id(id, now).await?.ok_or_else(gone)
}
