//! How notices are sent: which apps have some that are due, who takes them, and what became of a try. All nodes together keep
//! to an app's share: its line is locked while notices of it are taken.

use crate::domain::Timestamp;
use crate::domain::oidc::notice::{IN_A_SECOND, OF_AN_APP, UNREACHABLE, Verdict, rest};
use crate::store::db::statements::{Statement, named};
use crate::store::oidc::notices::{COLUMNS, NoticeRow};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How many notices of an unreachable app are given up at once.
const AT_ONCE: i64 = 10_000;

/// What an app got of its share.
struct Line {
    failures: i64,
    rests_until: Timestamp,
    second_at: i64,
    in_second: i64,
}

impl FromRow for Line {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { failures: row.int()?, rests_until: row.timestamp()?, second_at: row.int()?, in_second: row.int()? })
    }
}

/// A try of a notice, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What follows.
    pub verdict: Verdict,
    /// Whether there was no connection.
    pub is_unreachable: bool,
    /// What it came to, in words.
    pub said: String,
}

/// Says of the notices that this transaction wrote when they were owed. No other one sees them yet.
pub(in crate::store) fn stamp(now: Timestamp) -> Statement {
    Statement::new("UPDATE logout_notices SET owed_at = $1 WHERE state = 'waiting' AND owed_at = 0", values![now])
}

impl Db<'_> {
    /// The applications that have notices which are due and may be tried now, by primary key. It reads a few rows for each
    /// application that is owed something.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_due_applications(&self, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        let due = |is_bulk| {
            format!(
                "EXISTS (SELECT 1 FROM logout_notices n WHERE n.state = 'waiting' AND n.application_id = owed.id \
                 AND n.is_bulk = {is_bulk} AND n.next_at <= $1)"
            )
        };
        let (single, bulk) = if self.is_sqlite() { (due("0"), due("1")) } else { (due("FALSE"), due("TRUE")) };
        // SQLite would rather go through all that wait.
        let by = if self.is_sqlite() { " INDEXED BY logout_notices_waiting" } else { "" };
        let sql = format!(
            "WITH RECURSIVE owed(id) AS (SELECT min(application_id) FROM logout_notices{by} WHERE state = 'waiting' \
             UNION ALL SELECT (SELECT min(n.application_id) FROM logout_notices n{by} \
             WHERE n.state = 'waiting' AND n.application_id > owed.id) FROM owed WHERE owed.id IS NOT NULL) \
             SELECT id FROM owed WHERE id IS NOT NULL AND ({single} OR {bulk}) \
             AND NOT EXISTS (SELECT 1 FROM notice_lines l WHERE l.application_id = owed.id AND l.rests_until > $1)"
        );
        self.all(&sql, &values![now]).await
    }

    /// Takes notices of an application that are due, at most `limit` and as many as its share has room for: nobody else takes
    /// them before `until`. Those of single ends come before those of very many.
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
        let line = self.lock_notice_line(application).await?;
        let sql = "SELECT count(*) FROM logout_notices WHERE application_id = $1 AND leased_until > 0 AND leased_until > $2";
        let under_way = self.one::<i64>(sql, &values![application, now]).await?.unwrap_or(0);
        let sent = if line.second_at == now.seconds() { line.in_second } else { 0 };
        let most = if line.failures >= UNREACHABLE { 1 } else { OF_AN_APP };
        let room = limit.min(most - under_way).min(IN_A_SECOND - sent);
        if line.rests_until > now || room <= 0 {
            return Ok(Vec::new());
        }
        let mut taken: Vec<NoticeRow> = Vec::new();
        for is_bulk in [false, true] {
            let left = room - i64::try_from(taken.len()).unwrap_or(room);
            let sql = format!(
                "SELECT {COLUMNS} FROM logout_notices WHERE state = 'waiting' AND application_id = $1 AND is_bulk = $2 \
                 AND next_at <= $3 ORDER BY next_at, id LIMIT $4{}",
                self.for_update()
            );
            if left > 0 {
                taken.extend(self.all::<NoticeRow>(&sql, &values![application, is_bulk, now, left]).await?);
            }
        }
        if taken.is_empty() {
            return Ok(taken);
        }
        let mut values = values![now, until].to_vec();
        let ids: Vec<i64> = taken.iter().map(|row| row.id).collect();
        let these = named("id", &mut values, &ids);
        let sql = format!(
            "UPDATE logout_notices SET tries = tries + 1, first_at = CASE first_at WHEN 0 THEN $1 ELSE first_at END, \
             next_at = $2, leased_until = $2 WHERE {these}"
        );
        self.execute(&sql, &values).await?;
        let sql = "UPDATE notice_lines SET second_at = $2, in_second = $3 WHERE application_id = $1";
        let sent = sent + i64::try_from(taken.len()).unwrap_or(0);
        self.execute(sql, &values![application, now.seconds(), sent]).await?;
        for row in &mut taken {
            row.tries += 1;
            row.first_at = if row.first_at.0 == 0 { now } else { row.first_at };
        }
        Ok(taken)
    }

    async fn lock_notice_line(&self, application: i64) -> Result<Line, StoreError> {
        let sql = "INSERT INTO notice_lines (application_id) VALUES ($1) ON CONFLICT (application_id) DO NOTHING";
        self.execute(sql, &values![application]).await?;
        let lock = self.for_update();
        let sql = format!("SELECT failures, rests_until, second_at, in_second FROM notice_lines WHERE application_id = $1{lock}");
        let line = self.one::<Line>(&sql, &values![application]).await?;
        line.ok_or(StoreError::Corrupt("no line of an application's notices"))
    }

    /// Notes what became of a try. A notice that was dropped stays so, and one that another node took since is that node's,
    /// unless it was delivered. Gives whether it was noted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_notice(&self, notice: &NoticeRow, outcome: &Outcome, now: Timestamp) -> Result<bool, StoreError> {
        let line = self.lock_notice_line(notice.application_id).await?;
        let (id, tries, said) = (notice.id, notice.tries, outcome.said.as_str());
        let done = match outcome.verdict {
            Verdict::Again(at) => {
                let sql = "UPDATE logout_notices SET next_at = $3, leased_until = 0, said = $4 \
                    WHERE id = $1 AND tries = $2 AND state = 'waiting'";
                self.execute(sql, &values![id, tries, at, said]).await?
            }
            Verdict::Delivered => {
                // The name is not needed any more.
                let sql = "UPDATE logout_notices SET state = 'delivered', sub = '', leased_until = 0, settled_at = $2, said = $3 \
                    WHERE id = $1 AND state = 'waiting'";
                self.execute(sql, &values![id, now, said]).await?
            }
            Verdict::GivenUp => {
                let sql = "UPDATE logout_notices SET state = 'given_up', leased_until = 0, settled_at = $3, said = $4, \
                    sub = CASE WHEN EXISTS (SELECT 1 FROM users WHERE users.id = logout_notices.user_id) THEN sub ELSE '' END \
                    WHERE id = $1 AND tries = $2 AND state = 'waiting'";
                self.execute(sql, &values![id, tries, now, said]).await?
            }
        };
        if outcome.verdict == Verdict::Delivered {
            let sql = "UPDATE notice_lines SET failures = 0, rests_until = 0, told_at = $2 WHERE application_id = $1";
            self.execute(sql, &values![notice.application_id, now]).await?;
        } else {
            // Tries that were under way together and fail together are one failure of an app that is left alone by then.
            let is_resting = outcome.is_unreachable && line.rests_until > now;
            let failures = if outcome.is_unreachable { line.failures + i64::from(!is_resting) } else { 0 };
            let rests_until =
                if is_resting { line.rests_until } else { rest(failures).map_or(Timestamp(0), |rest| now.plus(rest)) };
            let sql =
                "UPDATE notice_lines SET failures = $2, rests_until = $3, failed_at = $4, failed = $5 WHERE application_id = $1";
            self.execute(sql, &values![notice.application_id, failures, rests_until, now, said]).await?;
        }
        Ok(done > 0)
    }

    /// Gives up notices of an app that cannot be reached which wait since `owed_by`; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_up_notices(
        &self,
        application: i64,
        owed_by: Timestamp,
        said: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE logout_notices SET state = 'given_up', leased_until = 0, settled_at = $3, said = $4, \
            sub = CASE WHEN EXISTS (SELECT 1 FROM users WHERE users.id = logout_notices.user_id) THEN sub ELSE '' END \
            WHERE id IN (SELECT id FROM logout_notices WHERE state = 'waiting' AND application_id = $1 AND leased_until <= $3 \
            AND (CASE first_at WHEN 0 THEN owed_at ELSE first_at END) <= $2 ORDER BY id LIMIT $5)";
        self.execute(sql, &values![application, owed_by, now, said, AT_ONCE]).await
    }

    /// Removes what is known of how apps were reached that are gone and are owed nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_lines_of_gone_apps(&self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM notice_lines WHERE NOT EXISTS (SELECT 1 FROM applications a WHERE a.id = notice_lines.application_id) \
            AND NOT EXISTS (SELECT 1 FROM logout_notices n WHERE n.application_id = notice_lines.application_id AND n.state = 'waiting')";
        self.execute(sql, &[]).await
    }
}
