//! Providers in authentik's words.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::core::wire::Dashed;
use crate::api::flows::instances::{EXPLICIT_CONSENT_PK, IMPLICIT_CONSENT_PK, INVALIDATION_PK};
use crate::api::propertymappings;
use crate::api::small_list::small_pages;
use crate::domain::application::client::ConsentMode;
use crate::domain::application::host::HostPattern;
use crate::domain::application::{Application, ClientPart, Provider as Stored};

/// authentik's name of the model.
const MODEL: &str = "authentik_providers_proxy.proxyprovider";
/// And of clients.
const CLIENT_MODEL: &str = "authentik_providers_oauth2.oauth2provider";

/// A provider of any kind.
#[derive(Serialize, ToSchema)]
pub struct Provider {
    /// The number in addresses.
    pk: i64,
    /// Its name.
    name: String,
    /// Kept, and without effect; null: none.
    #[schema(required, value_type = Option<String>, format = Uuid)]
    authentication_flow: Option<Dashed>,
    /// Kept, and without effect.
    #[schema(value_type = String, format = Uuid)]
    authorization_flow: Dashed,
    /// Kept, and without effect.
    #[schema(value_type = String, format = Uuid)]
    invalidation_flow: Dashed,
    /// Kept, and without effect.
    #[schema(value_type = Vec<String>)]
    property_mappings: Vec<Dashed>,
    /// The form of authentik's pages.
    component: &'static str,
    /// The slug of its application; null: none.
    #[schema(required)]
    assigned_application_slug: Option<String>,
    /// The name of its application; null: none.
    #[schema(required)]
    assigned_application_name: Option<String>,
    /// Always null.
    #[schema(required)]
    assigned_backchannel_application_slug: Option<String>,
    /// Always null.
    #[schema(required)]
    assigned_backchannel_application_name: Option<String>,
    /// What it is.
    verbose_name: &'static str,
    /// What many of it are.
    verbose_name_plural: &'static str,
    /// authentik's name of the model.
    meta_model_name: &'static str,
}

/// A guard.
#[derive(Serialize, ToSchema)]
pub struct ProxyProvider {
    /// As in the list of all providers.
    #[serde(flatten)]
    provider: Provider,
    /// Always `""`.
    client_id: &'static str,
    /// Kept, and without effect: Rollcall forwards nothing.
    internal_host: String,
    /// Where people open it.
    #[schema(format = "uri")]
    external_host: String,
    /// Kept, and without effect.
    internal_host_ssl_validation: bool,
    /// Kept, and without effect; null: none.
    #[schema(required, value_type = Option<String>, format = Uuid)]
    certificate: Option<Dashed>,
    /// Paths without a sign-in, one in each line: plain prefixes.
    skip_path_regex: String,
    /// Always false.
    basic_auth_enabled: bool,
    /// Kept, and without effect.
    basic_auth_password_attribute: String,
    /// Kept, and without effect.
    basic_auth_user_attribute: String,
    /// `forward_single` or `forward_domain`.
    mode: &'static str,
    /// Whether app passwords are accepted.
    intercept_header_auth: bool,
    /// Always empty.
    #[schema(value_type = Vec<Value>)]
    redirect_uris: [String; 0],
    /// The domain whose hosts it has, for `forward_domain`; or `""`.
    cookie_domain: String,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    jwt_federation_sources: [String; 0],
    /// Always empty.
    jwt_federation_providers: [i64; 0],
    /// Kept, and without effect.
    access_token_validity: String,
    /// Kept, and without effect.
    refresh_token_validity: String,
    /// Its outpost's name.
    outpost_set: [&'static str; 1],
}

/// The name of the one outpost.
pub const OUTPOST: &str = "authentik Embedded Outpost";
/// The default of `access_token_validity`.
const ACCESS_VALIDITY: &str = "hours=24";
/// The default of `refresh_token_validity`.
const REFRESH_VALIDITY: &str = "days=30";

/// What was kept under a name, as text; else the default.
pub(super) fn text(kept: &Map<String, Value>, name: &str, default: &str) -> String {
    kept.get(name).and_then(Value::as_str).unwrap_or(default).to_owned()
}

/// What was kept under a name, as a UUID.
pub(super) fn uuid(kept: &Map<String, Value>, name: &str) -> Option<Dashed> {
    kept.get(name).and_then(Value::as_str).and_then(|text| Uuid::try_parse(text).ok()).map(Dashed)
}

/// The flow of a client that says whether users are asked: the one that was named, while it still means the same.
#[must_use]
pub fn authorization_flow(part: &ClientPart) -> Uuid {
    let asks = |flow: Uuid| flow == EXPLICIT_CONSENT_PK.0;
    let wanted = part.client.consent != ConsentMode::Implicit;
    let named = uuid(&part.kept, "authorization_flow").map(|flow| flow.0).filter(|flow| asks(*flow) == wanted);
    named.unwrap_or(if wanted { EXPLICIT_CONSENT_PK.0 } else { IMPLICIT_CONSENT_PK.0 })
}

impl Provider {
    /// The part of an application that is shown as its provider: the client, else the guard.
    #[must_use]
    pub fn shown(application: &Application) -> Option<Self> {
        let client = application.client.as_ref().map(|part| Self::of_client(part, Some(application)));
        client.or_else(|| application.provider.as_ref().map(|guard| Self::new(guard, Some(application))))
    }

    /// A client in authentik's words, with its application.
    #[must_use]
    pub fn of_client(part: &ClientPart, application: Option<&Application>) -> Self {
        Self {
            pk: part.id,
            name: part.name.clone(),
            authentication_flow: uuid(&part.kept, "authentication_flow"),
            authorization_flow: Dashed(authorization_flow(part)),
            invalidation_flow: uuid(&part.kept, "invalidation_flow").unwrap_or(INVALIDATION_PK),
            property_mappings: propertymappings::of_client(part).into_iter().map(Dashed).collect(),
            component: "ak-provider-oauth2-form",
            assigned_application_slug: application.map(|application| application.slug.clone()),
            assigned_application_name: application.map(|application| application.name.clone()),
            assigned_backchannel_application_slug: None,
            assigned_backchannel_application_name: None,
            verbose_name: "OAuth2/OpenID Provider",
            verbose_name_plural: "OAuth2/OpenID Providers",
            meta_model_name: CLIENT_MODEL,
        }
    }

    /// A guard in authentik's words, with its application.
    #[must_use]
    pub fn new(stored: &Stored, application: Option<&Application>) -> Self {
        let mappings = stored.kept.get("property_mappings").and_then(Value::as_array);
        let mapping = |value: &Value| value.as_str().and_then(|text| Uuid::try_parse(text).ok()).map(Dashed);
        Self {
            pk: stored.id,
            name: stored.name.clone(),
            authentication_flow: uuid(&stored.kept, "authentication_flow"),
            authorization_flow: uuid(&stored.kept, "authorization_flow").unwrap_or(IMPLICIT_CONSENT_PK),
            invalidation_flow: uuid(&stored.kept, "invalidation_flow").unwrap_or(INVALIDATION_PK),
            property_mappings: mappings.map(|list| list.iter().filter_map(mapping).collect()).unwrap_or_default(),
            component: "ak-provider-proxy-form",
            assigned_application_slug: application.map(|application| application.slug.clone()),
            assigned_application_name: application.map(|application| application.name.clone()),
            assigned_backchannel_application_slug: None,
            assigned_backchannel_application_name: None,
            verbose_name: "Proxy Provider",
            verbose_name_plural: "Proxy Providers",
            meta_model_name: MODEL,
        }
    }
}

/// The mode of a guard in authentik's words.
#[must_use]
pub fn mode(stored: &Stored) -> &'static str {
    if stored.guard.hosts.iter().any(HostPattern::is_wildcard) { "forward_domain" } else { "forward_single" }
}

/// The domain of the first pattern, or `""`.
#[must_use]
pub fn cookie_domain(stored: &Stored) -> String {
    let pattern = stored.guard.hosts.iter().find(|host| host.is_wildcard());
    pattern.map(|pattern| pattern.host().to_string()).unwrap_or_default()
}

/// Where people open it: what was given, else the first host.
#[must_use]
pub fn external_host(stored: &Stored) -> String {
    let first = || stored.guard.first_host().map(|host| format!("https://{host}"));
    let of_domain = || stored.guard.hosts.first().map(|pattern| format!("https://{}", pattern.host()));
    let given = text(&stored.kept, "external_host", "");
    if given.is_empty() { first().or_else(of_domain).unwrap_or_default() } else { given }
}

impl ProxyProvider {
    /// A guard in authentik's words, with its application.
    #[must_use]
    pub fn new(stored: &Stored, application: Option<&Application>) -> Self {
        let kept = &stored.kept;
        let text = |name: &str| text(kept, name, "");
        Self {
            provider: Provider::new(stored, application),
            client_id: "",
            internal_host: text("internal_host"),
            external_host: external_host(stored),
            internal_host_ssl_validation: kept.get("internal_host_ssl_validation").and_then(Value::as_bool).unwrap_or(true),
            certificate: uuid(kept, "certificate"),
            skip_path_regex: text("skip_path_regex"),
            basic_auth_enabled: false,
            basic_auth_password_attribute: text("basic_auth_password_attribute"),
            basic_auth_user_attribute: text("basic_auth_user_attribute"),
            mode: mode(stored),
            intercept_header_auth: intercepts(stored, application),
            redirect_uris: [],
            cookie_domain: cookie_domain(stored),
            jwt_federation_sources: [],
            jwt_federation_providers: [],
            access_token_validity: self::text(kept, "access_token_validity", ACCESS_VALIDITY),
            refresh_token_validity: self::text(kept, "refresh_token_validity", REFRESH_VALIDITY),
            outpost_set: [OUTPOST],
        }
    }
}

/// Whether app passwords are accepted: by the application, or once there is one.
#[must_use]
pub fn intercepts(stored: &Stored, application: Option<&Application>) -> bool {
    let kept = || stored.kept.get("intercept_header_auth").and_then(Value::as_bool).unwrap_or(false);
    application.map_or_else(kept, |application| application.access.app_passwords)
}

small_pages! {
    /// A page of providers.
    ProviderPage of Provider = PaginatedProviderList;
    /// A page of guards.
    ProxyProviderPage of ProxyProvider = PaginatedProxyProviderList;
}

/// A guard to add, or a guard's fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct ProxyProviderRequest {
    /// Its name.
    #[schema(min_length = 1, max_length = 150)]
    name: String,
    /// Kept, and without effect.
    #[schema(format = Uuid)]
    authorization_flow: String,
    /// Kept, and without effect.
    #[schema(format = Uuid)]
    invalidation_flow: String,
    /// Kept, and without effect.
    #[schema(format = Uuid)]
    authentication_flow: Option<String>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    property_mappings: Option<Vec<String>>,
    /// Where people open it; its host is the guard's.
    #[schema(min_length = 1)]
    external_host: String,
    /// `forward_single`, or `forward_domain` for all hosts of `cookie_domain`. `proxy` is refused.
    #[schema(nullable = false)]
    mode: Option<String>,
    /// The domain for `forward_domain`.
    #[schema(nullable = false)]
    cookie_domain: Option<String>,
    /// Paths without a sign-in, one in each line: plain prefixes.
    #[schema(nullable = false)]
    skip_path_regex: Option<String>,
    /// Whether app passwords are accepted.
    #[schema(nullable = false)]
    intercept_header_auth: Option<bool>,
    /// Must be false.
    #[schema(nullable = false)]
    basic_auth_enabled: Option<bool>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    internal_host: Option<String>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    internal_host_ssl_validation: Option<bool>,
    /// Kept, and without effect.
    #[schema(format = Uuid)]
    certificate: Option<String>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    access_token_validity: Option<String>,
    /// Kept, and without effect.
    #[schema(nullable = false)]
    refresh_token_validity: Option<String>,
}

/// Fields of a guard to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedProxyProviderRequest {
    /// Its name.
    #[schema(nullable = false, min_length = 1, max_length = 150)]
    name: Option<String>,
    /// Where people open it.
    #[schema(nullable = false, min_length = 1)]
    external_host: Option<String>,
    /// `forward_single` or `forward_domain`.
    #[schema(nullable = false)]
    mode: Option<String>,
    /// The domain for `forward_domain`.
    #[schema(nullable = false)]
    cookie_domain: Option<String>,
    /// Paths without a sign-in.
    #[schema(nullable = false)]
    skip_path_regex: Option<String>,
    /// Whether app passwords are accepted.
    #[schema(nullable = false)]
    intercept_header_auth: Option<bool>,
}
