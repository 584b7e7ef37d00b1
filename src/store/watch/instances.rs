//! Another authentik in the place of the one that a source was: its sessions and users are forgotten.

use crate::domain::Timestamp;
use crate::domain::source::{AskedState, CopyState, SourceId};
use crate::store::sessions::end_job::Lease;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};
use crate::values;

/// The instance that a source becomes.
#[derive(Clone, Debug)]
pub struct NewInstance {
    /// The address.
    pub url: String,
    /// The version, or `""`.
    pub version: String,
    /// The primary key of the token's owner.
    pub owner_pk: i64,
    /// The uid that the instance gave the owner.
    pub owner_uid: String,
}

/// What a source forgot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// How many sessions the copy had.
    pub sessions: usize,
    /// Of how many ends it will never be known what became of them.
    pub ends: u64,
}

impl Db<'_> {
    /// Makes a source another instance: its copy is empty, and nothing that somebody asked for is under way there. The
    /// history stays as it is. `lease` is that of the process that polls from now on; `None`: any may. Gives what was
    /// forgotten; `None`: the source is another instance than this row says by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_instance(
        &self,
        source: &SourceRow,
        new: &NewInstance,
        lease: Option<Lease>,
        now: Timestamp,
    ) -> Result<Option<Forgotten>, StoreError> {
        if !self.lock_source(source).await? {
            return Ok(None);
        }
        let (holder, until) = lease.map_or((String::new(), Timestamp(0)), |lease| (lease.holder, lease.until));
        let sql = "UPDATE sources SET instance = instance + 1, url = $2, version = $3, owner_pk = $4, owner_uid = $5, state = $6, \
            detail = '', total = 0, seen_at = 0, swept_at = 0, newest_used_at = 0, lease_holder = $7, lease_until = $8 WHERE id = $1";
        let values = values![
            source.id.0,
            new.url.as_str(),
            new.version.as_str(),
            new.owner_pk,
            new.owner_uid.as_str(),
            CopyState::Copying.as_str(),
            holder,
            until,
        ];
        self.execute(sql, &values).await?;
        let ends = self.lose_asked_ends(source.id, now).await?;
        let sessions =
            self.all::<i64>("DELETE FROM watched_sessions WHERE source_id = $1 RETURNING id", &values![source.id.0]).await?;
        self.note_watched_changes(&sessions);
        let users = self.all::<i64>("DELETE FROM source_users WHERE source_id = $1 RETURNING pk", &values![source.id.0]).await?;
        self.note_source_user_changes(users);
        Ok(Some(Forgotten { sessions: sessions.len(), ends }))
    }

    /// Settles the ends whose outcome nobody will know, and gives how many there are.
    async fn lose_asked_ends(&self, source: SourceId, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE asked_ends SET state = $2, settled_at = $3, ip = '', request_id = '' \
            WHERE source_id = $1 AND state IN ('sent', 'unknown')";
        self.execute(sql, &values![source.0, AskedState::Lost.as_str(), now]).await
    }
}
