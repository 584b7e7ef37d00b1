//! Ends of sessions by UUID, user or filter. Rows are removed by [`crate::store::sessions::locked`]
//! only. Ends of very many sessions are recorded first: [`crate::store::sessions::pending_end`].

use std::sync::Arc;

use crate::domain::listing::SessionFilter;
use crate::domain::{HashedSecret, SessionId, Timestamp, UserId};
use crate::store::db::statements::{named, placeholders};
use crate::store::people::texts::UserTexts;
use crate::store::sessions::conditions::{Conditions, Keys};
use crate::store::sessions::history::End;
use crate::store::sessions::locked::GoneSession;
use crate::store::{Db, Store, StoreError, Value};
use crate::values;

/// Which sessions to end.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one with this UUID.
    Uuid(SessionId),
    /// Those with these UUIDs.
    Uuids(Vec<SessionId>),
    /// The one whose key hashes to this.
    Key(HashedSecret),
    /// All of these users.
    Users(Vec<i64>),
    /// All of this user except the one with this UUID.
    UserExcept(UserId, SessionId),
    /// All that had expired at this instant.
    ExpiredAt(Timestamp),
    /// All.
    All,
}

impl Which {
    pub(in crate::store) fn condition(&self) -> (String, Vec<Value>) {
        match self {
            Self::Uuid(uuid) => ("uuid = $1".into(), values![*uuid].to_vec()),
            Self::Uuids(ids) => (format!("uuid IN ({})", placeholders(0, ids.len())), ids.iter().map(|id| (*id).into()).collect()),
            Self::Key(hash) => ("key_hash = $1".into(), values![*hash].to_vec()),
            Self::Users(ids) => {
                (format!("user_id IN ({})", placeholders(0, ids.len())), ids.iter().map(|id| (*id).into()).collect())
            }
            Self::UserExcept(user, uuid) => ("user_id = $1 AND uuid <> $2".into(), values![*user, *uuid].to_vec()),
            Self::ExpiredAt(now) => ("expires_at <= $1".into(), values![*now].to_vec()),
            Self::All => ("TRUE".into(), Vec::new()),
        }
    }
}

/// Sessions that matched a filter.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Their keys, ascending.
    pub ids: Vec<i64>,
    /// The keys of the filter's names; `None`: a name that does not exist.
    pub(in crate::store) keys: Option<Keys>,
}

/// How sessions that matched a filter are ended.
#[derive(Clone, Debug)]
pub struct MatchingEnd {
    filter: SessionFilter,
    keys: Option<Keys>,
    except: Option<SessionId>,
}

impl MatchingEnd {
    /// Ends `matching`, which came from this filter without `except`.
    #[must_use]
    pub fn new(matching: &Matching, filter: &SessionFilter, except: Option<SessionId>) -> Self {
        Self { filter: filter.clone(), keys: matching.keys.clone(), except }
    }
}

impl Store {
    /// The keys of the sessions that match a filter, except `except`, and began at `until` or
    /// before. There may be many: it is a long read, which does not delay short ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_matching(
        &self,
        filter: &SessionFilter,
        except: Option<SessionId>,
        until: Option<Timestamp>,
    ) -> Result<Matching, StoreError> {
        let (filter, texts) = (filter.clone(), Arc::clone(self.user_texts()));
        self.long_read(move |db| Box::pin(async move { db.list_matching(&filter, (except, until), &texts).await })).await
    }
}

impl Db<'_> {
    /// Ends at most `limit` of the sessions that `which` selects: moves them to the history and
    /// returns them. The condition is checked when the row is removed, so a session that was used
    /// since is not ended as expired.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_sessions(&self, which: &Which, limit: i64, end: &End) -> Result<Vec<GoneSession>, StoreError> {
        let (condition, values) = which.condition();
        let rows = self.lock_sessions((&condition, &values), limit).await?;
        rows.take((&condition, values), end).await
    }

    /// Ends the session with this UUID, as [`Db::end_sessions`] does, in fewer round trips. Its
    /// history is written with the commit, so that no other statement of the transaction sees it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_one(&self, uuid: SessionId, end: &End) -> Result<Option<GoneSession>, StoreError> {
        let (condition, values) = Which::Uuid(uuid).condition();
        self.take_one((&condition, values), end).await
    }

    async fn list_matching(
        &self,
        filter: &SessionFilter,
        (except, until): (Option<SessionId>, Option<Timestamp>),
        texts: &Arc<UserTexts>,
    ) -> Result<Matching, StoreError> {
        let Some(keys) = self.resolve(filter, texts).await? else { return Ok(Matching::default()) };
        let mut conditions = self.conditions(filter, &keys);
        if let Some(uuid) = except {
            conditions.compare("s.uuid", "<>", uuid);
        }
        if let Some(until) = until {
            conditions.compare("s.created_at", "<=", until);
        }
        let sql = format!("SELECT s.id FROM sessions s{}", conditions.where_clause(&[], true));
        let mut ids = self.all::<i64>(&sql, &conditions.values).await?;
        ids.sort_unstable();
        Ok(Matching { ids, keys: Some(keys) })
    }

    /// Ends those of the sessions `ids` that still match the filter by which they were found,
    /// except `except`; and returns them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_matching(&self, ids: &[i64], ended: &MatchingEnd, end: &End) -> Result<Vec<GoneSession>, StoreError> {
        let Some(mut conditions) = self.conditions_of(ended).filter(|_| !ids.is_empty()) else { return Ok(Vec::new()) };
        let rows = self.lock_rows(ids).await?;
        let named = named("s.id", &mut conditions.values, ids);
        let matching = format!("id IN (SELECT s.id FROM sessions s{})", conditions.where_clause(&[&named], !self.is_sqlite()));
        rows.take((&matching, conditions.values), end).await
    }

    /// The filter's condition on a row that matched before; `None`: no row did.
    pub(in crate::store) fn conditions_of(&self, ended: &MatchingEnd) -> Option<Conditions> {
        let mut conditions = self.row_conditions(&ended.filter, ended.keys.as_ref()?);
        if let Some(uuid) = ended.except {
            conditions.compare("s.uuid", "<>", uuid);
        }
        Some(conditions)
    }
}
