//! Somebody who calls the server, and what they are answered.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;

/// A client of the server: headers that it sends each time, and cookies that it keeps. Follows no
/// redirects.
#[derive(Clone)]
pub struct Caller {
    base: Url,
    client: Client,
    jar: Arc<Jar>,
    headers: HeaderMap,
}

impl Caller {
    pub fn new(address: SocketAddr) -> Self {
        let jar = Arc::new(Jar::default());
        let client =
            Client::builder().cookie_provider(Arc::clone(&jar)).redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        let base = Url::parse(&format!("http://{address}/")).expect("an address");
        Self { base, client: client.expect("a client"), jar, headers: HeaderMap::new() }
    }

    /// The same caller with one more header; cookies stay shared.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut caller = self.clone();
        let name: HeaderName = name.parse().expect("a header's name");
        caller.headers.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        caller
    }

    pub fn with_bearer(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar.add_cookie_str(&format!("{name}={value}; Path=/"), &self.base);
    }

    /// The value of a cookie that the caller holds.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let all = self.jar.cookies(&self.base)?;
        let pairs = all.to_str().expect("cookies are text").split("; ").map(str::to_owned).collect::<Vec<_>>();
        pairs.iter().find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
    }

    /// The client itself, with the caller's cookies.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn build(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = self.base.join(path).expect("a path");
        self.client.request(method, url).headers(self.headers.clone())
    }

    pub async fn request(&self, method: &str, path: &str) -> Answer {
        send(self.build(method, path)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        send(self.build("POST", path).json(body)).await
    }

    pub async fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        send(self.build(method, path).json(body)).await
    }

    pub async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        send(self.build("POST", path).form(fields)).await
    }

    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        send(self.build("POST", path).header("content-type", "application/json").body(body.into())).await
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The status, and the error's text.
    #[track_caller]
    pub fn assert_detail(&self, status: u16, detail: &str) {
        assert_eq!((self.status, self.json()), (status, serde_json::json!({ "detail": detail })));
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{} {error}: {:?}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of plain text"))
    }

    /// The lines that set this cookie.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("plain text"));
        lines.filter(|line| line.starts_with(&format!("{name}="))).map(str::to_owned).next()
    }

    #[track_caller]
    pub fn redirects_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text());
        self.header("location").expect("a redirect leads somewhere")
    }

    /// The uuids of a list's page, in order.
    #[track_caller]
    pub fn uuids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text());
        let body = self.json();
        let rows = body["results"].as_array().expect("a page").iter();
        rows.map(|row| row["uuid"].as_str().expect("a uuid").to_owned()).collect()
    }

    /// How many sessions match in all.
    #[track_caller]
    pub fn count(&self) -> i64 {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["pagination"]["count"].as_i64().expect("a count")
    }

    /// The proof in a page's form.
    #[track_caller]
    pub fn proof(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once("name=\"proof\" value=\"").unwrap_or_else(|| panic!("no form: {text}"));
        rest.split_once('"').expect("the attribute ends").0.to_owned()
    }
}
