//! Somebody with a browser, as far as HTTP shows.

use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use serde_json::Value;

use super::{PASSWORD, SESSIONS, Server};

/// A browser: it keeps cookies, and follows nothing by itself.
pub struct Person {
    http: Client,
    origin: String,
    /// The session's key, as the cookie holds it.
    pub key: String,
}

impl Person {
    /// A fresh browser.
    pub fn new(server: &Server, user_agent: &str) -> Self {
        let http = Client::builder().no_proxy().cookie_store(true).redirect(reqwest::redirect::Policy::none());
        let http = http.user_agent(user_agent).build().unwrap();
        Self { http, origin: server.origin.clone(), key: String::new() }
    }

    /// The same browser, with the same cookies, at another server.
    pub fn at(&self, server: &Server) -> Self {
        Self { http: self.http.clone(), origin: server.origin.clone(), key: String::new() }
    }

    /// A fresh browser in which a user with [`PASSWORD`] is signed in.
    pub async fn signed_in(server: &Server, username: &str) -> Self {
        let mut person = Self::new(server, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        let response = person.sign_in(username, PASSWORD).await;
        assert_eq!(response.status(), 303, "{}", response.text().await.unwrap());
        person
    }

    /// Fills in the sign-in page.
    pub async fn sign_in(&mut self, username: &str, password: &str) -> Response {
        let response = self.submit("/sign-in", &[("uid", username), ("password", password), ("next", "/sessions")]).await;
        for cookie in response.headers().get_all(SET_COOKIE) {
            if let Some(rest) = cookie.to_str().unwrap().strip_prefix("rollcall_session=") {
                rest.split(';').next().unwrap().clone_into(&mut self.key);
            }
        }
        response
    }

    /// Opens a page and sends its form.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.submit_to(path, path, fields).await
    }

    /// Opens a page and sends its form that goes to `path`.
    pub async fn submit_to(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let page = self.get(page).await.text().await.unwrap();
        let proof = page.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let mut fields = fields.to_vec();
        fields.push(("proof", proof.unwrap_or_default()));
        self.http.post(format!("{}{path}", self.origin)).form(&fields).send().await.unwrap()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.origin)).send().await.unwrap()
    }

    /// GET with another user agent than before.
    pub async fn get_with_agent(&self, path: &str, user_agent: &str) -> Response {
        self.http.get(format!("{}{path}", self.origin)).header("user-agent", user_agent).send().await.unwrap()
    }

    /// Whether the page of one's own sessions opens. Anything but yes and "sign in first" is a failure.
    pub async fn is_signed_in(&self) -> bool {
        let response = self.get("/sessions").await;
        match response.status().as_u16() {
            200 => true,
            303 => {
                assert!(response.headers()[LOCATION].to_str().unwrap().starts_with("/sign-in"));
                false
            }
            other => panic!("{other}: {}", response.text().await.unwrap()),
        }
    }

    /// The session this browser is signed in with, as the API lists it.
    pub async fn session(&self) -> Value {
        let body: Value = self.get(SESSIONS).await.json().await.unwrap();
        let sessions = body["results"].as_array().unwrap();
        sessions.iter().find(|session| session["current"] == true).unwrap().clone()
    }

    /// That session's name.
    pub async fn uuid(&self) -> String {
        self.session().await["uuid"].as_str().unwrap().to_owned()
    }
}
