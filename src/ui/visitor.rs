//! The visitor of a page: address, session, rights, and whether the re-authentication is recent.
//! The proof that a form is one of this site's is bound to the session or, before there is one, to
//! a cookie of its own; and the browser must not say that the form came from another site.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::check::Admission;
use crate::actions::sign_in::proof;
use crate::auth::{cookies, csrf, session_of_cookies};
use crate::config::Config;
use crate::domain::caller::Actor;
use crate::domain::secret;
use crate::http::client::ClientInfo;
use crate::store::people::users::Rights;
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::refusal::Refusal;
use crate::ui::{Frame, Section, assets};

/// The visitor of a page: the client, and the session, if any.
pub struct Visitor {
    /// From where.
    pub client: ClientInfo,
    /// Their session.
    pub session: Option<LiveSession>,
    /// A session that needs a re-authentication before it can be used: it is used from another
    /// network or place.
    pub unproved: Option<LiveSession>,
    /// Whether this request ended the session, since it came from another network or place.
    pub is_moved: bool,
    /// Their rights.
    pub rights: Rights,
    /// Whether they must have a second factor that their session has not proved.
    is_factor_missing: bool,
    /// The value that form proofs are bound to.
    bound_to: String,
    /// A cookie to set, when `bound_to` is new.
    new_cookie: Option<String>,
    /// The requested path with its query; `None` for a form.
    asked: Option<String>,
}

fn cookie_name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-rollcall_form" } else { "rollcall_form" }
}

impl Visitor {
    /// Reads the visitor of a request for a page.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(app: &App, parts: &Parts) -> Result<Self, PageError> {
        let client = parts.extensions.get::<ClientInfo>().cloned().ok_or(PageError::Internal)?;
        let unknown = Self {
            client,
            session: None,
            unproved: None,
            is_moved: false,
            rights: Rights::default(),
            is_factor_missing: false,
            bound_to: String::new(),
            new_cookie: None,
            asked: matches!(parts.method, Method::GET | Method::HEAD)
                .then(|| parts.uri.path_and_query().map_or("/", |asked| asked.as_str()).to_owned()),
        };
        let unknown = match session_of_cookies(app, &parts.headers, &unknown.client).await? {
            Admission::Open(session) => {
                let (rights, bound_to) = (session.rights, session.uuid.to_string());
                return Ok(Self { session: Some(session), rights, bound_to, ..unknown });
            }
            Admission::FactorMissing(session) => {
                let (rights, bound_to) = (session.rights, session.uuid.to_string());
                return Ok(Self { session: Some(session), rights, is_factor_missing: true, bound_to, ..unknown });
            }
            Admission::Unproved(session) => {
                let bound_to = session.uuid.to_string();
                return Ok(Self { unproved: Some(session), bound_to, ..unknown });
            }
            Admission::Moved => Self { is_moved: true, ..unknown },
            Admission::None => unknown,
        };
        let known = cookies::find(&parts.headers, cookie_name(&app.config)).filter(|value| value.len() == 32);
        let (bound_to, new_cookie) = match known {
            Some(value) => (value, None),
            None => {
                let value = secret::random_alphanumeric(32).map_err(|_| PageError::Internal)?;
                (value.clone(), Some(value))
            }
        };
        Ok(Self { bound_to, new_cookie, ..unknown })
    }

    /// Their session. Without one, redirects to the sign-in page and back to `path`; with one that
    /// is used from another network or place, to the re-authentication; without the second factor
    /// that they must have, to the page that adds one.
    ///
    /// # Errors
    /// [`PageError::SignedOut`], [`PageError::Moved`], [`PageError::Unconfirmed`] and
    /// [`PageError::FactorMissing`].
    pub fn signed_in(&self, path: &str) -> Result<&LiveSession, PageError> {
        if self.is_factor_missing { Err(PageError::FactorMissing) } else { self.signed_in_at_all(path) }
    }

    /// The same for the few pages that serve also those who still lack their second factor.
    ///
    /// # Errors
    /// [`PageError::SignedOut`], [`PageError::Moved`] and [`PageError::Unconfirmed`].
    pub fn signed_in_at_all(&self, path: &str) -> Result<&LiveSession, PageError> {
        self.session.as_ref().ok_or_else(|| match (&self.unproved, self.is_moved) {
            (Some(_), _) => PageError::Unconfirmed(self.back_to(path)),
            (None, true) => PageError::Moved(self.back_to(path)),
            (None, false) if self.asked.is_none() => PageError::SignedOutForm(self.back_to(path)),
            (None, false) => PageError::SignedOut(self.back_to(path)),
        })
    }

    /// The address to return to after a sign-in or a re-authentication: `path`, with the query of
    /// the request if that was for a page at `path`.
    fn back_to(&self, path: &str) -> String {
        let path_alone = |text: &str| text.split('?').next().unwrap_or_default().to_owned();
        match &self.asked {
            Some(asked) if path_alone(asked) == path_alone(path) => asked.clone(),
            _ => path.to_owned(),
        }
    }

    /// Their session, also one that needs a re-authentication: for the re-authentication itself,
    /// and for signing out.
    ///
    /// # Errors
    /// [`PageError::SignedOut`] and [`PageError::Moved`].
    pub fn holder(&self, path: &str) -> Result<&LiveSession, PageError> {
        self.unproved.as_ref().map_or_else(|| self.signed_in_at_all(path), Ok)
    }

    /// Their session with a recent re-authentication; without one, redirects to the page that asks
    /// for it and back to `path`. Changes to how a user signs in need it, and ends of other
    /// people's sessions.
    ///
    /// # Errors
    /// [`PageError::SignedOut`] and [`PageError::Unconfirmed`].
    pub fn confirmed(&self, app: &App, path: &str) -> Result<&LiveSession, PageError> {
        self.signed_in(path)?;
        self.confirmed_at_all(app, path)
    }

    /// The same for the few pages that serve also those who still lack their second factor.
    ///
    /// # Errors
    /// [`PageError::SignedOut`] and [`PageError::Unconfirmed`].
    pub fn confirmed_at_all(&self, app: &App, path: &str) -> Result<&LiveSession, PageError> {
        let session = self.signed_in_at_all(path)?;
        if proof::is_fresh(app, session) { Ok(session) } else { Err(PageError::Unconfirmed(self.back_to(path))) }
    }

    /// The visitor as a caller with all their rights; without a session, redirects to the sign-in
    /// page and back to `path`.
    ///
    /// # Errors
    /// [`PageError::SignedOut`].
    pub fn principal(&self, path: &str) -> Result<Principal, PageError> {
        let session = self.signed_in(path)?;
        let (user_id, username) = (session.user_id, session.username.clone());
        Ok(Principal { user_id, username, rights: self.rights, token: None, session: Some(session.clone()) })
    }

    /// The visitor of a page for administrators, who proved who they are a short while ago; and them as a caller.
    ///
    /// # Errors
    /// Those of [`Visitor::confirmed`]; forbidden for everybody else.
    pub async fn administrator(app: &App, request: Request) -> Result<(Self, Principal), PageError> {
        let (parts, _) = request.into_parts();
        let visitor = Self::of(app, &parts).await?;
        visitor.confirmed(app, parts.uri.path())?;
        let who = visitor.principal(parts.uri.path())?;
        who.must_administer()?;
        Ok((visitor, who))
    }

    /// The author of what this request does.
    pub fn actor(&self) -> Actor {
        let anonymous = self.client.as_anonymous();
        self.session.as_ref().map_or(anonymous.clone(), |session| anonymous.as_user(session.user_id, &session.username))
    }

    /// The frame of a page: the present section, and the navigation.
    pub fn frame(&self, app: &App, here: Section) -> Frame {
        let username = self.session.as_ref().or(self.unproved.as_ref()).map(|session| session.username.clone());
        let nav = if self.session.is_some() && !self.is_factor_missing { here.nav(self.rights) } else { Vec::new() };
        let now = app.clock.now().to_string();
        let rules = !nav.is_empty() && self.rights.is_superuser;
        Frame {
            username,
            css: assets::css(),
            js: assets::js(),
            proof: self.proof(app),
            now,
            nav,
            is_account: here == Section::Account,
            rules,
        }
    }

    /// The value that this visitor's proofs and challenges are bound to.
    pub fn bound_to(&self) -> &str {
        &self.bound_to
    }

    /// The proof for this visitor's forms.
    pub fn proof(&self, app: &App) -> String {
        csrf::form_proof(app, &self.bound_to)
    }

    /// Checks a form. A refusal is logged.
    ///
    /// # Errors
    /// [`PageError::Forged`] unless it carries its proof and came from this site.
    pub fn check(&self, app: &App, headers: &HeaderMap, proof: &str) -> Result<(), PageError> {
        self.examine(app, headers, proof).map_err(PageError::Forged)
    }

    /// The same for a page that shows its form again.
    ///
    /// # Errors
    /// The cause.
    pub fn examine(&self, app: &App, headers: &HeaderMap, proof: &str) -> Result<(), Refusal> {
        self.judge(app, headers, proof).inspect_err(|refusal| refusal.log(&self.client))
    }

    fn judge(&self, app: &App, headers: &HeaderMap, proof: &str) -> Result<(), Refusal> {
        csrf::check_same_site(headers, &self.client, app).map_err(Refusal::OtherSite)?;
        if self.new_cookie.is_some() {
            return Err(Refusal::without_cookie(&app.config, &self.client));
        }
        if proof.is_empty() {
            return Err(Refusal::Incomplete("the form has no proof".into()));
        }
        if csrf::is_form_proof(app, &self.bound_to, proof) { Ok(()) } else { Err(Refusal::TooOld) }
    }

    /// Sets the cookie that proofs are bound to, when it is new.
    pub fn keep(&self, app: &App, answer: &mut HeaderMap) {
        if let Some(value) = &self.new_cookie {
            cookies::set(answer, &cookies::build(&app.config, cookie_name(&app.config), value.clone(), None));
        }
    }
}
