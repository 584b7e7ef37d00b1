//! Second factors as lists show them: authenticators, and recovery codes as one for each user.

use uuid::Uuid;

use crate::domain::factor::FactorKind;
use crate::domain::webauthn::stored_model;
use crate::domain::{Timestamp, UserId};
use crate::store::{FromRow, Row, Store, StoreError, Value};

/// What a second factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// An authenticator.
    Factor(FactorKind),
    /// Codes that replace a lost one.
    RecoveryCodes,
}

/// A second factor, without what is secret about it.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Its primary key; of recovery codes that of their user.
    pub id: i64,
    /// What it is.
    pub kind: DeviceKind,
    /// What its owner calls it.
    pub name: String,
    /// Whether its owner has shown that it works.
    pub is_confirmed: bool,
    /// What model a passkey says it is, where it is known.
    pub model: Option<Uuid>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last proved something. When a recovery code was used is in the events alone.
    pub last_used_at: Option<Timestamp>,
}

impl FromRow for DeviceRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (id, word) = (row.int()?, row.text()?);
        let kind = match word.as_str() {
            "codes" => DeviceKind::RecoveryCodes,
            word => DeviceKind::Factor(FactorKind::parse(word).ok_or(StoreError::Corrupt("a kind of authenticator"))?),
        };
        Ok(Self {
            id,
            kind,
            name: row.text()?,
            is_confirmed: row.bool()?,
            created_at: row.timestamp()?,
            last_used_at: row.opt_int()?.map(Timestamp),
            model: match kind {
                DeviceKind::Factor(FactorKind::WebAuthn) => stored_model(&row.bytes()?),
                DeviceKind::Factor(FactorKind::Totp) | DeviceKind::RecoveryCodes => None,
            },
        })
    }
}

impl Store {
    /// The second factors of a user, or of all, those that are not confirmed, too: authenticators in the order they
    /// were added, then recovery codes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_devices(&self, user: Option<UserId>) -> Result<Vec<DeviceRow>, StoreError> {
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let (only, values): (&str, Vec<Value>) = match user {
                    Some(user) => ("WHERE user_id = $1", vec![user.into()]),
                    None => ("", Vec::new()),
                };
                let sql = format!(
                    "SELECT id, kind, name, is_confirmed, created_at, last_used_at, secret FROM authenticators {only} ORDER BY id"
                );
                let mut devices: Vec<DeviceRow> = db.all(&sql, &values).await?;
                let sql = format!("SELECT user_id, MIN(created_at) FROM recovery_codes {only} GROUP BY user_id ORDER BY user_id");
                let codes: Vec<(i64, i64)> = db.all(&sql, &values).await?;
                devices.extend(codes.into_iter().map(|(user, created_at)| DeviceRow {
                    id: user,
                    kind: DeviceKind::RecoveryCodes,
                    name: "Recovery codes".to_owned(),
                    is_confirmed: true,
                    model: None,
                    created_at: Timestamp(created_at),
                    last_used_at: None,
                }));
                Ok(devices)
            })
        });
        read.await
    }
}
