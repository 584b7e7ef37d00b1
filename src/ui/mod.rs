//! Server-rendered pages, one file for each page. They work without JavaScript.
#![expect(clippy::missing_errors_doc, reason = "a page that fails is a page that says so")]

pub mod account;
pub mod admin;
pub mod applications;
pub mod assets;
pub mod error;
mod event_fields;
pub mod fleet;
mod passkey;
pub mod popup;
mod question;
mod refusal;
pub mod resume;
mod sealed;
pub mod sign_in;
mod submission;
mod three_way;
mod visitor;
pub mod watch;
mod words;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::store::people::users::Rights;
use crate::ui::error::PageError;

/// `/`: redirects to the user's own sessions.
pub async fn home() -> Redirect {
    Redirect::to("/sessions")
}

/// A page, rendered.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The frame of every page.
struct Frame {
    /// The name of the signed-in user, for the bar at the top.
    username: Option<String>,
    /// The style sheet's address, with its hash.
    css: &'static str,
    /// The address of every page's module, with its hash.
    js: &'static str,
    /// The proof for this page's forms.
    proof: String,
    /// The server's time, by which scripts correct the browser's clock; `""` on a page without times.
    now: String,
    /// The links of the navigation.
    nav: Vec<NavItem>,
    /// Whether this is a page of the visitor's own account.
    is_account: bool,
    /// Whether the visitor administers: auditors see the same pages without what changes something.
    rules: bool,
}

impl Frame {
    /// The frame of a page that is the same for everybody and has no forms.
    fn bare() -> Self {
        let (proof, now, nav) = (String::new(), String::new(), Vec::new());
        Self { username: None, css: assets::css(), js: assets::js(), proof, now, nav, is_account: false, rules: false }
    }
}

/// A place in the navigation.
struct NavItem {
    href: &'static str,
    label: &'static str,
    is_here: bool,
}

/// The sections of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// The user's own sessions.
    Devices,
    /// What the user may open.
    Apps,
    /// The user's own second factors.
    Security,
    /// Everybody's sessions.
    Sessions,
    /// Where they are.
    Map,
    /// All users.
    Users,
    /// All applications.
    Applications,
    /// All groups.
    Groups,
    /// The user's own tokens, or all tokens.
    Tokens,
    /// What happened.
    Events,
    /// The settings of the server.
    Settings,
    /// The user's own account, at the name in the bar.
    Account,
    /// None of those above.
    Elsewhere,
}

impl Section {
    /// The navigation of a visitor with these rights.
    fn nav(self, rights: Rights) -> Vec<NavItem> {
        let (sees_all, rules) = (rights.may_view_sessions, rights.may_inspect());
        let all = [
            (Self::Devices, "/sessions", "My devices", true),
            (Self::Apps, "/apps", "My apps", true),
            (Self::Security, "/security", "Security", true),
            (Self::Sessions, "/sessions/all", "Sessions", sees_all),
            (Self::Map, "/map", "Map", sees_all),
            (Self::Users, "/users", "Users", rules),
            (Self::Applications, "/applications", "Applications", rules),
            (Self::Groups, "/groups", "Groups", rules),
            (Self::Tokens, "/tokens", "Tokens", true),
            (Self::Events, "/events", "Events", rules),
            (Self::Settings, "/settings", "Settings", rules),
        ];
        let allowed = all.into_iter().filter(|(.., is_allowed)| *is_allowed);
        allowed.map(|(section, href, label, _)| NavItem { href, label, is_here: section == self }).collect()
    }
}

type PageResult = Result<Response, PageError>;
