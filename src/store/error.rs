//! Errors of the store.

/// What went wrong below.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or written now: locked, read-only, full, gone. Trying again
    /// later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection to the database is of no use any more: it is closed, the server ends it, or the server
    /// takes no writes any longer. It is thrown away; trying again takes a new one.
    #[error("the database is not available: {0}")]
    Stale(String),
    /// The database can be reached, and not be used as it is set up.
    #[error("{0}")]
    Unusable(String),
    /// The database took a transaction back to let another go on. Trying again helps.
    #[error("the database took the change back: {0}")]
    RolledBack(String),
    /// More work is waiting than the store takes on.
    #[error("the database is busy: too much work is waiting")]
    Busy,
    /// A row that must be unique exists already, or one that is referred to does not.
    #[error("the data contradicts what is stored: {0}")]
    Conflict(String),
    /// A stored value that cannot be.
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
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Stale(_) | Self::RolledBack(_) | Self::Busy)
    }
}
