//! One function for each thing Rollcall does. An action checks whether the caller may, owns the
//! transaction, and writes the event; API, pages and command line all come through here.

pub mod app;
pub mod applications;
pub mod backup;
pub mod batching;
pub mod by;
pub mod clock;
pub mod csv;
pub mod events;
pub mod guard;
pub mod import;
pub mod oidc;
pub mod people;
pub mod policies;
pub mod principal;
pub mod sessions;
pub mod sign_in;
pub mod signing;
pub mod tokens;
pub mod upkeep;
pub mod watch;

use crate::actions::watch::refusal::EndRefusal;
use crate::domain::application::ApplicationRule;
use crate::domain::group::GroupRule;
use crate::domain::session::LabelRule;
use crate::domain::user::UserRule;
use crate::domain::webauthn::Refusal;
use crate::store::StoreError;

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// There is no such thing, or the caller may not know of it.
    #[error("not found")]
    NotFound,
    /// The caller may know of it, and not do this.
    #[error("not permitted")]
    Forbidden,
    /// A name, an address or a password breaks a rule.
    #[error(transparent)]
    Rule(#[from] UserRule),
    /// A group breaks a rule.
    #[error(transparent)]
    Group(#[from] GroupRule),
    /// An application breaks a rule.
    #[error(transparent)]
    Application(#[from] ApplicationRule),
    /// No administrator would be left who can sign in.
    #[error("no administrator who can sign in would be left")]
    LastAdministrator,
    /// Somebody else changed it since it was read.
    #[error("it was changed since it was read")]
    Outdated,
    /// A setting gives this limit, so that what is stored would not hold: the setting, and where it is given.
    #[error("`{0}` is set by {1}, which is stronger than what is stored")]
    Given(&'static str, String),
    /// A reference to a user who is not there.
    #[error("there is no user with the primary key {0}")]
    NoUser(i64),
    /// A reference to a group that is not there.
    #[error("there is no group with the uuid {0}")]
    NoGroup(uuid::Uuid),
    /// The name breaks a rule of names of sessions.
    #[error(transparent)]
    Label(#[from] LabelRule),
    /// The name is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// The user's session limit is reached.
    #[error("the session limit of the user is reached")]
    AtLimit,
    /// The session limit is reached, and the user may choose a session to end; the proof of their
    /// password waits.
    #[error("the user is to choose which session to end")]
    ChooseEnd,
    /// The user has a second factor, and only their password was proved; that proof waits.
    #[error("the user has a second factor to prove")]
    FactorNeeded,
    /// What the caller proved does not hold any more: the password, a second factor or the account changed since.
    #[error("the password or the second factors changed since they were proved")]
    ProofOutdated,
    /// There were too many wrong passwords or codes; the next one is checked after this time.
    #[error("there were too many wrong passwords or codes")]
    Limited(std::time::Duration),
    /// The token ended sessions of too many users one by one; so long from now it may end more.
    #[error("the token ended sessions of too many users one by one")]
    EndsRefused(std::time::Duration),
    /// A session of the watched authentik was not ended, or it is not known whether it was.
    #[error(transparent)]
    AtSource(#[from] EndRefusal),
    /// A filter asks to end sessions that live at two places, or at another one than is meant.
    #[error("sessions of Rollcall and of authentik are ended by one filter each: choose one of the two; nothing was ended")]
    Elsewhere,
    /// A passkey's answer is refused.
    #[error(transparent)]
    Passkey(#[from] Refusal),
    /// The queue of password checks is full.
    #[error("too many sign-ins are waiting")]
    Busy,
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
