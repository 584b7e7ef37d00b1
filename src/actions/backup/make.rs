//! Makes backups.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::actions::backup::BackupError;
use crate::actions::backup::write::{About, BackupWriter};
use crate::actions::by::By;
use crate::domain::Timestamp;
use crate::files;
use crate::store::{Db, Store, StoreError, foreign_schema, migrations};

/// How many backups of upgrades are kept.
pub const KEPT_BEFORE_UPGRADES: usize = 2;
/// What their names begin and end with.
const BEFORE: (&str, &str) = ("before-", ".backup");
/// The name of the fact that says when the last backup was made, in microseconds since 1970.
const LAST: &str = "backup.at";
/// A backup takes at most this part of the database, whose indexes are not in it, and which is not compressed.
const SHARE: u64 = 3;

/// What goes into a backup, and where it goes.
pub struct Options<'a> {
    /// The file of the instance key; `None`: the key is left out.
    pub key: Option<&'a Path>,
    /// The file to write; `None`: standard output.
    pub to: Option<&'a Path>,
    /// Whether a file that exists is replaced.
    pub is_replacing: bool,
}

/// A backup that was made.
#[derive(Debug)]
pub struct Made {
    /// How many rows of each table are in it.
    pub rows: BTreeMap<String, u64>,
}

/// Writes a backup of the database as it is now. When this returns, the file and its name are on disk; when it
/// fails, there is none.
///
/// # Errors
/// When the file exists and is not to be replaced, when the database or the key cannot be read, or the file not
/// written.
pub async fn make(by: By<'_>, store: &Store, now: Timestamp, options: Options<'_>) -> Result<Made, BackupError> {
    by.must_operate()?;
    let key = match options.key {
        None => None,
        Some(path) => Some(crate::keys::InstanceKey::load(path)?.to_text()),
    };
    let about = About { at: now, database: store.kind(), key };
    let Some(path) = options.to else {
        let (mut out, rows) = store.snapshot(BackupWriter::new(std::io::stdout(), about)?).await?.finish()?;
        out.flush()?;
        return Ok(Made { rows });
    };
    if !options.is_replacing && path.symlink_metadata().is_ok() {
        return Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into());
    }
    let draft = files::Draft::create(path)?;
    let rows = write_file(store, draft.file()?, about).await?;
    draft.publish(options.is_replacing)?;
    Ok(Made { rows })
}

async fn write_file(store: &Store, file: File, about: About) -> Result<BTreeMap<String, u64>, BackupError> {
    let writer = BackupWriter::new(file, about)?;
    let (file, rows) = store.snapshot(writer).await?.finish()?;
    file.sync_all()?;
    Ok(rows)
}

/// Writes down that a backup was made.
///
/// # Errors
/// When the database cannot be written.
pub async fn note(by: By<'_>, store: &Store, now: Timestamp) -> Result<(), BackupError> {
    by.must_operate()?;
    let noted: Result<(), StoreError> =
        store.write(move |db| Box::pin(async move { db.update_setting(LAST, &now.0.to_string()).await })).await;
    Ok(noted?)
}

/// When the last backup was made; `None`: never.
///
/// # Errors
/// When the database does not answer.
pub async fn last(db: &Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    Ok(db.find_setting(LAST).await?.and_then(|text| text.parse().ok()).map(Timestamp))
}

/// Removes the oldest files of a folder whose names `is_ours` recognises, until `keep` are left.
///
/// # Errors
/// When the folder cannot be read, or a file not removed.
pub fn remove_old(folder: &Path, keep: usize, is_ours: impl Fn(&str) -> bool) -> std::io::Result<()> {
    let mut ours = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(&is_ours) {
            ours.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    ours.sort();
    let surplus = ours.len().saturating_sub(keep);
    ours.into_iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_file(path))
}

/// Makes a backup, `before-VERSION.backup` in `folder`, where the database has users and an older schema than this
/// version. Gives its path; `None`: none is needed.
///
/// # Errors
/// [`BackupError::NoRoom`] when there is too little room, and those of [`make`].
pub async fn before_upgrade(
    by: By<'_>,
    store: &Store,
    now: Timestamp,
    folder: &Path,
    key: &Path,
) -> Result<Option<PathBuf>, BackupError> {
    by.must_operate()?;
    if !store.has_schema().await? {
        return Ok(None);
    }
    let applied = store.applied_migrations().await?;
    let is_old = migrations().iter().any(|known| applied.iter().all(|name| name != known.name));
    // A database of another version is refused by the migration that follows.
    if !is_old || applied.is_empty() || foreign_schema(&applied).is_some() || store.read().count_all_users().await? == 0 {
        return Ok(None);
    }
    files::create_folder(folder)?;
    let needed = u64::try_from(store.size().await?).unwrap_or(0) / SHARE;
    let no_room = |free| BackupError::NoRoom { needed, free, folder: folder.display().to_string() };
    let free = files::free(folder)?;
    if free < needed {
        return Err(no_room(free));
    }
    let path = folder.join(format!("{}{}{}", BEFORE.0, env!("CARGO_PKG_VERSION"), BEFORE.1));
    let options = Options { key: key.exists().then_some(key), to: Some(&path), is_replacing: true };
    match make(by, store, now, options).await {
        Err(BackupError::File(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
            return Err(no_room(files::free(folder)?));
        }
        made => made?,
    };
    remove_old(folder, KEPT_BEFORE_UPGRADES, |name| name.starts_with(BEFORE.0) && name.ends_with(BEFORE.1))?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_of_these_names_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let hour = std::time::Duration::from_secs(3600);
        for (age, name) in ["ours-c", "ours-a", "theirs", "ours-b"].iter().enumerate() {
            let file = File::create(folder.path().join(name)).unwrap();
            let at = std::time::SystemTime::UNIX_EPOCH + hour * (1_000_000 - u32::try_from(age).unwrap());
            file.set_modified(at).unwrap();
        }
        std::fs::create_dir(folder.path().join("ours-folder")).unwrap();
        remove_old(folder.path(), 2, |name| name.starts_with("ours")).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["ours-a", "ours-c", "ours-folder", "theirs"]);
    }
}
