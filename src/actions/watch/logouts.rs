//! Sign-outs in authentik's event log: a session that ended there, and that a sign-out fits, was signed out of.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::PollError;
use crate::actions::watch::event_log::may_ask;
use crate::actions::watch::poller::Poller;
use crate::domain::{Address, SessionId, Timestamp};
use crate::watch::answer::SeenSignOut;
use crate::watch::{Client, SourceError};

/// How far apart the time of the sign-out and that of the end of its session may be.
const NEAR: Duration = Duration::from_secs(5);

impl Poller {
    /// Those of these sessions that their users signed out of, as far as the event log tells.
    pub(super) async fn signed_out(
        &mut self,
        app: &App,
        client: &Client,
        gone: &[SessionId],
    ) -> Result<HashSet<SessionId>, PollError> {
        if !may_ask(&self.event_log, client) {
            return Ok(HashSet::new());
        }
        let (id, alive_at) = (self.source()?.id, self.source()?.status.seen_at);
        let rows = app.store.read().list_watched(id, gone).await?;
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let answer = client.sign_outs().await;
        self.event_log.note(answer.took, matches!(answer.value, Err(SourceError::Forbidden | SourceError::Status(404))));
        tokio::time::sleep(client.source().share.pause_after(answer.took)).await;
        // The log is welcome, and the history is whole without it.
        let Ok(answer) = answer.value else { return Ok(HashSet::new()) };
        let sessions: Vec<Gone> = rows
            .into_iter()
            .map(|row| Gone {
                uuid: row.session.uuid,
                user: row.session.user_pk,
                ip: row.session.ip,
                alive_at: row.seen_at.max(alive_at),
            })
            .collect();
        let ahead = self.clock_ahead;
        let ours = |out: SeenSignOut| SeenSignOut { created: Timestamp(out.created.0.saturating_sub(ahead)), ..out };
        let sign_outs: Vec<SeenSignOut> = answer.results.into_iter().map(ours).collect();
        Ok(fitting(&sessions, &sign_outs))
    }
}

/// A session that ended.
struct Gone {
    uuid: SessionId,
    user: i64,
    ip: Address,
    /// When it was last known to be alive.
    alive_at: Timestamp,
}

/// The sessions that sign-outs fit: of the same user, from the same address, since the session was last known to be alive.
/// Where fewer sign-outs than sessions of a user and an address fit, nobody knows which it was, and none counts.
fn fitting(gone: &[Gone], sign_outs: &[SeenSignOut]) -> HashSet<SessionId> {
    let mut alike: HashMap<(i64, Address), Vec<&Gone>> = HashMap::new();
    for session in gone {
        alike.entry((session.user, session.ip)).or_default().push(session);
    }
    let fits = |out: &SeenSignOut, session: &Gone| {
        out.user == Some(session.user) && out.client_ip == Some(session.ip) && out.created >= session.alive_at.minus(NEAR)
    };
    let all = |sessions: &Vec<&Gone>| {
        let fitting = sign_outs.iter().filter(|out| sessions.iter().all(|session| fits(out, session))).count();
        fitting >= sessions.len()
    };
    alike.values().filter(|sessions| all(sessions)).flatten().map(|session| session.uuid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_out_fits_one_session_of_its_user_and_address() {
        let now = Timestamp(1_790_000_000_000_000);
        let at = |seconds: i64| Timestamp(now.0 + seconds * 1_000_000);
        let ip = |text: &str| Address::parse(text).unwrap();
        let uuid = |n: u128| SessionId(uuid::Uuid::from_u128(n));
        let gone = |n: u128, user: i64, from: &str| Gone { uuid: uuid(n), user, ip: ip(from), alive_at: now };
        let out =
            |user: i64, from: &str, seconds: i64| SeenSignOut { user: Some(user), client_ip: Some(ip(from)), created: at(seconds) };
        let found = |gone: &[Gone], outs: Vec<SeenSignOut>| {
            let mut found: Vec<u128> = fitting(gone, &outs).into_iter().map(|uuid| uuid.0.as_u128()).collect();
            found.sort_unstable();
            found
        };
        let one = || [gone(1, 7, "192.0.2.1")];
        assert_eq!(found(&one(), vec![out(7, "192.0.2.1", 3)]), [1]);
        assert_eq!(found(&one(), vec![out(7, "192.0.2.1", -4)]), [1], "within seconds");
        assert_eq!(found(&one(), vec![out(7, "192.0.2.1", -60)]), [0; 0], "it was alive since");
        assert_eq!(found(&one(), vec![out(8, "192.0.2.1", 3), out(7, "192.0.2.2", 3)]), [0; 0]);
        let two = || [gone(1, 7, "192.0.2.1"), gone(2, 7, "192.0.2.1"), gone(3, 8, "192.0.2.1")];
        assert_eq!(found(&two(), vec![out(7, "192.0.2.1", 3)]), [0; 0], "nobody knows which");
        assert_eq!(found(&two(), vec![out(7, "192.0.2.1", 3), out(7, "192.0.2.1", 4), out(8, "192.0.2.1", 1)]), [1, 2, 3]);
    }
}
