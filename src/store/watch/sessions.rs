//! The copy: the living sessions of a source.

use crate::domain::listing::SessionRow;
use crate::domain::source::SourceId;
use crate::domain::{Address, SessionId, Timestamp, UserId};
use crate::store::db::statements::in_list;
use crate::store::sessions::addresses::{OldAddress, Step};
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// How many rows are read by their UUIDs at once.
const AT_ONCE: usize = 512;

/// A session of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSession {
    /// Its UUID at the source.
    pub uuid: SessionId,
    /// The primary key of its user at the source.
    pub user_pk: i64,
    /// The address it was last used from.
    pub ip: Address,
    /// The text of its user agent.
    pub user_agent: String,
    /// The country of the address, or `""`.
    pub country: String,
    /// The autonomous system of the address.
    pub asn: Option<i64>,
    /// When it was last used, as the source has it.
    pub last_used_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// How a session was signed in to, as the event log of the source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSignIn {
    /// When.
    pub at: Timestamp,
    /// By what, in the source's word, or `""`.
    pub method: String,
    /// Whether the device was known to the user; `None`: the log does not say.
    pub is_known_device: Option<bool>,
}

/// A session as it is in the copy.
#[derive(Clone, Debug)]
pub struct WatchedRow {
    /// What the source said of it.
    pub session: WatchedSession,
    /// The key of its user agent.
    pub user_agent_id: i64,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last written.
    pub seen_at: Timestamp,
    /// How it was signed in to, if that is known.
    pub sign_in: Option<WatchedSignIn>,
    /// The name of its user, if it is known.
    pub username: Option<String>,
}

impl WatchedRow {
    /// The name of its user. Where it is not known, the user is shown by the number that authentik has for them.
    #[must_use]
    pub fn shown_name(&self) -> String {
        self.username.clone().unwrap_or_else(|| format!("user {}", self.session.user_pk))
    }

    /// The session as lists show it. authentik tells neither when it began nor whether it is to stay signed in.
    #[must_use]
    pub fn listed(&self, source: SourceId) -> SessionRow {
        SessionRow {
            uuid: self.session.uuid,
            user_id: UserId(self.session.user_pk),
            created_at: self.first_seen_at,
            last_used_at: self.session.last_used_at,
            expires_at: self.session.expires_at,
            last_ip: self.session.ip,
            user_agent_id: self.user_agent_id,
            is_remembered: false,
            source: Some(source),
        }
    }
}

impl FromRow for WatchedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let session = WatchedSession {
            uuid: SessionId(row.uuid()?),
            user_pk: row.int()?,
            ip: row.address()?,
            user_agent: row.text()?,
            country: row.text()?,
            asn: row.opt_int()?,
            last_used_at: row.timestamp()?,
            expires_at: row.timestamp()?,
        };
        Ok(Self {
            session,
            user_agent_id: row.int()?,
            first_seen_at: row.timestamp()?,
            seen_at: row.timestamp()?,
            sign_in: sign_in(row)?,
            username: row.opt_text()?,
        })
    }
}

fn sign_in(row: &mut Row<'_>) -> Result<Option<WatchedSignIn>, StoreError> {
    let (at, method, known) = (row.timestamp()?, row.text()?, row.text()?);
    let is_known_device = match known.as_str() {
        YES => Some(true),
        NO => Some(false),
        _ => None,
    };
    Ok((at.0 > 0).then_some(WatchedSignIn { at, method, is_known_device }))
}

/// The words for whether a device was known.
const YES: &str = "yes";
const NO: &str = "no";

/// The columns of a [`WatchedRow`], and its tables: sessions `w`, user agents `a`, users `u`.
pub(in crate::store) const ROWS: &str = "SELECT w.uuid, w.user_pk, w.last_ip_key, a.text, w.country, w.asn, w.last_used_at, w.expires_at, \
    w.user_agent_id, w.first_seen_at, w.seen_at, w.signed_in_at, w.method, w.known_device, u.username FROM watched_sessions w JOIN user_agents a ON a.id = w.user_agent_id \
    LEFT JOIN source_users u ON u.source_id = w.source_id AND u.pk = w.user_pk";

impl Db<'_> {
    /// Those of these sessions that the copy has, in no order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_watched(&self, source: SourceId, uuids: &[SessionId]) -> Result<Vec<WatchedRow>, StoreError> {
        let mut rows = Vec::with_capacity(uuids.len());
        for uuids in uuids.chunks(AT_ONCE) {
            let (these, values) = in_list(values![source.0], uuids.iter().copied());
            rows.extend(self.all(&format!("{ROWS} WHERE w.source_id = $1 AND w.uuid IN ({these})"), &values).await?);
        }
        Ok(rows)
    }

    /// The sessions of the copy after this UUID, by UUID, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_watched_after(&self, source: SourceId, after: SessionId, limit: i64) -> Result<Vec<WatchedRow>, StoreError> {
        let sql = format!("{ROWS} WHERE w.source_id = $1 AND w.uuid > $2 ORDER BY w.uuid LIMIT $3");
        self.all(&sql, &values![source.0, after, limit]).await
    }

    /// The sessions of the copy that were used last, without those of one user, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_latest_watched(&self, source: SourceId, but: i64, limit: i64) -> Result<Vec<SessionId>, StoreError> {
        let sql =
            "SELECT uuid FROM watched_sessions WHERE source_id = $1 AND user_pk <> $2 ORDER BY last_used_at DESC, id LIMIT $3";
        self.all(sql, &values![source.0, but, limit]).await
    }

    /// How many sessions the copy has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_watched(&self, source: SourceId) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM watched_sessions WHERE source_id = $1";
        Ok(self.one::<i64>(sql, &values![source.0]).await?.unwrap_or(0))
    }

    /// The UUIDs of all sessions of the copy, ascending, each with the time it was last written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_watched_uuids(&self, source: SourceId) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        let sql = "SELECT uuid, seen_at FROM watched_sessions WHERE source_id = $1 ORDER BY uuid";
        let rows: Vec<WatchedKey> = self.all(sql, &values![source.0]).await?;
        Ok(rows.into_iter().map(|key| (key.0, key.1)).collect())
    }

    /// Writes sessions as they were seen at `now`. Their user agents are in the dictionary, under these keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_watched(
        &self,
        source: SourceId,
        sessions: &[(WatchedSession, i64)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = sessions.iter().map(|(session, user_agent)| {
            values![
                source.0,
                session.uuid,
                session.user_pk,
                session.ip.to_string(),
                session.ip.sort_key(),
                *user_agent,
                session.country.as_str(),
                session.asn,
                session.last_used_at,
                session.expires_at,
                now,
                now,
            ]
            .to_vec()
        });
        let start = "INSERT INTO watched_sessions (source_id, uuid, user_pk, last_ip, last_ip_key, user_agent_id, country, asn, \
            last_used_at, expires_at, first_seen_at, seen_at) VALUES ";
        let end = " ON CONFLICT (source_id, uuid) DO UPDATE SET user_pk = excluded.user_pk, last_ip = excluded.last_ip, \
            last_ip_key = excluded.last_ip_key, user_agent_id = excluded.user_agent_id, country = excluded.country, \
            asn = excluded.asn, last_used_at = excluded.last_used_at, expires_at = excluded.expires_at, \
            seen_at = excluded.seen_at RETURNING id";
        let written: Vec<i64> = self.insert_rows_returning(start, rows.collect::<Vec<Vec<Value>>>(), end).await?;
        self.note_watched_changes(&written);
        Ok(())
    }

    /// Writes how sessions of the copy were signed in to.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_sign_ins(&self, source: SourceId, sign_ins: &[(SessionId, WatchedSignIn)]) -> Result<(), StoreError> {
        let sql = "UPDATE watched_sessions SET signed_in_at = $3, method = $4, known_device = $5 WHERE source_id = $1 AND uuid = $2 \
            RETURNING id";
        let mut written = Vec::new();
        for (uuid, sign_in) in sign_ins {
            let known = sign_in.is_known_device.map_or("", |is_known| if is_known { YES } else { NO });
            let values = values![source.0, *uuid, sign_in.at, sign_in.method.as_str(), known];
            written.extend(self.all::<i64>(sql, &values).await?);
        }
        self.note_watched_changes(&written);
        Ok(())
    }

    /// As [`Db::list_old_sessions`], for sessions of all sources.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_old_watched(
        &self,
        after: Step,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<OldAddress<Address>>, StoreError> {
        let sql = "SELECT id, last_used_at, last_ip_key, CAST(NULL AS BYTEA) FROM watched_sessions WHERE last_used_at >= $1 \
            AND last_used_at < $3 AND (last_used_at > $1 OR id > $2) ORDER BY last_used_at, id LIMIT $4";
        self.all(sql, &values![after.0, after.1, before, limit]).await
    }

    /// Replaces the address of a session of a source.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_old_watched(&self, id: i64, ip: Address, (country, asn): (&str, Option<i64>)) -> Result<(), StoreError> {
        let sql = "UPDATE watched_sessions SET last_ip = $2, last_ip_key = $3, country = $4, asn = $5 WHERE id = $1";
        self.execute(sql, &values![id, ip.to_string(), ip.sort_key(), country, asn]).await?;
        self.note_watched_changes(&[id]);
        Ok(())
    }
}

/// A UUID, and when its row was last written.
struct WatchedKey(SessionId, Timestamp);

impl FromRow for WatchedKey {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(SessionId(row.uuid()?), row.timestamp()?))
    }
}
