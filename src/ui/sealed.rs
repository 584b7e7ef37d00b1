//! Forms on their way through `/confirm`. A form that needs a fresh proof, and comes without one, is sealed
//! with the instance key into the page that asks for the proof, and done once the proof is there. It is
//! sealed to its session, names its address, and opens for [`LIVES`]. What was typed, passwords among it, is
//! so neither in an address, nor in a log, nor in the database.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::actions::app::App;
use crate::domain::{SessionId, Timestamp};

/// How long a sealed form opens.
const LIVES: Duration = Duration::from_secs(15 * 60);
const PURPOSE: &str = "form on its way through /confirm";

/// A form that waits for a fresh proof.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The form, sealed, in URL-safe base64.
    pub sealed: String,
    /// The page to go back to, when the form is given up.
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

/// Opens a form that [`seal`] sealed to this session, while it is not too old.
pub(in crate::ui) fn open(app: &App, session: SessionId, sealed: &str) -> Option<Opened> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let content = app.instance_key.open(PURPOSE, session.to_string().as_bytes(), &sealed)?;
    let mut parts = content.splitn(3, |byte| *byte == b'\n');
    let until = Timestamp(std::str::from_utf8(parts.next()?).ok()?.parse().ok()?);
    let path = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let body = parts.next()?.to_vec();
    let now = app.clock.now();
    // One from the future, as a clock that went back makes it, does not open either.
    (now < until && until.since(now) <= LIVES).then_some(Opened { path, body })
}
