//! `/application/o/device/`: a device without a browser begins a sign-in (RFC 8628, 3.1).

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json as object};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::oidc::device::offer;
use crate::domain::oidc::device::{LIVES, PAUSE};
use crate::http::client::ClientInfo;
use crate::oidc::answer::{Wrong, json, not_allowed};
use crate::oidc::call::Call;

/// Answers a device.
pub async fn answer(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != "POST" {
        return not_allowed("POST");
    }
    match offered(&app, &parts, body).await {
        Ok(told) => json(&told),
        Err(wrong) => wrong.answer(),
    }
}

async fn offered(app: &App, parts: &Parts, body: Body) -> Result<Value, Wrong> {
    let call = Call::read(app, parts, body).await?;
    if !call.known.settings()?.device {
        return Err(Wrong::UnauthorizedClient);
    }
    let client = parts.extensions.get::<ClientInfo>().ok_or(Wrong::NotThere)?.as_client(&parts.headers);
    let url = app.config.issuer_url().ok_or(Wrong::NotThere)?;
    let offered = match offer(app, &call.known, call.form.find("scope"), &client, &call.actor).await {
        Ok(offered) => offered.ok_or(Wrong::Scope)?,
        Err(ActionError::Limited(wait)) => return Err(Wrong::ManyDevices(wait.as_secs().max(1))),
        Err(error) => return Err(Wrong::Away(error.to_string())),
    };
    let page = format!("{}/device", url.origin());
    Ok(object!({
        "device_code": offered.code.expose(), "user_code": offered.user_code, "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", offered.user_code), "expires_in": LIVES, "interval": PAUSE,
    }))
}
