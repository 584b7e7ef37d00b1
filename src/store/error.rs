//! Errors of the store.

/// An error of the database, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or written now: locked, read-only, full, gone. Trying again
    /// later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection cannot be used any more: it is closed, the server ends it, or the server has
    /// become read-only. It is discarded; a retry uses another one.
    #[error("the database is not available: {0}")]
    Stale(String),
    /// The database can be reached, but its set-up does not allow its use.
    #[error("{0}")]
    Unusable(String),
    /// The database rolled the transaction back because of a concurrent one. A retry helps.
    #[error("the database took the change back: {0}")]
    RolledBack(String),
    /// The queue for the database is full.
    #[error("the database is busy: too much work is waiting")]
    Busy,
    /// A unique row exists already, or a row that is referred to does not exist.
    #[error("the data contradicts what is stored: {0}")]
    Conflict(String),
    /// A stored value is invalid.
    #[error("the database holds {0} that cannot be read")]
    Corrupt(&'static str),
    /// The database was made by a newer Rollcall, or its migrations were changed.
    #[error("{0}")]
    Schema(String),
    /// A statement that should work did not.
    #[error("a statement failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether a retry later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Stale(_) | Self::RolledBack(_) | Self::Busy)
    }
}
