//! Apps are told that a session of theirs ended: whatever ended it, once it is owed, and at addresses that may be reached.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::any;
use rollcall::actions::applications::{self, ApplicationChange};
use rollcall::actions::by::By;
use rollcall::actions::oidc::notices::{self, Notices};
use rollcall::actions::people::{privacy, users};
use rollcall::actions::upkeep::sweep;
use serde_json::{Value, json};

use super::app::{App, register};
use super::verified;
use crate::guard::world::{Browser, HOME, server, server_with};
use crate::support::{SESSIONS, TestApp, TestDb};

/// An app's server that is told of ends. It keeps what it was sent, and answers as it is told to.
#[derive(Clone)]
struct Told {
    address: String,
    forms: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<StatusCode>>,
}

impl Told {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/logout", listener.local_addr().unwrap());
        let told = Self { address, forms: Arc::default(), answer: Arc::new(Mutex::new(StatusCode::NO_CONTENT)) };
        let kept = told.clone();
        let answer = move |body: Bytes| {
            let kept = kept.clone();
            async move {
                kept.forms.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
                *kept.answer.lock().unwrap()
            }
        };
        let router = Router::new().route("/logout", any(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        told
    }

    fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = StatusCode::from_u16(status).unwrap();
    }

    /// What it was sent since the last time.
    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.forms.lock().unwrap())
    }
}

async fn world(db: TestDb) -> TestApp {
    let app = server_with(db, &[("OUTBOUND__ALLOW", "127.0.0.0/8")]).await;
    app.seed_keys().await;
    app
}

async fn wiki<'a>(app: &'a TestApp, told: &Told, names: &str) -> App<'a> {
    register(app, "wiki", json!({"back_channel_uri": told.address, "notice_names": names})).await
}

/// One run of the job, with all its answers.
async fn run(app: &TestApp) -> usize {
    let mut notices = Notices::new(&app.app).unwrap();
    let begun = notices.begin(&app.app, By::System).await.unwrap();
    notices.finish().await;
    begun
}

/// A session that has the app open; its uuid.
async fn opened(wiki: &App<'_>, name: &str) -> String {
    let browser = Browser::new(wiki.app);
    let session = browser.sign_in(name).await;
    wiki.tokens(&browser).await;
    session
}

async fn claims(wiki: &App<'_>, form: &str) -> Value {
    let token = form.strip_prefix("logout_token=").unwrap_or_else(|| panic!("{form}"));
    let keys = Browser::new(wiki.app).send("GET", HOME, "/application/o/wiki/jwks/", &[]).await.json();
    let (header, claims) = verified(token, &keys);
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    claims
}

async fn end(app: &TestApp, session: &str) {
    let token = app.known("root").await.token().await;
    token.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
}

db_test!(an_app_is_told_which_session_ended, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.superuser("root").await;
    app.user("alice").await;
    let wiki = wiki(&app, &told, "auto").await;
    let (first, second) = (opened(&wiki, "alice").await, opened(&wiki, "alice").await);
    assert_eq!(run(&app).await, 0, "nothing is owed");
    end(&app, &first).await;
    assert_eq!(run(&app).await, 1);
    let [form] = <[String; 1]>::try_from(told.sent()).unwrap();
    let one = claims(&wiki, &form).await;
    let now = app.app.clock.now().seconds();
    assert_eq!(
        (&one["iss"], &one["aud"], &one["sid"], &one["iat"], &one["exp"]),
        (&json!(wiki.issuer()), &json!(wiki.id), &json!(first), &json!(now), &json!(now + 120))
    );
    assert_eq!(one["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    assert_eq!((one.get("nonce"), one.get("sub")), (None, None), "the other session goes on");
    end(&app, &second).await;
    run(&app).await;
    let last = claims(&wiki, &told.sent()[0]).await;
    assert!(last["sub"].is_string() && last["jti"] != one["jti"], "{last}");
    assert_eq!(run(&app).await, 0, "once");
    let rows = notices::list(&app.app, By::Cli, Some("wiki"), None, 10).await.unwrap();
    assert!(rows.iter().all(|row| row.state == "delivered" && row.sub.is_empty() && row.tries == 1), "{rows:?}");
    app.advance(Duration::from_secs(8 * 86400));
    assert_eq!(notices::sweep(&app.app, By::System).await.unwrap(), 2);
});

db_test!(each_way_of_ending_a_session_owes_a_notice, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.superuser("root").await;
    let wiki = wiki(&app, &told, "sid").await;
    for way in ["alone", "api", "expired", "many", "deactivated", "removed", "erased", "client"] {
        let alice = app.user(&format!("alice-{way}")).await;
        let session = opened(&wiki, &alice.name).await;
        let row = users::find(&app.app, By::Cli, &alice.name).await.unwrap();
        match way {
            "alone" => {
                let open = app
                    .app
                    .store
                    .read()
                    .list_app_sessions(&rollcall::store::applications::app_sessions::AppSessionFilter::default(), 0, 9)
                    .await
                    .unwrap();
                applications::app_sessions::end(&app.app, By::Cli, open[0].uuid).await.unwrap();
            }
            "api" => end(&app, &session).await,
            "expired" => {
                let (now, id) = (app.app.clock.now().0, alice.id.0);
                let sql = format!("UPDATE session_rows SET expires_at = {now}, absolute_expires_at = {now} WHERE user_id = {id}");
                app.db.run(&sql).await;
                sweep::run(&app.app, By::System).await.unwrap();
            }
            "many" => {
                app.record_ends_of(alice.id.0, 100).await;
                assert_eq!(run(&app).await, 0, "the pending end is the debt");
                app.move_pending().await;
            }
            "deactivated" => users::set_active(&app.app, By::Cli, &row, false).await.unwrap(),
            "removed" => users::remove(&app.app, By::Cli, &row).await.unwrap(),
            "erased" => drop(privacy::erase(&app.app, By::Cli, &alice.name).await.unwrap()),
            _ => {
                let wanted = ApplicationChange { client: Some(None), ..ApplicationChange::default() };
                applications::change(&app.app, By::Cli, "wiki", wanted).await.unwrap();
            }
        }
        assert_eq!(run(&app).await, 1, "{way}");
        assert!(told.sent()[0].starts_with("logout_token="), "{way}");
    }
    assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE state <> 'delivered'").await, 0);
});

db_test!(an_app_that_is_down_is_told_later_or_given_up_visibly, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.superuser("root").await;
    app.user("alice").await;
    let wiki = wiki(&app, &told, "both").await;
    told.answers(500);
    end(&app, &opened(&wiki, "alice").await).await;
    assert_eq!((run(&app).await, run(&app).await), (1, 0), "later");
    let first = claims(&wiki, &told.sent()[0]).await;
    app.advance(Duration::from_secs(7));
    told.answers(302);
    assert_eq!((run(&app).await, told.sent().len()), (1, 1), "a redirect is not followed");
    app.advance(Duration::from_secs(40));
    told.answers(200);
    assert_eq!(run(&app).await, 1);
    let third = claims(&wiki, &told.sent()[0]).await;
    assert!(third["jti"] != first["jti"] && third["iat"].as_i64() > first["iat"].as_i64(), "signed anew");

    told.answers(400);
    end(&app, &opened(&wiki, "alice").await).await;
    for _ in 0..5 {
        assert_eq!(run(&app).await, 1);
        app.advance(Duration::from_secs(3600));
    }
    assert_eq!(run(&app).await, 0, "the app calls it wrong");
    let event = serde_json::to_value(&app.latest("notice_given_up").await[0].content).unwrap();
    assert_eq!((&event["tries"], &event["error"]), (&json!(5), &json!("the app answered 400")));
    assert_eq!(notices::send(&app.app, By::Cli, "wiki").await.unwrap(), 1);
    told.answers(503);
    assert_eq!(run(&app).await, 1, "somebody wants it sent again");
    app.advance(Duration::from_secs(25 * 3600));
    assert_eq!(run(&app).await, 1);
    assert_eq!(app.latest("notice_given_up").await.len(), 2, "a day is over");
    assert_eq!(notices::drop_all(&app.app, By::Cli, "wiki").await.unwrap(), 1);
    app.advance(Duration::from_secs(3600));
    assert_eq!(run(&app).await, 0);
});

db_test!(a_notice_that_a_node_lost_is_sent_by_another_one, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.superuser("root").await;
    app.user("alice").await;
    let wiki = wiki(&app, &told, "auto").await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(opened(&wiki, "alice").await);
    }
    let application = app.number("SELECT max(id) FROM applications").await;
    for session in &sessions {
        end(&app, session).await;
    }
    // This node takes four and is killed.
    let (now, until) = (app.app.clock.now(), app.app.clock.now().plus(Duration::from_secs(60)));
    let taken =
        app.app.store.write(move |db| Box::pin(async move { db.take_notices(application, 4, now, until).await })).await.unwrap();
    assert_eq!(taken.len(), 4);
    assert_eq!(run(&app).await, 2, "what it took is its own for a minute");
    app.advance(Duration::from_secs(61));
    assert_eq!(run(&app).await, 4);
    let mut sids = Vec::new();
    for form in told.sent() {
        sids.push(claims(&wiki, &form).await["sid"].as_str().unwrap().to_owned());
    }
    sids.sort();
    sessions.sort();
    assert_eq!(sids, sessions, "each is told");
});

db_test!(nothing_is_sent_to_what_must_not_be_reached, |db| async move {
    let (app, told) = (server(db).await, Told::start().await);
    app.seed_keys().await;
    app.superuser("root").await;
    app.user("alice").await;
    // A name can lead anywhere, and is looked at when it is reached.
    let port = told.address.rsplit(':').next().unwrap().split('/').next().unwrap();
    let wiki = register(&app, "wiki", json!({"back_channel_uri": format!("https://localhost:{port}/logout")})).await;
    end(&app, &opened(&wiki, "alice").await).await;
    assert_eq!(run(&app).await, 1);
    let rows = notices::list(&app.app, By::Cli, Some("wiki"), None, 10).await.unwrap();
    assert!(rows[0].said.contains("is not a public address") && rows[0].said.contains("outbound.allow"), "{rows:?}");
    assert_eq!((rows[0].state.as_str(), told.sent().len()), ("waiting", 0));
    let client = json!({"redirect_uris": ["https://app.example/cb"], "back_channel_uri": told.address});
    let client = serde_json::from_value(client).unwrap();
    let wanted = ApplicationChange {
        slug: Some("shop".to_owned()),
        client: Some(Some(applications::clients::ClientWish { client_id: None, client })),
        ..ApplicationChange::default()
    };
    assert!(applications::add(&app.app, By::Cli, wanted).await.unwrap_err().to_string().contains("plain http"));
});
