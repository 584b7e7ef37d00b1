//! An app's server that is told of ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When it came.
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub form: String,
}

/// An app's server. It keeps what it was sent, and answers as it is told to.
#[derive(Clone)]
pub struct Told {
    pub address: String,
    sent: Arc<Mutex<Vec<Sent>>>,
    answer: Arc<Mutex<(StatusCode, Option<&'static str>)>>,
    /// How many requests are answered at all; the others wait.
    gate: Arc<watch::Sender<bool>>,
    under_way: Arc<Mutex<(usize, usize)>>,
}

impl Told {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    pub fn on(listener: TcpListener) -> Self {
        let address = format!("http://{}/told?by=rollcall", listener.local_addr().unwrap());
        let told = Self {
            address,
            sent: Arc::default(),
            answer: Arc::new(Mutex::new((StatusCode::NO_CONTENT, None))),
            gate: Arc::new(watch::Sender::new(true)),
            under_way: Arc::default(),
        };
        let kept = told.clone();
        let router = Router::new().fallback(move |request: Request| {
            let kept = kept.clone();
            async move { kept.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        told
    }

    async fn answer(&self, request: Request) -> Response {
        let at = Instant::now();
        let (parts, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let sent = Sent {
            at,
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            headers,
            form: String::from_utf8(body.to_vec()).unwrap(),
        };
        {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        self.sent.lock().unwrap().push(sent);
        self.gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        self.under_way.lock().unwrap().0 -= 1;
        let (status, retry_after) = *self.answer.lock().unwrap();
        let headers: Vec<(&str, &str)> = retry_after.into_iter().map(|value| ("retry-after", value)).collect();
        let mut response = status.into_response();
        for (name, value) in headers {
            response.headers_mut().insert(axum::http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        response
    }

    /// From now on it answers so.
    pub fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), None);
    }

    /// The same, with `Retry-After`.
    pub fn asks_to_wait(&self, status: u16, seconds: &'static str) {
        *self.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), Some(seconds));
    }

    /// From now on it keeps requests waiting, or answers all.
    pub fn is_answering(&self, is: bool) {
        self.gate.send_replace(is);
    }

    /// How many requests it holds now, and the most that it held at once.
    pub fn under_way(&self) -> (usize, usize) {
        *self.under_way.lock().unwrap()
    }

    /// The requests since the last time.
    pub fn requests(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// The forms that it was sent since the last time.
    pub fn sent(&self) -> Vec<String> {
        self.requests().into_iter().map(|sent| sent.form).collect()
    }

    /// How many requests came since the last time.
    pub fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}
