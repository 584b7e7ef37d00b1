//! `/api/v3/core/user_consent/`: what users agreed to that apps get. Everybody sees and takes back their own.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::consents;
use crate::api::core::applications::wire::Application;
use crate::api::core::users::wire::{Shown, User};
use crate::api::django::{self, Int};
use crate::api::endpoint::{Answer, Call, Endpoint, done, ok};
use crate::api::error::ApiError;
use crate::api::list::{Empty, ListTable, Pagination, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::filters::{About, Kind};
use crate::domain::{Timestamp, UserId};
use crate::store::oidc::consents::{ConsentFilter, ListedConsent};

const KIND: &str = "UserConsent";
const VIEWSET: &str = "UserConsent Viewset";

/// What a user agreed to.
#[derive(Serialize, ToSchema)]
pub struct UserConsent<'a> {
    /// The number in addresses.
    pk: i64,
    /// Always null: it is good until it is taken back, or the client changes.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// Always false.
    expiring: bool,
    /// Who agreed.
    user: User<'a>,
    /// What gets it.
    application: Application,
    /// The scopes, separated by blanks.
    permissions: &'a str,
}

/// A page of consents.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedUserConsentList)]
pub struct UserConsentPage<'a> {
    /// Where the page is among the others.
    pub pagination: Pagination,
    /// The consents of this page.
    pub results: Vec<UserConsent<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// How consents are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("user", Kind::Whole, "Who agreed, by primary key"),
        about("application", Kind::Uuid, "What gets it, by primary key"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &[];
}

static CONSENTS: ListTable<FieldFilter<Listed>, &'static str> =
    small_list::table("Changes nothing: the newest ones come first.", "Changes nothing.");

list_parameters!(UserConsentListParameters, CONSENTS);

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("User Consent List", VIEWSET).on(Method::GET, list).route()
}

/// One consent's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("User Consent Instance", VIEWSET).of(KIND);
    endpoint.on(Method::GET, retrieve).on(Method::DELETE, destroy).route()
}

fn by(call: &Call) -> By<'_> {
    By::Principal(&call.who, &call.actor)
}

/// Lists what users agreed to: oneself, or all for administrators and auditors.
#[utoipa::path(
    get, path = "/api/v3/core/user_consent/", operation_id = "core_user_consent_list", tag = "core",
    params(UserConsentListParameters), responses((status = 200, body = UserConsentPage, description = "A page of consents."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let request = CONSENTS.read(&call.query, app.config.api.strict_query)?;
    let applications = app.store.applications().await?;
    let wanted_app = request.filter.get("application").and_then(django::uuid).map(|key| key.0);
    let application = wanted_app.map(|uuid| applications.all().iter().find(|one| one.uuid == uuid).map_or(-1, |one| one.id));
    let user = request.filter.get("user").and_then(|text| text.parse().ok()).map(UserId);
    let filter = ConsentFilter { user, application, ..ConsentFilter::default() };
    let wanted = request.wanted(call.asked)?;
    let count = consents::count(&app, by(&call), filter).await?;
    let rows = match wanted.window(count) {
        Some(window) => consents::list(&app, by(&call), filter, window.offset, window.limit).await?,
        None => Vec::new(),
    };
    let found = wanted.found(count, rows);
    let pagination = Pagination::of(&found)?;
    let ids: Vec<i64> = found.rows.iter().map(|consent| consent.user_id.0).collect();
    let owners = app.store.read().list_listed_users(&ids).await?;
    let shown = |consent: &'_ ListedConsent| {
        let application = applications.by_id(consent.application_id)?;
        Some((consent.id, owners.get(&consent.user_id.0)?, Application::new(application)))
    };
    let mut results = Vec::with_capacity(found.rows.len());
    for consent in &found.rows {
        let Some((pk, owner, application)) = shown(consent) else { continue };
        let user = User::new(owner, Shown { groups: true, roles: true });
        results.push(UserConsent { pk, expires: None, expiring: false, user, application, permissions: &consent.scope });
    }
    Ok(ok(&UserConsentPage { pagination, results, autocomplete: Empty {} }))
}

/// The consent that the path names, if the caller may know of it.
async fn find(app: &App, call: &Call) -> Result<ListedConsent, ApiError> {
    let id = django::int(call.part()).and_then(Int::value).ok_or(ApiError::NotFound)?;
    let filter = ConsentFilter { id: Some(id), ..ConsentFilter::default() };
    consents::list(app, by(call), filter, 0, 1).await?.pop().ok_or(ApiError::Missing)
}

/// Shows what a user agreed to for one application.
#[utoipa::path(
    get, path = "/api/v3/core/user_consent/{id}/", operation_id = "core_user_consent_retrieve", tag = "core",
    params(("id" = i64, Path)), responses((status = 200, body = UserConsent, description = "The consent."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let consent = find(&app, &call).await?;
    let applications = app.store.applications().await?;
    let application = applications.by_id(consent.application_id).ok_or(ApiError::Missing)?;
    let owner = app.store.read().find_listed_user(consent.user_id).await?.ok_or(ApiError::Missing)?;
    let user = User::new(&owner, Shown { groups: true, roles: true });
    let application = Application::new(application);
    Ok(ok(&UserConsent { pk: consent.id, expires: None, expiring: false, user, application, permissions: &consent.scope }))
}

/// Takes back what a user agreed to; the user's app sessions of that application end.
#[utoipa::path(
    delete, path = "/api/v3/core/user_consent/{id}/", operation_id = "core_user_consent_destroy", tag = "core",
    params(("id" = i64, Path)), responses((status = 204, description = "It is taken back."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    let consent = find(&app, &call).await?;
    let applications = app.store.applications().await?;
    let slug = applications.by_id(consent.application_id).ok_or(ApiError::Missing)?.slug.clone();
    consents::withdraw(&app, by(&call), consent.user_id, &slug).await?;
    Ok(done())
}
