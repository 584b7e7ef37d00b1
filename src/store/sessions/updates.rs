//! Updates of sessions: uses, keys, names, places, limits. All of them write through
//! `store::sessions::locked::LockedRows`.

use crate::domain::clock::AHEAD;
use crate::domain::policy::Living;
use crate::domain::session::SessionKind;
use crate::domain::{Address, HashedSecret, Methods, SessionId, Timestamp, UserId};
use crate::store::db::statements::placeholders;
use crate::store::people::policies::LivingRow;
use crate::store::sessions::addresses::OldAddress;
use crate::store::sessions::locked::LockedRows;
use crate::store::sessions::rows::{Counted, LiveSession, Origin, Touch};
use crate::store::{CountKey, Db, StoreError, Value};
use crate::values;

impl Db<'_> {
    /// Renames a session. Returns whether it exists.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_label(&self, uuid: SessionId, label: &str) -> Result<bool, StoreError> {
        let rows = self.lock_sessions(("uuid = $1", &values![uuid]), 1).await?;
        Ok(self.noted(rows.update("label = $1", ("TRUE", values![label].to_vec())).await?))
    }

    /// Names a session that an app has for itself, and says what it is. Returns whether it exists.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_kind(&self, uuid: SessionId, kind: SessionKind, label: &str) -> Result<bool, StoreError> {
        let rows = self.lock_sessions(("uuid = $1", &values![uuid]), 1).await?;
        let set = ("TRUE", values![label, kind.as_str()].to_vec());
        Ok(self.noted(rows.update("label = $1, kind = $2", set).await?))
    }

    /// Stores how the user of a session authenticated. Returns whether the session exists.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_methods(&self, id: i64, methods: Methods) -> Result<bool, StoreError> {
        let rows = self.lock_rows(&[id]).await?;
        Ok(self.noted(rows.update("methods = $1", ("TRUE", values![methods.to_string()].to_vec())).await?))
    }

    /// When the user of a session last proved who they are; `None` when the session is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_proved_at(&self, id: i64) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.one::<i64>("SELECT proved_at FROM sessions WHERE id = $1", &values![id]).await?.map(Timestamp))
    }

    /// Cancels the re-authentication of all of a user's sessions except `kept`: sensitive actions
    /// ask for a new one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn clear_proved_at(&self, user: UserId, kept: Option<SessionId>) -> Result<(), StoreError> {
        let kept = kept.unwrap_or(SessionId(uuid::Uuid::nil()));
        let rows = self.lock_sessions(("user_id = $1 AND uuid <> $2", &values![user, kept]), i64::MAX).await?;
        // Nothing that is kept in memory changes.
        rows.update("proved_at = $1", ("TRUE", values![Timestamp(0)].to_vec())).await.map(drop)
    }

    /// Gives a session a new key in place of one of `old`, and stores when and where its user
    /// authenticated. Returns whether the session existed under one of these keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_key(
        &self,
        id: i64,
        old: &[HashedSecret],
        new: HashedSecret,
        (proved_at, proved_ip): (Timestamp, Option<Address>),
    ) -> Result<bool, StoreError> {
        if old.is_empty() {
            return Ok(false);
        }
        let mut values = values![new, proved_at, proved_ip.map(|ip| ip.sort_key())].to_vec();
        let condition = format!("key_hash IN ({})", placeholders(values.len(), old.len()));
        values.extend(old.iter().map(|key| Value::from(*key)));
        let rows = self.lock_rows(&[id]).await?;
        Ok(self.noted(rows.update("key_hash = $1, proved_at = $2, proved_ip_key = $3", (&condition, values)).await?))
    }

    /// Binds a session to an address, if it is still bound to `old`. Returns whether it was.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_proved_ip(&self, id: i64, old: Option<Address>, new: Address) -> Result<bool, StoreError> {
        let mut values = values![new.sort_key()].to_vec();
        values.extend(old.map(|old| old.sort_key().into()));
        let condition = if old.is_some() { "proved_ip_key = $2" } else { "proved_ip_key IS NULL" };
        let rows = self.lock_rows(&[id]).await?;
        // Nothing that is kept in memory changes.
        Ok(!rows.update("proved_ip_key = $1", (condition, values)).await?.is_empty())
    }

    /// Notes a use of a session that changes neither its address nor its user agent: a token of an app was refreshed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_used(&self, session: &LiveSession, now: Timestamp) -> Result<(), StoreError> {
        let rows = self.lock_rows(&[session.id]).await?;
        let values = values![now, session.lifetime.expires_at(now)].to_vec();
        let changed = rows.update("last_used_at = $1, expires_at = $2", ("last_used_at < $1", values)).await?;
        self.noted(changed);
        Ok(())
    }

    /// Writes uses. A session that ended since stays ended, and an older use never overwrites a
    /// newer one, unless the newer one is in the future by more than clocks differ.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_touched(&self, touches: &[Touch]) -> Result<(), StoreError> {
        let ids: Vec<i64> = touches.iter().map(|touch| touch.id).collect();
        let rows = self.lock_rows(&ids).await?;
        for touch in touches {
            self.touch(&rows, touch).await?;
        }
        Ok(())
    }

    async fn touch(&self, rows: &LockedRows<'_>, touch: &Touch) -> Result<(), StoreError> {
        let origin = &touch.origin;
        let sql =
            "SELECT user_id, user_agent_id, country, asn FROM sessions WHERE id = $1 AND (last_used_at < $2 OR last_used_at > $3)";
        let values = values![touch.id, touch.at, touch.at.plus(AHEAD)];
        let Some(Counted { user_id, user_agent_id, country, asn }) = self.one(sql, &values).await? else {
            return Ok(());
        };
        // The expiry is computed from the limits that are stored now: a policy may have tightened
        // them since the use.
        let set = "last_used_at = $1, last_ip = $2, last_ip_key = $3, user_agent_id = $4, country = $5, asn = $6, \
            expires_at = CASE WHEN idle_timeout IS NULL OR $1 + idle_timeout > absolute_expires_at \
            THEN absolute_expires_at ELSE $1 + idle_timeout END";
        let values = values![
            touch.at,
            origin.ip.to_string(),
            origin.ip.sort_key(),
            origin.user_agent_id,
            origin.country.as_str(),
            origin.asn,
        ];
        if self.noted(rows.update_some(&[touch.id], set, ("TRUE", values.to_vec())).await?) {
            self.add_to_counts(CountKey::of_session(user_id, user_agent_id, &country, asn), -1);
            self.add_to_counts(CountKey::of_session(user_id, origin.user_agent_id, &origin.country, origin.asn), 1);
        }
        Ok(())
    }

    /// Writes the country and network that a newer GeoIP file gives for a session's address, if it
    /// still has that address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_place(&self, id: i64, origin: &Origin) -> Result<(), StoreError> {
        let rows = self.lock_rows(&[id]).await?;
        let condition = ("s.last_ip_key = $1", values![origin.ip.sort_key()].to_vec());
        let now: Vec<Counted> = rows.read("s.user_id, s.user_agent_id, s.country, s.asn", condition).await?;
        let Some(now) = now.into_iter().next() else { return Ok(()) };
        let values = values![origin.country.as_str(), origin.asn].to_vec();
        self.move_place(now, (&origin.country, origin.asn));
        self.noted(rows.update("country = $1, asn = $2", ("TRUE", values)).await?);
        Ok(())
    }

    /// Replaces a session's addresses by their cut or cleared form, unless it was used since.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_old_session(
        &self,
        old: &OldAddress<Address>,
        (ip, country, asn): (Address, &str, Option<i64>),
        proved_ip: Option<Address>,
    ) -> Result<(), StoreError> {
        let rows = self.lock_rows(&[old.id]).await?;
        let condition = ("s.last_used_at = $1", values![old.at].to_vec());
        let now: Vec<Counted> = rows.read("s.user_id, s.user_agent_id, s.country, s.asn", condition).await?;
        let Some(now) = now.into_iter().next() else { return Ok(()) };
        self.move_place(now, (country, asn));
        let proved_ip = proved_ip.map(|ip| ip.sort_key());
        let values = values![ip.to_string(), ip.sort_key(), country, asn, proved_ip].to_vec();
        let set = "last_ip = $1, last_ip_key = $2, country = $3, asn = $4, proved_ip_key = $5";
        self.noted(rows.update(set, ("TRUE", values)).await?);
        Ok(())
    }

    /// Gives sessions new limits. Their expiry is computed from the last use that is stored when
    /// this happens. Returns how many sessions changed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_limits(&self, rows: &[LivingRow]) -> Result<u64, StoreError> {
        const ROWS: usize = 100;
        let mut changed = 0;
        for living in rows.chunks(ROWS) {
            let ids: Vec<i64> = living.iter().map(|row| row.id).collect();
            let locked = self.lock_rows(&ids).await?;
            let (source, values) = new_limits(living);
            let set = "idle_timeout = v.idle, absolute_expires_at = v.absolute, is_remembered = (v.remembered = 1), \
                expires_at = CASE WHEN v.idle IS NULL OR session_rows.last_used_at + v.idle > v.absolute THEN v.absolute \
                ELSE session_rows.last_used_at + v.idle END";
            let ids = locked.update_from(set, (&source, values)).await?;
            changed += u64::try_from(ids.len()).unwrap_or(0);
            self.noted(ids);
        }
        Ok(changed)
    }

    /// Moves a session from the counters of one place to those of another.
    fn move_place(&self, now: Counted, (country, asn): (&str, Option<i64>)) {
        self.add_to_counts([CountKey::Country(now.country), CountKey::Asn(now.asn)], -1);
        self.add_to_counts([CountKey::Country(country.to_owned()), CountKey::Asn(asn)], 1);
    }

    /// Adds the changed sessions to the change log. Returns whether there are any.
    fn noted(&self, ids: Vec<i64>) -> bool {
        let is_any = !ids.is_empty();
        for id in ids {
            self.note_change(id);
        }
        is_any
    }
}

/// New limits as a query: `id`, `idle`, `absolute`, `remembered`.
fn new_limits(rows: &[LivingRow]) -> (String, Vec<Value>) {
    let mut parts = Vec::with_capacity(rows.len());
    let mut values: Vec<Value> = Vec::with_capacity(rows.len() * 4);
    for row in rows {
        let n = values.len();
        parts.push(format!(
            "SELECT CAST(${} AS BIGINT) AS id, CAST(${} AS BIGINT) AS idle, CAST(${} AS BIGINT) AS absolute, \
             CAST(${} AS BIGINT) AS remembered",
            n + 1,
            n + 2,
            n + 3,
            n + 4
        ));
        let Living { lifetime, is_remembered, .. } = row.living;
        let idle = lifetime.idle_timeout.map(|idle| i64::try_from(idle.as_micros()).unwrap_or(i64::MAX));
        values.extend(values![row.id, idle, lifetime.absolute_expires_at, i64::from(is_remembered)]);
    }
    (parts.join(" UNION ALL "), values)
}
