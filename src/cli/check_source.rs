//! What `rollcall check` says of a watched authentik. It only reads.

use std::time::Duration;

use crate::actions::watch::accept::{Instance, compare};
use crate::cli::Outcome;
use crate::cli::check::Report;
use crate::config::{Config, Location};
use crate::domain::source::{NAME, ends_doubted};
use crate::domain::{Clock, Timestamp};
use crate::store::Store;
use crate::watch::answer::SeenOwner;
use crate::watch::call::{Order, PAGE_SIZE};
use crate::watch::{Client, SourceError, Timed};

/// The line of a report.
const WHAT: &str = "authentik";

/// Tests the address, the version, the token's owner, what the token sees, and the size of a page.
pub(super) async fn run(config: &Config, report: &mut Report) -> Outcome {
    let Some(watched) = config.watched.clone() else { return Ok(()) };
    if config.authentik.secret_key.is_some() {
        let cure = "Unset it unless sessions were imported from that authentik and their cookies shall open Rollcall.";
        Report::warn(WHAT, "authentik.secret_key is set, and watching an authentik does not need it", cure)?;
    }
    let (origin, allow_superuser) = (watched.url.origin().to_owned(), watched.allow_superuser);
    let client = match Client::new(watched) {
        Ok(client) => client,
        Err(error) => return report.bad(WHAT, &error.to_string(), "Look at the certificates of this machine."),
    };
    let Timed { value: owner, date, .. } = client.owner().await;
    let owner = match owner {
        Ok(owner) => owner,
        Err(error) => return report.bad(WHAT, &format!("{origin}: {error}"), cure(&error)),
    };
    if owner.is_superuser && !allow_superuser {
        let cure = "Make a service account with a role that has authentik_core.view_authenticatedsession and \
            authentik_core.view_user, and a token of it with expiring: false; or set authentik.allow_superuser.";
        return report.bad(
            WHAT,
            &format!("the token belongs to the superuser {}, who may change everything", owner.username),
            cure,
        );
    }
    let version = client.version().await.value;
    let said = version.as_deref().unwrap_or("an unknown version");
    Report::good(WHAT, &format!("{origin} answers as {said}; the token belongs to {}", owner.username))?;
    if let Some(doubt) = version.ok().map(|version| ends_doubted(&version)).filter(|doubt| !doubt.is_empty()) {
        Report::warn(WHAT, "an end of a session at this version may not hold", doubt)?;
    }
    clock(date)?;
    copy(config, &client, &owner).await?;
    match client.users(1).await.value {
        Ok(_) => {}
        Err(SourceError::Forbidden) => {
            let cure = "Give the token's owner a role with the permission authentik_core.view_user; without it, users are numbers.";
            Report::warn(WHAT, "the token may not see users", cure)?;
        }
        Err(error) => report.bad(WHAT, &format!("the list of users: {error}"), cure(&error))?,
    }
    match client.sessions(Order::Uuid, 1, PAGE_SIZE).await.value {
        Err(error) => report.bad(WHAT, &format!("the list of sessions: {error}"), cure(&error)),
        Ok(page) if page.results.iter().all(|session| session.user == owner.pk) => {
            let cure = "If others are signed in to authentik, give the token's owner a role with the permission \
                authentik_core.view_authenticatedsession.";
            Report::warn(WHAT, "the token sees no session of another user", cure)
        }
        Ok(page) => {
            let (count, shown) = (page.pagination.count, page.results.len());
            Report::good(WHAT, &format!("the token sees {count} sessions, {shown} in the first page"))?;
            let (count, shown) = (usize::try_from(count).unwrap_or(usize::MAX), shown.max(1));
            let full = usize::try_from(PAGE_SIZE).unwrap_or(100);
            if count > shown && shown < full {
                let cure = "Raise the maximum page size in authentik's system settings to 100: fewer requests read the same.";
                Report::warn(WHAT, &format!("a page has {shown} sessions at most"), cure)?;
            }
            Ok(())
        }
    }
}

/// Whether authentik's clock says the same as this machine's; `date` is what it said, to the second.
fn clock(date: Option<Timestamp>) -> Outcome {
    /// How far the clocks may be apart.
    const APART: Duration = Duration::from_secs(10);
    let Some(date) = date else { return Ok(()) };
    let now = Clock::System.now();
    let (ahead, behind) = (date.since(now), now.since(date));
    let by = humantime::format_duration(Duration::from_secs(ahead.max(behind).as_secs()));
    let side = if ahead > behind { "ahead of" } else { "behind" };
    if ahead.max(behind) <= APART {
        return Ok(());
    }
    let cure = "Let both machines take the time from the network (NTP): the last use of a session is shown by authentik's clock.";
    Report::warn(WHAT, &format!("its clock is {by} {side} this machine's"), cure)
}

/// Whether the copy is of this authentik. What is wrong with the database is told elsewhere.
async fn copy(config: &Config, client: &Client, owner: &SeenOwner) -> Outcome {
    if matches!(&config.database, Location::Sqlite(path) if !path.exists()) {
        return Ok(());
    }
    let Ok(store) = Store::open(&config.database, &config.pool).await else { return Ok(()) };
    let Ok(Some(source)) = store.read().find_source(NAME).await else { return Ok(()) };
    if source.status.owner_uid.is_empty() || compare(&store.read(), client, &source, owner).await.ok() != Some(Instance::Another) {
        return Ok(());
    }
    let cure = "If another authentik is to be watched from now on, `rollcall watch accept` begins the copy anew: the copied sessions \
        are forgotten, and none of them counts as ended. If it is the same one, give the token's owner a role with the permission \
        authentik_core.view_authenticatedsession.";
    let detail =
        format!("it is not the one that was copied as of {}, or the token sees none of its sessions", source.status.seen_at);
    Report::warn(WHAT, &detail, cure)
}

/// What there is to do about an error.
fn cure(error: &SourceError) -> &'static str {
    match error {
        SourceError::Unreachable(_) | SourceError::Lost(_) | SourceError::Late | SourceError::Cut => {
            "Look at authentik.url, and whether this machine reaches it and trusts its certificate."
        }
        SourceError::NoToken(_) => "Look at the file of authentik.token, and whether the user that runs Rollcall may read it.",
        SourceError::TokenRefused => {
            "Make a token of the kind API (not an app password) of an active service account, with expiring: false."
        }
        SourceError::Forbidden => {
            "Give the token's owner a role with the permissions authentik_core.view_authenticatedsession and authentik_core.view_user."
        }
        SourceError::Redirect(_) => "Set authentik.url to the address that answers itself, without a redirect.",
        SourceError::Status(_) | SourceError::Missing | SourceError::NoPage | SourceError::Unreadable(_) => {
            "Look whether authentik.url is the address of authentik itself: /api/v3/ below it must be its API."
        }
    }
}
