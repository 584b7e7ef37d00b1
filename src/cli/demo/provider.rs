//! What the made-up app of OpenID Connect asks Rollcall: tokens for a code, and the keys that signed a token.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tokio::net::TcpStream;

/// The most of an answer that is read, in bytes.
const READ: usize = 64 * 1024;

/// Rollcall, as an app knows it.
pub(super) struct Provider {
    /// Where it is reached: a host and a port.
    pub near: String,
    /// The issuer of the app.
    pub issuer: String,
    /// The app's client.
    pub client_id: String,
    /// And its secret.
    pub secret: String,
}

impl Provider {
    /// The ID token for a code.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn redeem(&self, code: &str, redirect: &str, verifier: &str) -> Result<String, String> {
        let form = format!("grant_type=authorization_code&code={code}&redirect_uri={redirect}&code_verifier={verifier}");
        let basic = STANDARD.encode(format!("{}:{}", self.client_id, self.secret));
        let request = Request::post("/application/o/token/")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, format!("Basic {basic}"));
        let answer = self.ask(request, Body::from(form)).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let token = answer.get("id_token").and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| format!("no ID token, but {}", answer.get("error").unwrap_or(&Value::Null)))
    }

    /// The claims of a token of this type that Rollcall signed for this app.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub async fn read(&self, token: &str, typ: &str) -> Result<Value, String> {
        let said = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        if said.typ.as_deref() != Some(typ) {
            return Err("a token of another type".to_owned());
        }
        let path = self.issuer.splitn(4, '/').nth(3).unwrap_or_default();
        let keys = self.ask(Request::get(format!("/{path}jwks/")), Body::empty()).await?;
        let keys: JwkSet = serde_json::from_slice(&keys).map_err(|error| error.to_string())?;
        let key = said.kid.and_then(|kid| keys.find(&kid).cloned()).ok_or("a token of another key")?;
        let mut rules = match key.common.key_algorithm {
            Some(KeyAlgorithm::RS256) => Validation::new(Algorithm::RS256),
            Some(KeyAlgorithm::ES256) => Validation::new(Algorithm::ES256),
            _ => return Err("a key for something else".to_owned()),
        };
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.client_id]);
        let key = DecodingKey::from_jwk(&key).map_err(|error| error.to_string())?;
        jsonwebtoken::decode::<Value>(token, &key, &rules).map(|read| read.claims).map_err(|error| error.to_string())
    }

    async fn ask(&self, request: axum::http::request::Builder, body: Body) -> Result<Bytes, String> {
        let failed = |error: &dyn std::fmt::Display| format!("Rollcall does not answer: {error}");
        let request = request.header(header::HOST, &self.near).body(body).map_err(|error| failed(&error))?;
        let stream = TcpStream::connect(&self.near).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        to_bytes(Body::new(answer.into_body()), READ).await.map_err(|error| failed(&error))
    }
}
