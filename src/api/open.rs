//! Addresses that answer everybody, without credentials.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use axum::routing::{MethodRouter, any};

use crate::actions::app::App;
use crate::api::endpoint::{Answer, options, with_allow};
use crate::api::error::ApiError;
use crate::api::negotiate;
use crate::http::query::Query;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// An address whose `GET` gives the same to everybody. `OPTIONS` answers with the two texts; every other
/// method is 405.
pub fn address(name: &'static str, description: &'static str, answer: fn(&App) -> Response) -> MethodRouter<App> {
    any(move |State(app): State<App>, request: Request| async move {
        with_allow(HeaderValue::from_static(METHODS), give(&app, &request, name, description, answer))
    })
}

fn give(app: &App, request: &Request, name: &str, description: &str, answer: fn(&App) -> Response) -> Answer {
    negotiate::check(&Query::parse(request.uri().query().unwrap_or_default()), request.headers())?;
    match *request.method() {
        Method::GET | Method::HEAD => Ok(answer(app)),
        Method::OPTIONS => Ok(options(name, description)),
        ref other => Err(ApiError::MethodNotAllowed(other.to_string())),
    }
}
