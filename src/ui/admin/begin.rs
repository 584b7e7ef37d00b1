//! The panel "Begin here" on the start page of a new instance: what to do first, each step ticked once it is done. It is
//! for administrators, and goes when all is done or the instance has more than a few users.

use crate::actions::app::App;
use crate::store::{CountKey, StoreError};
use crate::ui::visitor::Visitor;

/// An instance with more users is not new.
const MOST_USERS: i64 = 3;

/// A step.
pub(in crate::ui) struct Step {
    pub what: &'static str,
    pub how: &'static str,
    /// The page where it is done, and what it is called; `""`: it is done elsewhere.
    pub href: &'static str,
    pub link: &'static str,
    pub is_done: bool,
}

/// The steps for this visitor; none: there is no panel.
///
/// # Errors
/// When the database does not answer.
pub(in crate::ui) async fn steps(app: &App, visitor: &Visitor) -> Result<Vec<Step>, StoreError> {
    let Some(session) = visitor.session.as_ref().filter(|_| visitor.rights.is_superuser) else { return Ok(Vec::new()) };
    let db = app.store.read();
    let users = db.count_users().await?;
    if users > MOST_USERS {
        return Ok(Vec::new());
    }
    let steps = vec![
        Step {
            what: "Add a second factor to your account",
            how: "An authenticator app or a passkey: a stolen password alone then opens nothing.",
            href: "/security",
            link: "Security",
            is_done: db.has_factor(session.user_id).await?,
        },
        Step {
            what: "Say under which https address people reach this server",
            how: "It is the setting http.public_url. Cookies are then kept to https, and links are right.",
            href: "/settings",
            link: "Settings",
            is_done: app.config.is_https(),
        },
        Step {
            what: "Name the proxy in front of it, if there is one",
            how: "It is the setting http.trusted_proxies. Without it, all sessions seem to come from the proxy.",
            href: "/settings",
            link: "Settings",
            is_done: !visitor.client.is_from_unknown_proxy,
        },
        Step {
            what: "Add a second user",
            how: "One more administrator with a password or a passkey is a way in when you lose yours.",
            href: "/users/new",
            link: "Add a user",
            is_done: users > 1,
        },
        Step {
            what: "Sign in somewhere else",
            how: "On a phone, or in another browser: the list of sessions then has more than this one.",
            href: "/sessions/all",
            link: "Sessions",
            is_done: db.count_sessions_of(&CountKey::All).await? > 1,
        },
        Step {
            what: "Let sessions say where they are",
            how: "Name GeoIP files in MaxMind’s format in the settings geoip.city and geoip.asn.",
            href: "/settings",
            link: "Settings",
            is_done: app.config.geoip.city.is_some() || app.config.geoip.asn.is_some(),
        },
    ];
    Ok(if steps.iter().all(|step| step.is_done) { Vec::new() } else { steps })
}
