//! Events: what is remembered of what was done.

use crate::domain::caller::Actor;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::events::rows::EventRow;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Someone signed in.
    SignIn,
    /// Someone tried, with a wrong name or password.
    SignInFailed,
    /// There were too many wrong passwords or codes: no more are looked at for a while.
    SignInLimited,
    /// Someone signed out.
    SignOut,
    /// A session was ended by someone.
    SessionRevoked,
    /// A session's time was over.
    SessionExpired,
    /// A session was used from another network or place than it is bound to.
    SessionMoved,
    /// A session was given another name.
    SessionNamed,
    /// A user was added.
    UserAdded,
    /// A user's password was set.
    PasswordSet,
    /// A link was made with which a user sets a password.
    RecoveryLinkMade,
    /// A user was made active.
    UserActivated,
    /// A user was made inactive.
    UserDeactivated,
    /// A user was removed.
    UserRemoved,
    /// A user was erased: who is not told.
    UserErased,
    /// A sign-in was refused: the user has as many sessions as they may have.
    SignInRefused,
    /// Someone signed in proved anew who they are.
    Confirmed,
    /// A second factor was added.
    FactorAdded,
    /// A second factor was removed by its owner.
    FactorRemoved,
    /// All of a user's second factors were removed by somebody who may.
    FactorsReset,
    /// A second factor was not proved.
    FactorFailed,
    /// A recovery code was used up.
    RecoveryCodeUsed,
    /// A user drew new recovery codes.
    RecoveryCodesRenewed,
    /// A group's or a user's policy was set.
    PolicySet,
    /// A token was made.
    TokenAdded,
    /// A token was removed.
    TokenRemoved,
    /// Data was imported.
    Import,
}

impl EventKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::SignIn,
        Self::SignInFailed,
        Self::SignInLimited,
        Self::SignOut,
        Self::SessionRevoked,
        Self::SessionExpired,
        Self::SessionMoved,
        Self::SessionNamed,
        Self::UserAdded,
        Self::PasswordSet,
        Self::RecoveryLinkMade,
        Self::UserActivated,
        Self::UserDeactivated,
        Self::UserRemoved,
        Self::UserErased,
        Self::SignInRefused,
        Self::Confirmed,
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::FactorsReset,
        Self::FactorFailed,
        Self::RecoveryCodeUsed,
        Self::RecoveryCodesRenewed,
        Self::PolicySet,
        Self::TokenAdded,
        Self::TokenRemoved,
        Self::Import,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignInFailed => "sign_in_failed",
            Self::SignInLimited => "sign_in_limited",
            Self::SignOut => "sign_out",
            Self::SessionRevoked => "session_revoked",
            Self::SessionExpired => "session_expired",
            Self::SessionMoved => "session_moved",
            Self::SessionNamed => "session_named",
            Self::UserAdded => "user_added",
            Self::PasswordSet => "password_set",
            Self::RecoveryLinkMade => "recovery_link_made",
            Self::UserActivated => "user_activated",
            Self::UserDeactivated => "user_deactivated",
            Self::UserRemoved => "user_removed",
            Self::UserErased => "user_erased",
            Self::SignInRefused => "sign_in_refused",
            Self::Confirmed => "confirmed",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
            Self::FactorsReset => "factors_reset",
            Self::FactorFailed => "factor_failed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesRenewed => "recovery_codes_renewed",
            Self::PolicySet => "policy_set",
            Self::TokenAdded => "token_added",
            Self::TokenRemoved => "token_removed",
            Self::Import => "import",
        }
    }

    /// A record of it, done by `actor` at `at`, about nobody in particular.
    #[must_use]
    pub fn by(self, actor: &Actor, at: Timestamp) -> EventRow {
        EventRow {
            at,
            kind: self.as_str().to_owned(),
            actor_id: actor.id.map(|id| id.0),
            actor: actor.name.clone(),
            user_id: None,
            username: String::new(),
            ip: actor.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            request_id: actor.request_id.clone(),
            session: None,
            detail: String::new(),
        }
    }
}

impl EventRow {
    /// The same, about this user.
    #[must_use]
    pub fn about(mut self, id: UserId, username: &str) -> Self {
        self.user_id = Some(id.0);
        username.clone_into(&mut self.username);
        self
    }

    /// The same, about this session.
    #[must_use]
    pub fn of_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// The same, with more words.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_all() {
        let words = include_str!("events.rs").lines().filter(|line| line.trim().starts_with("Self::") && line.contains(" => \""));
        assert_eq!(EventKind::ALL.len(), words.count());
        let distinct: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(distinct.len(), EventKind::ALL.len());
    }
}
