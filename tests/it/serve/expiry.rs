//! Sessions whose time is over.

use super::*;

on_both!(expired_sessions_are_swept_and_live_ones_never, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "100ms");
    let ours = home.serve().await;
    let person = Person::signed_in(&ours, "akadmin").await;
    let live = person.uuid().await;
    let (long, last) = ("2099-01-01T00:00:00Z", "2020-01-02T03:04:06Z");
    let expired = (0..700).map(|nth| session(nth, 50, last));
    let lines: Vec<Value> = [user(50, "alice")].into_iter().chain(expired).chain([session(900, 50, long)]).collect();
    home.import(&lines);
    eventually("that only live sessions are left", || async { (ours.sessions().await.len() == 2).then_some(()) }).await;
    assert_eq!(uuids(&ours.sessions().await), {
        let mut both = vec![uuid(900), live];
        both.sort();
        both
    });
    assert!(person.is_signed_in().await);
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", &uuid(699), "--json"])).unwrap();
    assert_eq!((shown["reason"].as_str(), shown["username"].as_str()), (Some("expired"), Some("alice")));
    let events = home.rows(&["export", "--events", "--parts"]);
    assert_eq!(events.iter().filter(|event| event["kind"] == "session_expired").count(), 700, "each is told once");
});

on_both!(a_session_that_is_over_is_out_before_it_is_swept, |home| async move {
    let home =
        home.with_administrator().with("ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT", "2s").with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    eventually("that the session is over", || async { (!person.is_signed_in().await).then_some(()) }).await;
    assert_eq!(server.sessions().await.len(), 1, "nothing sweeps it, and authentik lists it");
});
