//! Applications: who may open them, their guards and rules, and the app sessions that end with their session.

mod access;
mod api;
mod changes;
mod ends;
mod imports;
mod passwords;
mod tree;

use rollcall::actions::applications::{self, ApplicationChange, passwords as app_passwords};
use rollcall::actions::by::By;
use rollcall::actions::tokens::TokenRequest;
use rollcall::domain::SessionId;
use rollcall::domain::application::Application;
use rollcall::domain::application::demand::Demand;
use rollcall::domain::application::guard::Guard;
use rollcall::domain::scope::Scopes;
use rollcall::domain::user::TokenIntent;
use rollcall::store::StoreError;
use rollcall::store::applications::app_sessions::{Begun, Opened};
use rollcall::values;
use serde_json::{Value, json};

use crate::support::{TestApp, TestDb};

/// A server that has an address of its own, which guards need.
pub async fn server(db: TestDb) -> TestApp {
    TestApp::with(db, &[("HTTP__PUBLIC_URL", "http://login.example.com")]).await
}

/// A demand from JSON.
pub fn demand(json: Value) -> Demand {
    serde_json::from_value(json).expect("a demand")
}

/// A guard from JSON.
pub fn guard(json: Value) -> Guard {
    serde_json::from_value(json).expect("a guard")
}

/// Adds an application with this demand and a guard of this host.
pub async fn add(app: &TestApp, slug: &str, access: Value, host: &str) -> Application {
    let wanted = ApplicationChange {
        slug: Some(slug.to_owned()),
        name: Some(format!("The {slug}")),
        access: Some(demand(access)),
        guard: Some(Some(guard(json!({"hosts": [host]})))),
        ..ApplicationChange::default()
    };
    applications::add(&app.app, By::Cli, wanted).await.expect("an application can be added")
}

/// Opens an application in a session, as the guard does.
pub async fn open(app: &TestApp, session: &str, application: &Application, host: &str) -> Option<Begun> {
    let uuid = SessionId::parse(session).expect("a uuid");
    let id = app.app.store.read().one::<i64>("SELECT id FROM session_rows WHERE uuid = $1", &values![uuid]).await.unwrap();
    let (application, host, now) = (application.clone(), host.to_owned(), app.app.clock.now());
    let id = id.expect("the session has a row");
    let begun: Result<_, StoreError> = app
        .app
        .store
        .write(move |db| Box::pin(async move { db.begin_app_session(id, &application, Opened::Host(&host), "uid", now).await }))
        .await;
    begun.expect("the database answers")
}

/// What an app password is made with, where a test is about nothing of it.
pub fn app_password_request() -> TokenRequest {
    token_request(TokenIntent::AppPassword)
}

/// The same for a token of this kind.
pub fn token_request(intent: TokenIntent) -> TokenRequest {
    TokenRequest {
        intent,
        identifier: None,
        description: String::new(),
        lives: None,
        key: None,
        scopes: Scopes::default(),
        applications: Vec::new(),
        is_readable: false,
    }
}

/// A new app password of a user for an application.
pub async fn app_password(app: &TestApp, username: &str, slug: &str) -> String {
    let owner = (app.known(username).await.id, username);
    let made = app_passwords::add(&app.app, By::Cli, owner, &[slug.to_owned()], app_password_request()).await;
    made.unwrap().1.expose().to_owned()
}
