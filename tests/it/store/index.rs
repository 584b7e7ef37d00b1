//! Sessions in memory follow what happens in the database.

use std::time::Duration;

use serde_json::json;

use crate::support::{SESSIONS, TestApp, seed};

db_test!(many_ends_at_once_are_followed_and_not_read_anew, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut lines = vec![seed::user(7, "stays"), seed::user(8, "goes")];
    // Of the two users in turn, so that those who go stand everywhere.
    lines.extend((0..9600).map(|n| seed::session(n, 7 + i64::from(n % 2), json!({"last_used": "2026-01-01T00:00:00Z"}))));
    app.import(&lines).await;
    let stays = format!("{SESSIONS}?search=tay&ordering=-last_used&page=last&page_size=100");
    let goes = format!("{SESSIONS}?search=goes");
    let before = admin.get(&stays).await.assert_status(200).json();
    assert_eq!(before["pagination"]["count"], 4800);
    assert_eq!(admin.get(&goes).await.count(), 4800);
    assert!(app.app.store.is_index_filled());
    let ended = admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks=8")).await.assert_status(200).json();
    assert_eq!(ended["deleted"], 4800);
    // The first are answered by the database, the later ones from memory.
    for _ in 0..20 {
        assert_eq!(admin.get(&goes).await.count(), 0);
        assert_eq!(admin.get(&stays).await.assert_status(200).json()["results"], before["results"]);
        assert!(app.app.store.is_index_filled(), "what is held is brought up to date");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
});
