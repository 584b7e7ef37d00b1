//! Everything that is stored about single sessions, live and ended, for the pages about them.

use std::time::Duration;

use crate::domain::application::session::EndedAppSession;
use crate::domain::session::Lifetime;
use crate::domain::source::{METHOD_WORDS, SourceId, methods_of};
use crate::domain::{Address, Methods, SessionId, Timestamp, UserId};
use crate::store::sessions::history::USER_NOW;
use crate::store::sessions::pending_rows::NOT_MOVED;
use crate::store::sessions::rows::{SESSION_COLUMNS, SessionRow};
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// How a session's user signed in, and the session's name.
#[derive(Clone, Debug)]
pub struct SignInRow {
    /// The name that its owner gave it, or `""`.
    pub label: String,
    /// How its user proved who they are.
    pub methods: Methods,
    /// Whether the browser was known to its user at the sign-in.
    pub is_known_device: bool,
}

/// What the column `method` of a watched session says in Rollcall's words, as they are stored.
pub(in crate::store) fn methods_sql() -> String {
    let cases = METHOD_WORDS.map(|word| format!("WHEN '{word}' THEN '{}'", methods_of(word)));
    format!("CASE method {} ELSE '' END", cases.join(" "))
}

/// The columns of [`SignInRow`], of the table that is called `s`.
pub(in crate::store) const SIGN_IN_COLUMNS: &str = "s.label, s.methods, s.is_known_device";

impl FromRow for SignInRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { label: row.text()?, methods: Methods::parse(&row.text()?), is_known_device: row.bool()? })
    }
}

/// A session, with everything that is stored of it except its key.
#[derive(Clone, Debug)]
pub struct SessionDetailRow {
    /// What lists show.
    pub row: SessionRow,
    /// How its user signed in.
    pub sign_in: SignInRow,
    /// How long it may live.
    pub lifetime: Lifetime,
}

impl FromRow for SessionDetailRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            row: SessionRow::from_row(row)?,
            sign_in: SignInRow::from_row(row)?,
            lifetime: Lifetime {
                absolute_expires_at: row.timestamp()?,
                idle_timeout: row.opt_int()?.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
            },
        })
    }
}

/// Everything that is kept of an ended session.
#[derive(Clone, Debug)]
pub struct EndedDetailRow {
    /// The session's UUID.
    pub uuid: SessionId,
    /// The primary key that its user has now; 0: the user is gone.
    pub user_id: UserId,
    /// The name of its user at that time.
    pub username: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// Where it was last used from.
    pub last_ip: Address,
    /// The last user agent's id in the dictionary.
    pub user_agent_id: i64,
    /// How its user signed in.
    pub sign_in: SignInRow,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Who ended it.
    pub ended_by: String,
    /// Why ([`crate::domain::EndReason::as_str`]).
    pub reason: String,
    /// Why, as a comment of the person who ended it, or `""`.
    pub comment: String,
    /// The app sessions that it had.
    pub applications: Vec<EndedAppSession>,
    /// The source that it lived at; `None`: Rollcall.
    pub source: Option<SourceId>,
}

impl FromRow for EndedDetailRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            uuid: SessionId(row.uuid()?),
            user_id: UserId(row.int()?),
            username: row.text()?,
            created_at: row.timestamp()?,
            last_used_at: row.timestamp()?,
            last_ip: row.address()?,
            user_agent_id: row.int()?,
            sign_in: SignInRow::from_row(row)?,
            ended_at: row.timestamp()?,
            ended_by: row.text()?,
            reason: row.text()?,
            comment: row.text()?,
            applications: EndedAppSession::list_from_json(&row.text()?),
            source: row.opt_int()?.map(SourceId),
        })
    }
}

const ENDED_COLUMNS: &str = "s.username, s.created_at, s.last_used_at, s.last_ip_key, s.user_agent_id";
const END_COLUMNS: &str = "s.ended_at, s.ended_by_name, s.reason, s.comment, s.applications";

impl Db<'_> {
    /// Everything about those of these sessions that exist, in no order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_session_details(&self, ids: &[SessionId]) -> Result<Vec<SessionDetailRow>, StoreError> {
        let mut details = Vec::with_capacity(ids.len());
        for ids in ids.chunks(100) {
            let sql = format!(
                "SELECT {SESSION_COLUMNS}, {SIGN_IN_COLUMNS}, s.absolute_expires_at, s.idle_timeout FROM sessions s WHERE s.uuid IN ({})",
                crate::store::db::statements::placeholders(0, ids.len())
            );
            let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
            details.extend(self.all::<SessionDetailRow>(&sql, &values).await?);
        }
        Ok(details)
    }

    /// The last ended session with this UUID.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_ended_detail(&self, uuid: SessionId) -> Result<Option<EndedDetailRow>, StoreError> {
        // Pending ends are read first: if one is moved between the two statements, the second finds
        // it.
        let sql = format!(
            "SELECT s.uuid, s.user_id, u.username, s.created_at, s.last_used_at, s.last_ip_key, s.user_agent_id, {SIGN_IN_COLUMNS}, \
             r.ended_at, r.ended_by_name, r.reason, r.comment, '[]', CAST(NULL AS BIGINT) FROM {NOT_MOVED} WHERE s.uuid = $1"
        );
        if let Some(mut row) = self.one::<EndedDetailRow>(&sql, &values![uuid]).await? {
            row.applications = self.list_pending_app_sessions(uuid).await?;
            return Ok(Some(row));
        }
        let sql = format!(
            "SELECT s.uuid, {USER_NOW}, {ENDED_COLUMNS}, {SIGN_IN_COLUMNS}, {END_COLUMNS}, s.source_id FROM ended_sessions s WHERE s.uuid = $1 \
             ORDER BY s.id DESC LIMIT 1"
        );
        self.one(&sql, &values![uuid]).await
    }

    /// A user's sessions that ended, the latest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_ended_of_user(&self, user: UserId, limit: i64) -> Result<Vec<EndedDetailRow>, StoreError> {
        let sql = format!(
            "SELECT s.uuid, {USER_NOW}, {ENDED_COLUMNS}, {SIGN_IN_COLUMNS}, {END_COLUMNS}, s.source_id FROM ended_sessions s \
             WHERE s.user_uuid = (SELECT uuid FROM users WHERE id = $1) \
             ORDER BY s.ended_at DESC, s.uuid LIMIT $2"
        );
        self.all(&sql, &values![user, limit]).await
    }
}
