//! What an application's issuer says of itself (OpenID Connect Discovery 1.0, 3; RFC 8414).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::guard::identity::issuer;
use crate::config::PublicUrl;
use crate::domain::application::Application;
use crate::domain::application::client::Client;
use crate::domain::application::demand::Level;
use crate::domain::oidc::claims;
use crate::domain::oidc::device::GRANT;
use crate::oidc::answer::{public, unavailable};

/// The claims of ID tokens themselves.
const OWN_CLAIMS: [&str; 12] = ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "azp", "at_hash"];

/// Both addresses.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, headers: HeaderMap) -> Response {
    let Some(url) = app.config.issuer_url() else { return StatusCode::NOT_FOUND.into_response() };
    match app.store.applications().await {
        Ok(all) => match all.by_slug(&slug).and_then(|application| Some((application, &application.client.as_ref()?.client))) {
            Some((application, client)) => public(&headers, document(url, application, client).to_string()),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(error) => unavailable(&error),
    }
}

/// `/application/o/{slug}/` leads to the document, as in authentik.
pub async fn lead(State(app): State<App>, Path(slug): Path<String>) -> Response {
    let Some(url) = app.config.issuer_url() else { return StatusCode::NOT_FOUND.into_response() };
    let to = format!("{}.well-known/openid-configuration", issuer(url, &slug));
    match app.store.applications().await {
        Ok(all) if all.by_slug(&slug).is_some_and(|application| application.client.is_some()) => {
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unavailable(&error),
    }
}

fn document(url: &PublicUrl, application: &Application, client: &Client) -> Value {
    let (issuer, origin) = (issuer(url, &application.slug), url.origin());
    let at = |path: &str| Value::from(format!("{origin}/application/o/{path}/"));
    let ways: &[&str] = if client.is_public { &["none"] } else { &["client_secret_basic", "client_secret_post"] };
    let refresh = client.refresh.then_some("refresh_token");
    let grants: Vec<&str> = ["authorization_code"].into_iter().chain(refresh).chain(client.device.then_some(GRANT)).collect();
    let algorithms: Vec<&str> =
        if client.algorithm.as_str() == "RS256" { vec!["RS256"] } else { vec![client.algorithm.as_str(), "RS256"] };
    let claims: Vec<&str> = OWN_CLAIMS.into_iter().chain(claims::names(&client.scopes, &client.claims)).collect();
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    put("issuer", issuer.as_str().into());
    put("authorization_endpoint", at("authorize"));
    put("token_endpoint", at("token"));
    put("userinfo_endpoint", at("userinfo"));
    put("end_session_endpoint", format!("{issuer}end-session/").into());
    put("revocation_endpoint", at("revoke"));
    put("jwks_uri", format!("{issuer}jwks/").into());
    if client.device {
        put("device_authorization_endpoint", at("device"));
    }
    put("response_types_supported", json!(["code"]));
    put("response_modes_supported", json!(["query", "form_post"]));
    put("subject_types_supported", json!(["public"]));
    put("code_challenge_methods_supported", json!(["S256"]));
    put("grant_types_supported", json!(grants));
    put("id_token_signing_alg_values_supported", json!(algorithms));
    put("token_endpoint_auth_methods_supported", json!(ways));
    put("revocation_endpoint_auth_methods_supported", json!(ways));
    if !client.is_public {
        put("introspection_endpoint", at("introspect"));
        put("introspection_endpoint_auth_methods_supported", json!(ways));
    }
    put("scopes_supported", json!(client.scopes));
    put("claims_supported", json!(claims));
    put("acr_values_supported", json!(Level::ALL.map(Level::acr)));
    put("prompt_values_supported", json!(["none", "login", "consent", "select_account"]));
    for name in ["claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"] {
        put(name, false.into());
    }
    put("authorization_response_iss_parameter_supported", true.into());
    put("backchannel_logout_supported", true.into());
    put("backchannel_logout_session_supported", true.into());
    put("frontchannel_logout_supported", false.into());
    Value::Object(document)
}
