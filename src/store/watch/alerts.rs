//! What alerts about the sessions of a source are judged by.

use crate::domain::source::SourceId;
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// The countries and autonomous systems that a user of a source was seen in, in living and ended sessions; 0: no known
    /// system.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_places_of(&self, source: SourceId, user: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT DISTINCT country, COALESCE(asn, 0) FROM watched_sessions WHERE source_id = $1 AND user_pk = $2";
        let mut places: Vec<(String, i64)> = self.all(sql, &values![source.0, user]).await?;
        let sql = "SELECT DISTINCT country, COALESCE(asn, 0) FROM ended_sessions WHERE user_uuid = $1";
        places.extend(self.all::<(String, i64)>(sql, &values![source.user_uuid(user)]).await?);
        Ok(places)
    }

    /// How many sessions of the copy a user has, and their name, if it is known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_watched_of(&self, source: SourceId, user: i64) -> Result<(i64, Option<String>), StoreError> {
        let sql = "SELECT count(*) FROM watched_sessions WHERE source_id = $1 AND user_pk = $2";
        let count = self.one::<i64>(sql, &values![source.0, user]).await?.unwrap_or(0);
        let sql = "SELECT username FROM source_users WHERE source_id = $1 AND pk = $2";
        Ok((count, self.one(sql, &values![source.0, user]).await?))
    }
}
