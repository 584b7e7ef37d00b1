//! What goes wrong between Rollcall and a watched authentik.

/// Why a request has no answer that can be used. No error holds the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There was no connection, or it was lost.
    #[error("authentik cannot be reached: {0}")]
    Unreachable(String),
    /// The connection was lost after the request may have been sent.
    #[error("authentik cannot be reached any more: {0}")]
    Lost(String),
    /// The answer took too long.
    #[error("authentik did not answer within 20 seconds")]
    Late,
    /// The token cannot be read.
    #[error("the token cannot be read: {0}")]
    NoToken(String),
    /// 403: the token opens nothing.
    #[error("authentik refuses the token")]
    TokenRefused,
    /// 403: the token's owner lacks a right.
    #[error("the token's owner may not do this")]
    Forbidden,
    /// 404 in authentik's own form: there is no such object, or the token may not see it.
    #[error("authentik has no such object")]
    Missing,
    /// 404: the list has no such page.
    #[error("the list has no such page")]
    NoPage,
    /// A redirect, which is never followed.
    #[error("authentik answers with a redirect ({0}), and redirects are refused")]
    Redirect(u16),
    /// Another status.
    #[error("authentik answers with the status {0}")]
    Status(u16),
    /// The answer is larger than 4 MiB, or was cut.
    #[error("the answer of authentik is larger than 4 MiB, or it was cut")]
    Cut,
    /// The answer is not of the form that the API promises.
    #[error("the answer of authentik cannot be read: {0}")]
    Unreadable(String),
}

impl SourceError {
    /// Whether the same request may well succeed later without anybody's help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::Late | Self::Cut => true,
            Self::Status(status) => *status >= 500 || *status == 429,
            Self::NoToken(_)
            | Self::TokenRefused
            | Self::Forbidden
            | Self::Missing
            | Self::NoPage
            | Self::Redirect(_)
            | Self::Unreadable(_) => false,
        }
    }

    /// Whether a request that ends something may have done so all the same. Where this is false, authentik or the way to it
    /// refused the request before anything was done.
    #[must_use]
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Late | Self::Cut | Self::Unreadable(_) => true,
            Self::Status(status) => *status >= 500 || *status < 400,
            Self::Unreachable(_)
            | Self::NoToken(_)
            | Self::TokenRefused
            | Self::Forbidden
            | Self::Missing
            | Self::NoPage
            | Self::Redirect(_) => false,
        }
    }

    /// Whether authentik itself answered the request, so that it does nothing more about it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Status(status) if !matches!(status, 502..=504))
    }
}
