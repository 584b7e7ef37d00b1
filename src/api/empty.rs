//! Lists of what Rollcall does not have: administrators get 200 and no rows, so that reports over everything
//! go through. The addresses, the answers and their description are made from one table.

use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::actions::app::App;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::list::ListTable;
use crate::api::small_list::{self, FieldFilter, Fields};
use crate::domain::filters::About;

/// An address whose list is empty.
pub struct EmptyList {
    /// The address.
    pub path: &'static str,
    /// authentik's name of a row.
    model: &'static str,
}

/// All of them.
#[rustfmt::skip]
pub const EMPTY_LISTS: &[EmptyList] = &[
    EmptyList { path: "/api/v3/core/brands/", model: "Brand" },
    EmptyList { path: "/api/v3/providers/ldap/", model: "LDAPProvider" },
    EmptyList { path: "/api/v3/providers/saml/", model: "SAMLProvider" },
    EmptyList { path: "/api/v3/outposts/service_connections/all/", model: "ServiceConnection" },
    EmptyList { path: "/api/v3/sources/all/", model: "Source" },
    EmptyList { path: "/api/v3/stages/all/", model: "Stage" },
    EmptyList { path: "/api/v3/stages/email/", model: "EmailStage" },
    EmptyList { path: "/api/v3/stages/prompt/prompts/", model: "Prompt" },
    EmptyList { path: "/api/v3/stages/invitation/invitations/", model: "Invitation" },
    EmptyList { path: "/api/v3/policies/all/", model: "Policy" },
    EmptyList { path: "/api/v3/policies/reputation/scores/", model: "Reputation" },
    EmptyList { path: "/api/v3/rbac/roles/", model: "Role" },
    EmptyList { path: "/api/v3/managed/blueprints/", model: "BlueprintInstance" },
    EmptyList { path: "/api/v3/events/notifications/", model: "Notification" },
    EmptyList { path: "/api/v3/events/rules/", model: "NotificationRule" },
    EmptyList { path: "/api/v3/events/transports/", model: "NotificationTransport" },
    EmptyList { path: "/api/v3/oauth2/authorization_codes/", model: "ExpiringBaseGrantModel" },
    EmptyList { path: "/api/v3/enterprise/license/", model: "License" },
];

/// A list without filters: where there are no rows, all filters give the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Nothing;

impl Fields for Nothing {
    const FILTERS: &'static [About] = &[];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &[];
}

static NOTHING: ListTable<FieldFilter<Nothing>, &'static str> =
    small_list::table("Changes nothing: the list is empty.", "Changes nothing: the list is empty.");

impl EmptyList {
    /// What answers at the address. It is for administrators.
    pub fn address(&self) -> MethodRouter<App> {
        Endpoint::new(self.model, "A list that is empty: Rollcall has none of these")
            .needs(administrators)
            .on(Method::GET, list)
            .route()
    }

    /// The list that an address would name a row of. The router does not know such addresses: there are no rows.
    #[must_use]
    pub fn of_row(path: &str) -> Option<&'static Self> {
        let is_row = |rest: &str| rest.strip_suffix('/').is_some_and(|name| !name.is_empty() && !name.contains('/'));
        EMPTY_LISTS.iter().find(|list| path.strip_prefix(list.path).is_some_and(is_row))
    }

    /// The answer to a request about a row: to administrators that it is not there, and that it cannot be changed.
    pub async fn answer_row(&self, app: App, request: Request) -> Response {
        let endpoint = Endpoint::new(self.model, "Rollcall has none of these").needs(administrators);
        endpoint.on(Method::GET, |_, _| async { Err(ApiError::NotFound) }).respond(app, request).await
    }

    /// The name of the operation: the address with `_`.
    fn operation_id(&self) -> String {
        let path = self.path.trim_start_matches("/api/v3/").trim_end_matches('/');
        format!("{}_list", path.replace('/', "_"))
    }

    fn tag(&self) -> &'static str {
        self.path.trim_start_matches("/api/v3/").split('/').next().unwrap_or_default()
    }
}

async fn list(_: App, call: Call) -> Answer {
    // No parameter is unknown: none could give rows.
    Ok(ok(&small_list::page(&NOTHING, &call.query, false, Vec::new())?))
}

/// Adds the addresses and the models to the description.
pub fn describe(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_default();
    for list in EMPTY_LISTS {
        let row = ObjectBuilder::new()
            .description(Some("Rollcall has none of these: the list is empty."))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)));
        let page = ObjectBuilder::new()
            .property("pagination", Ref::from_schema_name("Pagination"))
            .property("results", ArrayBuilder::new().items(Ref::from_schema_name(list.model)))
            .property("autocomplete", ObjectBuilder::new().description(Some("Always an empty object here.")));
        let page: Schema = ["pagination", "results", "autocomplete"].into_iter().fold(page, ObjectBuilder::required).into();
        let page_name = format!("Paginated{}List", list.model);
        components.schemas.entry(list.model.to_owned()).or_insert_with(|| RefOr::T(row.into()));
        components.schemas.entry(page_name.clone()).or_insert_with(|| RefOr::T(page));
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(page_name))).build();
        let response = ResponseBuilder::new().description("An empty page.").content("application/json", content).build();
        let operation = OperationBuilder::new()
            .operation_id(Some(list.operation_id()))
            .tag(list.tag())
            .summary(Some(format!("Lists no rows: Rollcall has no {}.", list.model)))
            .parameters(Some(NOTHING.parameters()))
            .response("200", response)
            .build();
        openapi.paths.paths.insert(list.path.to_owned(), PathItem::new(HttpMethod::Get, operation));
    }
}
