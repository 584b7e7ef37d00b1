//! Userinfo, introspection and revocation: what an access token tells, and what a client is told of its own tokens.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json as object};

use crate::actions::app::App;
use crate::actions::oidc::tokens;
use crate::domain::oidc::claims::{OPENID, has};
use crate::oidc::answer::{Wrong, json, not_allowed};
use crate::oidc::call::{Call, cors, preflight};
use crate::oidc::form::Form;

/// `/application/o/userinfo/` (OpenID Connect Core 1.0, 5.3).
pub async fn userinfo(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if app.config.issuer_url().is_none() {
        return Wrong::NotThere.answer();
    }
    let answered = match parts.method.as_str() {
        "OPTIONS" => return preflight(&app, &parts.headers).await,
        "GET" => told(&app, bearer(&parts.headers)).await,
        "POST" => {
            let form = if parts.headers.contains_key(header::CONTENT_TYPE) { Form::read(&parts, body).await.ok() } else { None };
            let in_form = form.as_ref().and_then(|form| form.find("access_token")).map(str::to_owned);
            match (bearer(&parts.headers), in_form) {
                (Some(_), Some(_)) => Err(Wrong::Request("the token is sent in one way")),
                (header, form) => told(&app, header.or(form)).await,
            }
        }
        _ => return not_allowed("GET, POST, OPTIONS"),
    };
    let response = match answered {
        Ok(claims) => json(&claims),
        Err(wrong) => wrong.challenge(),
    };
    cors(&app, &parts.headers, None, response).await
}

/// A token in `Authorization: Bearer`, which is there once.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = lines.next()?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && lines.next().is_none()).then(|| token.trim().to_owned())
}

async fn told(app: &App, token: Option<String>) -> Result<Value, Wrong> {
    let Some(token) = token else { return Err(Wrong::NoToken) };
    match tokens::userinfo(app, &token).await? {
        Some((scope, claims)) if has(&scope, OPENID) => Ok(Value::Object(claims)),
        Some(_) => Err(Wrong::LittleScope),
        None => Err(Wrong::Token),
    }
}

/// `/application/o/introspect/` (RFC 7662).
pub async fn introspect(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != "POST" {
        return not_allowed("POST");
    }
    match introspected(&app, &parts, body).await {
        Ok(told) => json(&told),
        Err(wrong) => wrong.answer(),
    }
}

async fn introspected(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Value, Wrong> {
    let call = Call::read(app, parts, body).await?;
    if call.known.settings()?.is_public {
        return Err(Wrong::Client { is_basic: false });
    }
    let token = call.form.must("token", "token is missing")?;
    let told = tokens::introspect(app, &call.known, token).await?;
    Ok(told.unwrap_or_else(|| object!({"active": false})))
}

/// `/application/o/revoke/` (RFC 7009): 200 for tokens that are not there, too.
pub async fn revoke(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method.as_str() {
        "POST" => {}
        "OPTIONS" => return preflight(&app, &parts.headers).await,
        _ => return not_allowed("POST, OPTIONS"),
    }
    let revoked = async {
        let call = Call::read(&app, &parts, body).await?;
        tokens::revoke(&app, &call.known, call.form.must("token", "token is missing")?).await?;
        Ok::<_, Wrong>(call.known)
    };
    let (known, response) = match revoked.await {
        Ok(known) => (Some(known), StatusCode::OK.into_response()),
        Err(wrong) => (None, wrong.answer()),
    };
    cors(&app, &parts.headers, known.as_ref(), response).await
}
