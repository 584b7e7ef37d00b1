//! Events are read once each, also those whose place was passed over.

use std::time::{Duration, Instant};

use rollcall::store::events::feed::EventFeed;

use crate::support::TestApp;

/// Adds an event at a place, as a transaction that began earlier and ends later does.
async fn add(app: &TestApp, id: i64) {
    let sql = format!(
        "INSERT INTO events (id, uuid, at, kind, actor, username, ip, request_id, content) \
         VALUES ({id}, $1, 0, 'sign_in', '', 'user {id}', '', '', '{{}}')"
    );
    let uuid = [rollcall::store::Value::Uuid(uuid::Uuid::from_u128(id.unsigned_abs().into()))];
    app.app.store.write(move |db| Box::pin(async move { db.execute(&sql, &uuid).await })).await.unwrap();
}

db_test!(each_is_read_once_in_whatever_order_they_appear, |db| async move {
    let app = TestApp::new(db).await;
    let (store, start) = (&app.app.store, Instant::now());
    add(&app, 100).await;
    let mut feed = EventFeed::from_now(&store.read(), start).await.unwrap();
    let mut read = async |after: u64| {
        let events = feed.read(&store.read(), start + Duration::from_secs(after)).await.unwrap();
        events.into_iter().map(|event| event.username).collect::<Vec<_>>()
    };
    assert_eq!(read(0).await, Vec::<String>::new(), "what was there is passed over");
    add(&app, 105).await;
    assert_eq!(read(1).await, ["user 105"]);
    add(&app, 103).await;
    add(&app, 106).await;
    assert_eq!(read(2).await, ["user 103", "user 106"]);
    assert_eq!(read(3).await, Vec::<String>::new());
    add(&app, 101).await;
    assert_eq!(read(59).await, ["user 101"]);
    // Nobody waits for ever for what was given up.
    add(&app, 104).await;
    assert_eq!(read(62).await, Vec::<String>::new());
});
