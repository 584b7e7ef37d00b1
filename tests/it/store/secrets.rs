//! No secret at rest.

use crate::support::app::PASSWORD;
use crate::support::{SESSIONS, TestApp};

#[tokio::test]
async fn the_files_hold_no_key_token_or_password() {
    let app = TestApp::new(crate::support::TestDb::sqlite()).await;
    let alice = app.user_with_password("alice").await;
    let caller = alice.sign_in().await;
    let token = alice.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    caller.with_bearer(&token).get(SESSIONS).await.assert_status(200);
    let secrets = [caller.cookie("rollcall_session").unwrap(), token, PASSWORD.to_owned()];
    let mut files = 0;
    for entry in std::fs::read_dir(app.db.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
    assert!(files >= 3, "the database, its log and the key are there: {files}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let app = TestApp::new(crate::support::TestDb::sqlite()).await;
    for file in ["instance.key", "rollcall.db"] {
        let mode = std::fs::metadata(app.db.dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
