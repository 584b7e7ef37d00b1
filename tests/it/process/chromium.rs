//! A real browser: Chromium, driven through ChromeDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Server, eventually, signal, skip};

/// Browsers are heavy: this many at once.
static PLACES: Semaphore = Semaphore::const_new(2);

const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// A browser with a fresh profile. It and its driver are gone in the end.
pub struct Chromium {
    pub client: Client,
    driver: Driver,
    session: String,
    profile: tempfile::TempDir,
    place: SemaphorePermit<'static>,
}

struct Driver {
    child: Child,
    url: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked to stop, it takes its browser along.
        signal(self.child.id(), "TERM");
        drop(self.child.wait());
    }
}

/// Starts ChromeDriver on a free port; `None` when it is not installed.
fn start_driver() -> Option<Driver> {
    let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = driver else {
        skip("there is no chromedriver");
        return None;
    };
    let out = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(rest) = line.split("started successfully on port ").nth(1) {
                drop(sender.send(rest.trim_end_matches('.').to_owned()));
            }
        }
    });
    let port = receiver.recv_timeout(Duration::from_secs(30)).expect("ChromeDriver's port");
    Some(Driver { child, url: format!("http://127.0.0.1:{port}") })
}

impl Chromium {
    /// Opens a browser; `None` when there is none.
    pub async fn open() -> Option<Self> {
        Self::open_with(json!({})).await
    }

    /// Opens a browser in which scripts do not run.
    pub async fn open_without_scripts() -> Option<Self> {
        Self::open_with(json!({"profile.managed_default_content_settings.javascript": 2})).await
    }

    /// Opens a browser for which hosts are elsewhere: `MAP app.example:80 127.0.0.1:8080`, separated by commas. It
    /// treats them as it treats hosts with https: it tells them with `Sec-Fetch-Site` where a request comes from.
    pub async fn open_where(hosts: &str) -> Option<Self> {
        let names = hosts.split(", ").filter_map(|rule| rule.strip_prefix("MAP ")?.split_once(":80 "));
        let origins: Vec<String> = names.map(|(name, _)| format!("http://{name}")).collect();
        let secure = format!("--unsafely-treat-insecure-origin-as-secure={}", origins.join(","));
        Self::open_as(json!({}), &[format!("--host-resolver-rules={hosts}"), secure]).await
    }

    /// Opens a browser that takes any certificate: those of a test are known to nobody.
    pub async fn open_trusting() -> Option<Self> {
        Self::open_as(json!({}), &["--ignore-certificate-errors".to_owned()]).await
    }

    async fn open_with(preferences: Value) -> Option<Self> {
        Self::open_as(preferences, &[]).await
    }

    async fn open_as(preferences: Value, flags: &[String]) -> Option<Self> {
        let place = PLACES.acquire().await.unwrap();
        if Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            skip("there is no chromium");
            return None;
        }
        Some(Self::connect(start_driver()?, tempfile::tempdir().unwrap(), place, preferences, flags).await)
    }

    /// Closes the browser and opens it again, as people do: what it keeps is kept.
    pub async fn restarted(self) -> Self {
        let Self { client, driver, profile, place, .. } = self;
        client.close().await.unwrap();
        Self::connect(driver, profile, place, json!({}), &[]).await
    }

    async fn connect(
        driver: Driver,
        profile: tempfile::TempDir,
        place: SemaphorePermit<'static>,
        preferences: Value,
        more: &[String],
    ) -> Self {
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.extend_from_slice(more);
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "goog:chromeOptions": {"args": flags, "prefs": preferences},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client = builder.connect(&driver.url).await.unwrap();
        let session = client.session_id().await.unwrap().unwrap();
        let this = Self { client, driver, session, profile, place };
        // Without a screen it names itself otherwise; here it shall be what people use.
        let version = this.devtools("Browser.getVersion", json!({})).await;
        let agent = version["userAgent"].as_str().unwrap().replace("HeadlessChrome", "Chrome");
        this.devtools("Network.setUserAgentOverride", json!({"userAgent": agent})).await;
        // Some versions say without a screen that their window is not the one in use: then nothing has the focus.
        this.devtools("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await;
        this
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Plugs in an authenticator that keeps passkeys and checks who holds it, and gives its id (Web
    /// Authentication Level 3, 11.3). Nobody needs to touch it.
    pub async fn add_authenticator(&self) -> String {
        let body = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true,
        });
        self.post("webauthn/authenticator", body).await.as_str().expect("an id").to_owned()
    }

    /// From now on, it finds out that it is somebody else who holds it; or not.
    pub async fn set_verified(&self, authenticator: &str, is_verified: bool) {
        self.post(&format!("webauthn/authenticator/{authenticator}/uv"), json!({ "isUserVerified": is_verified })).await;
    }

    /// What is not in WebDriver's standard.
    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/session/{}/{path}", self.driver.url, self.session);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.post(url).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
        response.json::<Value>().await.unwrap()["value"].take()
    }

    /// Errors and warnings on the browser's console since the last look, among them what a
    /// Content-Security-Policy refused. Answers that are meant to be errors are none, nor is what
    /// Swagger UI says on its way to a more general component, which it then uses.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        let texts = entries.map(|entry| entry["message"].as_str().unwrap().to_owned());
        let meant = ["the server responded with a status of 4", "\"Could not find component:\" \"JsonSchema_"];
        texts.filter(|text| meant.iter().all(|part| !text.contains(part))).collect()
    }

    /// Nothing was complained about.
    pub async fn assert_content(&self) {
        assert_eq!(self.complaints().await, Vec::<String>::new(), "on {}", self.client.current_url().await.unwrap());
    }

    /// Opens a page of the server.
    pub async fn open_page(&self, server: &Server, path: &str) {
        self.client.goto(&format!("{}{path}", server.origin)).await.unwrap();
    }

    /// Path and query of the page that is open.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Waits until a page is open.
    pub async fn arrives_at(&self, path: &str) {
        eventually(path, || async { (self.path().await == path).then_some(()) }).await;
    }

    /// The page's heading.
    pub async fn heading(&self) -> String {
        self.text_of("h1").await
    }

    /// All text that shows.
    pub async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// The text of an element, read again if the page changed during the read.
    async fn text_of(&self, css: &str) -> String {
        eventually(css, || async { self.client.find(Locator::Css(css)).await.ok()?.text().await.ok() }).await
    }

    /// The field of this label.
    pub async fn field(&self, label: &str) -> Element {
        let xpath = format!("//input[@id = //label[normalize-space() = '{label}']/@for]");
        self.client.wait().for_element(Locator::XPath(&xpath)).await.unwrap_or_else(|error| panic!("{label}: {error}"))
    }

    /// The first button of this name.
    pub async fn button(&self, name: &str) -> Element {
        let xpath = format!("//button[normalize-space() = '{name}' or @aria-label = '{name}']");
        self.client.wait().for_element(Locator::XPath(&xpath)).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Types on the keyboard, into whatever has the focus.
    pub async fn type_keys(&self, text: &str) {
        self.client.active_element().await.unwrap().send_keys(text).await.unwrap();
    }

    /// Signs in at the page that is open, by keyboard alone.
    pub async fn sign_in(&self, username: &str, password: &str) {
        self.client.wait().for_element(Locator::Css("#username:focus")).await.expect("the first field has the focus");
        self.type_keys(&format!("{username}{}", char::from(Key::Tab))).await;
        let focused = self.client.active_element().await.unwrap();
        assert_eq!(focused.attr("type").await.unwrap().as_deref(), Some("password"), "Tab leads to the password");
        self.type_keys(&format!("{password}{}", char::from(Key::Enter))).await;
    }

    /// Runs a script in the page and gives what it resolves to.
    pub async fn script(&self, body: &str) -> Value {
        let script = format!("const done = arguments[0]; (async () => {{ {body} }})().then(done, error => done(String(error)));");
        self.client.execute_async(&script, vec![]).await.unwrap()
    }

    /// The browser's cookies, by name.
    pub async fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.client.get_all_cookies().await.unwrap();
        cookies.iter().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
    }

    /// Whether a cookie outlives the browser.
    pub async fn is_kept(&self, name: &str) -> bool {
        let cookies = self.client.get_all_cookies().await.unwrap();
        cookies.iter().any(|cookie| cookie.name() == name && cookie.expires_datetime().is_some())
    }

    /// Closes the browser.
    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}
