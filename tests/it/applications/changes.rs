//! Adding, changing and removing applications: what is refused, the version, the events, and the app sessions that end.

use rollcall::actions::ActionError;
use rollcall::actions::applications::guards::{self, GuardChange};
use rollcall::actions::applications::{self, ApplicationChange, app_sessions};
use rollcall::actions::by::By;
use rollcall::domain::application::ApplicationRule;
use rollcall::domain::application::host::Host;
use rollcall::domain::event::EventContent;
use serde_json::json;

use super::{add, demand, guard, open, server};
use crate::support::TestApp;

fn named(slug: &str) -> ApplicationChange {
    ApplicationChange { slug: Some(slug.to_owned()), name: Some("An app".into()), ..ApplicationChange::default() }
}

fn on(hosts: &[&str]) -> ApplicationChange {
    ApplicationChange { guard: Some(Some(guard(json!({"hosts": hosts})))), ..ApplicationChange::default() }
}

async fn refusal(app: &TestApp, wanted: ApplicationChange) -> ApplicationRule {
    match applications::add(&app.app, By::Cli, wanted).await {
        Err(ActionError::Application(rule)) => rule,
        other => panic!("it breaks a rule: {other:?}"),
    }
}

db_test!(a_change_raises_the_version_and_the_next_question_sees_it, |db| async move {
    let app = server(db).await;
    let before = app.app.store.applications().await.unwrap();
    add(&app, "Wiki", json!({"allow": "signed_in"}), "*.example.com").await;
    let other = app.restarted(&[("HTTP__PUBLIC_URL", "http://login.example.com")]).await;
    for server in [&app.app, &other] {
        let all = server.store.applications().await.unwrap();
        assert!(all.version() > before.version());
        let found = |host: &str| all.by_host(&Host::parse(host).unwrap()).map(|app| app.slug.clone());
        assert_eq!((found("a.example.com"), found("a.b.example.com")), (Some("Wiki".into()), None));
        assert_eq!(all.by_slug("wIKI").map(|app| app.name.clone()), Some("The Wiki".into()));
    }
    // An exact host of another application comes before the pattern; on both nodes, at once.
    add(&app, "files", json!({}), "files.example.com").await;
    let all = other.store.applications().await.unwrap();
    let host = Host::parse("files.example.com").unwrap();
    assert_eq!(all.by_host(&host).map(|app| app.slug.as_str()), Some("files"));
    assert!(std::sync::Arc::ptr_eq(&all, &other.store.applications().await.unwrap()), "it is read once for a version");
});

db_test!(what_breaks_a_rule_is_not_stored, |db| async move {
    let app = server(db).await;
    add(&app, "wiki", json!({}), "wiki.example.com").await;
    for slug in ["", "-", "a b", "ä"] {
        assert_eq!(refusal(&app, named(slug)).await, ApplicationRule::Slug);
    }
    let with = |change: ApplicationChange| ApplicationChange { slug: Some("other".into()), name: Some("x".into()), ..change };
    assert_eq!(refusal(&app, with(on(&["wiki.example.com"]))).await, ApplicationRule::HostTaken);
    assert_eq!(refusal(&app, with(on(&["login.example.com"]))).await, ApplicationRule::OwnHost("login.example.com".into()));
    let anyone = ApplicationChange { access: Some(demand(json!({"allow": "anyone"}))), ..ApplicationChange::default() };
    assert_eq!(refusal(&app, with(anyone)).await, ApplicationRule::AnyoneIsForRules);
    let taken = applications::add(&app.app, By::Cli, named("WIKI")).await;
    assert!(matches!(taken, Err(ActionError::Exists(_))), "{taken:?}");
    let gone = applications::change(&app.app, By::Cli, "nothing", named("x")).await;
    assert!(matches!(gone, Err(ActionError::NotFound)));
    assert_eq!(app.number("SELECT count(*) FROM applications").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM providers").await, 1);
    assert_eq!(app.count_events("application_added").await, 1);
});

db_test!(a_guard_needs_the_address_of_rollcall, |db| async move {
    let app = TestApp::new(db).await;
    let change = ApplicationChange { slug: Some("wiki".into()), ..on(&["wiki.example.com"]) };
    assert_eq!(refusal(&app, change).await, ApplicationRule::NoPublicUrl);
});

db_test!(an_event_names_what_changed, |db| async move {
    let app = server(db).await;
    add(&app, "wiki", json!({}), "wiki.example.com").await;
    let change = ApplicationChange {
        slug: Some("docs".into()),
        access: Some(demand(json!({"factor": "mfa"}))),
        ..on(&["docs.example.com"])
    };
    applications::change(&app.app, By::Cli, "wiki", change).await.unwrap();
    applications::change(&app.app, By::Cli, "docs", ApplicationChange::default()).await.unwrap();
    let events = app.latest("application_changed").await;
    let [event] = &events[..] else { panic!("one change: {events:?}") };
    let EventContent::ApplicationChanged { application, fields, .. } = &event.content else { panic!("{event:?}") };
    assert_eq!((application.as_str(), fields.join(" ")), ("docs", "slug access guard".to_owned()));
    assert_eq!((event.application.as_str(), event.actor.as_str()), ("docs", "cli"));
    let all = app.app.store.applications().await.unwrap();
    assert!(all.by_slug("wiki").is_none() && all.by_host(&Host::parse("wiki.example.com").unwrap()).is_none());
});

db_test!(removing_an_application_or_its_guard_ends_its_app_sessions, |db| async move {
    let app = server(db).await;
    let browser = app.user("alice").await.session().await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let files = add(&app, "files", json!({"allow": "signed_in"}), "files.example.com").await;
    open(&app, &browser.uuid, &wiki, "wiki.example.com").await.unwrap();
    open(&app, &browser.uuid, &files, "files.example.com").await.unwrap();
    let without = ApplicationChange { guard: Some(None), ..ApplicationChange::default() };
    let changed = applications::change(&app.app, By::Cli, "wiki", without).await.unwrap();
    assert_eq!(changed.guard(), None);
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM app_hosts").await, 1);
    applications::remove(&app.app, By::Cli, "files").await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM providers").await, 0);
    assert_eq!(app.count_events("app_session_ended").await, 2);
    assert!(open(&app, &browser.uuid, &files, "files.example.com").await.is_none(), "it is gone");
    browser.get(crate::support::SESSIONS).await.assert_status(200);
});

db_test!(an_app_session_gathers_its_hosts_and_can_end_alone, |db| async move {
    let app = server(db).await;
    let browser = app.user("alice").await.session().await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "*.example.com").await;
    let first = open(&app, &browser.uuid, &wiki, "a.example.com").await.unwrap();
    let again = open(&app, &browser.uuid, &wiki, "a.example.com").await.unwrap();
    let other = open(&app, &browser.uuid, &wiki, "b.example.com").await.unwrap();
    assert_eq!([first.is_new, again.is_new, other.is_new], [true, false, true]);
    assert_eq!(first.uuid, other.uuid, "one session and one application have one app session");
    let (count, rows) = app_sessions::list(&app.app, By::Cli, Default::default(), 0, 10).await.unwrap();
    assert_eq!((count, rows[0].hosts.clone()), (1, vec!["a.example.com".to_owned(), "b.example.com".to_owned()]));
    app_sessions::end(&app.app, By::Cli, first.uuid).await.unwrap();
    let gone = app_sessions::end(&app.app, By::Cli, first.uuid).await;
    assert!(matches!(gone, Err(ActionError::NotFound)));
    browser.get(crate::support::SESSIONS).await.assert_status(200);
});

db_test!(a_guard_can_be_made_before_its_application, |db| async move {
    let app = server(db).await;
    let change = |hosts: &[&str]| GuardChange {
        name: Some("A proxy".into()),
        guard: Some(guard(json!({"hosts": hosts}))),
        ..GuardChange::default()
    };
    let free = guards::add(&app.app, By::Cli, change(&["wiki.example.com"])).await.unwrap();
    let host = Host::parse("wiki.example.com").unwrap();
    assert!(app.app.store.applications().await.unwrap().by_host(&host).is_none(), "a guard without an application opens nothing");
    let wanted = ApplicationChange { provider: Some(Some(free.id)), ..named("wiki") };
    let wiki = applications::add(&app.app, By::Cli, wanted).await.unwrap();
    assert_eq!(wiki.provider.as_ref().map(|provider| provider.id), Some(free.id));
    assert!(app.app.store.applications().await.unwrap().by_host(&host).is_some());
    let stolen = ApplicationChange { provider: Some(Some(free.id)), ..named("other") };
    assert_eq!(refusal(&app, stolen).await, ApplicationRule::ProviderTaken);
    guards::change(&app.app, By::Cli, free.id, change(&["docs.example.com"])).await.unwrap();
    assert!(app.app.store.applications().await.unwrap().by_host(&host).is_none());
    // Detached, it stays.
    let change = ApplicationChange { provider: Some(None), ..ApplicationChange::default() };
    assert_eq!(applications::change(&app.app, By::Cli, "wiki", change).await.unwrap().provider, None);
    assert_eq!(app.app.store.applications().await.unwrap().unattached_guards().len(), 1);
    guards::remove(&app.app, By::Cli, free.id).await.unwrap();
    assert!(matches!(guards::remove(&app.app, By::Cli, free.id).await, Err(ActionError::NotFound)));
});
