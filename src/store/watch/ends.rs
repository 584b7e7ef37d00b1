//! Ends of watched sessions: a row leaves the copy and enters the history, in one transaction.

use crate::domain::fold::fold;
use crate::domain::source::{NAME, SourceId};
use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::db::statements::in_list;
use crate::store::watch::sessions::WatchedRow;
use crate::store::{CountKey, Db, StoreError, Value};
use crate::values;

/// The name of who ended it, where nobody knows: the source did.
const BY: &str = NAME;

impl Db<'_> {
    /// Moves these sessions of the copy to the history, each with its reason. `checked_at` is when the last complete walk
    /// began that found them, or 0; they ended between then and `now`. Gives how many there were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_watched(
        &self,
        source: SourceId,
        ended: &[(SessionId, EndReason)],
        checked_at: Timestamp,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let uuids: Vec<SessionId> = ended.iter().map(|(uuid, _)| *uuid).collect();
        let rows = self.list_watched(source, &uuids).await?;
        let mut history = Vec::with_capacity(rows.len());
        for row in &rows {
            let reason = ended.iter().find(|(uuid, _)| *uuid == row.session.uuid).map_or(EndReason::Gone, |(_, reason)| *reason);
            history.push(values_of(source, row, reason, row.seen_at.max(checked_at), now));
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(source.user_uuid(row.session.user_pk))], 1);
        }
        let start = "INSERT INTO ended_sessions (uuid, user_uuid, username, username_folded, created_at, last_used_at, expires_at, \
            last_ip, last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, ended_at, ended_by_name, reason, \
            source_id, seen_at) VALUES ";
        self.insert_rows(start, history, "").await?;
        let (these, values) = in_list(values![source.0], rows.iter().map(|row| row.session.uuid));
        let sql = format!("DELETE FROM watched_sessions WHERE source_id = $1 AND uuid IN ({these}) RETURNING id");
        self.note_watched_changes(&self.all::<i64>(&sql, &values).await?);
        Ok(rows.len())
    }
}

fn values_of(source: SourceId, row: &WatchedRow, reason: EndReason, seen_at: Timestamp, now: Timestamp) -> Vec<Value> {
    let session = &row.session;
    // A user whose name is not known is shown by the number that authentik has for them.
    let username = row.username.clone().unwrap_or_else(|| format!("user {}", session.user_pk));
    values![
        session.uuid,
        source.user_uuid(session.user_pk),
        username.as_str(),
        fold(&username),
        row.first_seen_at,
        session.last_used_at,
        session.expires_at,
        session.ip.to_string(),
        session.ip.sort_key(),
        row.user_agent_id,
        session.country.as_str(),
        session.asn,
        "",
        false,
        "",
        now,
        BY,
        reason.as_str(),
        source.0,
        seen_at,
    ]
    .to_vec()
}
