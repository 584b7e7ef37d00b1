//! Answers to checks, in the form that each kind of proxy passes on.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::actions::app::App;
use crate::actions::guard::check::{Caller, Refusal};
use crate::config::Config;
use crate::domain::application::Application;
use crate::domain::application::decide::{Decision, Missing};
use crate::domain::guard::cookies::for_app;
use crate::domain::guard::forwarded::Asked;
use crate::domain::guard::headers::Headers;
use crate::domain::guard::identity::{self, SentTo};
use crate::domain::guard::kind::Kind;
use crate::domain::guard::places::Words;
use crate::guard::hosts::Guarded;
use crate::http::page::Page;

/// 200: the request may pass. The answer carries what the app may see of the caller's cookies and of `Authorization`,
/// and who asks. Envoy is told what to take away, since it keeps what an answer does not name. `None`: the identity is
/// too large.
#[must_use]
pub fn allowed(kind: Kind, guarded: &Guarded, who: Option<&Caller>, caller: &HeaderMap, seen: Seen<'_>) -> Option<Response> {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    let mut removed: Vec<&str> = Vec::new();
    match for_app(caller.lines("cookie")).and_then(|kept| HeaderValue::from_bytes(&kept).ok()) {
        Some(value) => drop(headers.insert(header::COOKIE, value)),
        None => removed.push("cookie"),
    }
    match seen.authorization {
        Some(value) => drop(headers.insert(header::AUTHORIZATION, value.clone())),
        None => removed.push("authorization"),
    }
    if let (Some(who), Some(to)) = (who, sent_to(guarded, seen)) {
        for (name, value) in identity::headers(&who.subject.identity, seen.signed, to)? {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) else {
                return None;
            };
            headers.insert(name, value);
        }
    }
    if kind == Kind::Envoy && !removed.is_empty() {
        headers.insert("x-envoy-auth-headers-to-remove", HeaderValue::from_str(&removed.join(",")).ok()?);
    }
    Some(response)
}

/// What of a check its answer repeats, and what goes with the identity.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The caller's `Authorization`, if the app may see it.
    pub authorization: Option<&'a HeaderValue>,
    /// In whose words the check was asked.
    pub words: Words,
    /// The signed identity, if the app is sent one.
    pub signed: Option<&'a str>,
    /// Where the keys of signed identities are published.
    pub keys: &'a str,
}

/// How many bytes the identity headers of a user would take.
#[must_use]
pub fn identity_size(guarded: &Guarded, who: &Caller, seen: Seen<'_>) -> usize {
    sent_to(guarded, seen).map_or(0, |to| identity::size(&who.subject.identity, seen.signed, to))
}

fn sent_to<'a>(guarded: &'a Guarded, seen: Seen<'a>) -> Option<SentTo<'a>> {
    let Guarded { application, .. } = guarded;
    let (slug, provider) = (application.slug.as_str(), provider_name(application));
    let Seen { words, keys, .. } = seen;
    Some(SentTo { guard: application.guard()?, groups: &application.groups_sent, slug, provider, words, keys })
}

fn provider_name(application: &Application) -> &str {
    application.provider.as_ref().map_or("", |provider| provider.name.as_str())
}

/// How a request that needs a sign-in, or a better one, is answered.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The kind of the proxy.
    pub kind: Kind,
    /// The request.
    pub asked: &'a Asked,
    /// Whether it is a navigation.
    pub is_navigation: bool,
    /// In whose words the check was asked.
    pub words: Words,
    /// What the proof of the session lacks; `None`: there is no session.
    pub lacks: Option<&'a Decision>,
}

/// A navigation is led to the sign-in; anything else is told which credentials it needs.
#[must_use]
pub fn sign_in(app: &App, guarded: &Guarded, caller: &HeaderMap, needs: Needs<'_>) -> Response {
    if !needs.is_navigation {
        return challenge(guarded, needs.lacks);
    }
    let target = target(&app.config, guarded, caller, needs.asked);
    let any = if needs.asked.methods.is_empty() { "any=1&" } else { "" };
    let origin = guarded.origin(&app.config);
    let to = format!("{origin}{}?{any}rd={}", needs.words.start(), utf8_percent_encode(&target, NON_ALPHANUMERIC));
    let is_read = matches!(needs.asked.method(), "GET" | "HEAD");
    let status = match needs.kind {
        // `auth_request` knows no other status.
        Kind::Nginx => StatusCode::UNAUTHORIZED,
        _ if is_read => StatusCode::FOUND,
        _ => StatusCode::SEE_OTHER,
    };
    redirect(status, &to)
}

/// The page to come back to: the one that was asked for. The content of a form cannot be kept, so after one it is the
/// page with the form.
fn target(config: &Config, guarded: &Guarded, caller: &HeaderMap, asked: &Asked) -> String {
    let origin = guarded.origin(config);
    if matches!(asked.method(), "GET" | "HEAD") {
        return format!("{origin}{}", asked.path_and_query());
    }
    let referer = caller.single("referer").ok().flatten().unwrap_or_default();
    // The first step of the sign-in looks closely at where this leads.
    if referer.starts_with(&format!("{origin}/")) { referer.to_owned() } else { format!("{origin}/") }
}

/// 401 with what a program must send: a Bearer token, or a name and an app password where the guard asks for these.
#[must_use]
pub fn challenge(guarded: &Guarded, lacks: Option<&Decision>) -> Response {
    let mut response = StatusCode::UNAUTHORIZED.into_response();
    let bearer = match lacks {
        // RFC 9470.
        Some(decision) => {
            let level = decision.missing_level().map(|level| format!(", acr_values=\"{}\"", level.acr())).unwrap_or_default();
            let age = decision.missing_age().map(|age| format!(", max_age=\"{}\"", age.as_secs())).unwrap_or_default();
            format!("Bearer realm=\"rollcall\", error=\"insufficient_user_authentication\"{level}{age}")
        }
        None => "Bearer realm=\"rollcall\"".to_owned(),
    };
    let is_basic = lacks.is_none() && guarded.application.guard().is_some_and(|guard| guard.basic);
    // nginx before 1.23 passes on the first line alone, and git sends nothing without `Basic`.
    let basic = is_basic.then(|| "Basic realm=\"rollcall\", charset=\"UTF-8\"".to_owned());
    for value in basic.into_iter().chain(std::iter::once(bearer)) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    }
    response
}

/// A redirect. An address that no header can hold is none.
#[must_use]
pub fn redirect(status: StatusCode, to: &str) -> Response {
    match HeaderValue::try_from(to) {
        Ok(to) => (status, [(header::LOCATION, to)]).into_response(),
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}

/// 403 without a page: nothing is known of the request.
#[must_use]
pub fn forbidden() -> Response {
    StatusCode::FORBIDDEN.into_response()
}

/// 403 with a page that says why, who asks, and what can be done.
#[must_use]
pub fn refused(app: &App, guarded: &Guarded, refusal: &Refusal, words: Words) -> Response {
    refused_with(app, guarded, refusal, words.sign_out())
}

/// The same on Rollcall's own host.
#[must_use]
pub fn refused_at_home(app: &App, guarded: &Guarded, refusal: &Refusal) -> Response {
    refused_with(app, guarded, refusal, "/sign-out")
}

fn refused_with(app: &App, guarded: &Guarded, refusal: &Refusal, sign_out: &str) -> Response {
    let application = &guarded.application;
    let mut texts = vec![match &refusal.who {
        Some(username) => format!("You are signed in as {username}, and may not open this."),
        None => "This may not be opened.".to_owned(),
    }];
    texts.extend(refusal.missing.iter().map(|missing| reason(*missing).to_owned()));
    texts.push(match app.sign_in.load().help.as_str() {
        "" => "An administrator can give access.".to_owned(),
        help => help.to_owned(),
    });
    let mut page = Page::new(format!("{}: no access", application.name), texts);
    if refusal.who.is_some() {
        page = page.link("Sign out", sign_out);
    }
    page.answer(StatusCode::FORBIDDEN)
}

fn reason(missing: Missing) -> &'static str {
    match missing {
        Missing::Nobody => "Nobody may open this part.",
        Missing::Network => "It opens from certain networks only.",
        Missing::Country => "It opens from certain countries only.",
        Missing::AppPasswords => "It does not accept app passwords.",
        Missing::Named => "Your account is not among those that may.",
        Missing::SignIn | Missing::Factor(_) | Missing::Age(_) => "",
    }
}
