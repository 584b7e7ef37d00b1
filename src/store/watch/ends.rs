//! Ends of watched sessions: a row leaves the copy and enters the history, in one transaction.

use crate::domain::fold::fold;
use crate::domain::source::methods_of;
use crate::domain::{SessionId, UserKey};
use crate::store::db::statements::in_list;
use crate::store::sessions::history::End;
use crate::store::watch::sessions::WatchedRow;
use crate::store::watch::sources::SourceRow;
use crate::store::{CountKey, Db, StoreError, Value};
use crate::values;

impl Db<'_> {
    /// Moves these sessions of the copy to the history, each with its end, and gives those that the copy had. They ended
    /// between the begin of the last complete walk that found them, or when they were written, and the time of their end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_watched(&self, source: &SourceRow, ended: &[(SessionId, End)]) -> Result<Vec<WatchedRow>, StoreError> {
        let uuids: Vec<SessionId> = ended.iter().map(|(uuid, _)| *uuid).collect();
        let rows = self.list_watched(source.id, &uuids).await?;
        let mut history = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some((_, end)) = ended.iter().find(|(uuid, _)| *uuid == row.session.uuid) else { continue };
            history.push(values_of(source, row, end));
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(source.user_uuid(row.session.user_pk))], 1);
        }
        let start = "INSERT INTO ended_sessions (uuid, user_uuid, username, username_folded, created_at, last_used_at, expires_at, \
            last_ip, last_ip_key, user_agent_id, country, asn, methods, is_known_device, is_remembered, label, ended_at, ended_by_uuid, ended_by_name, \
            reason, comment, source_id, seen_at) VALUES ";
        self.insert_rows(start, history, "").await?;
        let (these, values) = in_list(values![source.id.0], rows.iter().map(|row| row.session.uuid));
        let sql = format!("DELETE FROM watched_sessions WHERE source_id = $1 AND uuid IN ({these}) RETURNING id");
        self.note_watched_changes(&self.all::<i64>(&sql, &values).await?);
        Ok(rows)
    }
}

fn values_of(source: &SourceRow, row: &WatchedRow, end: &End) -> Vec<Value> {
    let (session, username) = (&row.session, row.shown_name());
    let by = match end.by {
        Some(UserKey::Uuid(uuid)) => Some(uuid),
        _ => None,
    };
    let methods = row.sign_in.as_ref().map(|sign_in| methods_of(&sign_in.method)).unwrap_or_default();
    let is_known_device = row.sign_in.as_ref().and_then(|sign_in| sign_in.is_known_device).unwrap_or(false);
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
        methods.to_string(),
        is_known_device,
        false,
        "",
        end.at,
        by,
        end.by_name.as_str(),
        end.reason.as_str(),
        end.comment.as_str(),
        source.id.0,
        row.seen_at.max(source.status.swept_at),
    ]
    .to_vec()
}
