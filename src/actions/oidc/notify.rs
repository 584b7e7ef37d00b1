//! Tells apps that a session of theirs ended (OpenID Connect Back-Channel Logout 1.0). Each node takes notices that are due; one
//! that a node took and did not settle is taken again, so an app may be told twice, and is not left out.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::clients::own;
use crate::actions::by::By;
use crate::actions::oidc::logout_token;
use crate::domain::Timestamp;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::oidc::notice::{LEASE, OF_AN_APP, Tried, UNREACHABLE, Verdict, judge};
use crate::metrics;
use crate::outbound::{Answer, Failure, Sender};
use crate::store::oidc::notice_queue::Outcome;
use crate::store::oidc::notices::NoticeRow;
use crate::store::{Db, StoreError};

/// The most requests of one node that are under way to all apps.
const OF_ALL: usize = 64;

/// What sends requests to apps, by the settings.
///
/// # Errors
/// When the file of certificates cannot be read, or TLS cannot be set up.
pub(super) async fn sender(app: &App) -> Result<Sender, String> {
    let (config, own) = (app.config.outbound.clone(), own(&app.config));
    tokio::task::spawn_blocking(move || Sender::new(&config, own)).await.map_err(|error| error.to_string())?
}

/// Delivers notices.
pub struct Notifier {
    sender: Arc<Sender>,
    running: JoinSet<()>,
    /// The application that was served last: the next one has its turn.
    last: i64,
    /// For each application, what its requests under way hold: how many there are is how often it is held.
    held: HashMap<i64, Arc<()>>,
}

impl Notifier {
    /// By the settings.
    ///
    /// # Errors
    /// When the file of certificates cannot be read, or TLS cannot be set up.
    pub async fn new(app: &App) -> Result<Self, String> {
        Ok(Self { sender: Arc::new(sender(app).await?), running: JoinSet::new(), last: 0, held: HashMap::new() })
    }

    /// Begins to send what is due, and gives how many. It does not wait for the answers.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
    pub async fn begin(&mut self, app: &App, by: By<'_>) -> Result<usize, ActionError> {
        by.must_operate()?;
        let (now, mut begun) = (app.clock.now(), 0);
        let mut due = app.store.read().list_due_applications(now).await?;
        due.sort_unstable();
        let turn = due.partition_point(|application| *application <= self.last);
        due.rotate_left(turn);
        self.held.retain(|_, held| Arc::strong_count(held) > 1);
        for application in due {
            let places = OF_ALL.saturating_sub(self.under_way());
            if places == 0 {
                break;
            }
            let held = Arc::clone(self.held.entry(application).or_default());
            // The table's own, and the one here.
            let own = OF_AN_APP - i64::try_from(Arc::strong_count(&held) - 2).unwrap_or(OF_AN_APP);
            if own <= 0 {
                continue;
            }
            let (limit, until) = (i64::try_from(places).unwrap_or(own).min(own), now.plus(LEASE));
            let taken =
                app.store.write(move |db| Box::pin(async move { db.take_notices(application, limit, now, until).await })).await?;
            self.last = application;
            begun += taken.len();
            for notice in taken {
                let (app, sender, held) = (app.clone(), Arc::clone(&self.sender), Arc::clone(&held));
                self.running.spawn(async move {
                    tell(&app, &sender, notice).await;
                    drop(held);
                });
            }
        }
        Ok(begun)
    }

    /// How many requests are under way.
    pub fn under_way(&mut self) -> usize {
        while self.running.try_join_next().is_some() {}
        self.running.len()
    }

    /// Waits for the answers to what was begun.
    pub async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

/// Tells an app, and notes what it came to.
async fn tell(app: &App, sender: &Sender, notice: NoticeRow) {
    let answered = match logout_token::of_notice(app, &notice).await {
        Ok(token) => sender.post_form(&notice.target, format!("logout_token={token}")).await,
        Err(why) => Err(Failure::Unsigned(why)),
    };
    metrics::count_notice(word(&answered));
    let now = app.clock.now();
    let outcome = outcome(app, &notice, &answered, now);
    if let Err(error) = settle(app, notice, outcome, now).await {
        // The lease runs out, and the app is told again.
        tracing::warn!(%error, "it could not be noted that an app was told of an end");
    }
}

/// What a try came to, as a label of metrics.
fn word(answered: &Result<Answer, Failure>) -> &'static str {
    match answered {
        Ok(answer) if answer.is_success() => "delivered",
        Ok(_) => "refused",
        Err(Failure::Refused(_)) => "forbidden",
        Err(Failure::Unreachable(_)) => "unreachable",
        Err(Failure::Lost(_) | Failure::Late) => "lost",
        Err(Failure::Unsigned(_)) => "unsigned",
    }
}

/// The same in words.
pub(super) fn said(answered: &Result<Answer, Failure>) -> String {
    match answered {
        Ok(answer) => format!("the app answered {}", answer.status),
        Err(failure) => failure.to_string(),
    }
}

fn outcome(app: &App, notice: &NoticeRow, answered: &Result<Answer, Failure>, now: Timestamp) -> Outcome {
    let tried = Tried { id: notice.id, tries: notice.tries, first_at: notice.first_at };
    let answer = answered.as_ref().ok();
    let (status, asked) = (answer.map(|it| it.status), answer.and_then(|it| it.retry_after.as_deref()));
    Outcome {
        verdict: judge(tried, status, asked, app.config.oidc.logout_retry_for, now),
        is_unreachable: matches!(answered, Err(Failure::Unreachable(_))),
        said: said(answered),
    }
}

async fn settle(app: &App, notice: NoticeRow, outcome: Outcome, now: Timestamp) -> Result<(), StoreError> {
    let too_old = now.minus(app.config.oidc.logout_retry_for);
    app.store
        .write(move |db| {
            Box::pin(async move {
                let is_noted = db.settle_notice(&notice, &outcome, now).await?;
                if is_noted && outcome.verdict == Verdict::GivenUp {
                    given_up(db, &notice, (1, notice.tries), &outcome.said, now).await?;
                }
                if outcome.is_unreachable && db.find_notice_line(notice.application_id).await?.failures >= UNREACHABLE {
                    // The others waited for this one.
                    let count = db.give_up_notices(notice.application_id, too_old, &outcome.said, now).await?;
                    if count > 0 {
                        given_up(db, &notice, (count, 0), &outcome.said, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

/// Writes the event that notices were given up: how many, and how often they were tried.
async fn given_up(
    db: &Db<'_>,
    notice: &NoticeRow,
    (count, tries): (u64, i64),
    said: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (application, error) = (notice.slug.clone(), said.to_owned());
    let content = EventContent::NoticeGivenUp { application, tries: u64::try_from(tries).unwrap_or(0), error, count };
    db.insert_events(&[content.by(&Actor::system(), now)]).await
}
