//! A file that is not as it was written is refused, whatever is wrong with it.

use std::io::Write;
use std::path::Path;

use rollcall::actions::backup::{BackupError, check};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{make, open, restore, rows};
use crate::support::{Dice, TestApp, TestDb};

/// Compresses lines and seals them, as a backup is.
fn sealed(lines: &str) -> Vec<u8> {
    let mut bytes = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    let hash = Sha256::digest(&bytes);
    bytes.extend([0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    bytes.extend(hash);
    bytes
}

fn lines_of(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    // A decoder passes over the seal.
    let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The last line that belongs to these lines.
fn last_of(lines: &[String]) -> String {
    let mut rows = serde_json::Map::new();
    let mut table = String::new();
    for line in lines {
        // What is damaged on purpose counts for nothing.
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        match value.get("table") {
            Some(name) => {
                name.as_str().unwrap().clone_into(&mut table);
                rows.insert(table.clone(), json!(0));
            }
            None if value.is_array() => rows[&table] = json!(rows[&table].as_u64().unwrap() + 1),
            None => {}
        }
    }
    let hash = Sha256::digest(lines.concat().as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}\n", json!({"rows": rows, "sha256": hash}))
}

/// A backup of a small instance, and the folder that it is in.
async fn small() -> (tempfile::TempDir, std::path::PathBuf) {
    let app = TestApp::new(TestDb::sqlite()).await;
    app.user_with_password("alice").await.session().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.backup");
    make(&app.app.store, &path).await;
    (folder, path)
}

fn is_refused(bytes: &[u8], path: &Path) -> Option<BackupError> {
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
    check(path).err()
}

#[tokio::test]
async fn a_changed_bit_anywhere_is_refused() {
    let (folder, path) = small().await;
    check(&path).unwrap();
    let (whole, other) = (std::fs::read(&path).unwrap(), folder.path().join("other"));
    let mut dice = Dice::new();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << dice.below(8);
        assert!(is_refused(&bytes, &other).is_some(), "byte {place} of {}", whole.len());
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_or_goes_on_is_refused() {
    let (folder, path) = small().await;
    let (whole, other) = (std::fs::read(&path).unwrap(), folder.path().join("other"));
    for length in 0..whole.len() {
        assert!(is_refused(&whole[..length], &other).is_some(), "{length} bytes of {}", whole.len());
    }
    for more in [&b"\0"[..], b"\n", &whole] {
        assert!(is_refused(&[&whole, more].concat(), &other).is_some(), "{} bytes more", more.len());
    }
    assert!(matches!(is_refused(b"", &other), Some(BackupError::Foreign)));
    assert!(matches!(is_refused(&[b'x'; 1000], &other), Some(BackupError::Foreign)));
    std::fs::remove_file(&other).unwrap();
    assert!(matches!(check(&other), Err(BackupError::File(_))));
    assert!(check(folder.path()).unwrap_err().to_string().contains("is a directory"));
}

#[tokio::test]
async fn a_line_that_is_lost_doubled_or_moved_is_refused_with_any_seal() {
    let (folder, path) = small().await;
    let (lines, other) = (lines_of(&path), folder.path().join("other"));
    assert!(is_refused(&sealed(&lines.concat()), &other).is_none(), "the lines are those of a backup");
    for place in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(place);
        assert!(is_refused(&sealed(&fewer.concat()), &other).is_some(), "without line {}", place + 1);
        let mut more = lines.clone();
        more.insert(place, lines[place].clone());
        assert!(is_refused(&sealed(&more.concat()), &other).is_some(), "twice line {}", place + 1);
        if place > 0 && lines[place] != lines[place - 1] {
            let mut swapped = lines.clone();
            swapped.swap(place - 1, place);
            assert!(is_refused(&sealed(&swapped.concat()), &other).is_some(), "line {} before its time", place + 1);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_line() {
    let (folder, path) = small().await;
    let (lines, other) = (lines_of(&path), folder.path().join("other"));
    let (lines, _) = lines.split_at(lines.len() - 1);
    // The same lines with other ones, and a last line that belongs to them.
    let with = |place: usize, line: &str| {
        let mut lines = lines.to_vec();
        lines[place] = line.to_owned();
        lines.push(last_of(&lines));
        is_refused(&sealed(&lines.concat()), &other).map(|error| error.to_string())
    };
    let mut head: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(with(0, &format!("{head}\n")), None);
    head["format"] = json!(2);
    head["version"] = json!("9.8.7");
    assert_eq!(with(0, &format!("{head}\n")).unwrap(), "is of a newer Rollcall (9.8.7)");
    head["format"] = json!(1);
    head["migrations"] = json!(["0001_init", "9999_future"]);
    assert_eq!(with(0, &format!("{head}\n")).unwrap(), "is of a newer Rollcall (9.8.7)");
    assert_eq!(with(0, "{}\n").unwrap(), "line 1: damaged");
    let row = lines.iter().position(|line| line.starts_with('[')).unwrap();
    let number = row + 1;
    for bad in ["[]\n", "[1,2,3]\n", "[null\n", "[[[[[[\n", "{\"table\":\"users\",\"columns\":[],\"last_id\":null}\n"] {
        let error = with(row, bad).unwrap();
        assert!(error.ends_with(": damaged"), "{bad}: {error}");
        assert!(bad.starts_with('{') || error == format!("line {number}: damaged"), "{bad}: {error}");
    }
    let table = lines.iter().position(|line| line.contains("\"table\":\"settings\"")).unwrap();
    for bad in ["migrations", "no_such_table", "sqlite_schema", "users; DROP TABLE users"] {
        let error = with(table, &lines[table].replace("settings", bad)).unwrap();
        assert_eq!(error, format!("line {}: damaged", table + 1), "{bad}");
    }
}

db_test!(rows_that_contradict_each_other_change_nothing, |db| async move {
    let (folder, path) = small().await;
    let store = open(&db.config(&[])).await;
    let before = rows(&store).await;
    let lines = lines_of(&path);
    let (lines, _) = lines.split_at(lines.len() - 1);
    let other = folder.path().join("other");
    let place = |start: &str| lines.iter().position(|line| line.contains(start)).unwrap();
    let (users, sessions) = (place("\"table\":\"users\""), place("\"table\":\"session_rows\""));
    let mut twice = lines.to_vec();
    twice.insert(users + 1, lines[users + 1].clone());
    let mut without_its_user = lines.to_vec();
    without_its_user.remove(users + 1);
    let mut other_columns = lines.to_vec();
    other_columns[sessions] =
        lines[sessions].replace("[\"uuid\",", "[\"uuid\\\"; DROP TABLE users; --\",").replace("[\"key_hash\",", "[\"no_such\",");
    for (what, mut lines) in [("twice", twice), ("without its user", without_its_user), ("other columns", other_columns)] {
        lines.push(last_of(&lines));
        std::fs::write(&other, sealed(&lines.concat())).unwrap();
        check(&other).unwrap_or_else(|error| panic!("{what}: {error}"));
        let error = restore(&store, &other, false).await.unwrap_err();
        assert!(matches!(error, BackupError::Refused(..)), "{what}: {error:?}");
        assert_eq!(rows(&store).await, before, "{what}");
    }
    // And after that the database takes the right one.
    restore(&store, &path, false).await.unwrap();
});
