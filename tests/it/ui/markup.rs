//! Every page is HTML without mistakes, has no code inline, and loads little.

use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::RcDom;
use rollcall::actions::by::By;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::watch::many::{self, ManyEnds};
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::Origin;
use rollcall::domain::{Permission, SessionId};
use rollcall::store::StoreError;
use serde_json::json;

use crate::guard::world::{self, HOME, PAGE};
use crate::oidc::app::register;
use crate::oidc::consent::asked;
use crate::support::app::{Browser, PASSWORD};
use crate::support::{TestApp, encode, seed};
use crate::watch::{Watch, session};

/// What an HTML parser complains of.
pub fn mistakes(html: &str) -> Vec<String> {
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(html);
    dom.errors.borrow().iter().map(ToString::to_string).collect()
}

/// Names and agents that are not nice.
const HOSTILE: [&str; 4] = ["<script>alert(1)</script>", "\u{202e}txt.exe", "🦀 \"'&<>`", "x"];

async fn pages(app: &TestApp, root: &Browser, uuid: &str, group: &str) -> Vec<(String, String)> {
    let user = app.number("SELECT MIN(id) FROM users").await;
    let paths = [
        "/sessions".to_owned(),
        "/sessions?page=2".into(),
        format!("/sessions/not-me?session={uuid}"),
        "/sessions/all".into(),
        format!("/sessions/all?q={}&dense=1&size=10", encode("user:\"<script>\" colour:red 🦀")),
        "/sessions/all?q=user:nobody".into(),
        "/sessions/all?state=ended".into(),
        "/sessions/all?state=both&q=used:today".into(),
        "/sessions/all?state=both&q=ip:192.0.2.1+active:yesterday".into(),
        format!("/sessions/all?state=ended&q={}", encode("reason:boredom \"<script>\"")),
        "/sessions/all/end?scope=all".into(),
        format!("/sessions/all/end?scope=picked&id={uuid}"),
        "/sessions/all/end?scope=all&q=user:nobody".into(),
        format!("/sessions/{uuid}"),
        "/map".into(),
        "/users".into(),
        "/users?q=nobody".into(),
        "/users/new".into(),
        "/users?admin=yes&factor=no&q=nobody".into(),
        format!("/users/{user}/edit"),
        format!("/users/{user}/remove"),
        "/users/import".into(),
        format!("/users/{user}/policy"),
        format!("/groups/{group}/policy"),
        "/settings/policy".into(),
        "/groups".into(),
        "/groups?q=nothing".into(),
        "/groups/new".into(),
        format!("/groups/{group}"),
        format!("/groups/{group}?q=nobody"),
        format!("/groups/{group}/edit"),
        format!("/groups/{group}/remove"),
        format!("/users/{user}/active"),
        format!("/users/{user}/remove-factors"),
        "/sessions/end-others".into(),
        "/security/codes".into(),
        format!("/users/{user}"),
        "/apps".into(),
        "/apps/passwords".into(),
        "/apps/passwords/new".into(),
        "/account".into(),
        "/account?done=saved".into(),
        "/account/activity".into(),
        "/account/activity?only=failed&page=2".into(),
        "/account/data".into(),
        "/account/remove".into(),
        "/users?removal=asked".into(),
        format!("/users/{user}/erase"),
        "/applications".into(),
        "/applications/new".into(),
        "/applications/wiki".into(),
        format!("/applications/wiki?url={}&user=%3Cscript%3E", encode("https://wiki.example/<script>")),
        "/applications/wiki/edit".into(),
        "/applications/wiki/remove".into(),
        "/applications/wiki/guard".into(),
        "/applications/wiki/guard/remove".into(),
        "/applications/wiki/client".into(),
        format!("/applications/wiki/config?kind=caddy&app={}", encode("<script>:1")),
        "/applications/wiki/config?kind=traefik".into(),
        "/applications/wiki/rules/new".into(),
        "/applications/wiki/rules/1".into(),
        "/applications/wiki/rules/1/remove".into(),
        "/tokens".into(),
        "/tokens/new".into(),
        "/events".into(),
        "/events?kind=import".into(),
        format!("/events?text={}&ip=x&user=nobody", encode("<script>")),
        "/settings".into(),
        "/sign-out".into(),
        "/password".into(),
        "/security".into(),
        "/nothing".into(),
    ];
    let mut pages = Vec::new();
    for path in paths {
        let text = root.get(&path).await.text();
        pages.push((path, text));
    }
    pages.push(("/sign-in".into(), app.anonymous().get("/sign-in").await.text()));
    pages
}

/// A group with everybody in it, whose name is not nice and older than the rule for names. Gives its uuid.
async fn hostile_group(app: &TestApp) -> String {
    let added: Result<_, StoreError> = app
        .app
        .store
        .write(|db| {
            Box::pin(async move {
                let group = db.insert_group(&format!("{} {}", HOSTILE[0], HOSTILE[2]), true, &Permission::ALL).await?;
                let above = db.insert_group(HOSTILE[1], false, &[]).await?;
                db.replace_parents(group, &[above]).await?;
                let members = db.all::<i64>("SELECT id FROM users", &[]).await?;
                db.insert_members(group, &members).await?;
                Ok(db.find_group_by_id(group).await?.expect("it is there").uuid)
            })
        })
        .await;
    added.expect("a group").to_string()
}

/// An application whose texts are not nice, which a session has open.
async fn hostile_application(app: &TestApp, session: &str) {
    let guard = json!({"hosts": ["xn--mnchen-3ya.example"], "rules": [{"paths": ["/a/**"], "allow": "signed_in"}],
        "headers": {"X-Text": format!("text:{}", HOSTILE[0])}});
    crate::guard::world::add_app(app, "wiki", json!({"allow": "signed_in"}), guard).await;
    let changed = rollcall::actions::applications::edit(&app.app, rollcall::actions::by::By::Cli, "wiki", |application| {
        application.name = format!("{} \"wiki\"", HOSTILE[0]);
        application.display.description = format!("{} {}", HOSTILE[0], HOSTILE[2]);
        application.display.group = HOSTILE[2].to_owned();
        Ok(())
    });
    let application = changed.await.expect("the application is changed");
    crate::applications::open(app, session, &application, "xn--mnchen-3ya.example").await.expect("the session is live");
}

db_test!(every_page_is_right_and_hostile_words_stay_words, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", "http://id.example")]).await;
    let mut last = String::new();
    for name in HOSTILE {
        let name = if name == "x" { "long ".repeat(29) + name } else { name.to_owned() };
        let agent = format!("{name} {}", "very long agent ".repeat(20));
        let user = app.user_of_before(&name).await;
        last = user.session_on("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", &agent).await.uuid;
    }
    let root_user = app.superuser("root").await;
    app.import(&(0..60).map(|n| seed::session(n, root_user.id.0, json!({}))).collect::<Vec<_>>()).await;
    let root = root_user.session().await;
    let group = hostile_group(&app).await;
    hostile_application(&app, &last).await;
    for (path, html) in pages(&app, &root, &last, &group).await {
        assert_eq!(mistakes(&html), Vec::<String>::new(), "{path}: {html}");
        assert!(
            !html.contains("<script>") && !html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"),
            "{path}"
        );
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        let is_inside = path == "/sign-in" || html.contains("action=\"/sign-out\"");
        assert!(is_inside, "{path}: signing out is on each page");
    }
    assert!(!mistakes("<p><div></p></b>").is_empty(), "the parser does complain");
});

// Set-up, the choice where to sign out, a fresh proof, and what came of ending many.
db_test!(pages_on_the_way_are_right_too, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__MAX_PER_USER", "2"), ("SESSIONS__AT_LIMIT", "ask")]).await;
    let link =
        rollcall::actions::people::bootstrap::run(&app.app, rollcall::actions::by::By::System).await.unwrap().expect("a link");
    let mut pages = vec![("set-up", app.anonymous().get(&format!("/set-up/{}", link.expose())).await.assert_status(200).text())];
    let alice = app.user_with_password("alice").await;
    for agent in HOSTILE.iter().take(2) {
        alice.session_on("192.0.2.1", agent).await;
    }
    let newcomer = app.anonymous();
    let proof = newcomer.get("/sign-in").await.proof();
    let fields = [("proof", proof.as_str()), ("uid", "alice"), ("password", PASSWORD), ("next", "/sessions")];
    let choice = newcomer.post_form("/sign-in", &fields).await.assert_status(200).text();
    assert!(choice.contains("name=\"ticket\""), "{choice}");
    pages.push(("choice", choice));
    let root = app.superuser("root").await.session().await;
    let shown = root.get("/sessions/all/end?scope=all&q=user:alice").await.assert_status(200);
    let proof = shown.proof();
    let ends = [("proof", proof.as_str()), ("q", "user:alice"), ("expected", "2"), ("typed", "2"), ("comment", HOSTILE[0])];
    let result = root.post_form("/sessions/all/end", &ends).await.redirects_to().to_owned();
    pages.push(("result", root.get(&result).await.assert_status(200).text()));
    app.advance(std::time::Duration::from_secs(11 * 60));
    pages.push(("confirm", root.get("/confirm?next=/password").await.assert_status(200).text()));
    for (name, html) in pages {
        assert_eq!(mistakes(&html), Vec::<String>::new(), "{name}: {html}");
        assert!(!html.contains("<script>") && !html.contains(" style=") && !html.contains(" onclick"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
    }
});

/// An authentik that is watched, with a user whose name is not nice, and ends of many; their page.
async fn hostile_authentik(watch: &mut Watch) -> String {
    watch.begin(30);
    watch.authentik.world().users.insert(40, format!("{} {}", HOSTILE[0], HOSTILE[1]));
    watch.poll().await.expect("a copy");
    let now = watch.now();
    for _ in 0..4 {
        watch.authentik.world().begin(SessionId::generate(now).expect("a uuid"), session(40, now));
    }
    watch.rollcall.advance(std::time::Duration::from_secs(5));
    watch.poll().await.expect("another copy");
    let filter = SessionFilter { source: Some(Origin::Authentik), username: Some("user-3".into()), ..SessionFilter::default() };
    let what = ManyEnds { which: EndTarget::Matching(Box::new(filter)), expected: None, comment: HOSTILE[0].to_owned() };
    format!("/watch/ends/{}", many::begin(watch.app(), By::Cli, what).await.expect("a job"))
}

// The questions of apps, and the pages of an authentik, which need more than a server.
db_test!(questions_of_apps_and_pages_of_an_authentik_are_right_too, |db| async move {
    let home = format!("https://{HOME}");
    let settings = [
        ("HTTP__PUBLIC_URL", home.as_str()),
        ("HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("AUTHENTIK__ALERT_SESSIONS", "3"),
        ("AUTHENTIK__ENDS_PER_SECOND", "1000"),
    ];
    let mut watch = Watch::with(db, &settings).await;
    watch.rollcall.seed_keys().await;
    watch.rollcall.superuser("root").await;
    watch.rollcall.auditor("auditor").await;
    let ends = hostile_authentik(&mut watch).await;
    let app = &watch.rollcall;
    let (root, auditor) = (world::Browser::of(app, "root").await, world::Browser::of(app, "auditor").await);
    let mut pages = Vec::new();
    for (slug, client) in [("wiki", json!({"consent": "always"})), ("phone", json!({"offline": "own_session"}))] {
        let client = register(app, slug, client).await;
        let changed = rollcall::actions::applications::edit(&app.app, By::Cli, slug, |application| {
            application.name = format!("{} \"app\" {}", HOSTILE[0], HOSTILE[2]);
            Ok(())
        });
        changed.await.expect("the application is changed");
        for browser in [&root, &auditor] {
            let text = asked(&client, browser, &[]).await.0.text();
            assert!(text.contains("id=\"consent-allow\"") && text.contains("id=\"consent-decline\""), "{text}");
            pages.push((format!("/consent for {slug}"), text));
        }
    }
    for (browser, name) in [(&root, "root"), (&auditor, "auditor")] {
        for path in ["/watch", &ends, "/sessions/all?q=source:authentik"] {
            let text = browser.send("GET", HOME, path, &PAGE).await.assert_status(200).text();
            assert!(name == "root" || !text.contains("/stop\""), "{path}: an auditor stops nothing");
            pages.push((format!("{path} for {name}"), text));
        }
    }
    for (path, html) in pages {
        assert_eq!(mistakes(&html), Vec::<String>::new(), "{path}: {html}");
        assert!(
            !html.contains("<script>") && !html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"),
            "{path}"
        );
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert!(html.contains("action=\"/sign-out\""), "{path}: signing out is on each page");
    }
});

db_test!(files_are_kept_for_ever_under_names_of_their_content, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let html = root.get("/sessions/all").await.text();
    let files: Vec<String> =
        html.split("\"/static/").skip(1).map(|rest| format!("/static/{}", rest.split('"').next().unwrap())).collect();
    assert!(files.iter().any(|file| file.contains("live-")) && files.iter().any(|file| file.contains("rollcall-")));
    let mut size = html.len();
    for file in &files {
        let answer = app.anonymous().get(file).await.assert_status(200);
        size += answer.bytes.len();
        if file != "/static/icon.svg" {
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{file}");
        }
    }
    // Compressed it is a quarter of this, at most.
    assert!(size < 120_000, "{size} bytes for a first visit");
    app.anonymous().get("/static/rollcall-000000000000.css").await.assert_status(404);
});
