//! What apps are owed when their sessions end. The trigger `owe_logout_notice` writes the rows; here they are taken to be sent,
//! and what became of them is noted.

use uuid::Uuid;

use crate::domain::oidc::target::Target;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A notice, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// Primary key.
    pub id: i64,
    /// The uuid of the app session that ended.
    pub uuid: Uuid,
    /// The application, by the primary key that it had.
    pub application_id: i64,
    /// The slug that the application had.
    pub slug: String,
    /// The client.
    pub client_id: String,
    /// Where it is sent.
    pub target: Target,
    /// The word of the algorithm that signs it.
    pub algorithm: String,
    /// The word for the names that it has.
    pub names: String,
    /// Who had the session.
    pub user_id: UserId,
    /// Who the app takes the user for.
    pub sub: String,
    /// The session.
    pub session: SessionId,
    /// `waiting`, `delivered`, `given_up` or `dropped`.
    pub state: String,
    /// How often it was tried.
    pub tries: i64,
    /// When it was first tried; 0: never.
    pub first_at: Timestamp,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// What the last try came to, or `""`.
    pub said: String,
}

const COLUMNS: &str = "id, uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, session, state, tries, \
    first_at, next_at, said";

impl FromRow for NoticeRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: row.uuid()?,
            application_id: row.int()?,
            slug: row.text()?,
            client_id: row.text()?,
            target: Target::stored(row.text()?),
            algorithm: row.text()?,
            names: row.text()?,
            user_id: UserId(row.int()?),
            sub: row.text()?,
            session: SessionId(row.uuid()?),
            state: row.text()?,
            tries: row.int()?,
            first_at: row.timestamp()?,
            next_at: row.timestamp()?,
            said: row.text()?,
        })
    }
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The app has it.
    Delivered,
    /// It is tried again at this instant.
    Again(Timestamp),
    /// No more is tried.
    GivenUp,
}

impl Db<'_> {
    /// The applications that are owed something, by primary key. It reads one row for each of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_owed_applications(&self) -> Result<Vec<i64>, StoreError> {
        let sql = "WITH RECURSIVE owed(id) AS (SELECT min(application_id) FROM logout_notices WHERE state = 'waiting' \
            UNION ALL SELECT (SELECT min(n.application_id) FROM logout_notices n WHERE n.state = 'waiting' AND n.application_id > owed.id) \
            FROM owed WHERE owed.id IS NOT NULL) SELECT id FROM owed WHERE id IS NOT NULL";
        self.all(sql, &[]).await
    }

    /// Takes notices of an application that are due, at most `limit`: nobody else takes them before `until`. Those of single
    /// ends come before those of very many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_notices(
        &self,
        application: i64,
        limit: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let lock = if self.is_sqlite() { "" } else { " FOR UPDATE SKIP LOCKED" };
        let mut taken: Vec<NoticeRow> = Vec::new();
        for is_bulk in [false, true] {
            let left = limit - i64::try_from(taken.len()).unwrap_or(limit);
            let sql = format!(
                "SELECT {COLUMNS} FROM logout_notices WHERE state = 'waiting' AND application_id = $1 AND is_bulk = $2 AND next_at <= $3 \
                 ORDER BY next_at, id LIMIT $4{lock}"
            );
            taken.extend(self.all::<NoticeRow>(&sql, &values![application, is_bulk, now, left.max(0)]).await?);
        }
        for row in &mut taken {
            let sql = "UPDATE logout_notices SET tries = tries + 1, first_at = CASE first_at WHEN 0 THEN $2 ELSE first_at END, \
                next_at = $3 WHERE id = $1";
            self.execute(sql, &values![row.id, now, until]).await?;
            row.tries += 1;
            row.first_at = if row.first_at.0 == 0 { now } else { row.first_at };
        }
        Ok(taken)
    }

    /// Notes what became of a try. A notice that was dropped stays so. Gives whether it was noted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_notice(&self, id: i64, settled: &Settled, said: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = match settled {
            Settled::Again(at) => {
                let sql = "UPDATE logout_notices SET next_at = $2, said = $3 WHERE id = $1 AND state = 'waiting'";
                self.execute(sql, &values![id, *at, said]).await?
            }
            Settled::Delivered => {
                // The name is not needed any more.
                let sql = "UPDATE logout_notices SET state = 'delivered', sub = '', settled_at = $2, said = $3 \
                    WHERE id = $1 AND state = 'waiting'";
                self.execute(sql, &values![id, now, said]).await?
            }
            Settled::GivenUp => {
                let sql = "UPDATE logout_notices SET state = 'given_up', settled_at = $2, said = $3, \
                    sub = CASE WHEN EXISTS (SELECT 1 FROM users WHERE users.id = logout_notices.user_id) THEN sub ELSE '' END \
                    WHERE id = $1 AND state = 'waiting'";
                self.execute(sql, &values![id, now, said]).await?
            }
        };
        Ok(done > 0)
    }

    /// Has notices of an application sent now, given-up ones too; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hasten_notices(&self, slug: &str) -> Result<u64, StoreError> {
        let sql = "UPDATE logout_notices SET state = 'waiting', next_at = 0, first_at = 0, settled_at = NULL \
            WHERE lower(slug) = lower($1) AND state IN ('waiting', 'given_up')";
        self.execute(sql, &values![slug]).await
    }

    /// Drops the notices of an application that wait or were given up; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drop_notices(&self, slug: &str, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE logout_notices SET state = 'dropped', sub = '', settled_at = $2 \
            WHERE lower(slug) = lower($1) AND state IN ('waiting', 'given_up')";
        self.execute(sql, &values![slug, now]).await
    }

    /// The newest notices, at most `limit`: of an application, or of a session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_notices(
        &self,
        slug: Option<&str>,
        session: Option<SessionId>,
        limit: i64,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let (condition, mut values) = match (slug, session) {
            (Some(slug), _) => ("lower(slug) = lower($1)", values![slug].to_vec()),
            (None, Some(session)) => ("session = $1", values![session].to_vec()),
            (None, None) => ("TRUE", Vec::new()),
        };
        values.push(limit.into());
        let limit = values.len();
        self.all(&format!("SELECT {COLUMNS} FROM logout_notices WHERE {condition} ORDER BY id DESC LIMIT ${limit}"), &values).await
    }

    /// Whether a user has an application open by its client, in a live session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_client_open(&self, user: UserId, application: i64) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM app_sessions o JOIN sessions s ON s.id = o.session_id \
            WHERE s.user_id = $1 AND o.application_id = $2 AND o.client_id IS NOT NULL LIMIT 1";
        Ok(self.one::<i64>(sql, &values![user, application]).await?.is_some())
    }

    /// Removes what was delivered or dropped by `told`, and what was given up by `given_up`; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_notices(&self, told: Timestamp, given_up: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM logout_notices WHERE (state IN ('delivered', 'dropped') AND settled_at <= $1) \
            OR (state = 'given_up' AND settled_at <= $2)";
        self.execute(sql, &values![told, given_up]).await
    }

    /// Removes what is known of a user from notices that are not owed any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_settled_notices_of(&self, user: UserId) -> Result<u64, StoreError> {
        self.execute("DELETE FROM logout_notices WHERE user_id = $1 AND state <> 'waiting'", &values![user]).await
    }
}
