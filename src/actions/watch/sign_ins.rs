//! Sign-ins in authentik's event log: how a session that began there was signed in to, where one fits.

use std::collections::HashMap;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::PollError;
use crate::actions::watch::event_log::may_ask;
use crate::actions::watch::poller::Poller;
use crate::domain::{Address, SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::watch::sessions::WatchedSignIn;
use crate::watch::answer::SeenSignIn;
use crate::watch::{Client, SourceError};

/// How far apart the clocks of authentik's parts may be.
const NEAR: Duration = Duration::from_secs(5);

impl Poller {
    /// Finds out how the sessions that this poll saw for the first time were signed in to, as far as the event log tells.
    /// They began after `since`.
    pub(super) async fn match_sign_ins(&mut self, app: &App, client: &Client, since: Timestamp) -> Result<(), PollError> {
        let began = std::mem::take(&mut self.began);
        if began.is_empty() || !may_ask(&self.event_log, client) {
            return Ok(());
        }
        let source = self.source()?.clone();
        let rows = app.store.read().list_watched(source.id, &began).await?;
        let answer = client.sign_ins().await;
        self.event_log.note(answer.took, matches!(answer.value, Err(SourceError::Forbidden | SourceError::Status(404))));
        tokio::time::sleep(client.source().share.pause_after(answer.took)).await;
        // The log is welcome, and the copy is whole without it.
        let Ok(answer) = answer.value else { return Ok(()) };
        self.identify(app, client).await?;
        let sessions: Vec<Began> = rows
            .into_iter()
            .map(|row| Began {
                uuid: row.session.uuid,
                user: row.session.user_pk,
                ip: row.session.ip,
                agent: row.session.user_agent,
            })
            .collect();
        let (ahead, since) = (self.clock_ahead, since.minus(NEAR));
        let is_since = |seen: &SeenSignIn| Timestamp(seen.created.0.saturating_sub(ahead)) >= since;
        let sign_ins: Vec<SeenSignIn> = answer.results.into_iter().filter(is_since).collect();
        let found = fitting(&sessions, &sign_ins);
        if found.is_empty() {
            return Ok(());
        }
        let written: Result<(), StoreError> = app
            .store
            .write(move |db| {
                Box::pin(async move {
                    let is_same = db.lock_source(&source).await?;
                    if is_same { db.keep_sign_ins(source.id, &found).await } else { Ok(()) }
                })
            })
            .await;
        Ok(written?)
    }
}

/// A session that began.
struct Began {
    uuid: SessionId,
    user: i64,
    ip: Address,
    agent: String,
}

/// The sessions that a sign-in fits: of the same user, from the same address, with the same user agent. Where several
/// sessions or several sign-ins are alike, nobody knows which belong together, and none counts.
fn fitting(began: &[Began], sign_ins: &[SeenSignIn]) -> Vec<(SessionId, WatchedSignIn)> {
    let mut alike: HashMap<(i64, Address, &str), Vec<&Began>> = HashMap::new();
    for session in began {
        alike.entry((session.user, session.ip, session.agent.as_str())).or_default().push(session);
    }
    let one = |((user, ip, agent), sessions): ((i64, Address, &str), Vec<&Began>)| {
        let fits = |seen: &&SeenSignIn| {
            (seen.user, seen.client_ip, seen.context.user_agent.as_deref()) == (Some(user), Some(ip), Some(agent))
        };
        let (mut fitting, [session]) = (sign_ins.iter().filter(fits), sessions.as_slice()) else { return None };
        let (Some(seen), None) = (fitting.next(), fitting.next()) else { return None };
        let (method, is_known_device) = (seen.context.method.clone(), seen.context.is_known_device);
        Some((session.uuid, WatchedSignIn { at: seen.created, method, is_known_device }))
    };
    alike.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::answer::SeenProof;

    #[test]
    fn a_sign_in_fits_the_one_session_of_its_user_address_and_user_agent() {
        let ip = |text: &str| Address::parse(text).unwrap();
        let began = |n: u128, user: i64, from: &str, agent: &str| Began {
            uuid: SessionId(uuid::Uuid::from_u128(n)),
            user,
            ip: ip(from),
            agent: agent.to_owned(),
        };
        let seen = |user: i64, from: &str, agent: &str| SeenSignIn {
            user: Some(user),
            client_ip: Some(ip(from)),
            created: Timestamp(1),
            context: SeenProof { user_agent: Some(agent.to_owned()), method: "password".into(), is_known_device: None },
        };
        let found = |began: &[Began], seen: &[SeenSignIn]| {
            let mut found: Vec<u128> = fitting(began, seen).into_iter().map(|(uuid, _)| uuid.0.as_u128()).collect();
            found.sort_unstable();
            found
        };
        let one = || [began(1, 7, "192.0.2.1", "curl")];
        assert_eq!(found(&one(), &[seen(7, "192.0.2.1", "curl")]), [1]);
        for other in [seen(8, "192.0.2.1", "curl"), seen(7, "192.0.2.2", "curl"), seen(7, "192.0.2.1", "wget")] {
            assert_eq!(found(&one(), &[other]), [0; 0]);
        }
        let silent = SeenSignIn { context: SeenProof::default(), ..seen(7, "192.0.2.1", "curl") };
        assert_eq!(found(&one(), &[silent]), [0; 0]);
        assert_eq!(found(&one(), &[seen(7, "192.0.2.1", "curl"), seen(7, "192.0.2.1", "curl")]), [0; 0], "nobody knows which");
        let two = [began(1, 7, "192.0.2.1", "curl"), began(2, 7, "192.0.2.1", "curl"), began(3, 8, "192.0.2.1", "curl")];
        let all = [seen(7, "192.0.2.1", "curl"), seen(7, "192.0.2.1", "curl"), seen(8, "192.0.2.1", "curl")];
        assert_eq!(found(&two, &all), [3]);
    }
}
