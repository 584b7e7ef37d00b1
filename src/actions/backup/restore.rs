//! Restores a backup: all of it, or nothing.

use std::path::{Path, PathBuf};

use crate::actions::backup::{BackupError, BackupFile};
use crate::actions::by::By;
use crate::domain::event::{EventContent, FilterTerms};
use crate::domain::{EndReason, Timestamp};
use crate::keys::InstanceKey;
use crate::store::sessions::end::Which;
use crate::store::sessions::history::End;
use crate::store::sessions::pending_end::PendingEnd;
use crate::store::{Db, Store, StoreError};

/// How many ends are recorded with one statement after the other.
const RECORDED: i64 = 20_000;

/// What happens to the instance key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// The backup has none: that of the data directory stays, if there is one.
    Stay,
    /// The data directory has the same.
    Same,
    /// The data directory has none, so it gets the backup's.
    Create,
    /// The data directory has another one, which the backup's replaces.
    Replace,
}

impl KeyRule {
    /// What a backup's key and the one in this file mean for a restore; `None`: they are two keys, and the one
    /// must not replace the other.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(backup: Option<&InstanceKey>, path: &Path, may_replace: bool) -> Result<Option<Self>, BackupError> {
        let Some(backup) = backup else { return Ok(Some(Self::Stay)) };
        Ok(match InstanceKey::find(path)? {
            None => Some(Self::Create),
            Some(here) if here.is(backup) => Some(Self::Same),
            Some(_) => may_replace.then_some(Self::Replace),
        })
    }
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many users there are now.
    pub users: u64,
    /// How many sessions there were in the backup.
    pub sessions: u64,
    /// How many of them ended by the restore.
    pub ended: u64,
}

/// Puts a backup in the place of all that the database holds, in one transaction. Its sessions end with the reason
/// `restored` unless `keeps_sessions`: those that ended since the backup would be alive again.
///
/// The caller has checked the whole file, and holds the lock that keeps servers away.
///
/// # Errors
/// When the file changed since it was checked, or its rows cannot be stored. Nothing is written then.
pub async fn restore(
    by: By<'_>,
    store: &Store,
    file: BackupFile,
    now: Timestamp,
    (key_path, rule): (&Path, KeyRule),
    keeps_sessions: bool,
) -> Result<Restored, BackupError> {
    by.must_operate()?;
    let key = file.key().cloned();
    // A key without its database harms nobody, a database without its key cannot open second factors: so a new key
    // comes before the commit, and a replaced one, which the old database still needs, after it.
    if let (KeyRule::Create, Some(key)) = (rule, &key) {
        key.create(key_path)?;
    }
    let actor = by.actor();
    let done = store
        .write_much(move |db| {
            Box::pin(async move {
                let mut file = file;
                let names = file.head().migrations.clone();
                db.restore(&names, &mut file).await.map_err(|error| match error {
                    BackupError::Store(error) if !error.is_temporary() => BackupError::Refused(file.line(), error),
                    other => other,
                })?;
                let (sessions, owners) = db.count_sessions_and_owners().await?;
                let users = count(db.count_all_users().await?);
                let sessions = count(sessions);
                let ended = if keeps_sessions { 0 } else { sessions };
                let head = file.head();
                let content = EventContent::Restored {
                    made_at: head.at.clone(),
                    version: head.version.clone(),
                    users,
                    sessions,
                    keeps_sessions,
                };
                db.insert_events(&[content.by(&actor, now)]).await?;
                if ended > 0 {
                    end_all(db, ended, count(owners), &End::by(&actor, now, EndReason::Restored), &actor).await?;
                }
                Ok::<_, BackupError>(Restored { users, sessions, ended })
            })
        })
        .await?;
    if let (KeyRule::Replace, Some(key)) = (rule, &key) {
        replace_key(key, key_path)?;
    }
    store.migrate().await?;
    Ok(done)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Records the end of all sessions. The next server moves them to the history.
async fn end_all(db: &Db<'_>, ended: u64, users: u64, end: &End, actor: &crate::domain::caller::Actor) -> Result<(), StoreError> {
    let content = EventContent::SessionsEnded {
        filter: FilterTerms::new(),
        expected: ended,
        count: Some(ended),
        users: Some(users),
        reason: end.reason,
        comment: String::new(),
    };
    let event = db.insert_parent_event(&content.by(actor, end.at)).await?;
    let pending = PendingEnd { end: end.clone(), ip: String::new(), request_id: String::new(), event: Some(event) };
    while !db.record_ends(&Which::All, RECORDED, &pending).await?.users.is_empty() {}
    Ok(())
}

/// Puts a key in the place of another one, which stays as `instance.key.replaced`.
fn replace_key(key: &InstanceKey, path: &Path) -> Result<(), BackupError> {
    let mut old = path.as_os_str().to_owned();
    old.push(".replaced");
    std::fs::rename(path, PathBuf::from(old))?;
    Ok(key.create(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_is_replaced_only_when_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instance.key");
        let one = InstanceKey::load_or_create(&folder.path().join("one")).unwrap();
        let two = InstanceKey::load_or_create(&folder.path().join("two")).unwrap();
        let rule = |key, may_replace| KeyRule::of(key, &path, may_replace).unwrap();
        assert_eq!(rule(None, false), Some(KeyRule::Stay));
        assert_eq!(rule(Some(&one), false), Some(KeyRule::Create));
        one.create(&path).unwrap();
        assert_eq!(rule(Some(&one), false), Some(KeyRule::Same));
        assert_eq!(rule(Some(&two), false), None);
        assert_eq!(rule(Some(&two), true), Some(KeyRule::Replace));
        replace_key(&two, &path).unwrap();
        assert_eq!(rule(Some(&two), false), Some(KeyRule::Same));
        assert!(InstanceKey::load(&folder.path().join("instance.key.replaced")).unwrap().is(&one));
        std::fs::write(&path, "no key").unwrap();
        assert!(KeyRule::of(Some(&one), &path, true).is_err(), "what cannot be read is not replaced");
    }
}
