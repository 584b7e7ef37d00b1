//! Users, what they may be called, and what they may do.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::names::{self, NameRule};
use crate::domain::password::PasswordRule;
use crate::domain::secret::TokenKeyRule;

/// A user's primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// A user, as history names them. It stores the uuid alone, since an import can give the primary key of
/// a removed user to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKey {
    /// A user who is there now, by the primary key: the store looks the uuid up when it writes.
    Id(UserId),
    /// A user who is there or was, by the uuid.
    Uuid(Uuid),
}

impl From<UserId> for UserKey {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

/// The longest username, in characters (authentik's limit).
pub const MAX_USERNAME_LENGTH: usize = 150;
/// The longest e-mail address, in characters (RFC 5321's path limit).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// The administrator that a first start creates.
pub const ADMINISTRATOR: &str = "akadmin";

/// Why a name, address or password was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRule {
    /// No name, or only blanks.
    #[error("a username may not be empty")]
    EmptyName,
    /// Too long.
    #[error("a username has at most {MAX_USERNAME_LENGTH} characters")]
    LongName,
    /// A name with a character that no name may hold.
    #[error("this name is not allowed: {0}")]
    Name(#[from] NameRule),
    /// A full name that is too long.
    #[error("a full name has at most {MAX_TEXT_LENGTH} characters")]
    LongFullName,
    /// No path, or one that is too long.
    #[error("a path has 1 to {MAX_TEXT_LENGTH} characters")]
    PathLength,
    /// A path with `/` at an end.
    #[error("a path has no / at its ends")]
    PathEnds,
    /// A path with two `/` in a row.
    #[error("a path has no empty part")]
    PathSegment,
    /// More attributes than are kept.
    #[error("attributes have at most {MAX_ATTRIBUTES} bytes as JSON")]
    Attributes,
    /// Attributes with U+0000, which PostgreSQL cannot compare.
    #[error("attributes may not hold null characters")]
    NullCharacter,
    /// A user that authentik made for itself.
    #[error("internal service accounts cannot be made or changed here")]
    InternalServiceAccount,
    /// An e-mail address without `@`, too long, or with control characters.
    #[error("not an e-mail address")]
    Email,
    /// One that may not be.
    #[error(transparent)]
    Password(#[from] PasswordRule),
    /// A hash of a password that cannot be checked here.
    #[error("the hash of a password must be Argon2 in PHC form, within the costs that are checked here")]
    Hash,
    /// The key of a token that may not be.
    #[error(transparent)]
    TokenKey(#[from] TokenKeyRule),
    /// A key of an app password that is not known as one.
    #[error("the key of an app password begins with rcp_")]
    AppPasswordKey,
    /// A link for an inactive user, who could not sign in with it.
    #[error("an inactive user has no use for a link; make them active first")]
    Inactive,
    /// A link that would be valid for too long, or for no time.
    #[error("a link is valid for some time, and at most for `sign_in.link_timeout_max`")]
    LinkTime,
    /// A limit of zero, with which nobody could sign in.
    #[error("a timeout and a number of sessions must be above zero")]
    Policy,
    /// The user has as many authenticators as allowed.
    #[error("the limit of second factors is reached; remove one first")]
    Factors,
    /// An authenticator without a name.
    #[error("a second factor has a name")]
    FactorName,
    /// The last authenticator, where one is required.
    #[error("your account must have a second factor; add another one before you remove this one")]
    LastFactor,
}

/// A username as it is stored: [tidy](names::tidy), of any script, 1 to 150 characters.
///
/// # Errors
/// The rule it breaks.
pub fn check_username(name: &str) -> Result<String, UserRule> {
    let name = names::tidy(name)?;
    if name.is_empty() {
        return Err(UserRule::EmptyName);
    }
    if name.chars().count() > MAX_USERNAME_LENGTH {
        return Err(UserRule::LongName);
    }
    Ok(name)
}

/// An e-mail address as it is stored: [tidy](names::tidy), with something before and after an `@`.
/// Empty is fine: none known.
///
/// # Errors
/// [`UserRule::Email`].
pub fn check_email(email: &str) -> Result<String, UserRule> {
    let email = names::tidy(email).map_err(|_| UserRule::Email)?;
    let shape = email.rsplit_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    let plain = !email.chars().any(char::is_whitespace);
    if email.is_empty() || (shape && plain && email.chars().count() <= MAX_EMAIL_LENGTH) {
        return Ok(email);
    }
    Err(UserRule::Email)
}

/// What a user is, under authentik's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserType {
    /// A person of the organisation.
    #[default]
    Internal,
    /// A person from elsewhere.
    External,
    /// A program.
    ServiceAccount,
    /// A program that authentik itself made; such users cannot be made or changed here.
    InternalServiceAccount,
}

impl UserType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Internal, Self::External, Self::ServiceAccount, Self::InternalServiceAccount];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::ServiceAccount => "service_account",
            Self::InternalServiceAccount => "internal_service_account",
        }
    }

    /// The type of that name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// The longest full name and the longest path, in characters.
pub const MAX_TEXT_LENGTH: usize = 1000;
/// The largest `attributes`, in bytes of JSON.
pub const MAX_ATTRIBUTES: usize = 128 * 1024;
/// The path of users that are not given another one.
pub const DEFAULT_PATH: &str = "users";

/// A user's path as it is stored: words with `/` between them.
///
/// # Errors
/// The rule it breaks.
pub fn check_path(path: &str) -> Result<String, UserRule> {
    let path = names::tidy(path)?;
    if path.is_empty() || path.chars().count() > MAX_TEXT_LENGTH {
        return Err(UserRule::PathLength);
    }
    if path.starts_with('/') || path.ends_with('/') {
        return Err(UserRule::PathEnds);
    }
    if path.contains("//") {
        return Err(UserRule::PathSegment);
    }
    Ok(path)
}

/// A full name as it is stored; it may be empty.
///
/// # Errors
/// The rule it breaks.
pub fn check_full_name(name: &str) -> Result<String, UserRule> {
    let name = names::tidy(name)?;
    if name.chars().count() > MAX_TEXT_LENGTH { Err(UserRule::LongFullName) } else { Ok(name) }
}

/// A global permission, under authentik's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See everybody's sessions.
    ViewSessions,
    /// End everybody's sessions.
    DeleteSessions,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ViewSessions, Self::DeleteSessions];

    /// authentik's name of it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ViewSessions => "authentik_core.view_authenticatedsession",
            Self::DeleteSessions => "authentik_core.delete_authenticatedsession",
        }
    }

    /// The permission of that name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }
}

/// What a token is for. Only `api` tokens open the API (`docs/compat.md` 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenIntent {
    /// An API credential.
    Api,
    /// A password for one application.
    AppPassword,
    /// Proves an address.
    Verification,
    /// Sets a password: the link of a first start, and one that an administrator makes.
    Recovery,
}

impl TokenIntent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Api, Self::AppPassword, Self::Verification, Self::Recovery];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::AppPassword => "app_password",
            Self::Verification => "verification",
            Self::Recovery => "recovery",
        }
    }

    /// The intent of that name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|i| i.as_str() == name)
    }
}

/// What happens when users want their own account removed (`account.removal`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRemoval {
    /// An administrator is asked.
    Ask,
    /// The account is erased at once.
    AtOnce,
    /// Users cannot ask.
    Off,
}

impl OwnRemoval {
    /// The one of that name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "ask" => Some(Self::Ask),
            "at_once" => Some(Self::AtOnce),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_script_but_no_control_characters() {
        for good in ["alice", "Zoë Müller", "łukasz.żółć", "用户", "o'brien \"the quote\"", "🦀"] {
            assert_eq!(check_username(good).as_deref(), Ok(good));
        }
        assert_eq!(check_username("  "), Err(UserRule::EmptyName));
        assert_eq!(check_username(&"x".repeat(151)), Err(UserRule::LongName));
        assert_eq!(check_username(" alice ").as_deref(), Ok("alice"));
        for bad in ["a\nb", "a\0b", "ali\u{200b}ce", "\u{202e}ecila"] {
            assert!(matches!(check_username(bad), Err(UserRule::Name(_))), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        assert!(check_email("").is_ok() && check_email("a@b").is_ok());
        assert_eq!(check_email(" a@b ").as_deref(), Ok("a@b"));
        for bad in ["a", "@b", "a@", "a b@c", "a\u{200b}@b"] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
