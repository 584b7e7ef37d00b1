//! The fields of a guard, read from a body in authentik's words.

use serde_json::{Map, Value, json};

use crate::api::body::Body;
use crate::api::error::{ApiError, sentence};
use crate::api::providers::skip;
use crate::api::providers::wire::{cookie_domain, external_host, mode};
use crate::domain::application::guard::Guard;
use crate::domain::application::host::{Host, HostPattern};
use crate::domain::application::{MAX_NAME_LENGTH, Provider};

/// The longest text that is kept.
pub(super) const MAX_TEXT: usize = 10_000;

/// The longest list that is kept.
pub(super) const MAX_KEPT: usize = 100;

/// What was read.
pub struct Read {
    /// The name.
    pub name: Option<String>,
    /// The guard.
    pub guard: Guard,
    /// What is kept.
    pub kept: Map<String, Value>,
    /// Whether app passwords are accepted, if that was sent.
    pub intercepts: Option<bool>,
}

/// Reads the fields of a guard. With `before`, these are changes of that one. `own` is Rollcall's own host.
///
/// # Errors
/// 400 that names each wrong field.
pub fn read(mut body: Body, before: Option<&Provider>, own: Option<&Host>) -> Result<Read, ApiError> {
    let name = body.field("name").required().text(MAX_NAME_LENGTH);
    let mut kept = before.map(|before| before.kept.clone()).unwrap_or_default();
    for flow in ["authorization_flow", "invalidation_flow"] {
        if let Some(uuid) = body.field(flow).required().value(uuid) {
            kept.insert(flow.to_owned(), uuid);
        }
    }
    for name in ["authentication_flow", "certificate"] {
        if let Some(uuid) = body.field(name).value_or_null(uuid) {
            kept.insert(name.to_owned(), uuid.unwrap_or(Value::Null));
        }
    }
    if let Some(uuids) = body.field("property_mappings").list(uuid) {
        if uuids.len() > MAX_KEPT {
            body.wrong("property_mappings", format!("Ensure this field has no more than {MAX_KEPT} elements."));
        }
        kept.insert("property_mappings".to_owned(), Value::Array(uuids));
    }
    let texts = [
        "internal_host",
        "basic_auth_password_attribute",
        "basic_auth_user_attribute",
        "access_token_validity",
        "refresh_token_validity",
    ];
    for name in texts {
        if let Some(text) = body.field(name).or_blank().text(MAX_TEXT) {
            kept.insert(name.to_owned(), text.into());
        }
    }
    if let Some(flag) = body.field("internal_host_ssl_validation").boolean() {
        kept.insert("internal_host_ssl_validation".to_owned(), flag.into());
    }
    if body.field("basic_auth_enabled").boolean() == Some(true) {
        body.wrong("basic_auth_enabled", "Rollcall sends no passwords to apps.");
    }
    for name in ["jwt_federation_sources", "jwt_federation_providers"] {
        if body.field(name).list(|value| Ok(value.clone())).is_some_and(|list| !list.is_empty()) {
            body.wrong(name, "Rollcall accepts no tokens of others.");
        }
    }
    let intercepts = body.field("intercept_header_auth").boolean();
    if let Some(flag) = intercepts {
        kept.insert("intercept_header_auth".to_owned(), flag.into());
    }
    let mut guard = before.map(|before| before.guard.clone()).unwrap_or_default();
    read_hosts(&mut body, &mut guard, &mut kept, before, own);
    read_skipped(&mut body, &mut guard, &mut kept);
    body.finish()?;
    Ok(Read { name, guard, kept, intercepts })
}

/// A UUID as it is kept.
///
/// # Errors
/// What is wrong with it, in authentik's words.
pub(super) fn uuid(value: &Value) -> Result<Value, String> {
    let text = value.as_str().ok_or_else(|| "Must be a valid UUID.".to_owned())?;
    let uuid = uuid::Uuid::try_parse(text).map_err(|_| format!("“{text}” is not a valid UUID."))?;
    Ok(json!(uuid.hyphenated().to_string()))
}

/// Mode, address and domain say which hosts it has. What is shown already changes none of them.
fn read_hosts(body: &mut Body, guard: &mut Guard, kept: &mut Map<String, Value>, before: Option<&Provider>, own: Option<&Host>) {
    let address = body.field("external_host").required().text(MAX_TEXT);
    let domain = body.field("cookie_domain").or_blank().text(MAX_TEXT);
    let wanted = body.field("mode").text(MAX_TEXT);
    let known = before.map(|before| (external_host(before), cookie_domain(before), mode(before).to_owned()));
    let (old_address, old_domain, old_mode) = known.clone().unwrap_or_else(|| (String::new(), String::new(), "proxy".to_owned()));
    let new = (address.unwrap_or(old_address), domain.unwrap_or(old_domain), wanted.unwrap_or(old_mode));
    if known.as_ref() == Some(&new) {
        return;
    }
    let (address, domain, mode) = new;
    let host = host_of(&address);
    if host.is_none() && !body.is_wrong("external_host") {
        body.wrong("external_host", "Enter a valid URL.");
    }
    guard.hosts = match mode.as_str() {
        "forward_single" => host.iter().filter_map(|host| HostPattern::parse(host.as_str()).ok()).collect(),
        "forward_domain" => {
            let domain = domain.trim_start_matches('.');
            let pattern = HostPattern::parse(&format!("*.{domain}"));
            if pattern.is_err() {
                body.wrong("cookie_domain", "Enter the domain whose hosts it has.");
            }
            let outside = host.iter().filter(|host| own != Some(host)).filter_map(|host| HostPattern::parse(host.as_str()).ok());
            pattern.into_iter().chain(outside).collect()
        }
        "proxy" => {
            body.wrong("mode", "Rollcall forwards no requests; use forward_single or forward_domain.");
            return;
        }
        other => {
            body.wrong("mode", format!("\"{other}\" is not a valid choice."));
            return;
        }
    };
    kept.insert("external_host".to_owned(), address.into());
}

/// The host of an http or https address.
fn host_of(address: &str) -> Option<Host> {
    let (scheme, rest) = address.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then(|| rest.split(['/', '?', '#']).next()).flatten().and_then(Host::typed)
}

/// The rule of `skip_path_regex` comes first, and replaces the one of the value before.
fn read_skipped(body: &mut Body, guard: &mut Guard, kept: &mut Map<String, Value>) {
    const NAME: &str = "skip_path_regex";
    let Some(lines) = body.field(NAME).or_blank().text(MAX_TEXT) else { return };
    let old = kept.get(NAME).and_then(Value::as_str).unwrap_or_default();
    if let Ok(Some(rule)) = skip::rule(old).map(|rule| rule.and_then(|rule| rule.check().ok())) {
        guard.rules.retain(|known| *known != rule);
    }
    match skip::rule(&lines) {
        Ok(None) => {}
        Ok(Some(rule)) => match rule.check() {
            Ok(rule) => guard.rules.insert(0, rule),
            Err(rule) => body.wrong(NAME, sentence(&rule)),
        },
        Err(line) => {
            body.wrong(NAME, format!("Rollcall has no regular expressions: {line:?} is no plain prefix such as ^/public."));
        }
    }
    kept.insert(NAME.to_owned(), lines.into());
}
