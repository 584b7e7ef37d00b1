//! `/application/o/token/`: codes and refresh tokens become tokens (RFC 6749, 3.2).

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value};

use crate::actions::app::App;
use crate::actions::oidc::device::{Polled, poll};
use crate::actions::oidc::redeem::{Brought, redeem};
use crate::actions::oidc::refresh::{Refreshed, refresh};
use crate::actions::oidc::tokens::{Tokens, access_token, id_token};
use crate::domain::PlainSecret;
use crate::domain::oidc::device::GRANT;
use crate::metrics;
use crate::oidc::answer::{Wrong, json, not_allowed};
use crate::oidc::call::{Call, cors, preflight};

/// Answers a client.
pub async fn answer(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method.as_str() {
        "POST" => {}
        "OPTIONS" => return preflight(&app, &parts.headers).await,
        _ => return not_allowed("POST, OPTIONS"),
    }
    let mut grant = "none";
    let answered = async {
        let call = Call::read(&app, &parts, body).await?;
        grant = grant_of(&call);
        let tokens = given(&app, &call).await?;
        let access = access_token(&app, &call.known, &tokens).await?;
        let id_token = id_token(&app, &call.known, &tokens, &access).await?;
        Ok::<_, Wrong>((call.known, json(&body_of(&tokens, &access, id_token))))
    };
    let answered = answered.await;
    metrics::count_token(grant, answered.as_ref().map_or_else(Wrong::outcome, |_| "given"));
    let (known, response) = match answered {
        Ok((known, response)) => (Some(known), response),
        Err(wrong) => (None, wrong.answer()),
    };
    cors(&app, &parts.headers, known.as_ref(), response).await
}

/// The grant that is asked for, as a label of metrics.
fn grant_of(call: &Call) -> &'static str {
    match call.form.find("grant_type") {
        Some("authorization_code") => "authorization_code",
        Some("refresh_token") => "refresh_token",
        Some(_) => "other",
        None => "none",
    }
}

async fn given(app: &App, call: &Call) -> Result<Tokens, Wrong> {
    let form = &call.form;
    match form.must("grant_type", "grant_type is missing")? {
        "authorization_code" => by_code(app, call).await,
        "refresh_token" if call.known.settings()?.refresh => {
            let token = form.must("refresh_token", "refresh_token is missing")?;
            match refresh(app, &call.known, token, form.find("scope"), &call.actor).await? {
                Refreshed::Given(tokens) => Ok(*tokens),
                Refreshed::Nothing => Err(Wrong::Grant),
                Refreshed::Scope => Err(Wrong::Scope),
            }
        }
        "refresh_token" => Err(Wrong::UnauthorizedClient),
        GRANT if call.known.settings()?.device => {
            let code = form.must("device_code", "device_code is missing")?;
            match poll(app, &call.known, code, &call.actor).await? {
                Polled::Given(tokens) => Ok(*tokens),
                Polled::Pending => Err(Wrong::Pending),
                Polled::Early => Err(Wrong::SlowDown),
                Polled::Expired => Err(Wrong::Expired),
                Polled::Declined => Err(Wrong::Declined),
                Polled::Nothing => Err(Wrong::Grant),
            }
        }
        GRANT => Err(Wrong::UnauthorizedClient),
        _ => Err(Wrong::GrantType),
    }
}

async fn by_code(app: &App, call: &Call) -> Result<Tokens, Wrong> {
    let form = &call.form;
    let brought = Brought {
        code: PlainSecret::from_text(form.must("code", "code is missing")?),
        redirect_uri: form.must("redirect_uri", "redirect_uri is missing")?.to_owned(),
        verifier: form.find("code_verifier").map(str::to_owned),
    };
    redeem(app, &call.known, brought, &call.actor).await?.ok_or(Wrong::Grant)
}

fn body_of(tokens: &Tokens, access: &PlainSecret, id_token: Option<String>) -> Value {
    let mut body = Map::new();
    body.insert("access_token".to_owned(), access.expose().into());
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("expires_in".to_owned(), tokens.expires_in.into());
    body.insert("scope".to_owned(), tokens.scope.as_str().into());
    body.extend(tokens.refresh.as_ref().map(|refresh| ("refresh_token".to_owned(), refresh.secret().expose().into())));
    body.extend(id_token.map(|token| ("id_token".to_owned(), token.into())));
    Value::Object(body)
}
