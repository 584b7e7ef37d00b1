//! Ends of many sessions of a source: a job, whose sessions wait in `asked_ends` until their turn comes. A lease keeps two
//! processes from running the same job.

use std::time::Duration;

use serde_json::json;

use crate::domain::event::FilterTerms;
use crate::domain::source::{JobState, SourceId};
use crate::domain::{Timestamp, UserId};
use crate::store::sessions::end_job::Lease;
use crate::store::watch::asked::NewAsk;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How long a job is kept after its end.
const KEPT: Duration = Duration::from_secs(86_400);

/// An end of many sessions of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceJob {
    /// The key of the row.
    pub id: i64,
    /// Its identifier, which cannot be guessed.
    pub name: String,
    /// The source.
    pub source: SourceId,
    /// Whether it ends all sessions of one user at once, as far as the source can.
    pub is_whole_user: bool,
    /// The name of who began it.
    pub actor: String,
    /// Which sessions, as JSON: the terms of the filter.
    pub filter: String,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
    /// How many sessions there were.
    pub total: i64,
    /// Its state.
    pub state: JobState,
    /// Why it is in this state, or `""`.
    pub detail: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended; 0: it did not.
    pub finished_at: Timestamp,
    /// The key of its event.
    pub event: i64,
    /// The end of the lease of the process that runs it.
    pub lease_until: Timestamp,
}

impl FromRow for SourceJob {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            name: row.text()?,
            source: SourceId(row.int()?),
            is_whole_user: row.bool()?,
            actor: row.text()?,
            filter: row.text()?,
            comment: row.text()?,
            total: row.int()?,
            state: JobState::parse(&row.text()?).ok_or(StoreError::Corrupt("the state of an end of many"))?,
            detail: row.text()?,
            began_at: row.timestamp()?,
            finished_at: row.timestamp()?,
            event: row.int()?,
            lease_until: row.timestamp()?,
        })
    }
}

/// A job to add.
#[derive(Clone, Debug)]
pub struct NewSourceJob {
    /// Its identifier, which cannot be guessed.
    pub name: String,
    /// The source.
    pub source: SourceId,
    /// Whether it ends all sessions of one user at once.
    pub is_whole_user: bool,
    /// Who begins it, and the comment.
    pub ask: NewAsk,
    /// Which sessions, as JSON.
    pub filter: String,
    /// How many there are.
    pub total: i64,
    /// The key of its event.
    pub event: i64,
}

const COLUMNS: &str = "id, name, source_id, is_whole_user, actor, filter, comment, total, state, detail, began_at, finished_at, \
    event_id, lease_until";
/// Those that go on.
const OPEN: &str = "state IN ('running', 'stopping')";

impl Db<'_> {
    /// Adds a job that runs under this lease, and gives its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_source_job(&self, job: &NewSourceJob, lease: &Lease, now: Timestamp) -> Result<i64, StoreError> {
        let sql = "INSERT INTO source_jobs (name, source_id, is_whole_user, actor_uuid, actor, filter, comment, total, state, \
            began_at, event_id, lease_holder, lease_until) VALUES ($1, $2, $3, (SELECT uuid FROM users WHERE id = $4), $5, $6, $7, $8, \
            $9, $10, $11, $12, $13) RETURNING id";
        let values = values![
            job.name.as_str(),
            job.source.0,
            job.is_whole_user,
            job.ask.by.map(|user: UserId| user.0),
            job.ask.actor.as_str(),
            job.filter.as_str(),
            job.ask.comment.as_str(),
            job.total,
            JobState::Running.as_str(),
            now,
            job.event,
            lease.holder.as_str(),
            lease.until,
        ];
        self.one(sql, &values).await?.ok_or(StoreError::Corrupt("no key of an end of many"))
    }

    /// A job by its name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_source_job(&self, name: &str) -> Result<Option<SourceJob>, StoreError> {
        self.one(&format!("SELECT {COLUMNS} FROM source_jobs WHERE name = $1"), &values![name]).await
    }

    /// The jobs of the last day, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_source_jobs(&self) -> Result<Vec<SourceJob>, StoreError> {
        self.all(&format!("SELECT {COLUMNS} FROM source_jobs ORDER BY id DESC LIMIT 100"), &[]).await
    }

    /// Takes the lease of a job that no process runs, and gives the job; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_source_job(&self, lease: &Lease, now: Timestamp) -> Result<Option<SourceJob>, StoreError> {
        let lock = if self.is_sqlite() { "" } else { " FOR UPDATE SKIP LOCKED" };
        let sql = format!(
            "UPDATE source_jobs SET lease_holder = $1, lease_until = $2 WHERE id IN (SELECT id FROM source_jobs WHERE {OPEN} \
             AND lease_until <= $3 ORDER BY id LIMIT 1{lock}) RETURNING {COLUMNS}"
        );
        self.one(&sql, &values![lease.holder.as_str(), lease.until, now]).await
    }

    /// Whether there is a job that no process runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_free_source_job(&self, now: Timestamp) -> Result<bool, StoreError> {
        let sql = format!("SELECT count(*) FROM source_jobs WHERE {OPEN} AND lease_until <= $1");
        Ok(self.one::<i64>(&sql, &values![now]).await?.unwrap_or(0) > 0)
    }

    /// Renews the lease of a job, and gives its state; `None`: another process has it, or it ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold_source_job(&self, id: i64, lease: &Lease) -> Result<Option<JobState>, StoreError> {
        let sql = format!("UPDATE source_jobs SET lease_until = $3 WHERE id = $1 AND lease_holder = $2 AND {OPEN} RETURNING state");
        let state: Option<String> = self.one(&sql, &values![id, lease.holder.as_str(), lease.until]).await?;
        Ok(state.and_then(|word| JobState::parse(&word)))
    }

    /// The state of a job that this holder of its lease runs; `None`: another process has it, or it ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_state_of_source_job(&self, id: i64, holder: &str) -> Result<Option<JobState>, StoreError> {
        let sql = format!("SELECT state FROM source_jobs WHERE id = $1 AND lease_holder = $2 AND {OPEN}");
        let state: Option<String> = self.one(&sql, &values![id, holder]).await?;
        Ok(state.and_then(|word| JobState::parse(&word)))
    }

    /// Gives a lease back before it is over, so that any process continues the job at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_source_job(&self, id: i64, holder: &str) -> Result<(), StoreError> {
        let sql = format!("UPDATE source_jobs SET lease_until = 0 WHERE id = $1 AND lease_holder = $2 AND {OPEN}");
        self.execute(&sql, &values![id, holder]).await.map(drop)
    }

    /// Tells a job to stop. Returns whether it went on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stop_source_job(&self, name: &str) -> Result<bool, StoreError> {
        let sql = format!("UPDATE source_jobs SET state = $2 WHERE name = $1 AND {OPEN}");
        Ok(self.execute(&sql, &values![name, JobState::Stopping.as_str()]).await? > 0)
    }

    /// Ends a job that this process runs; the sessions that still wait are left alone. Returns whether this process had
    /// the lease.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn finish_source_job(
        &self,
        (id, holder): (i64, &str),
        state: JobState,
        detail: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE source_jobs SET state = $3, detail = $4, finished_at = $5 WHERE id = $1 AND lease_holder = $2 AND {OPEN}"
        );
        if self.execute(&sql, &values![id, holder, state.as_str(), detail, now]).await? == 0 {
            return Ok(false);
        }
        self.execute("DELETE FROM asked_ends WHERE job_id = $1 AND state = 'waiting'", &values![id]).await?;
        Ok(true)
    }

    /// Ends all jobs of a source that go on, whichever process runs them, and gives them; the sessions that still wait are
    /// left alone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fail_source_jobs(&self, source: SourceId, detail: &str, now: Timestamp) -> Result<Vec<SourceJob>, StoreError> {
        let sql = format!(
            "UPDATE source_jobs SET state = $2, detail = $3, finished_at = $4, lease_holder = '', lease_until = 0 \
             WHERE source_id = $1 AND {OPEN} RETURNING {COLUMNS}"
        );
        let ended = self.all(&sql, &values![source.0, JobState::Failed.as_str(), detail, now]).await?;
        self.execute("DELETE FROM asked_ends WHERE source_id = $1 AND state = 'waiting'", &values![source.0]).await?;
        Ok(ended)
    }

    /// Deletes jobs that ended more than a day ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_source_jobs(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM source_jobs WHERE finished_at > 0 AND finished_at < $1";
        self.execute(sql, &values![now.minus(KEPT)]).await.map(drop)
    }

    /// Takes out of the filters of jobs what names somebody by a text that it holds, written as JSON writes it: `names` is
    /// asked for the key and the value of each part of such a filter. Which sessions a job ends does not change by it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn erase_source_jobs_with(
        &self,
        written: &str,
        names: impl Fn(&str, &str) -> bool,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT id, filter FROM source_jobs WHERE {}", self.holds("filter", "$1"));
        for (id, filter) in self.all::<(i64, String)>(&sql, &values![written]).await? {
            // What is no filter says nothing that a page could show, either.
            let mut terms: FilterTerms = serde_json::from_str(&filter).unwrap_or_default();
            terms.retain(|key, value| !names(key, value));
            let filter = json!(terms).to_string();
            self.execute("UPDATE source_jobs SET filter = $2 WHERE id = $1", &values![id, filter.as_str()]).await?;
        }
        Ok(())
    }
}
