//! Polls again and again: at the period of the settings, and more rarely while the source fails.

use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::error::PollError;
use crate::actions::watch::poller::Poller;

/// The wait after a first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// How often another process looks whether the lease is free.
const LEASE_WAIT: Duration = Duration::from_secs(10);
/// The shortest wait between two polls.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Polls for ever. Returns why it cannot.
pub async fn forever(app: &App, by: By<'_>, poller: &mut Poller) -> PollError {
    if let Err(error) = by.must_operate() {
        return error.into();
    }
    let mut failures = 0;
    loop {
        let every = match &app.watched {
            Some(client) => client.source().every,
            None => return PollError::NotSet,
        };
        let began = Instant::now();
        let wait = match poller.poll(app, by).await {
            Err(error @ (PollError::NotSet | PollError::Action(ActionError::Forbidden))) => return error,
            Err(PollError::NotOurs) => LEASE_WAIT,
            Ok(()) | Err(PollError::Doubt(_)) => {
                failures = 0;
                every.saturating_sub(began.elapsed())
            }
            Err(error) => {
                if error.state().is_none() {
                    tracing::warn!(%error, "polling authentik failed; the next poll tries again");
                }
                failures += 1;
                wait_after(failures)
            }
        };
        let most = app.watched.as_ref().map_or(Duration::ZERO, |client| client.source().alert_age);
        if let Err(error) = poller.alert_of_age(app, by, most).await {
            tracing::warn!(%error, "an alert about authentik was not written; the next poll tries again");
        }
        tokio::time::sleep(wait.max(SHORTEST_WAIT)).await;
    }
}

/// How long to wait after this number of failures in a row.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_minutes() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 5, 6, 40].map(|failures| wait_after(failures).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 120, 120]);
    }
}
