//! Forms on their way through `/confirm`. A form that needs a re-authentication is sealed with the
//! instance key into the page that asks for it, and done afterwards. It is sealed to its session,
//! holds its address, and can be opened for [`LIVES`]. So the typed data, which may include
//! passwords, is in no address, no log and no database.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::actions::app::App;
use crate::domain::{SessionId, Timestamp};

/// How long a sealed form can be opened.
const LIVES: Duration = Duration::from_secs(15 * 60);
const PURPOSE: &str = "form on its way through /confirm";

/// A form that waits for a re-authentication.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The form, sealed, in URL-safe base64.
    pub sealed: String,
    /// The page to return to if the user cancels.
    pub back: String,
}

/// A form that was opened: it is done as if it had just been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its address: path and query.
    pub path: String,
    /// Its fields, URL-encoded.
    pub body: Vec<u8>,
}

/// Seals a form to the session it came with.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(in crate::ui) fn seal(app: &App, session: SessionId, form: &Opened) -> Result<String, getrandom::Error> {
    let until = app.clock.now().plus(LIVES).0;
    let content = [format!("{until}\n{}\n", form.path).as_bytes(), &form.body].concat();
    let sealed = app.instance_key.seal(PURPOSE, session.to_string().as_bytes(), &content)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// Opens a form that [`seal`] sealed to this session, if it is not too old.
pub(in crate::ui) fn open(app: &App, session: SessionId, sealed: &str) -> Option<Opened> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let content = app.instance_key.open(PURPOSE, session.to_string().as_bytes(), &sealed)?;
    let mut parts = content.splitn(3, |byte| *byte == b'\n');
    let until = Timestamp(std::str::from_utf8(parts.next()?).ok()?.parse().ok()?);
    let path = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let body = parts.next()?.to_vec();
    let now = app.clock.now();
    // A form from the future, as a clock that went back makes it, is refused too.
    (now < until && until.since(now) <= LIVES).then_some(Opened { path, body })
}
