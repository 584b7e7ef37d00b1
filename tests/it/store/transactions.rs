//! What a transaction wrote is there as a whole, or not at all.

use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::sign_in;
use rollcall::domain::caller::Actor;
use rollcall::domain::caller::Client;
use rollcall::domain::{Address, Generation, Methods, PlainSecret, Timestamp};
use rollcall::store::StoreError;

use crate::support::TestApp;

db_test!(a_write_that_is_dropped_leaves_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.id;
    let now = app.app.clock.now();
    let written = app.app.store.write(move |db| {
        Box::pin(async move {
            let generation = Generation::of(None, 0);
            db.insert_pending_sign_in(PlainSecret::generate()?.hash(), (alice, Methods::password()), generation, now).await?;
            // As when a client hangs up; SQLite's writer takes this for an error.
            std::future::pending::<Result<(), ActionError>>().await
        })
    });
    let _ = tokio::time::timeout(Duration::from_millis(300), written).await;
    // The connection that held it serves others, and holds nothing.
    for _ in 0..20 {
        let secret = PlainSecret::generate().unwrap().hash();
        let touched: Result<Vec<_>, StoreError> = app
            .app
            .store
            .write(move |db| Box::pin(async move { db.touch_known_devices(&[(alice, secret)], now, Timestamp(0)).await }))
            .await;
        assert_eq!(touched.unwrap(), []);
    }
    assert_eq!(app.number("SELECT count(*) FROM pending_sign_ins").await, 0);
});

db_test!(a_write_whose_last_statement_fails_leaves_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.id;
    // The log of changes is written last, on PostgreSQL together with the commit.
    let refuse = if app.db.is_sqlite() {
        "CREATE TRIGGER refuse BEFORE INSERT ON session_changes BEGIN SELECT RAISE(ABORT, 'refused'); END"
    } else {
        "ALTER TABLE session_changes ADD CONSTRAINT refuse CHECK (length(ids) = 0) NOT VALID"
    };
    app.db.run(refuse).await;
    let user = app.app.store.read().find_user(alice).await.unwrap().unwrap();
    let client = Client { ip: Address::UNKNOWN, user_agent: "curl/8".into() };
    // Twice: the second time all statements are prepared.
    for _ in 0..2 {
        let begun = sign_in::start_session(&app.app, user.clone(), &client, false, Vec::new(), &Actor::cli()).await;
        assert!(matches!(begun, Err(ActionError::Store(_))), "{begun:?}");
    }
    for table in ["session_rows", "known_devices", "session_counts WHERE n <> 0"] {
        assert_eq!(app.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(app.count_events("sign_in").await, 0);
    app.db.run(if app.db.is_sqlite() { "DROP TRIGGER refuse" } else { "ALTER TABLE session_changes DROP CONSTRAINT refuse" }).await;
    sign_in::start_session(&app.app, user, &client, false, Vec::new(), &Actor::cli()).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM session_rows").await, 1);
});
