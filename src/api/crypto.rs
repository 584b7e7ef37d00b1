//! `/api/v3/crypto/certificatekeypairs/`: one row for the keys that sign, so that automation finds a key to
//! name. It cannot be changed or fetched: apps read the keys at their application's JWKS.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::uuid;

use crate::actions::app::App;
use crate::api::core::wire::{Dashed, UsedBy};
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::list::{ListTable, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about, small_pages};
use crate::domain::Timestamp;
use crate::domain::filters::{About, Kind};

/// The primary key of the one row: the same everywhere and for ever.
const PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-6b6579706172"));
const VIEWSET: &str = "CertificateKeyPair Viewset";
const KIND: &str = "CertificateKeyPair";

/// A key with its certificate, in authentik's words.
#[derive(Serialize, ToSchema)]
pub struct CertificateKeyPair {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    name: &'static str,
    /// Always null: there is no certificate.
    #[schema(required)]
    fingerprint_sha256: Option<String>,
    /// Always null.
    #[schema(required)]
    fingerprint_sha1: Option<String>,
    /// Always null.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    cert_expiry: Option<Timestamp>,
    /// Always null.
    #[schema(required)]
    cert_subject: Option<String>,
    /// Always true: Rollcall signs with it.
    private_key_available: bool,
    /// Always `rsa`.
    #[schema(required)]
    key_type: Option<&'static str>,
    /// Always `""`: there is nothing to fetch.
    certificate_download_url: &'static str,
    /// Always `""`.
    private_key_download_url: &'static str,
    /// Always null.
    #[schema(required)]
    managed: Option<String>,
}

const KEY_PAIR: CertificateKeyPair = CertificateKeyPair {
    pk: PK,
    name: "authentik Self-signed Certificate",
    fingerprint_sha256: None,
    fingerprint_sha1: None,
    cert_expiry: None,
    cert_subject: None,
    private_key_available: true,
    key_type: Some("rsa"),
    certificate_download_url: "",
    private_key_download_url: "",
    managed: None,
};

small_pages! {
    /// A page of keys.
    CertificateKeyPairPage of CertificateKeyPair = PaginatedCertificateKeyPairList;
}

/// How keys are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[about("name", Kind::Text, "The name, exactly")];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name"];
    const ORDERS: &'static [&'static str] = &["name", "pk"];
}

static KEY_PAIRS: ListTable<FieldFilter<Listed>, &'static str> =
    small_list::table("Changes nothing: there is one row.", "Terms, each of which must be part of the name.");

list_parameters!(CertificateKeyPairListParameters, KEY_PAIRS);

/// Parameters of the list's address alone.
const OWN: [&str; 4] = ["has_key", "key_type", "managed", "include_details"];

/// The list's address. It is for administrators, as all of these.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Certificate-Key Pair List", VIEWSET).needs(administrators).on(Method::GET, list).route()
}

/// One key's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Certificate-Key Pair Instance", VIEWSET).of(KIND);
    endpoint.needs(administrators).on(Method::GET, retrieve).route()
}

/// The address of what refers to a key.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

/// Lists keys.
#[utoipa::path(
    get, path = "/api/v3/crypto/certificatekeypairs/", operation_id = "crypto_certificatekeypairs_list", tag = "crypto",
    params(
        CertificateKeyPairListParameters,
        ("has_key" = Option<bool>, Query, description = "Whether Rollcall signs with it."),
        ("key_type" = Option<Vec<String>>, Query, description = "Its kind; may be repeated."),
        ("managed" = Option<String>, Query, description = "What marks it, exactly.")
    ),
    responses((status = 200, body = CertificateKeyPairPage, description = "A page with one row."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let given = |name: &'static str| call.query.all(name).map(str::trim).filter(|text| !text.is_empty());
    let has_key = given("has_key").last().and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
    let mut kinds = given("key_type").peekable();
    let is_kind = kinds.peek().is_none() || kinds.any(|kind| Some(kind) == KEY_PAIR.key_type);
    let is_asked = has_key.unwrap_or(true) && is_kind && given("managed").next().is_none();
    let rows = is_asked.then(|| json!(KEY_PAIR)).into_iter().collect();
    Ok(ok(&small_list::page_with(&KEY_PAIRS, &call.query, app.config.api.strict_query, &OWN, rows)?))
}

fn found(call: &Call) -> Result<CertificateKeyPair, ApiError> {
    let key = django::uuid(call.part()).ok_or(ApiError::NotFound)?.0;
    if key == PK.0 { Ok(KEY_PAIR) } else { Err(ApiError::Missing) }
}

/// Shows one key.
#[utoipa::path(
    get, path = "/api/v3/crypto/certificatekeypairs/{kp_uuid}/", operation_id = "crypto_certificatekeypairs_retrieve",
    tag = "crypto",
    params(("kp_uuid" = uuid::Uuid, Path)), responses((status = 200, body = CertificateKeyPair, description = "The key."))
)]
pub(crate) async fn retrieve(_: App, call: Call) -> Answer {
    Ok(ok(&found(&call)?))
}

/// Lists what refers to a key.
#[utoipa::path(
    get, path = "/api/v3/crypto/certificatekeypairs/{kp_uuid}/used_by/",
    operation_id = "crypto_certificatekeypairs_used_by_list", tag = "crypto",
    params(("kp_uuid" = uuid::Uuid, Path)),
    responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(_: App, call: Call) -> Answer {
    found(&call)?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}
