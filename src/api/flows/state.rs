//! What a sign-in under way remembers between two calls: sealed in a cookie, so that strangers leave
//! nothing behind on the server. A proved password is not in it: that is a row, used once
//! ([`crate::actions::sign_in::proof::remember`]).

use std::time::Duration;

use axum::http::HeaderMap;
use cookie::{Cookie, CookieJar};
use serde::{Deserialize, Serialize};

use crate::actions::app::App;
use crate::auth::cookies;
use crate::domain::Timestamp;

/// How long a sign-in may take.
pub const LIVES: Duration = Duration::from_secs(15 * 60);

/// What it is sealed as: the same under both names of the cookie.
const SEALED_AS: &str = "flow";

/// The step a sign-in waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Who are you?
    Identification,
    /// Prove it.
    Password,
    /// Prove your second factor.
    Factor,
    /// Stay signed in?
    UserLogin,
    /// Too many wrong answers.
    Denied,
}

/// A sign-in under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// The step it waits for.
    pub stage: Stage,
    /// The name as it was given, whether a user has it or not.
    pub uid: String,
    /// The key of the proved password, once there is one.
    pub proof: Option<String>,
    /// How many wrong passwords were given.
    pub failures: u8,
    /// When it is over, in microseconds since 1970.
    expires_at: i64,
}

impl State {
    /// A sign-in at its first step.
    #[must_use]
    pub fn new(app: &App) -> Self {
        Self {
            stage: Stage::Identification,
            uid: String::new(),
            proof: None,
            failures: 0,
            expires_at: app.clock.now().plus(LIVES).0,
        }
    }

    /// The one a request's cookie holds, if it is ours and not over.
    #[must_use]
    pub fn read(app: &App, headers: &HeaderMap) -> Option<Self> {
        let key = app.instance_key.cookie_key();
        let sealed = cookies::values(app, headers, cookies::flow_name(&app.config));
        let opened =
            sealed.into_iter().find_map(|sealed| CookieJar::new().private(&key).decrypt(Cookie::new(SEALED_AS, sealed)))?;
        let state: Self = serde_json::from_str(opened.value()).ok()?;
        // A clock that was ahead made one that ends too late.
        let (now, ends) = (app.clock.now(), Timestamp(state.expires_at));
        (ends > now && !ends.is_ahead(now.plus(LIVES))).then_some(state)
    }

    /// Hands it to the browser.
    pub fn write(&self, app: &App, headers: &mut HeaderMap) {
        let Ok(text) = serde_json::to_string(self) else { return };
        let mut jar = CookieJar::new();
        jar.private_mut(&app.instance_key.cookie_key()).add(Cookie::new(SEALED_AS, text));
        if let Some(sealed) = jar.get(SEALED_AS) {
            cookies::set_both(headers, app, cookies::flow_name(&app.config), sealed.value(), Some(LIVES));
        }
    }

    /// Makes a browser forget it.
    pub fn forget(app: &App, request: &HeaderMap, headers: &mut HeaderMap) {
        cookies::remove_both(headers, app, cookies::flow_name(&app.config), request, true);
    }
}
