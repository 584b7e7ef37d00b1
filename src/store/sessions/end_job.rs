//! End jobs: ends of many sessions that continue after the request that started them. A row holds
//! what a node needs to continue a job, and its progress. A lease keeps two nodes from running the
//! same job.

use std::time::Duration;

use crate::domain::{Timestamp, UserId};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How long a row is kept after the job began.
const KEPT: Duration = Duration::from_secs(86_400);

/// The state of a job that is not finished.
pub const RUNNING: &str = "running";

/// An end job to add.
#[derive(Clone, Debug)]
pub struct NewEndJob {
    /// Its identifier, which cannot be guessed.
    pub name: String,
    /// Who began it.
    pub by: UserId,
    /// The name of who began it.
    pub actor: String,
    /// The address that the request came from, or `""`.
    pub ip: String,
    /// The id of the request.
    pub request_id: String,
    /// Which sessions, as JSON.
    pub target: String,
    /// How many there were.
    pub total: i64,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
}

/// The node that runs an end job.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The process, by a name that is generated at its start.
    pub holder: String,
    /// The end of the lease: no other process runs the job before.
    pub until: Timestamp,
}

/// An end job to run.
#[derive(Clone, Debug)]
pub struct EndJobRow {
    /// What it was begun with.
    pub job: NewEndJob,
    /// When it began.
    pub began_at: Timestamp,
    /// How many sessions it has ended.
    pub ended: i64,
    /// The key of its event; `None`: nothing was ended so far.
    pub event: Option<i64>,
}

impl FromRow for EndJobRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let job = NewEndJob {
            name: row.text()?,
            by: UserId(row.int()?),
            actor: row.text()?,
            ip: row.text()?,
            request_id: row.text()?,
            target: row.text()?,
            total: row.int()?,
            comment: row.text()?,
        };
        Ok(Self { job, began_at: row.timestamp()?, ended: row.int()?, event: row.opt_int()? })
    }
}

/// The progress of an end job.
#[derive(Clone, Debug)]
pub struct EndJobProgress {
    /// How many there were.
    pub total: i64,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
    /// Its state, in a word.
    pub state: String,
    /// How many sessions ended.
    pub ended: i64,
    /// How many are left; for a job whose number had changed, how many there are.
    pub remaining: i64,
    /// The end of the lease of the process that runs it.
    pub lease_until: Timestamp,
}

impl FromRow for EndJobProgress {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            total: row.int()?,
            comment: row.text()?,
            state: row.text()?,
            ended: row.int()?,
            remaining: row.int()?,
            lease_until: row.timestamp()?,
        })
    }
}

/// The terms of the search in what an end job ends, with blanks between them; `None`: it searches for nothing.
fn search_of(target: &serde_json::Value) -> Option<String> {
    let fields = target.as_object()?;
    let terms = fields.get("search").and_then(serde_json::Value::as_array);
    let search = terms.map(|terms| terms.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" "));
    search.or_else(|| fields.values().find_map(search_of))
}

impl Db<'_> {
    /// Deletes end jobs that began more than a day ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_end_jobs(&self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM end_jobs WHERE began_at < $1", &values![now.minus(KEPT)]).await.map(drop)
    }

    /// Deletes end jobs whose filter names this user, when the user is erased: the name must not be
    /// kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_end_jobs(&self, username: &str) -> Result<(), StoreError> {
        let written = format!("\"username\":{}", serde_json::Value::from(username));
        self.execute(&format!("DELETE FROM end_jobs WHERE {}", self.holds("target", "$1")), &values![written]).await.map(drop)
    }

    /// The same where the filter has a search that names the user, as `names` says of its terms. `word` is one that such a
    /// search has.
    pub(in crate::store) async fn erase_end_jobs_searching(
        &self,
        word: &str,
        names: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let written = serde_json::Value::from(word).to_string();
        let sql = format!("SELECT name, target FROM end_jobs WHERE {}", self.holds("target", "$1"));
        for (name, target) in self.all::<(String, String)>(&sql, &values![written.trim_matches('"')]).await? {
            if serde_json::from_str(&target).is_ok_and(|target| search_of(&target).is_some_and(|search| names(&search))) {
                self.execute("DELETE FROM end_jobs WHERE name = $1", &values![name.as_str()]).await?;
            }
        }
        Ok(())
    }

    /// Adds an end job, which runs under this lease.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_end_job(&self, job: &NewEndJob, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO end_jobs (name, user_id, actor, ip, request_id, began_at, updated_at, target, total, comment, state, ended, \
            remaining, lease_holder, lease_until) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, 0, $8, $11, $12)";
        let values = values![
            job.name.as_str(),
            job.by,
            job.actor.as_str(),
            job.ip.as_str(),
            job.request_id.as_str(),
            now,
            job.target.as_str(),
            job.total,
            job.comment.as_str(),
            RUNNING,
            lease.holder.as_str(),
            lease.until,
        ];
        self.execute(sql, &values).await.map(drop)
    }

    /// Takes the lease of a job that no process runs, and gives the job; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_end_job(&self, lease: &Lease, now: Timestamp) -> Result<Option<EndJobRow>, StoreError> {
        let lock = if self.is_sqlite() { "" } else { " FOR UPDATE SKIP LOCKED" };
        let sql = format!(
            "UPDATE end_jobs SET lease_holder = $1, lease_until = $2, updated_at = $3 WHERE name IN \
             (SELECT name FROM end_jobs WHERE state = $4 AND lease_until <= $3 ORDER BY began_at LIMIT 1{lock}) \
             RETURNING name, user_id, actor, ip, request_id, target, total, comment, began_at, ended, event_id"
        );
        self.one(&sql, &values![lease.holder.as_str(), lease.until, now, RUNNING]).await
    }

    /// Whether there is a job that no process runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_free_end_job(&self, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM end_jobs WHERE state = $1 AND lease_until <= $2";
        Ok(self.one::<i64>(sql, &values![RUNNING, now]).await?.unwrap_or(0) > 0)
    }

    /// Writes the progress of a job that runs under this lease, and renews the lease. Returns
    /// whether the lease was still held.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_end_job(
        &self,
        (name, lease): (&str, &Lease),
        state: &str,
        (ended, remaining): (i64, i64),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE end_jobs SET state = $1, ended = $2, remaining = $3, updated_at = $4, lease_until = $5 \
            WHERE name = $6 AND lease_holder = $7";
        let values = values![state, ended, remaining, now, lease.until, name, lease.holder.as_str()];
        Ok(self.execute(sql, &values).await? > 0)
    }

    /// Gives a lease back before it expires, so that any process continues the job at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_end_job(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE end_jobs SET lease_until = 0 WHERE name = $1 AND lease_holder = $2 AND state = $3";
        self.execute(sql, &values![name, holder, RUNNING]).await.map(drop)
    }

    /// Stores the key of the job's event, before its first session ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_end_job_event(&self, name: &str, event: i64) -> Result<(), StoreError> {
        self.execute("UPDATE end_jobs SET event_id = $1 WHERE name = $2", &values![event, name]).await.map(drop)
    }

    /// The progress of a job that this user began.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_end_job(&self, name: &str, by: UserId) -> Result<Option<EndJobProgress>, StoreError> {
        let sql = "SELECT total, comment, state, ended, remaining, lease_until FROM end_jobs WHERE name = $1 AND user_id = $2";
        self.one(sql, &values![name, by]).await
    }

    /// The number of sessions that ended as parts of this event, and of their users: in the history
    /// and with a pending end. It reads all of them: for long reads.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_parts(&self, event: i64) -> Result<(i64, i64), StoreError> {
        // One statement reads both tables in one snapshot, so a session that is moved between them
        // is counted once.
        let sql = "SELECT count(*), count(DISTINCT user_uuid) FROM (SELECT user_uuid FROM events WHERE parent_id = $1 UNION ALL \
            SELECT u.uuid AS user_uuid FROM pending_ends r JOIN pending_end_sessions p ON p.pending_end_id = r.id \
            JOIN session_rows s ON s.id = p.session_id JOIN users u ON u.id = s.user_id WHERE r.event_id = $1) parts";
        Ok(self.one::<(i64, i64)>(sql, &values![event]).await?.unwrap_or_default())
    }
}
