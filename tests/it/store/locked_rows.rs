//! Rows of sessions are written only after a lock and another look: one whose end is recorded stays as it
//! was when it ended.

use std::path::Path;
use std::time::Duration;

use rollcall::domain::policy::Living;
use rollcall::domain::session::Lifetime;
use rollcall::domain::{Method, Methods, Timestamp};
use rollcall::store::people::policies::LivingRow;
use rollcall::store::{Db, StoreError};
use serde_json::json;

use crate::support::{TestApp, seed};

/// What a row says, but for its key and its address.
const ROW: &str = "SELECT methods || ' ' || label || ' ' || COALESCE(idle_timeout, 0) || ' ' || absolute_expires_at || ' ' || expires_at \
    || ' ' || country || ' ' || last_used_at FROM session_rows WHERE id = $1";

/// The changes that once wrote to rows with a pending end, and those that always looked.
#[derive(Clone, Copy, Debug)]
enum Change {
    Limits,
    Methods,
    Label,
    Place,
}

const CHANGES: [Change; 4] = [Change::Limits, Change::Methods, Change::Label, Change::Place];

/// Makes a change; gives whether it changed a session.
async fn change(db: &Db<'_>, id: i64, what: Change) -> Result<bool, StoreError> {
    Ok(match what {
        Change::Limits => {
            let lifetime = Lifetime { idle_timeout: Some(Duration::from_secs(1)), absolute_expires_at: Timestamp(1) };
            let living = Living { created_at: Timestamp(0), lifetime, is_remembered: true, is_imported: false };
            db.update_limits(&[LivingRow { id, living }]).await? > 0
        }
        Change::Methods => db.update_methods(id, Methods::default().with(Method::OneTimeCode)).await?,
        Change::Label => {
            let uuid = db.one("SELECT uuid FROM session_rows WHERE id = $1", &[id.into()]).await?.unwrap();
            db.update_label(uuid, "another name").await?
        }
        Change::Place => {
            let ip = rollcall::domain::Address::parse("192.0.2.1").unwrap();
            let agent = db.one::<i64>("SELECT MIN(id) FROM user_agents", &[]).await?.unwrap();
            let origin = rollcall::store::sessions::rows::Origin { ip, user_agent_id: agent, country: "DE".into(), asn: Some(7) };
            db.update_place(id, &origin).await?;
            let country = db.one::<String>("SELECT country FROM session_rows WHERE id = $1", &[id.into()]).await?;
            country.as_deref() == Some("DE")
        }
    })
}

async fn write(app: &TestApp, id: i64, what: Change) -> bool {
    let written = app.app.store.write(move |db| Box::pin(async move { change(db, id, what).await }));
    let written: Result<bool, StoreError> = written.await;
    written.unwrap_or_else(|error| panic!("{what:?}: {error}"))
}

/// A session of a user of its own, both of this number.
async fn one(app: &TestApp, n: u32) -> i64 {
    app.import(&[seed::user(n.into(), &format!("user {n}")), seed::session(n, n.into(), json!({}))]).await;
    app.number(&format!("SELECT id FROM sessions WHERE user_id = {n}")).await
}

async fn row(app: &TestApp, id: i64) -> String {
    app.app.store.read().one::<String>(ROW, &[id.into()]).await.unwrap().unwrap()
}

db_test!(a_session_with_a_pending_end_is_not_changed, |db| async move {
    let app = TestApp::new(db).await;
    let id = one(&app, 1).await;
    assert_eq!(app.record_ends_of(1, 10).await, 1);
    let before = row(&app, id).await;
    for what in CHANGES {
        assert!(!write(&app, id, what).await, "{what:?}");
        assert_eq!(row(&app, id).await, before, "{what:?}");
    }
    app.assert_counts().await;
    app.move_pending().await;
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE label = '' AND methods = ''").await, 1);
    app.assert_counts().await;
});

db_test!(a_session_is_changed, |db| async move {
    let app = TestApp::new(db).await;
    let id = one(&app, 1).await;
    for what in CHANGES {
        let before = row(&app, id).await;
        assert!(write(&app, id, what).await, "{what:?}");
        assert_ne!(row(&app, id).await, before, "{what:?}");
        app.assert_counts().await;
    }
});

// PostgreSQL: a statement that waits for a lock does not see what was committed while it waited.
db_test!(a_change_that_waits_for_a_recorded_end_changes_nothing, |db| async move {
    if db.is_sqlite() {
        return; // One writer: a transaction sees all that was committed before it began.
    }
    let app = TestApp::new(db).await;
    for (n, what) in (1..).zip(CHANGES) {
        let id = one(&app, n).await;
        let before = row(&app, id).await;
        let (recorded, wait) = (tokio::sync::oneshot::channel::<()>(), Duration::from_millis(300));
        let ends = {
            let (store, clock) = (app.app.store.clone(), app.app.clock.clone());
            tokio::spawn(async move {
                let by = rollcall::domain::caller::Actor::cli();
                let end = rollcall::store::sessions::history::End::by(&by, clock.now(), rollcall::domain::EndReason::Revoked);
                let pending = rollcall::store::sessions::pending_end::PendingEnd {
                    end,
                    ip: String::new(),
                    request_id: String::new(),
                    event: None,
                };
                let which = rollcall::store::sessions::end::Which::Users(vec![n.into()]);
                let done = store.write(move |db| {
                    Box::pin(async move {
                        let done = db.record_ends(&which, 10, &pending).await?;
                        recorded.0.send(()).expect("the test waits");
                        tokio::time::sleep(wait).await;
                        Ok::<_, StoreError>(done.users.len())
                    })
                });
                done.await.unwrap()
            })
        };
        recorded.1.await.unwrap();
        assert!(!write(&app, id, what).await, "{what:?}");
        assert_eq!(ends.await.unwrap(), 1, "{what:?}");
        assert_eq!(row(&app, id).await, before, "{what:?}");
        app.assert_counts().await;
    }
});

/// Which files hold statements that change or delete rows of sessions.
fn writers(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            writers(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // The tests of the metrics name tables of statements.
        let code = text.split("#[cfg(test)]").next().unwrap();
        if ["UPDATE session_rows", "DELETE FROM session_rows", "UPDATE sessions", "DELETE FROM sessions"]
            .iter()
            .any(|statement| code.contains(statement))
        {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn one_file_alone_changes_or_deletes_rows() {
    let mut found = Vec::new();
    writers(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert_eq!(found, ["locked.rs"]);
}
