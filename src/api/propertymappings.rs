//! `/api/v3/propertymappings/`: the scopes that clients may have, under authentik's names. They are built in: read only.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::{Uuid, uuid};

use crate::actions::app::App;
use crate::api::core::wire::{Dashed, UsedBy};
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::list::{ListTable, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about, small_pages};
use crate::domain::application::ClientPart;
use crate::domain::application::client::Client;
use crate::domain::filters::{About, Kind};
use crate::domain::oidc::claims::SCOPES;

const ABOUT: &str = "ScopeMapping Viewset";

/// A scope, as one of authentik's mappings.
struct Built {
    /// Its word.
    scope: &'static str,
    pk: Uuid,
    managed: Option<&'static str>,
    name: &'static str,
}

/// Rollcall's scopes. The primary keys are the same everywhere and for ever.
static BUILT: [Built; 7] = [
    Built {
        scope: "openid",
        pk: uuid!("6f6c6c63-616c-4c00-8000-00006f706964"),
        managed: Some("goauthentik.io/providers/oauth2/scope-openid"),
        name: "authentik default OAuth Mapping: OpenID 'openid'",
    },
    Built {
        scope: "profile",
        pk: uuid!("6f6c6c63-616c-4c00-8000-000070726f66"),
        managed: Some("goauthentik.io/providers/oauth2/scope-profile"),
        name: "authentik default OAuth Mapping: OpenID 'profile'",
    },
    Built {
        scope: "email",
        pk: uuid!("6f6c6c63-616c-4c00-8000-0000656d6c00"),
        managed: Some("goauthentik.io/providers/oauth2/scope-email"),
        name: "authentik default OAuth Mapping: OpenID 'email'",
    },
    Built { scope: "groups", pk: uuid!("6f6c6c63-616c-4c00-8000-000067727073"), managed: None, name: "Rollcall: groups" },
    Built {
        scope: "entitlements",
        pk: uuid!("6f6c6c63-616c-4c00-8000-0000656e7469"),
        managed: Some("goauthentik.io/providers/oauth2/scope-entitlements"),
        name: "authentik default OAuth Mapping: Application Entitlements",
    },
    Built {
        scope: "ak_proxy",
        pk: uuid!("6f6c6c63-616c-4c00-8000-000070727879"),
        managed: Some("goauthentik.io/providers/proxy/scope-proxy"),
        name: "authentik default OAuth Mapping: Proxy outpost",
    },
    Built {
        scope: "offline_access",
        pk: uuid!("6f6c6c63-616c-4c00-8000-00006f66666c"),
        managed: Some("goauthentik.io/providers/oauth2/scope-offline_access"),
        name: "authentik default OAuth Mapping: OpenID 'offline_access'",
    },
];

/// The scopes that these mappings name, in the order in which they are granted; of an empty list those of a new client.
///
/// # Errors
/// The first primary key that there is not.
pub fn scopes(keys: &[Uuid]) -> Result<Vec<String>, Uuid> {
    if let Some(unknown) = keys.iter().find(|key| BUILT.iter().all(|built| built.pk != **key)) {
        return Err(*unknown);
    }
    if keys.is_empty() {
        return Ok(Client::default().scopes);
    }
    Ok(BUILT.iter().filter(|built| keys.contains(&built.pk)).map(|built| built.scope.to_owned()).collect())
}

/// The mappings of a client: those that were named, while they still mean its scopes.
#[must_use]
pub fn of_client(part: &ClientPart) -> Vec<Uuid> {
    let kept = part.kept.get("property_mappings").and_then(Value::as_array);
    let kept: Vec<Uuid> = kept.into_iter().flatten().filter_map(|key| Uuid::try_parse(key.as_str()?).ok()).collect();
    let has = |scope: &str| part.client.scopes.iter().any(|own| own == scope);
    if scopes(&kept).is_ok_and(|named| named.len() == part.client.scopes.len() && named.iter().all(|scope| has(scope))) {
        return kept;
    }
    BUILT.iter().filter(|built| has(built.scope)).map(|built| built.pk).collect()
}

/// A scope, as authentik's mapping.
#[derive(Serialize, ToSchema)]
pub struct ScopeMapping {
    #[serde(flatten)]
    mapping: PropertyMapping,
    /// The scope's word.
    scope_name: &'static str,
    /// What it gives, for the person who is asked.
    description: &'static str,
}

/// A mapping of any kind.
#[derive(Serialize, ToSchema)]
pub struct PropertyMapping {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// authentik's mark of what it is; null: authentik has no such scope.
    #[schema(required)]
    managed: Option<&'static str>,
    name: &'static str,
    /// Always `""`: no code of users runs in the server.
    expression: &'static str,
    /// The form of authentik's pages.
    component: &'static str,
    verbose_name: &'static str,
    verbose_name_plural: &'static str,
    meta_model_name: &'static str,
}

impl ScopeMapping {
    fn of(built: &Built) -> Self {
        let known = SCOPES.iter().find(|scope| scope.name == built.scope);
        let mapping = PropertyMapping {
            pk: Dashed(built.pk),
            managed: built.managed,
            name: built.name,
            expression: "",
            component: "ak-property-mapping-provider-scope-form",
            verbose_name: "Scope Mapping",
            verbose_name_plural: "Scope Mappings",
            meta_model_name: "authentik_providers_oauth2.scopemapping",
        };
        Self { mapping, scope_name: built.scope, description: known.map_or("", |scope| scope.words) }
    }
}

small_pages! {
    /// A page of scopes.
    ScopeMappingPage of ScopeMapping = PaginatedScopeMappingList;
    /// A page of mappings.
    PropertyMappingPage of PropertyMapping = PaginatedPropertyMappingList;
}

/// How scopes are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] =
        &[about("name", Kind::Text, "The name, exactly"), about("scope_name", Kind::Text, "The scope's word, exactly")];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name", "scope_name"];
    const ORDERS: &'static [&'static str] = &["scope_name", "name", "pk"];
}

static MAPPINGS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `scope_name`, `name`, `pk`. Without any that is known: by `scope_name`.",
    "Terms, each of which must be part of the name or the scope's word.",
);

list_parameters!(ScopeMappingListParameters, MAPPINGS);

/// Parameters of the lists' addresses alone.
const OWN: [&str; 2] = ["managed", "managed__isnull"];

/// The address of the list of scopes. It is for administrators, as all of these.
pub fn scope_collection() -> MethodRouter<App> {
    Endpoint::new("Scope Mapping List", ABOUT).needs(administrators).on(Method::GET, list_scopes).route()
}

/// One scope's address.
pub fn scope_item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Scope Mapping Instance", ABOUT).of("ScopeMapping");
    endpoint.needs(administrators).on(Method::GET, retrieve_scope).route()
}

/// The address of what refers to a scope.
pub fn scope_item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of("ScopeMapping");
    endpoint.needs(administrators).on(Method::GET, scope_used_by).route()
}

/// The address of the list of all mappings.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Property Mapping List", "PropertyMapping Viewset").needs(administrators).on(Method::GET, list).route()
}

/// One mapping's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Property Mapping Instance", "PropertyMapping Viewset").of("PropertyMapping");
    endpoint.needs(administrators).on(Method::GET, retrieve).route()
}

/// Those that `managed` and `managed__isnull` ask for.
fn asked(call: &Call) -> impl Iterator<Item = &'static Built> {
    let wanted: Vec<String> = call.query.all("managed").filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let is_free = call.query.last("managed__isnull").and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
    BUILT.iter().filter(move |built| {
        let is_wanted = wanted.is_empty() || built.managed.is_some_and(|managed| wanted.iter().any(|text| text == managed));
        is_wanted && is_free.is_none_or(|free| built.managed.is_none() == free)
    })
}

fn found(call: &Call) -> Result<ScopeMapping, ApiError> {
    let key = django::uuid(call.part()).ok_or(ApiError::NotFound)?.0;
    BUILT.iter().find(|built| built.pk == key).map(ScopeMapping::of).ok_or(ApiError::Missing)
}

/// Lists the scopes that clients may have.
#[utoipa::path(
    get, path = "/api/v3/propertymappings/provider/scope/", operation_id = "propertymappings_provider_scope_list",
    tag = "propertymappings",
    params(
        ScopeMappingListParameters,
        ("managed" = Option<Vec<String>>, Query, description = "authentik's mark, exactly; may be repeated."),
        ("managed__isnull" = Option<bool>, Query, description = "Whether there is no such mark.")
    ),
    responses((status = 200, body = ScopeMappingPage, description = "A page of scopes."))
)]
pub(crate) async fn list_scopes(app: App, call: Call) -> Answer {
    let rows = asked(&call).map(|built| json!(ScopeMapping::of(built))).collect();
    Ok(ok(&small_list::page_with(&MAPPINGS, &call.query, app.config.api.strict_query, &OWN, rows)?))
}

/// Shows one scope.
#[utoipa::path(
    get, path = "/api/v3/propertymappings/provider/scope/{pm_uuid}/",
    operation_id = "propertymappings_provider_scope_retrieve", tag = "propertymappings",
    params(("pm_uuid" = uuid::Uuid, Path)), responses((status = 200, body = ScopeMapping, description = "The scope."))
)]
pub(crate) async fn retrieve_scope(_: App, call: Call) -> Answer {
    Ok(ok(&found(&call)?))
}

/// Lists what refers to a scope.
#[utoipa::path(
    get, path = "/api/v3/propertymappings/provider/scope/{pm_uuid}/used_by/",
    operation_id = "propertymappings_provider_scope_used_by_list", tag = "propertymappings",
    params(("pm_uuid" = uuid::Uuid, Path)),
    responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn scope_used_by(_: App, call: Call) -> Answer {
    found(&call)?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

/// Lists all mappings: the same scopes.
#[utoipa::path(
    get, path = "/api/v3/propertymappings/all/", operation_id = "propertymappings_all_list", tag = "propertymappings",
    params(
        ScopeMappingListParameters,
        ("managed" = Option<Vec<String>>, Query, description = "authentik's mark, exactly; may be repeated."),
        ("managed__isnull" = Option<bool>, Query, description = "Whether there is no such mark.")
    ),
    responses((status = 200, body = PropertyMappingPage, description = "A page of mappings."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let shown = |built| {
        let ScopeMapping { mapping, scope_name, .. } = ScopeMapping::of(built);
        let mut row = json!(mapping);
        // The list is filtered and ordered by it.
        if let Some(row) = row.as_object_mut() {
            row.insert("scope_name".to_owned(), scope_name.into());
        }
        row
    };
    let rows = asked(&call).map(shown).collect();
    Ok(ok(&small_list::page_with(&MAPPINGS, &call.query, app.config.api.strict_query, &OWN, rows)?))
}

/// Shows one mapping.
#[utoipa::path(
    get, path = "/api/v3/propertymappings/all/{pm_uuid}/", operation_id = "propertymappings_all_retrieve",
    tag = "propertymappings",
    params(("pm_uuid" = uuid::Uuid, Path)), responses((status = 200, body = PropertyMapping, description = "The mapping."))
)]
pub(crate) async fn retrieve(_: App, call: Call) -> Answer {
    Ok(ok(&found(&call)?.mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_has_its_mapping_in_its_order() {
        let scopes: Vec<&str> = BUILT.iter().map(|built| built.scope).collect();
        assert_eq!(scopes, SCOPES.map(|scope| scope.name));
        let mut keys: Vec<Uuid> = BUILT.iter().map(|built| built.pk).collect();
        keys.dedup();
        assert_eq!(keys.len(), BUILT.len());
    }

    #[test]
    fn mappings_say_which_scopes_a_client_has() {
        let key = |scope: &str| BUILT.iter().find(|built| built.scope == scope).unwrap().pk;
        assert_eq!(scopes(&[key("email"), key("openid")]).unwrap(), ["openid", "email"]);
        assert_eq!(scopes(&[]).unwrap(), Client::default().scopes);
        assert_eq!(scopes(&[Uuid::nil()]), Err(Uuid::nil()));
        let part = |kept: Value, scopes: &[&str]| ClientPart {
            id: 1,
            name: "x".into(),
            application: None,
            client_id: "x".into(),
            client: Client { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..Client::default() },
            kept: serde_json::from_value(json!({"property_mappings": kept})).unwrap(),
        };
        let named = json!([key("email").to_string(), key("openid").to_string()]);
        assert_eq!(of_client(&part(named.clone(), &["openid", "email"])), [key("email"), key("openid")], "as they were named");
        assert_eq!(of_client(&part(named, &["openid"])), [key("openid")], "its scopes were changed elsewhere");
    }
}
