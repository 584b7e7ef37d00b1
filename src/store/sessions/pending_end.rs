//! Ends of very many sessions, in two steps. First their keys are written down under a revocation, in a
//! small table: from that commit on nothing finds them among the sessions, which are a view without them
//! (`migrations/*/0014_revocations.sql`). Then their rows are moved to the ended ones, some at a time.
//! A row costs some fifteen pages to move, and a tenth of one to write down.
//!
//! Who writes to a row of a session locks it first and looks in a second statement whether it is still a
//! session: on PostgreSQL a statement sees what was committed before it began, not what it waited for.
//! Rows are locked in the order of their keys, before anything else of them.

use crate::domain::{EndReason, UserId};
use crate::store::db::statements::named;
use crate::store::sessions::end::{GoneSession, MatchingEnd, Which};
use crate::store::sessions::history::Ending;
use crate::store::sessions::rows::Counted;
use crate::store::{CountKey, Db, FromRow, Row, StoreError};
use crate::values;

/// How sessions were revoked.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// When, by whom and why.
    pub ending: Ending,
    /// The address the request came from, or `""`.
    pub ip: String,
    /// The request's id, or `""`.
    pub request_id: String,
}

/// A revocation whose sessions are not all moved.
struct RevocationRow {
    id: i64,
    revocation: Revocation,
}

const REVOCATION_COLUMNS: &str = "r.id, r.ended_at, r.ended_by, r.ended_by_name, r.reason, r.comment, r.ip, r.request_id";

impl FromRow for RevocationRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let id = row.int()?;
        let (at, by, by_name) = (row.timestamp()?, row.opt_int()?, row.text()?);
        let reason = EndReason::parse(&row.text()?).ok_or(StoreError::Corrupt("a reason of an end"))?;
        let ending = Ending { at, by, by_name, reason, comment: row.text()? };
        Ok(Self { id, revocation: Revocation { ending, ip: row.text()?, request_id: row.text()? } })
    }
}

/// What one step revoked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Revoked {
    /// How many sessions it looked at: fewer than it might mean that there are no more.
    pub found: usize,
    /// How many of these it ended.
    pub ended: usize,
}

/// Sessions that were moved to the ended ones.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Which.
    pub sessions: Vec<GoneSession>,
    /// How they had ended.
    pub revocation: Revocation,
}

struct LiveRow {
    id: i64,
    counted: Counted,
}

impl FromRow for LiveRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, counted: Counted::from_row(row)? })
    }
}

const LIVE_COLUMNS: &str = "s.id, s.user_id, s.user_agent_id, s.country, s.asn";

impl Db<'_> {
    /// Revokes at most `limit` of the sessions that `which` names: they are none from this commit on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_sessions(&self, which: &Which, limit: i64, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let (condition, values) = which.condition();
        let lock = self.for_update();
        let sql = format!("SELECT {LIVE_COLUMNS} FROM sessions s WHERE {condition} ORDER BY s.id LIMIT {limit}{lock}");
        let live: Vec<LiveRow> = self.all(&sql, &values).await?;
        self.revoke_rows(live.len(), live, revocation).await
    }

    /// Revokes those of the sessions `ids`, which matched a filter, that match it still.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_matching(&self, ids: &[i64], ended: &MatchingEnd, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let Some(mut conditions) = self.conditions_of(ended) else { return Ok(Revoked::default()) };
        self.lock_rows(ids).await?;
        let named = named("s.id", &mut conditions.values, ids);
        let sql = format!("SELECT {LIVE_COLUMNS} FROM sessions s{}", conditions.where_clause(&[&named], !self.is_sqlite()));
        let live = self.all(&sql, &conditions.values).await?;
        self.revoke_rows(ids.len(), live, revocation).await
    }

    /// Writes down sessions whose rows are locked, of `found` that were looked at.
    async fn revoke_rows(&self, found: usize, live: Vec<LiveRow>, revocation: &Revocation) -> Result<Revoked, StoreError> {
        if live.is_empty() {
            return Ok(Revoked { found, ended: 0 });
        }
        let id = self.insert_revocation(revocation).await?;
        let rows = live.iter().map(|row| values![row.id, id].to_vec()).collect();
        let sql = "INSERT INTO revoked_sessions (session_id, revocation_id) VALUES ";
        // Whoever held a row before it was locked here may have revoked it.
        let end = " ON CONFLICT (session_id) DO NOTHING RETURNING session_id";
        let mut revoked: Vec<i64> = self.insert_rows_returning(sql, rows, end).await?;
        revoked.sort_unstable();
        for row in live.into_iter().filter(|row| revoked.binary_search(&row.id).is_ok()) {
            let Counted { user_id, user_agent_id, country, asn } = row.counted;
            self.add_to_counts(CountKey::of_session(user_id, user_agent_id, &country, asn), -1);
            self.note_change(row.id);
        }
        self.note_ended(revocation.ending.reason.as_str(), revoked.len());
        Ok(Revoked { found, ended: revoked.len() })
    }

    /// Notes that very many sessions are being revoked. PostgreSQL plans a statement once for a connection, and
    /// while none is revoked it is as good to pass over all of them as to look one up: it plans anew after this.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_many_revoked(&self) -> Result<(), StoreError> {
        if self.is_sqlite() { Ok(()) } else { self.batch("ANALYZE revoked_sessions").await }
    }

    async fn insert_revocation(&self, Revocation { ending, ip, request_id }: &Revocation) -> Result<i64, StoreError> {
        let sql = "INSERT INTO revocations (ended_at, ended_by, ended_by_name, reason, comment, ip, request_id) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let Ending { at, by, by_name, reason, comment } = ending;
        let values = values![*at, *by, by_name, reason.as_str(), comment, ip, request_id];
        self.one(sql, &values).await?.ok_or(StoreError::Corrupt("no key of a revocation"))
    }

    /// The key of the newest revocation whose sessions wait to be moved; `None`: none waits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_last_revocation(&self) -> Result<Option<i64>, StoreError> {
        self.one::<i64>("SELECT id FROM revocations ORDER BY id DESC LIMIT 1", &[]).await
    }

    /// Moves at most `limit` sessions of the revocation that waits longest; `None`: none waits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn move_revoked(&self, limit: i64) -> Result<Option<Moved>, StoreError> {
        // Whoever else moves some waits here, and takes the next ones.
        let lock = self.for_update();
        let sql = format!("SELECT {REVOCATION_COLUMNS} FROM revocations r ORDER BY r.id LIMIT 1{lock}");
        let Some(RevocationRow { id, revocation }) = self.one(&sql, &[]).await? else { return Ok(None) };
        let sql = "SELECT session_id FROM revoked_sessions WHERE revocation_id = $1 ORDER BY session_id LIMIT $2";
        let ids: Vec<i64> = self.all(sql, &values![id, limit]).await?;
        let sessions = self.move_rows(&ids, &revocation.ending).await?;
        if i64::try_from(ids.len()).unwrap_or(limit) < limit {
            self.execute("DELETE FROM revocations WHERE id = $1", &values![id]).await?;
        }
        Ok(Some(Moved { sessions, revocation }))
    }

    /// Moves at most `limit` of a user's revoked sessions; `None`: none waits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn move_revoked_of(&self, user: UserId, limit: i64) -> Result<Option<Moved>, StoreError> {
        let sql = format!(
            "SELECT {REVOCATION_COLUMNS} FROM session_rows s JOIN revoked_sessions p ON p.session_id = s.id \
             JOIN revocations r ON r.id = p.revocation_id WHERE s.user_id = $1 ORDER BY r.id LIMIT 1"
        );
        let Some(RevocationRow { id, revocation }) = self.one(&sql, &values![user]).await? else { return Ok(None) };
        let sql = "SELECT s.id FROM session_rows s JOIN revoked_sessions p ON p.session_id = s.id \
            WHERE s.user_id = $1 AND p.revocation_id = $2 ORDER BY s.id LIMIT $3";
        let ids: Vec<i64> = self.all(sql, &values![user, id, limit]).await?;
        let sessions = self.move_rows(&ids, &revocation.ending).await?;
        Ok(Some(Moved { sessions, revocation }))
    }

    /// Whether revoked sessions of this user wait to be moved.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_revoked_of(&self, user: UserId) -> Result<bool, StoreError> {
        let sql = "SELECT s.id FROM session_rows s JOIN revoked_sessions p ON p.session_id = s.id WHERE s.user_id = $1 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![user]).await?.is_some())
    }

    async fn move_rows(&self, ids: &[i64], ending: &Ending) -> Result<Vec<GoneSession>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.lock_rows(ids).await?;
        let (mut values, mut again) = (Vec::new(), Vec::new());
        let (rows, revoked) = (named("id", &mut values, ids), named("session_id", &mut again, ids));
        let gone = self.remove_rows(&rows, &values, ending).await?;
        self.execute(&format!("DELETE FROM revoked_sessions WHERE {revoked}"), &again).await?;
        Ok(gone)
    }

    /// Locks the rows of these keys on PostgreSQL, in the order of their keys. SQLite has one writer.
    pub(in crate::store) async fn lock_rows(&self, ids: &[i64]) -> Result<(), StoreError> {
        if self.is_sqlite() || ids.is_empty() {
            return Ok(());
        }
        let mut values = Vec::new();
        let named = named("id", &mut values, ids);
        self.all::<i64>(&format!("SELECT id FROM session_rows WHERE {named} ORDER BY id FOR UPDATE"), &values).await.map(drop)
    }

    /// Forgets all revocations, when all sessions were removed at once.
    pub(in crate::store) async fn clear_revocations(&self) -> Result<(), StoreError> {
        self.execute("DELETE FROM revoked_sessions", &[]).await?;
        self.execute("DELETE FROM revocations", &[]).await.map(drop)
    }
}
