//! Writes to the copy of a watched source as a poller does, and counts of its sessions by two processes.

use rollcall::actions::app::App;
use rollcall::domain::filters::FilterSet as _;
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::{NAME, SourceId};
use rollcall::domain::{Address, EndReason, SessionId, Timestamp};
use rollcall::store::StoreError;
use rollcall::store::sessions::history::End;
use rollcall::store::watch::sessions::{WatchedRow, WatchedSession};
use rollcall::store::watch::users::SourceUser;

/// Writes sessions, each first seen when it was last used.
pub async fn begin(app: &App, source: SourceId, new: Vec<WatchedSession>) {
    let agents = app.clone();
    let written: Result<(), StoreError> = app
        .store
        .write(move |db| {
            Box::pin(async move {
                for session in new {
                    let (parsed, rules) = (agents.user_agents.parse(&session.user_agent), agents.user_agents.fingerprint());
                    let agent = match db.find_user_agent_id(&session.user_agent).await? {
                        Some(agent) => agent,
                        None => db.insert_user_agent(&session.user_agent, &parsed, &rules).await?,
                    };
                    let seen_at = session.last_used_at;
                    db.keep_watched(source, &[(session, agent)], seen_at).await?;
                }
                Ok(())
            })
        })
        .await;
    written.expect("the copy takes them");
}

/// Ends a session.
pub async fn end(app: &App, source: SourceId, uuid: SessionId) {
    let now = app.clock.now();
    let end = End { at: now, by: None, by_name: NAME.to_owned(), reason: EndReason::Gone, comment: String::new() };
    let row = app.store.read().find_source(NAME).await.expect("the source").filter(|row| row.id == source).expect("a source");
    let ended: Result<Vec<WatchedRow>, StoreError> =
        app.store.write(move |db| Box::pin(async move { db.end_watched(&row, &[(uuid, end)]).await })).await;
    assert_eq!(ended.expect("an end").len(), 1);
}

/// Gives a user of the source a name.
pub async fn name(app: &App, source: SourceId, pk: i64, username: &str) {
    let user = SourceUser { pk, username: username.to_owned(), name: String::new(), is_active: true, is_superuser: false };
    let written: Result<(), StoreError> =
        app.store.write(move |db| Box::pin(async move { db.keep_source_users(source, &[user]).await })).await;
    written.expect("a name");
}

/// The number of sessions, of those of each kind and at each address: the same from memory and by SQL.
pub async fn assert_counts(memory: &App, tables: &App, now: Timestamp) {
    for (word, term) in [("authentik", ""), ("authentik", "FIREFOX"), ("all", ""), ("all", "FIREFOX")] {
        let mut filter = SessionFilter::default();
        filter.set("source", word).unwrap();
        filter.search.extend(Some(term.to_owned()).filter(|term| !term.is_empty()));
        let mut counts = Vec::new();
        for app in [memory, tables] {
            let mut facets = app.store.count_facets(&filter, now).await.unwrap();
            // Any address of a network may be given for it.
            for network in &mut facets.networks {
                network.sample = Address::UNKNOWN;
            }
            let addresses = app.store.count_addresses(&filter, 4).await.unwrap();
            counts.push((facets, addresses, app.store.count_sessions(&filter).await.unwrap()));
        }
        assert_eq!(counts[0], counts[1], "{filter:?}");
        assert!(counts[0].2 > 0, "{filter:?}");
    }
}
