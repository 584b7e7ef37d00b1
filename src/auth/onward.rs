//! Where a browser goes on to after a sign-out that an app asked for: an address that the app registered. It travels sealed,
//! so that nobody else names one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::actions::app::App;

const PURPOSE: &str = "onward after a sign-out";

/// An address of an app, and what the app gets back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onward {
    /// The address.
    pub uri: String,
    /// `state`, as it came.
    pub state: Option<String>,
}

impl Onward {
    /// The address with `state`.
    #[must_use]
    pub fn address(&self) -> String {
        let Some(state) = &self.state else { return self.uri.clone() };
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}state={}", self.uri, utf8_percent_encode(state, NON_ALPHANUMERIC))
    }

    /// Sealed, in URL-safe base64; `None`: there is no randomness, and the browser stays here.
    #[must_use]
    pub fn seal(&self, app: &App) -> Option<String> {
        let text = serde_json::to_vec(self).ok()?;
        app.instance_key.seal(PURPOSE, &[], &text).ok().map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`Onward::seal`] gave.
    #[must_use]
    pub fn open(app: &App, sealed: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        serde_json::from_slice(&app.instance_key.open(PURPOSE, &[], &bytes)?).ok()
    }
}
