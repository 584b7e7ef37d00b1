//! `/api/v3/core/brands/current/`: what the pages look like. It is for everybody.

use axum::response::Response;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::endpoint::ok;
use crate::api::flows::{SIGN_IN, SIGN_OUT};
use crate::api::open;

/// The address of the picture that all pages have.
const ICON: &str = "/static/icon.svg";

/// What the pages look like.
#[derive(Serialize, ToSchema)]
pub struct CurrentBrand {
    matched_domain: &'static str,
    branding_title: &'static str,
    branding_logo: &'static str,
    /// Always null.
    #[schema(required)]
    branding_logo_themed_urls: Option<ThemedUrls>,
    branding_favicon: &'static str,
    /// Always null.
    #[schema(required)]
    branding_favicon_themed_urls: Option<ThemedUrls>,
    branding_custom_css: &'static str,
    branding_map_tiles: &'static str,
    /// Always empty.
    ui_footer_links: Vec<FooterLink>,
    ui_theme: UiThemeEnum,
    /// The slug of the flow that signs in.
    flow_authentication: &'static str,
    /// The slug of the flow that signs out.
    flow_invalidation: &'static str,
    /// Always `""`: the browser decides.
    default_locale: &'static str,
    flags: CurrentBrandFlags,
}

/// A link at the end of each page.
#[derive(Serialize, ToSchema)]
pub struct FooterLink {
    #[schema(required)]
    href: Option<String>,
    name: String,
}

/// A picture's addresses for the light and the dark theme.
#[derive(Serialize, ToSchema)]
pub struct ThemedUrls {
    light: String,
    dark: String,
}

/// Which theme the pages have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UiThemeEnum {
    /// The browser decides.
    Automatic,
    /// The light one.
    Light,
    /// The dark one.
    Dark,
}

/// What else the pages do.
#[derive(Serialize, ToSchema)]
pub struct CurrentBrandFlags {
    /// Always false.
    flows_continuous_login: bool,
    /// Always false.
    flows_refresh_others: bool,
}

/// The address.
pub fn current() -> MethodRouter<App> {
    open::address("Current Brand", "What the pages look like", retrieve_current)
}

/// Says what the pages look like.
#[utoipa::path(
    get, path = "/api/v3/core/brands/current/", operation_id = "core_brands_current_retrieve", tag = "core", security(()),
    responses((status = 200, body = CurrentBrand, description = "What the pages look like."))
)]
pub(crate) fn retrieve_current(_: &App) -> Response {
    ok(&CurrentBrand {
        matched_domain: "authentik-default",
        branding_title: "Rollcall",
        branding_logo: ICON,
        branding_logo_themed_urls: None,
        branding_favicon: ICON,
        branding_favicon_themed_urls: None,
        branding_custom_css: "",
        branding_map_tiles: "",
        ui_footer_links: Vec::new(),
        ui_theme: UiThemeEnum::Automatic,
        flow_authentication: SIGN_IN,
        flow_invalidation: SIGN_OUT,
        default_locale: "",
        flags: CurrentBrandFlags { flows_continuous_login: false, flows_refresh_others: false },
    })
}
