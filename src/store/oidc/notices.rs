//! What apps are owed when their sessions end: the rows, for those who look at them. The trigger `owe_logout_notice` writes
//! them; `notice_queue.rs` next to this file has how they are sent.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::oidc::notice::NoticeState;
use crate::domain::oidc::target::Target;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::db::conditions::Conditions;
use crate::store::db::statements::in_list;
use crate::store::{Db, FromRow, Row, StoreError, Value};
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
    /// Who the app takes the user for; `""` once it is not needed any more.
    pub sub: String,
    /// The session.
    pub session: SessionId,
    /// Where it is, but for whether a node is sending it.
    pub stored_state: NoticeState,
    /// When the app session ended.
    pub owed_at: Timestamp,
    /// How often it was tried.
    pub tries: i64,
    /// From when on it is tried for as long as the settings say; 0: it was not tried yet.
    pub first_at: Timestamp,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Until when the node that sends it has it; 0: none does.
    pub leased_until: Timestamp,
    /// When it was delivered, given up or dropped.
    pub settled_at: Option<Timestamp>,
    /// What the last try came to, or `""`.
    pub said: String,
}

pub(in crate::store::oidc) const COLUMNS: &str = "id, uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, \
    session_uuid, state, owed_at, tries, first_at, next_at, leased_until, settled_at, said";

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
            stored_state: NoticeState::parse(&row.text()?).ok_or(StoreError::Corrupt("the state of a notice"))?,
            owed_at: row.timestamp()?,
            tries: row.int()?,
            first_at: row.timestamp()?,
            next_at: row.timestamp()?,
            leased_until: row.timestamp()?,
            settled_at: row.opt_int()?.map(Timestamp),
            said: row.text()?,
        })
    }
}

impl NoticeRow {
    /// Where it is at this moment.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> NoticeState {
        let is_sending = self.stored_state == NoticeState::Waiting && self.leased_until > now;
        if is_sending { NoticeState::Sending } else { self.stored_state }
    }

    /// When it came to be where it is: settled, or owed.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.settled_at.unwrap_or(self.owed_at)
    }

    /// When it is tried next; `None`: it is settled, or under way.
    #[must_use]
    pub fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        (self.state(now) == NoticeState::Waiting).then(|| self.next_at.max(self.owed_at))
    }
}

/// Which notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeFilter {
    /// The one of this app session.
    pub uuid: Option<Uuid>,
    /// Those of an application.
    pub application: Option<OfApplication>,
    /// Those of this session.
    pub session: Option<SessionId>,
    /// Those in this state.
    pub state: Option<NoticeState>,
}

/// Which application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfApplication {
    /// The one with this primary key.
    Here(i64),
    /// One that is gone, and had this slug.
    Gone(String),
}

impl NoticeFilter {
    fn condition(&self, db: &Db<'_>, now: Timestamp) -> (String, Vec<Value>) {
        let mut it = Conditions::of(db);
        it.with("uuid = ?", self.uuid);
        match &self.application {
            None => {}
            Some(OfApplication::Here(id)) => it.with("application_id = ?", Some(*id)),
            Some(OfApplication::Gone(slug)) => it.with("lower(slug) = lower(?)", Some(slug)),
        }
        it.with("session_uuid = ?", self.session);
        match self.state {
            None => {}
            Some(NoticeState::Waiting) => it.with("state = 'waiting' AND leased_until <= ?", Some(now)),
            Some(NoticeState::Sending) => it.with("leased_until > ? AND leased_until > 0", Some(now)),
            Some(state) => it.with("state = ?", Some(state.as_str())),
        }
        it.into_parts()
    }
}

/// What is seen of an app's notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSummary {
    /// How many wait or are under way.
    pub waiting: i64,
    /// How many were given up, and neither sent nor dropped since.
    pub given_up: i64,
    /// How many were delivered since the day began.
    pub delivered: i64,
    /// Since when the one that waits longest is owed.
    pub oldest: Option<Timestamp>,
    /// How the app was reached last.
    pub line: NoticeLine,
}

/// How an app was reached last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeLine {
    /// Failures to connect in a row.
    pub failures: i64,
    /// Until when it is left alone; 0: it is not.
    pub rests_until: Timestamp,
    /// When it was last told; 0: never.
    pub told_at: Timestamp,
    /// When a try last failed; 0: never.
    pub failed_at: Timestamp,
    /// What that try came to, in words.
    pub failed: String,
}

impl FromRow for NoticeLine {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            failures: row.int()?,
            rests_until: row.timestamp()?,
            told_at: row.timestamp()?,
            failed_at: row.timestamp()?,
            failed: row.text()?,
        })
    }
}

impl Db<'_> {
    /// Notices, the newest first: those after the first `skip`, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_notices(
        &self,
        filter: &NoticeFilter,
        now: Timestamp,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let (condition, mut values) = filter.condition(self, now);
        values.extend(values![limit, skip]);
        let (limit, skip) = (values.len() - 1, values.len());
        let sql = format!("SELECT {COLUMNS} FROM logout_notices WHERE {condition} ORDER BY id DESC LIMIT ${limit} OFFSET ${skip}");
        self.all(&sql, &values).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_notices(&self, filter: &NoticeFilter, now: Timestamp) -> Result<i64, StoreError> {
        let (condition, values) = filter.condition(self, now);
        let sql = format!("SELECT count(*) FROM logout_notices WHERE {condition}");
        Ok(self.one::<i64>(&sql, &values).await?.unwrap_or(0))
    }

    /// The notices of these sessions, by the uuid of their app session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_notices_of(&self, sessions: &[SessionId]) -> Result<HashMap<Uuid, NoticeRow>, StoreError> {
        let mut found = HashMap::new();
        for sessions in sessions.chunks(100) {
            let (list, values) = in_list([], sessions.iter().copied());
            let sql = format!("SELECT {COLUMNS} FROM logout_notices WHERE session_uuid IN ({list})");
            found.extend(self.all::<NoticeRow>(&sql, &values).await?.into_iter().map(|row| (row.uuid, row)));
        }
        Ok(found)
    }

    /// What is seen of the notices of an application. The day began at `day`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_notice_summary(&self, application: i64, day: Timestamp) -> Result<NoticeSummary, StoreError> {
        let sql = "SELECT count(*) FROM logout_notices WHERE application_id = $1 AND state = $2";
        let waiting = self.one::<i64>(sql, &values![application, NoticeState::Waiting.as_str()]).await?;
        let given_up = self.one::<i64>(sql, &values![application, NoticeState::GivenUp.as_str()]).await?;
        let sql = "SELECT count(*) FROM logout_notices WHERE application_id = $1 AND state = 'delivered' AND settled_at >= $2";
        let delivered = self.one::<i64>(sql, &values![application, day]).await?;
        let sql = "SELECT min(owed_at) FROM logout_notices WHERE application_id = $1 AND state = 'waiting' AND owed_at > 0";
        let oldest = self.one::<Oldest>(sql, &values![application]).await?.and_then(|Oldest(at)| at);
        Ok(NoticeSummary {
            waiting: waiting.unwrap_or(0),
            given_up: given_up.unwrap_or(0),
            delivered: delivered.unwrap_or(0),
            oldest,
            line: self.find_notice_line(application).await?,
        })
    }

    /// How an app was reached last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_notice_line(&self, application: i64) -> Result<NoticeLine, StoreError> {
        let sql = "SELECT failures, rests_until, told_at, failed_at, failed FROM notice_lines WHERE application_id = $1";
        Ok(self.one(sql, &values![application]).await?.unwrap_or_default())
    }

    /// How many notices there are in each state that is stored, and since when the one that waits longest is owed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_all_notices(&self) -> Result<(Vec<(NoticeState, i64)>, Option<Timestamp>), StoreError> {
        let counts: Vec<(String, i64)> = self.all("SELECT state, count(*) FROM logout_notices GROUP BY state", &[]).await?;
        let counts = counts.into_iter().filter_map(|(state, count)| Some((NoticeState::parse(&state)?, count))).collect();
        let sql = "SELECT min(owed_at) FROM logout_notices WHERE state = 'waiting' AND owed_at > 0";
        let oldest = self.one::<Oldest>(sql, &[]).await?.and_then(|Oldest(at)| at);
        Ok((counts, oldest))
    }

    /// How many notices that are owed since an instant are in each state that is stored.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_notices_since(&self, owed_at: Timestamp) -> Result<Vec<(NoticeState, i64)>, StoreError> {
        let mut counts = Vec::new();
        for state in [NoticeState::Waiting, NoticeState::Delivered, NoticeState::GivenUp, NoticeState::Dropped] {
            let sql = "SELECT count(*) FROM logout_notices WHERE state = $1 AND owed_at >= $2";
            counts.push((state, self.one::<i64>(sql, &values![state.as_str(), owed_at]).await?.unwrap_or(0)));
        }
        Ok(counts)
    }

    /// Has notices sent now that wait or were given up; gives how many. An app that is left alone is tried at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hasten_notices(&self, filter: &NoticeFilter, now: Timestamp) -> Result<u64, StoreError> {
        let (condition, mut values) = filter.condition(self, now);
        // Those who send lock an app's line first.
        let open = "state IN ('waiting', 'given_up')";
        let sql =
            format!("SELECT DISTINCT application_id FROM logout_notices WHERE {condition} AND {open} ORDER BY application_id");
        for application in self.all::<i64>(&sql, &values).await? {
            self.execute("UPDATE notice_lines SET rests_until = 0 WHERE application_id = $1", &values![application]).await?;
        }
        values.push(now.into());
        let at = values.len();
        let sql = format!(
            "UPDATE logout_notices SET state = 'waiting', next_at = ${at}, first_at = ${at}, leased_until = 0, settled_at = NULL \
             WHERE {condition} AND {open} AND leased_until <= ${at}"
        );
        self.execute(&sql, &values).await
    }

    /// Drops notices that wait or were given up; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drop_notices(&self, filter: &NoticeFilter, now: Timestamp) -> Result<u64, StoreError> {
        let (condition, mut values) = filter.condition(self, now);
        values.push(now.into());
        let at = values.len();
        let sql = format!(
            "UPDATE logout_notices SET state = 'dropped', sub = '', leased_until = 0, settled_at = ${at} \
             WHERE {condition} AND state IN ('waiting', 'given_up')"
        );
        self.execute(&sql, &values).await
    }

    /// Whether a user has an application open by its client, in a live session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_client_open(&self, user: UserId, application: i64, now: Timestamp) -> Result<bool, StoreError> {
        // CROSS JOIN: SQLite reads the user's few sessions first, and not all that have the application open.
        let sql = "SELECT o.id FROM sessions s CROSS JOIN app_sessions o \
            WHERE o.session_id = s.id AND s.user_id = $1 AND o.application_id = $2 AND o.client_id IS NOT NULL AND s.expires_at > $3 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![user, application, now]).await?.is_some())
    }

    /// Removes what was delivered or dropped by `told`, and what was given up by `given_up`; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_notices(&self, told: Timestamp, given_up: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for (state, by) in [(NoticeState::Delivered, told), (NoticeState::Dropped, told), (NoticeState::GivenUp, given_up)] {
            let sql = "DELETE FROM logout_notices WHERE state = $1 AND settled_at <= $2";
            deleted += self.execute(sql, &values![state.as_str(), by]).await?;
        }
        Ok(deleted)
    }

    /// Removes what is known of a user from notices that are not owed any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_settled_notices_of(&self, user: UserId) -> Result<u64, StoreError> {
        self.execute("DELETE FROM logout_notices WHERE user_id = $1 AND state <> 'waiting'", &values![user]).await
    }
}

/// The least of some instants, or null.
struct Oldest(Option<Timestamp>);

impl FromRow for Oldest {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.opt_int()?.map(Timestamp)))
    }
}
