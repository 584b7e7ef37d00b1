//! The fields of a client, read from a body in authentik's words. What would silently mean something else here is refused.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::actions::applications::client_parts::ClientChange;
use crate::actions::applications::secrets;
use crate::api::body::{Body, no_such_pk, type_name};
use crate::api::duration;
use crate::api::endpoint::{NO_STRING, REQUIRED};
use crate::api::error::{ApiError, sentence};
use crate::api::flows::instances::EXPLICIT_CONSENT_PK;
use crate::api::propertymappings;
use crate::api::providers::fields::{MAX_KEPT, MAX_TEXT, uuid};
use crate::api::providers::oauth2::wire::{ACCESS_VALIDITY, CODE, CODE_VALIDITY, REFRESH, REFRESH_VALIDITY, THRESHOLD, most};
use crate::api::providers::wire::authorization_flow;
use crate::domain::PlainSecret;
use crate::domain::application::client::{
    AccessToken, Client, ConsentMode, MAX_ACCESS_LIFETIME, MAX_CODE_LIFETIME, MAX_REFRESH_LIFETIME, Pkce, SubMode,
};
use crate::domain::application::{ClientPart, MAX_NAME_LENGTH};
use crate::domain::oidc::device::GRANT;
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::oidc::target::Target;

/// Grant types that authentik has and Rollcall has not.
const NO_GRANTS: [&str; 5] =
    ["implicit", "hybrid", "client_credentials", "password", "urn:ietf:params:oauth:grant-type:token-exchange"];

/// Reads the fields of a client. With `before`, these are changes of that one. `plain` are hosts whose redirect addresses
/// may be `http`.
///
/// # Errors
/// 400 that names each wrong field.
pub fn read(mut body: Body, before: Option<&ClientPart>, plain: &[String]) -> Result<ClientChange, ApiError> {
    let name = body.field("name").required().text(MAX_NAME_LENGTH);
    let mut kept = before.map(|before| before.kept.clone()).unwrap_or_default();
    // Automation that was made for authentik says nothing of challenges and popups, and its apps may need both.
    let new = || Client { pkce: Pkce::Optional, popup: true, ..Client::default() };
    let mut client = before.map_or_else(new, |before| before.client.clone());
    read_flows(&mut body, &mut client, &mut kept, before);
    read_kind(&mut body, &mut client);
    read_addresses(&mut body, &mut client, plain);
    read_lifetimes(&mut body, &mut client, &mut kept);
    read_scopes(&mut body, &mut client, &mut kept);
    refuse(&mut body);
    let client_id = body.field("client_id").text(255);
    // What was read is `""`, so that means that it stays.
    let secret = body.field("client_secret").or_blank().untrimmed().text(secrets::MAX_SECRET).filter(|text| !text.is_empty());
    if let Some(rule) = secret.as_ref().filter(|_| !client.is_public).and_then(|text| secrets::check(text).err()) {
        body.wrong("client_secret", sentence(&rule));
    }
    body.finish()?;
    let secret = secret.map(PlainSecret::from_text);
    Ok(ClientChange { name, client_id, client: Some(client), kept: Some(kept), secret, expected: None })
}

/// The flow that authorizes says whether users are asked. The one that is shown already changes nothing.
fn read_flows(body: &mut Body, client: &mut Client, kept: &mut Map<String, Value>, before: Option<&ClientPart>) {
    if let Some(flow) = body.field("authorization_flow").required().value(uuid) {
        let named = flow.as_str().and_then(|text| Uuid::try_parse(text).ok());
        if before.map(authorization_flow) != named {
            let asks = named == Some(EXPLICIT_CONSENT_PK.0);
            client.consent = if asks { ConsentMode::Always } else { ConsentMode::Implicit };
        }
        kept.insert("authorization_flow".to_owned(), flow);
    }
    if let Some(flow) = body.field("invalidation_flow").required().value(uuid) {
        kept.insert("invalidation_flow".to_owned(), flow);
    }
    for name in ["authentication_flow", "signing_key"] {
        if let Some(uuid) = body.field(name).value_or_null(uuid) {
            kept.insert(name.to_owned(), uuid.unwrap_or(Value::Null));
        }
    }
}

fn read_kind(body: &mut Body, client: &mut Client) {
    let is_public = body.field("client_type").choice(|word| match word {
        "confidential" => Some(false),
        "public" => Some(true),
        _ => None,
    });
    client.is_public = is_public.unwrap_or(client.is_public);
    client.sub =
        match body.field("sub_mode").choice(|word| Some(SubMode::parse(word)).filter(|it| it.is_some() || word == "user_upn")) {
            Some(None) => {
                body.wrong("sub_mode", "Rollcall has no user principal names: choose another way to name users.");
                client.sub
            }
            Some(Some(sub)) => sub,
            None => client.sub,
        };
    client.access_token = body.field("rollcall_access_token").choice(AccessToken::parse).unwrap_or(client.access_token);
    let include = body.field("include_claims_in_id_token").boolean();
    client.claims_in_id_token = include.unwrap_or(client.claims_in_id_token);
    let Some(grants) =
        body.field("grant_types").list(|value| value.as_str().map(str::to_owned).ok_or_else(|| NO_STRING.to_owned()))
    else {
        return;
    };
    if let Some(other) = grants.iter().find(|grant| ![CODE, REFRESH, GRANT].contains(&grant.as_str())) {
        let text = if NO_GRANTS.contains(&other.as_str()) {
            format!("Rollcall has no grant type {other}: use {CODE} and {REFRESH}.")
        } else {
            format!("\"{other}\" is not a valid choice.")
        };
        body.wrong("grant_types", text);
    } else if !grants.iter().any(|grant| grant == CODE) {
        body.wrong("grant_types", format!("A client always has {CODE}."));
    }
    client.refresh = grants.iter().any(|grant| grant == REFRESH);
    client.device = grants.iter().any(|grant| grant == GRANT);
}

/// One address, and whether it is for after a sign-out.
fn address(value: &Value, plain: &[String]) -> Result<(RedirectUri, bool), String> {
    let Value::Object(fields) = value else {
        return Err(format!("Invalid data. Expected a dictionary, but got {}.", type_name(value)));
    };
    let word = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        None => Ok(None),
        Some(_) => Err(format!("{name}: {NO_STRING}")),
    };
    match word("matching_mode")? {
        Some("strict") => {}
        Some("regex") => {
            return Err(
                "Rollcall compares addresses letter by letter: give each exact address, with matching_mode strict.".to_owned()
            );
        }
        Some(other) => return Err(format!("matching_mode: \"{other}\" is not a valid choice.")),
        None => return Err(format!("matching_mode: {REQUIRED}")),
    }
    let is_logout = match word("redirect_uri_type")? {
        None | Some("authorization") => false,
        Some("logout") => true,
        Some(other) => return Err(format!("redirect_uri_type: \"{other}\" is not a valid choice.")),
    };
    let url = word("url")?.ok_or_else(|| format!("url: {REQUIRED}"))?;
    let uri = RedirectUri::parse(url, plain).map_err(|rule| sentence(&rule))?;
    Ok((uri, is_logout))
}

fn read_addresses(body: &mut Body, client: &mut Client, plain: &[String]) {
    if let Some(uri) = body.field("logout_uri").or_blank().text(MAX_TEXT) {
        client.back_channel_uri = (!uri.is_empty()).then(|| Target::stored(uri));
    }
    let Some(all) = body.field("redirect_uris").required().list(|value| address(value, plain)) else { return };
    let (logout, codes): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, is_logout)| *is_logout);
    let uris = |list: Vec<(RedirectUri, bool)>| {
        let mut uris: Vec<RedirectUri> = Vec::new();
        for (uri, _) in list {
            if !uris.contains(&uri) {
                uris.push(uri);
            }
        }
        uris
    };
    (client.redirect_uris, client.post_logout_uris) = (uris(codes), uris(logout));
}

fn read_lifetimes(body: &mut Body, client: &mut Client, kept: &mut Map<String, Value>) {
    let lifetimes = [
        (CODE_VALIDITY, &mut client.code_lifetime, MAX_CODE_LIFETIME),
        (ACCESS_VALIDITY, &mut client.access_lifetime, MAX_ACCESS_LIFETIME),
        (REFRESH_VALIDITY, &mut client.refresh_lifetime, MAX_REFRESH_LIFETIME),
    ];
    for (name, lifetime, longest) in lifetimes {
        let Some(text) = body.field(name).text(MAX_TEXT) else { continue };
        match duration::parse(&text).map(|micros| micros.checked_div(1_000_000).unwrap_or(0)) {
            None => body.wrong(name, duration::no_duration(&text)),
            Some(seconds) => match u64::try_from(seconds).ok().filter(|seconds| (1..=longest).contains(seconds)) {
                Some(seconds) => {
                    *lifetime = seconds;
                    kept.insert(name.to_owned(), text.into());
                }
                None => body.wrong(name, format!("Rollcall allows a second at least, and {} at most.", most(longest))),
            },
        }
    }
    if let Some(text) = body.field(THRESHOLD).text(MAX_TEXT) {
        if duration::parse(&text).is_none() {
            body.wrong(THRESHOLD, duration::no_duration(&text));
        }
        kept.insert(THRESHOLD.to_owned(), text.into());
    }
}

/// The mappings say which scopes it may ask for. Those that are shown already change nothing.
fn read_scopes(body: &mut Body, client: &mut Client, kept: &mut Map<String, Value>) {
    const NAME: &str = "property_mappings";
    let Some(mappings) = body.field(NAME).list(uuid) else { return };
    if mappings.len() > MAX_KEPT {
        body.wrong(NAME, format!("Ensure this field has no more than {MAX_KEPT} elements."));
    }
    let keys: Vec<Uuid> = mappings.iter().filter_map(|key| Uuid::try_parse(key.as_str()?).ok()).collect();
    match propertymappings::scopes(&keys) {
        Ok(scopes) => client.scopes = scopes,
        Err(other) => body.wrong(NAME, no_such_pk(other.hyphenated())),
    }
    kept.insert(NAME.to_owned(), Value::Array(mappings));
}

/// What has no meaning here, and would have one in authentik.
fn refuse(body: &mut Body) {
    if body.field("encryption_key").value_or_null(uuid).flatten().is_some() {
        body.wrong("encryption_key", "Rollcall does not encrypt tokens.");
    }
    for name in ["jwt_federation_sources", "jwt_federation_providers"] {
        if body.field(name).list(|value| Ok(value.clone())).is_some_and(|list| !list.is_empty()) {
            body.wrong(name, "Rollcall accepts no tokens of others.");
        }
    }
    if body.field("issuer_mode").choice(|word| ["global", "per_provider"].contains(&word).then(|| word == "global")) == Some(true) {
        body.wrong("issuer_mode", "Rollcall has one issuer for each application: per_provider.");
    }
    let method =
        body.field("logout_method").choice(|word| ["backchannel", "frontchannel"].contains(&word).then(|| word == "frontchannel"));
    if method == Some(true) {
        body.wrong("logout_method", "Browsers withhold the cookie that front-channel logout needs: use backchannel.");
    }
}
