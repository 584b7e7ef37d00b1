//! Sign-ins of devices, while they go on.

use crate::domain::{Address, HashedSecret, Timestamp};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// What became of a sign-in of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has said anything.
    Open,
    /// A user allowed it.
    Allowed,
    /// A user declined.
    Declined,
    /// It gave tokens.
    Used,
}

impl DeviceState {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Open, ""), (Self::Allowed, "allowed"), (Self::Declined, "declined"), (Self::Used, "used")];

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }
}

/// A sign-in of a device.
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// The scopes, separated by blanks.
    pub scope: String,
    /// Where the device is.
    pub ip: Address,
    /// What it says that it is.
    pub user_agent: String,
    /// Until when it can be allowed and used.
    pub expires_at: Timestamp,
    /// How long the device waits between two questions, in seconds.
    pub pause: i64,
    /// When it asked last.
    pub polled_at: Option<Timestamp>,
    /// The session of the user who allowed it.
    pub session_id: Option<i64>,
    /// What became of it.
    pub state: DeviceState,
}

impl FromRow for DeviceCode {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (provider_id, scope, ip) = (row.int()?, row.text()?, row.text()?);
        let (user_agent, expires_at, pause) = (row.text()?, row.timestamp()?, row.int()?);
        let (polled_at, session_id, state) = (row.opt_int()?.map(Timestamp), row.opt_int()?, row.text()?);
        let state = DeviceState::ALL.into_iter().find(|(_, word)| *word == state).map(|(state, _)| state);
        Ok(Self {
            provider_id,
            scope,
            ip: Address::parse(&ip).unwrap_or(Address::UNKNOWN),
            user_agent,
            expires_at,
            pause,
            polled_at,
            session_id,
            state: state.ok_or(StoreError::Corrupt("the state of a device's sign-in"))?,
        })
    }
}

const COLUMNS: &str = "provider_id, scope, ip, user_agent, expires_at, pause, polled_at, session_id, state";

impl Db<'_> {
    /// Adds a sign-in of a device, under the hashes of its code and of the one that people type.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another one has one of the codes, or the client is gone.
    pub async fn insert_device_code(
        &self,
        (hash, user_code): (HashedSecret, HashedSecret),
        code: &DeviceCode,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO device_codes (hash, user_code, provider_id, scope, ip, user_agent, expires_at, pause, state) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let DeviceCode { provider_id, scope, ip, user_agent, expires_at, pause, state, .. } = code;
        let (ip, state) = (ip.to_string(), state.as_str());
        let values = values![hash, user_code, *provider_id, scope.as_str(), ip, user_agent.as_str(), *expires_at, *pause, state];
        self.execute(sql, &values).await.map(drop)
    }

    /// The sign-in with this hash of the device's code, locked until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_device_code(&self, hash: HashedSecret) -> Result<Option<DeviceCode>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM device_codes WHERE hash = $1{}", self.for_update());
        self.one(&sql, &values![hash]).await
    }

    /// The sign-in with this hash of the code that people type.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_device_code(&self, user_code: HashedSecret) -> Result<Option<DeviceCode>, StoreError> {
        self.one(&format!("SELECT {COLUMNS} FROM device_codes WHERE user_code = $1"), &values![user_code]).await
    }

    /// Notes that a device asked, and how long it waits from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_device_poll(&self, hash: HashedSecret, pause: i64, now: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE device_codes SET polled_at = $2, pause = $3 WHERE hash = $1", &values![hash, now, pause])
            .await
            .map(drop)
    }

    /// Uses up a sign-in that was allowed. Of concurrent calls, one gets `true`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_device_code(&self, hash: HashedSecret) -> Result<bool, StoreError> {
        let sql = "UPDATE device_codes SET state = $2 WHERE hash = $1 AND state = $3";
        let values = values![hash, DeviceState::Used.as_str(), DeviceState::Allowed.as_str()];
        Ok(self.execute(sql, &values).await? > 0)
    }

    /// Notes what a user said, from the session that it was said in. Of several answers, the first one gets `true`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the session is gone.
    pub async fn decide_device_code(&self, user_code: HashedSecret, session: i64, is_allowed: bool) -> Result<bool, StoreError> {
        let state = if is_allowed { DeviceState::Allowed } else { DeviceState::Declined };
        let sql = "UPDATE device_codes SET state = $2, session_id = $3 WHERE user_code = $1 AND state = $4";
        let values = values![user_code, state.as_str(), session, DeviceState::Open.as_str()];
        Ok(self.execute(sql, &values).await? > 0)
    }

    /// Removes sign-ins of devices whose time is over by `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_device_codes(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM device_codes WHERE expires_at <= $1", &values![now]).await
    }
}
