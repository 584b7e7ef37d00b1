//! Tells apps that a session of theirs ended (OpenID Connect Back-Channel Logout 1.0). Each node takes notices that are due; one
//! that a node took and did not settle is taken again, so an app may be told twice, and is not left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::guard::identity::issuer;
use crate::domain::application::client::{NoticeNames, TokenAlgorithm};
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::signing::jwt;
use crate::domain::{SessionId, Timestamp, secret};
use crate::outbound::{Answer, Failure, Sender};
use crate::store::oidc::notices::{NoticeRow, Settled};

/// For how long a taken notice is this node's.
const LEASE: Duration = Duration::from_secs(60);
/// The most requests that are under way to one app, and to all of them.
const OF_AN_APP: usize = 4;
const OF_ALL: usize = 64;
/// How long a logout token is good, in seconds.
const TOKEN_LIVES: i64 = 120;
/// The waits after the first tries, in seconds; then one hour.
const WAITS: [u64; 5] = [5, 30, 120, 600, 1800];
/// The longest wait that an app can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often a notice is sent that the app calls wrong.
const WRONG_TRIES: i64 = 5;
/// After this number of failures to connect in a row, one notice tries the app, and the others wait without using up tries.
const UNREACHABLE: u32 = 5;
/// How long delivered notices and given-up ones stay.
const TOLD_STAY: Duration = Duration::from_secs(7 * 24 * 3600);
const GIVEN_UP_STAY: Duration = Duration::from_secs(90 * 24 * 3600);

/// What one node knows of an app that it tells.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// Requests under way.
    under_way: usize,
    /// Failures to connect in a row.
    failures: u32,
    /// Until when nothing is tried.
    rests_until: Timestamp,
}

/// Delivers notices.
pub struct Notices {
    sender: Arc<Sender>,
    apps: Arc<Mutex<HashMap<i64, Reach>>>,
    running: JoinSet<()>,
}

impl Notices {
    /// By the settings.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(app: &App) -> Result<Self, String> {
        let sender = Arc::new(Sender::new(&app.config.outbound)?);
        Ok(Self { sender, apps: Arc::default(), running: JoinSet::new() })
    }

    /// Begins to send what is due, and gives how many. It does not wait for the answers.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
    pub async fn begin(&mut self, app: &App, by: By<'_>) -> Result<usize, ActionError> {
        by.must_operate()?;
        while self.running.try_join_next().is_some() {}
        let (now, mut begun) = (app.clock.now(), 0);
        for application in app.store.read().list_owed_applications().await? {
            let places = self.places(application, now);
            if places == 0 {
                continue;
            }
            let (limit, until) = (i64::try_from(places).unwrap_or(1), now.plus(LEASE));
            let taken =
                app.store.write(move |db| Box::pin(async move { db.take_notices(application, limit, now, until).await })).await?;
            begun += taken.len();
            for notice in taken {
                reach(&self.apps, application, |it| it.under_way += 1);
                let (app, sender, apps) = (app.clone(), Arc::clone(&self.sender), Arc::clone(&self.apps));
                self.running.spawn(async move { tell(&app, &sender, &apps, notice).await });
            }
        }
        Ok(begun)
    }

    /// How many more requests may go to an app.
    fn places(&self, application: i64, now: Timestamp) -> usize {
        let known = reach(&self.apps, application, |it| *it);
        if known.rests_until > now {
            return 0;
        }
        let most = if known.failures >= UNREACHABLE { 1 } else { OF_AN_APP };
        most.saturating_sub(known.under_way).min(OF_ALL.saturating_sub(self.running.len()))
    }

    /// Waits for the answers to what was begun.
    pub async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

fn reach<T>(apps: &Mutex<HashMap<i64, Reach>>, application: i64, change: impl FnOnce(&mut Reach) -> T) -> T {
    change(apps.lock().unwrap_or_else(PoisonError::into_inner).entry(application).or_default())
}

async fn tell(app: &App, sender: &Sender, apps: &Mutex<HashMap<i64, Reach>>, notice: NoticeRow) {
    let answered = match token(app, &notice).await {
        Ok(token) => sender.post_form(&notice.target, format!("logout_token={token}")).await.map_err(|failure| {
            let is_unreachable = matches!(failure, Failure::Unreachable(_));
            (failure.to_string(), is_unreachable)
        }),
        Err(why) => Err((why, false)),
    };
    let now = app.clock.now();
    reach(apps, notice.application_id, |it| {
        it.under_way = it.under_way.saturating_sub(1);
        it.failures = if matches!(answered, Err((_, true))) { it.failures.saturating_add(1) } else { 0 };
        if it.failures >= UNREACHABLE {
            it.rests_until = now.plus(wait(it.failures - UNREACHABLE + 1));
        }
    });
    let (settled, said) = judge(app, &notice, answered.map_err(|(why, _)| why), now);
    if let Err(error) = settle(app, notice, settled, said, now).await {
        // The lease runs out, and the app is told again.
        tracing::warn!(%error, "it could not be noted that an app was told of an end");
    }
}

/// How long to wait after this number of tries.
fn wait(tries: u32) -> Duration {
    let nth = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    WAITS.get(nth).map_or(LONGEST_WAIT, |seconds| Duration::from_secs(*seconds))
}

/// A wait up to a fifth shorter or longer, so that many do not come at once.
fn spread(wait: Duration, id: i64) -> Duration {
    let fifths = u32::try_from(id.rem_euclid(41)).unwrap_or(0);
    wait * (80 + fifths) / 100
}

fn judge(app: &App, notice: &NoticeRow, answered: Result<Answer, String>, now: Timestamp) -> (Settled, String) {
    let said = match &answered {
        Ok(answer) => format!("the app answered {}", answer.status.as_u16()),
        Err(why) => why.clone(),
    };
    let status = answered.as_ref().map_or(0, |answer| answer.status.as_u16());
    if (200..300).contains(&status) {
        return (Settled::Delivered, said);
    }
    let is_over = now.since(notice.first_at) >= app.config.oidc.logout_retry_for;
    if is_over || (status == 400 && notice.tries >= WRONG_TRIES) {
        return (Settled::GivenUp, said);
    }
    let asked = answered.ok().filter(|_| matches!(status, 429 | 503)).and_then(|answer| answer.retry_after);
    let own = spread(wait(u32::try_from(notice.tries).unwrap_or(u32::MAX)), notice.id);
    (Settled::Again(now.plus(asked.map_or(own, |asked| asked.min(LONGEST_WAIT)))), said)
}

async fn settle(
    app: &App,
    notice: NoticeRow,
    settled: Settled,
    said: String,
    now: Timestamp,
) -> Result<(), crate::store::StoreError> {
    let tries = u64::try_from(notice.tries).unwrap_or(0);
    app.store
        .write(move |db| {
            Box::pin(async move {
                if db.settle_notice(notice.id, &settled, &said, now).await? && settled == Settled::GivenUp {
                    let content = EventContent::NoticeGivenUp { application: notice.slug, tries, error: said };
                    db.insert_events(&[content.by(&Actor::system(), now)]).await?;
                }
                Ok(())
            })
        })
        .await
}

/// The logout token of a notice, signed for this try: apps refuse one that is old, or that they have seen.
async fn token(app: &App, notice: &NoticeRow) -> Result<String, String> {
    let url = app.config.issuer_url().ok_or("http.public_url is not https any more")?;
    let now = app.clock.now();
    let has_sub = match NoticeNames::parse(&notice.names).unwrap_or_default() {
        NoticeNames::Sid => false,
        NoticeNames::Both => true,
        NoticeNames::Auto => {
            let open = app.store.read().has_client_open(notice.user_id, notice.application_id).await;
            !open.map_err(|error| error.to_string())?
        }
    };
    let jti = secret::random_uuid().map_err(|error| error.to_string())?;
    let mut claims = json!({
        "iss": issuer(url, &notice.slug), "aud": notice.client_id, "iat": now.seconds(), "exp": now.seconds() + TOKEN_LIVES,
        "jti": jti.hyphenated().to_string(), "sid": notice.session.to_string(),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    if let Some(claims) = claims.as_object_mut().filter(|_| has_sub && !notice.sub.is_empty()) {
        claims.insert("sub".to_owned(), notice.sub.as_str().into());
    }
    let keys = app.keyring.keys(&app.core).await.map_err(|error| error.to_string())?;
    let algorithm = TokenAlgorithm::parse(&notice.algorithm).unwrap_or_default();
    let key = Arc::clone(keys.signing(algorithm.into(), now).ok_or("there is no key that signs")?);
    let signed = tokio::task::spawn_blocking(move || jwt::sign(key.key(), &key.kid, "logout+jwt", &claims.to_string())).await;
    signed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// The newest notices of an application, or of a session; at most `limit`.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks.
pub async fn list(
    app: &App,
    by: By<'_>,
    slug: Option<&str>,
    session: Option<SessionId>,
    limit: i64,
) -> Result<Vec<NoticeRow>, ActionError> {
    by.must_inspect()?;
    Ok(app.store.read().list_notices(slug, session, limit).await?)
}

/// Has the notices of an application sent now that wait or were given up; gives how many.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it.
pub async fn send(app: &App, by: By<'_>, slug: &str) -> Result<u64, ActionError> {
    by.must_administer()?;
    let slug = slug.to_owned();
    Ok(app.store.write(move |db| Box::pin(async move { db.hasten_notices(&slug).await })).await?)
}

/// Drops the notices of an application that wait or were given up: the app is not told. Gives how many.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it.
pub async fn drop_all(app: &App, by: By<'_>, slug: &str) -> Result<u64, ActionError> {
    by.must_administer()?;
    let (slug, now) = (slug.to_owned(), app.clock.now());
    Ok(app.store.write(move |db| Box::pin(async move { db.drop_notices(&slug, now).await })).await?)
}

/// Removes notices whose time is over. A job calls it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn sweep(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    let (told, given_up) = (now.minus(TOLD_STAY), now.minus(GIVEN_UP_STAY));
    Ok(app.store.write(move |db| Box::pin(async move { db.delete_old_notices(told, given_up).await })).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_an_hour_and_differ_a_little() {
        assert_eq!([1, 2, 3, 4, 5, 6, 40].map(|tries| wait(tries).as_secs()), [5, 30, 120, 600, 1800, 3600, 3600]);
        let all: Vec<u64> = (0..100).map(|id| spread(Duration::from_secs(100), id).as_secs()).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&80), Some(&120)));
    }
}
