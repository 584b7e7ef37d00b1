//! The one entry to lists: [`Store::page`]. It takes a question, an order and a page, and decides where the answer
//! comes from and which thread reads it.

use std::future::Future;

use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::store::{Store, StoreError};

/// A question that the store answers page by page: a filter of sessions, ended sessions, users or events.
pub trait Listed: Sync {
    /// What its rows can be ordered by.
    type Key: Sync;
    /// A row of the list.
    type Row: Send;

    /// See [`Store::page`].
    fn find(
        &self,
        store: &Store,
        order: &[Sort<Self::Key>],
        wanted: Wanted,
    ) -> impl Future<Output = Result<Found<Self::Row>, StoreError>> + Send;
}

impl Store {
    /// How many rows match, and those of one page, in order. Rows that are equal in `order` are ordered by a
    /// key of their own, so a walk through all pages of a list at rest gives each row once. Every change
    /// that was acknowledged before the question ([`Wanted::asked_at`]), by any process, is in the answer.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full, or the question waited too long; any error when
    /// the database does not answer.
    pub async fn page<Q: Listed>(&self, question: &Q, order: &[Sort<Q::Key>], wanted: Wanted) -> Result<Found<Q::Row>, StoreError> {
        question.find(self, order, wanted).await
    }
}
