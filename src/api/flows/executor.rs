//! `/api/v3/flows/executor/{slug}/`: signing in and out by a conversation of challenges, as authentik
//! does it. A right answer brings the next challenge at once.

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::sign_in::factors::Checked;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::actions::sign_in::proof::Proved;
use crate::actions::sign_in::{factors, passkeys, proof};
use crate::actions::{ActionError, sign_in};
use crate::api::endpoint::{ok, options, with_allow};
use crate::api::error::{AT_LIMIT, ApiError, PROOF_OUTDATED};
use crate::api::flows::state::{Stage, State as Flow};
use crate::api::flows::wire::{ChallengeTypes, FlowChallengeResponseRequest};
use crate::api::flows::{SIGN_IN, SIGN_OUT};
use crate::auth;
use crate::auth::{csrf, known_device, redirect, relying_party};
use crate::domain::PlainSecret;
use crate::domain::factor::FactorKind;
use crate::domain::user::MAX_EMAIL_LENGTH;
use crate::http::MAX_BODY;
use crate::http::client::ClientInfo;
use crate::http::query::Query;

const METHODS: &str = "GET, POST, HEAD, OPTIONS";
/// Wrong passwords that one conversation may have.
const MAX_FAILURES: u8 = 5;
/// Said when there were too many.
const TOO_MANY: &str = "Too many wrong passwords. Please try again later.";
/// Said when what was proved is gone or does not hold any more.
const TOO_LATE: &str = "The sign-in took too long. Please start again.";
/// A small grey figure: the same for every name, since the name may not exist.
pub(in crate::api) const AVATAR: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='%23888'%3E%3Ccircle cx='12' cy='8' r='4'/%3E%3Cpath d='M4 20a8 8 0 0116 0z'/%3E%3C/svg%3E";

/// The address of every flow.
pub async fn executor(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    with_allow(HeaderValue::from_static(METHODS), converse(&app, &slug, request).await)
}

async fn converse(app: &App, slug: &str, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let client = parts.extensions.get::<ClientInfo>().cloned().ok_or(ApiError::Internal)?;
    let is_sign_in = match slug {
        SIGN_IN => true,
        SIGN_OUT => false,
        _ => return Err(ApiError::NotFound),
    };
    let call = FlowCall { app, parts: &parts, client: &client };
    match parts.method {
        Method::GET | Method::HEAD if is_sign_in => call.challenge().await,
        Method::GET | Method::HEAD => call.sign_out(csrf::is_said_to_be_same_origin(&parts.headers)).await,
        Method::POST => {
            let refused = |why| ApiError::Refused(format!("CSRF Failed: {why}"));
            csrf::check_same_site(&parts.headers, &client, app).map_err(refused)?;
            let body = to_bytes(body, MAX_BODY).await.map_err(|_| ApiError::TooLarge)?;
            if is_sign_in { call.solve(Answer::parse(&body)).await } else { call.sign_out(true).await }
        }
        Method::OPTIONS => Ok(options("Flow Executor", "")),
        ref method => Err(ApiError::MethodNotAllowed(method.to_string())),
    }
}

/// A body, as far as it is an object; anything else is an answer without fields.
struct Answer(Map<String, Value>);

impl Answer {
    fn parse(body: &[u8]) -> Self {
        Self(serde_json::from_slice(body).unwrap_or_default())
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }
}

struct FlowCall<'a> {
    app: &'a App,
    parts: &'a Parts,
    client: &'a ClientInfo,
}

impl FlowCall<'_> {
    /// The challenge that waits, or the first one.
    async fn challenge(&self) -> Result<Response, ApiError> {
        match Flow::read(self.app, &self.parts.headers) {
            Some(flow) => self.present(&flow, None).await,
            None => self.present_and_keep(&Flow::new(self.app), None).await,
        }
    }

    /// Takes an answer: a right one leads on, a wrong one says which field is wrong.
    async fn solve(&self, answer: Answer) -> Result<Response, ApiError> {
        let mut flow = Flow::read(self.app, &self.parts.headers).unwrap_or_else(|| Flow::new(self.app));
        if answer.text("component") != Some(component(flow.stage)) {
            return self.present_and_keep(&flow, Some(("component", "This is not the current stage."))).await;
        }
        match flow.stage {
            Stage::Identification => {
                let uid = answer.text("uid_field").filter(|uid| !uid.trim().is_empty());
                let Some(uid) = uid else {
                    return self.present_and_keep(&flow, Some(("uid_field", "This field is required."))).await;
                };
                // No user has a name that is longer.
                flow.uid = uid.chars().take(MAX_EMAIL_LENGTH).collect();
                flow.stage = Stage::Password;
                self.present_and_keep(&flow, None).await
            }
            Stage::Password => self.solve_password(flow, &answer).await,
            Stage::Factor => self.solve_factor(flow, &answer).await,
            Stage::UserLogin => {
                let Some(is_remembered) = answer.0.get("remember_me").and_then(Value::as_bool) else {
                    return self.present_and_keep(&flow, Some(("remember_me", "This field is required."))).await;
                };
                let key = PlainSecret::from_text(flow.proof.unwrap_or_default());
                match proof::take(self.app, &key).await? {
                    Some(proved) => self.finish(proved, is_remembered).await,
                    None => self.start_again(TOO_LATE).await,
                }
            }
            Stage::Denied => self.present_and_keep(&flow, None).await,
        }
    }

    async fn solve_password(&self, mut flow: Flow, answer: &Answer) -> Result<Response, ApiError> {
        let Some(password) = answer.text("password").filter(|password| !password.is_empty()) else {
            return self.present_and_keep(&flow, Some(("password", "This field is required."))).await;
        };
        let password = password.to_owned();
        let (device, actor) = (known_device::secret(&self.app.config, &self.parts.headers), self.client.as_anonymous());
        let proved = match sign_in::prove_password(self.app, &flow.uid, password, device, &actor).await {
            Err(ActionError::Limited(_)) => return Ok(self.denied(&flow.uid, TOO_MANY)),
            other => other?,
        };
        let Some((user, guess)) = proved else {
            flow.failures = flow.failures.saturating_add(1);
            if flow.failures >= MAX_FAILURES {
                flow.stage = Stage::Denied;
                return self.present_and_keep(&flow, None).await;
            }
            return self.present_and_keep(&flow, Some(("password", "Invalid password"))).await;
        };
        guess.give_back_concurrently(self.app, self.go_on_by_password(flow, Proved::by_password(user))).await
    }

    async fn go_on_by_password(&self, flow: Flow, proved: Proved) -> Result<Response, ApiError> {
        if self.app.store.read().has_factor(proved.user.id).await? {
            return self.wait_for(Stage::Factor, flow, &proved, None).await;
        }
        self.go_on(flow, proved).await
    }

    /// Checks a code of an authenticator app, or a recovery code. The proof of the password is used up by
    /// each answer, so that of many at once one is looked at.
    async fn solve_factor(&self, mut flow: Flow, answer: &Answer) -> Result<Response, ApiError> {
        let (code, passkey) = (answer.text("code").filter(|code| !code.trim().is_empty()), answer.0.get("webauthn"));
        let field = if passkey.is_some() { "webauthn" } else { "code" };
        if code.is_none() && !passkey.is_some_and(Value::is_object) {
            return self.present_and_keep(&flow, Some((field, "This field is required."))).await;
        }
        let key = PlainSecret::from_text(flow.proof.take().unwrap_or_default());
        let Some(mut proved) = proof::take(self.app, &key).await? else { return self.start_again(TOO_LATE).await };
        let checked = match passkey {
            Some(passkey) => self.check_passkey(&proved, &key, passkey).await?,
            None => {
                let code = code.unwrap_or_default();
                let (device, actor) = (known_device::secret(&self.app.config, &self.parts.headers), self.client.as_anonymous());
                match factors::check_code(self.app, &proved.user, code, device, &actor).await {
                    Err(ActionError::ProofOutdated) => return self.start_again(PROOF_OUTDATED).await,
                    checked => checked?,
                }
            }
        };
        match checked {
            Checked::Right(methods) => {
                proved.methods = proved.methods.and(methods);
                self.go_on(flow, proved).await
            }
            Checked::Wrong if flow.failures + 1 < MAX_FAILURES => {
                flow.failures += 1;
                let error = if passkey.is_some() { "Invalid passkey" } else { "Invalid code" };
                self.wait_for(Stage::Factor, flow, &proved, Some((field, error))).await
            }
            Checked::Wrong | Checked::Blocked(_) => {
                flow.stage = Stage::Denied;
                self.present_and_keep(&flow, None).await
            }
        }
    }

    /// Checks what a passkey answered to the challenge that came with the proof of the password.
    async fn check_passkey(&self, proved: &Proved, proof: &PlainSecret, answer: &Value) -> Result<Checked, ApiError> {
        let Some(party) = relying_party::of(self.app, self.client) else { return Ok(Checked::Wrong) };
        let (purpose, actor) = (Purpose::Factor(proof.expose()), self.client.as_anonymous());
        match passkeys::prove_by(self.app, &party, proved.user.id, purpose, &answer.to_string(), &actor).await {
            Ok(by_passkey) => Ok(Checked::Right(by_passkey.methods)),
            Err(ActionError::Passkey(_)) => Ok(Checked::Wrong),
            Err(error) => Err(error.into()),
        }
    }

    /// After all proofs: asks whether to stay signed in, or signs in.
    async fn go_on(&self, flow: Flow, proved: Proved) -> Result<Response, ApiError> {
        let stored = self.app.store.read().find_stored_limits().await?;
        if self.app.config.sessions_with(&stored).remember_timeout.is_zero() {
            return self.finish(proved, false).await;
        }
        self.wait_for(Stage::UserLogin, flow, &proved, None).await
    }

    /// Remembers what was proved, and waits for one more answer.
    async fn wait_for(
        &self,
        stage: Stage,
        mut flow: Flow,
        proved: &Proved,
        error: Option<(&str, &str)>,
    ) -> Result<Response, ApiError> {
        flow.proof = Some(proof::remember(self.app, proved).await?.expose().to_owned());
        flow.stage = stage;
        self.present_and_keep(&flow, error).await
    }

    /// The first step again, and why.
    async fn start_again(&self, why: &str) -> Result<Response, ApiError> {
        let error = Some(("non_field_errors", why));
        self.present_and_keep(&Flow::new(self.app), error).await
    }

    /// What the user whose password was proved may answer with. Passkeys bring a challenge of their own.
    async fn device_challenges(&self, proof: Option<&str>) -> Result<Vec<Value>, ApiError> {
        let (app, db) = (self.app, self.app.store.read());
        let Some(proof) = proof else { return Ok(Vec::new()) };
        let Some(proved) = proof::find(app, &PlainSecret::from_text(proof)).await? else { return Ok(Vec::new()) };
        let user = proved.user.id;
        let passkey = match relying_party::of(app, self.client) {
            Some(party) => passkeys::options_for(app, &party, user, Purpose::Factor(proof)).await?,
            None => None,
        };
        let mut challenges = Vec::new();
        for factor in db.list_factors(user).await?.into_iter().filter(|factor| factor.is_confirmed) {
            let challenge = match factor.kind {
                FactorKind::Totp => json!({}),
                FactorKind::WebAuthn => match &passkey {
                    Some(options) => options.clone(),
                    None => continue,
                },
            };
            challenges.push(json!({
                "device_class": factor.kind.as_str(), "device_uid": factor.uuid.to_string(), "challenge": challenge,
                "last_used": factor.last_used_at,
            }));
        }
        if db.count_recovery_codes(user).await? > 0 {
            challenges.push(json!({ "device_class": "static", "device_uid": "recovery", "challenge": {}, "last_used": null }));
        }
        Ok(challenges)
    }

    /// Starts the session and leads where the page wanted to go.
    async fn finish(&self, proved: Proved, is_remembered: bool) -> Result<Response, ApiError> {
        let headers = &self.parts.headers;
        let name = proved.user.username.clone();
        let wish = auth::SignInWish { is_remembered, ends: None };
        let started = match auth::begin_session(self.app, headers, self.client, proved, wish).await {
            Err(ActionError::AtLimit | ActionError::ChooseEnd) => return Ok(self.denied(&name, AT_LIMIT)),
            Err(ActionError::ProofOutdated) => return self.start_again(PROOF_OUTDATED).await,
            other => other?,
        };
        let mut response = self.redirect("Welcome to Rollcall!");
        auth::keep_session(self.app, response.headers_mut(), &started)?;
        Flow::forget(self.app, &self.parts.headers, response.headers_mut());
        Ok(response)
    }

    /// The last stage, which says why the sign-in is refused. The conversation ends.
    fn denied(&self, name: &str, why: &str) -> Response {
        let mut response = ok(&json!({
            "component": component(Stage::Denied), "flow_info": flow_info("Welcome to Rollcall!"), "pending_user": name,
            "pending_user_avatar": AVATAR, "error_message": why,
        }));
        Flow::forget(self.app, &self.parts.headers, response.headers_mut());
        response
    }

    /// Ends the session of the cookie's owner; without a word that this was meant, asks first.
    async fn sign_out(&self, is_meant: bool) -> Result<Response, ApiError> {
        if !is_meant {
            let body = json!({
                "component": "ak-stage-prompt", "flow_info": flow_info("Sign out of Rollcall?"), "fields": [],
            });
            return Ok(ok(&body));
        }
        let mut response = self.redirect("Signed out");
        auth::sign_out(self.app, &self.parts.headers, self.client, response.headers_mut()).await?;
        Ok(response)
    }

    fn redirect(&self, title: &str) -> Response {
        let page = Query::parse(self.parts.uri.query().unwrap_or_default());
        let page = Query::parse(page.last("query").unwrap_or_default());
        let to = redirect::safe(&self.app.config, page.last("next"));
        ok(&json!({ "component": "xak-flow-redirect", "flow_info": flow_info(title), "to": to }))
    }

    async fn present_and_keep(&self, flow: &Flow, error: Option<(&str, &str)>) -> Result<Response, ApiError> {
        let mut response = self.present(flow, error).await?;
        flow.write(self.app, response.headers_mut());
        Ok(response)
    }

    async fn present(&self, flow: &Flow, error: Option<(&str, &str)>) -> Result<Response, ApiError> {
        let mut challenge = json!({ "component": component(flow.stage), "flow_info": flow_info("Welcome to Rollcall!") });
        let more = match flow.stage {
            Stage::Identification => json!({
                "user_fields": ["username", "email"], "password_fields": false, "flow_designation": "authentication",
                "primary_action": "Log in", "sources": [], "show_source_labels": false, "enable_remember_me": false,
            }),
            Stage::Password => json!({ "pending_user": flow.uid, "pending_user_avatar": AVATAR, "allow_show_password": false }),
            Stage::Factor => json!({
                "pending_user": flow.uid, "pending_user_avatar": AVATAR, "configuration_stages": [],
                "device_challenges": self.device_challenges(flow.proof.as_deref()).await?,
            }),
            Stage::UserLogin => json!({ "pending_user": flow.uid, "pending_user_avatar": AVATAR }),
            Stage::Denied => json!({
                "pending_user": flow.uid, "pending_user_avatar": AVATAR,
                "error_message": TOO_MANY,
            }),
        };
        if let (Value::Object(challenge), Value::Object(more)) = (&mut challenge, more) {
            challenge.extend(more);
            if let Some((field, text)) = error {
                challenge.insert("response_errors".into(), json!({ field: [{ "string": text, "code": "invalid" }] }));
            }
        }
        Ok(ok(&challenge))
    }
}

fn component(stage: Stage) -> &'static str {
    match stage {
        Stage::Identification => "ak-stage-identification",
        Stage::Password => "ak-stage-password",
        Stage::Factor => "ak-stage-authenticator-validate",
        Stage::UserLogin => "ak-stage-user-login",
        Stage::Denied => "ak-stage-access-denied",
    }
}

fn flow_info(title: &str) -> Value {
    json!({ "title": title, "background": "", "background_themed_urls": null, "cancel_url": "/sign-in", "layout": "stacked" })
}

/// Gives the challenge that waits. `flow_slug` is `default-authentication-flow` or
/// `default-invalidation-flow`.
#[utoipa::path(
    get, path = "/api/v3/flows/executor/{flow_slug}/", operation_id = "flows_executor_get", tag = "flows", security(()),
    params(("flow_slug" = String, Path), ("query" = String, Query, description = "The page's own query string, or empty.")),
    responses((status = 200, body = ChallengeTypes, description = "A challenge."))
)]
#[expect(dead_code, reason = "describes `executor`, which serves all methods")]
pub(crate) fn get() {}

/// Answers the challenge that waits and gives the next one. Wrong answers are 200 too: the same
/// challenge with `response_errors`.
#[utoipa::path(
    post, path = "/api/v3/flows/executor/{flow_slug}/", operation_id = "flows_executor_solve", tag = "flows", security(()),
    params(("flow_slug" = String, Path), ("query" = String, Query, description = "The page's own query string, or empty.")),
    request_body = FlowChallengeResponseRequest,
    responses((status = 200, body = ChallengeTypes, description = "A challenge."))
)]
#[expect(dead_code, reason = "describes `executor`, which serves all methods")]
pub(crate) fn solve() {}
