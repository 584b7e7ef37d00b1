//! The statement of a check: whose key it is, whether the session is live, who its user is, and which version
//! the applications have. One round trip.

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::application::decide::Person;
use crate::domain::application::values::Identity;
use crate::domain::{HashedSecret, Timestamp};
use crate::store::applications::people::Subject;
use crate::store::sessions::rows::{LiveSession, select_live};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// Whose an app key is.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The session.
    pub session: LiveSession,
    /// The hash of its own key.
    pub session_key: HashedSecret,
    /// The primary key of the app session.
    pub app_session_id: i64,
    /// When the app session was last used, as far as it was written.
    pub app_last_used_at: Timestamp,
    /// Its user.
    pub who: Subject,
    /// The version of the applications at that moment.
    pub version: i64,
}

/// A group in the JSON that the statements make.
#[derive(Deserialize)]
struct GroupJson(String, String);

impl FromRow for KeyHolder {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let session = LiveSession::from_row(row)?;
        let session_key = HashedSecret(row.bytes()?.try_into().map_err(|_| StoreError::Corrupt("the hash of a key"))?);
        let (app_session_id, app_last_used_at) = (row.int()?, row.timestamp()?);
        let version = row.text()?.parse().map_err(|_| StoreError::Corrupt("the version of the applications"))?;
        let who = read_who(row, session.username.clone())?;
        Ok(Self { session, session_key, app_session_id, app_last_used_at, who, version })
    }
}

fn read_who(row: &mut Row<'_>, username: String) -> Result<Subject, StoreError> {
    let mut identity = Identity {
        username,
        uuid: row.uuid()?,
        uid: row.text()?,
        name: row.text()?,
        email: row.text()?,
        is_email_verified: row.bool()?,
        // What is no object has no attributes.
        attributes: serde_json::from_str(&row.text()?).unwrap_or_default(),
        ..Identity::default()
    };
    let corrupt = || StoreError::Corrupt("the groups of a user");
    let mut listed: Vec<GroupJson> = serde_json::from_str(&row.text()?).map_err(|_| corrupt())?;
    listed.sort_unstable_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    // A group that is reached in two ways is listed twice. SQLite would make a temporary table to list it once.
    listed.dedup_by(|one, other| one.0 == other.0);
    let (mut ids, mut groups) = (Vec::with_capacity(listed.len()), Vec::with_capacity(listed.len()));
    for GroupJson(uuid, name) in listed {
        ids.push(Uuid::try_parse(&uuid).map_err(|_| corrupt())?);
        groups.push(name);
    }
    identity.groups = groups;
    Ok(Subject { person: Person::new(identity.uuid, ids), identity, is_active: true })
}

/// The columns of a [`Subject`] but for the username, of the user `u`; the groups in the JSON of one database.
macro_rules! person_columns {
    ($groups:literal) => {
        concat!(
            "u.uuid, u.uid, u.name, u.email, u.is_email_verified, u.attributes, (SELECT ",
            $groups,
            " FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id JOIN groups g ON g.id = a.ancestor_id ",
            "WHERE m.user_id = u.id) "
        )
    };
}

/// The statement of a check.
macro_rules! select_key_holder {
    ($groups:literal) => {
        select_live!(concat!(
            ", s.key_hash, k.app_session_id, o.last_used_at, (SELECT value FROM settings WHERE name = 'applications.version'), ",
            person_columns!($groups),
            "FROM app_keys k JOIN app_sessions o ON o.id = k.app_session_id JOIN sessions s ON s.id = k.session_id ",
            "JOIN users u ON u.id = s.user_id ",
            "WHERE k.hash = $1 AND k.host = $2 AND o.application_id = $3 AND s.expires_at > $4 AND u.is_active"
        ))
    };
}

impl Db<'_> {
    /// What a key opens on this host of this application, while its session is live and its user is active. Every
    /// check makes it, and nothing of it is cached.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_key_holder(
        &self,
        key: HashedSecret,
        host: &str,
        application: i64,
        now: Timestamp,
    ) -> Result<Option<KeyHolder>, StoreError> {
        const SQLITE: &str = select_key_holder!("json_group_array(json_array(hex(g.uuid), g.name))");
        const POSTGRES: &str = select_key_holder!("CAST(COALESCE(json_agg(json_build_array(g.uuid, g.name)), '[]') AS TEXT)");
        self.one(if self.is_sqlite() { SQLITE } else { POSTGRES }, &values![key, host, application, now]).await
    }
}
