//! What `rollcall check` says of a watched authentik. It only reads.

use crate::cli::Outcome;
use crate::cli::check::Report;
use crate::config::Config;
use crate::domain::source::ends_doubted;
use crate::watch::call::{Order, PAGE_SIZE};
use crate::watch::{Client, SourceError};

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
    let owner = match client.owner().await.value {
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
