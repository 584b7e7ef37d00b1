//! Applications in authentik's words.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::core::wire::Dashed;
use crate::api::providers::wire::Provider;
use crate::api::small_list::small_pages;
use crate::domain::application::Application as Stored;

/// An application.
#[derive(Serialize, ToSchema)]
pub struct Application {
    /// What names it for ever.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// The same: what bindings name as their target.
    #[schema(value_type = String, format = Uuid)]
    pbm_uuid: Dashed,
    /// Its name.
    name: String,
    /// What names it in addresses.
    slug: String,
    /// Its client, else its guard, by primary key; null: none.
    #[schema(required)]
    provider: Option<i64>,
    /// The same with details.
    #[schema(required)]
    provider_obj: Option<Provider>,
    /// Always empty.
    backchannel_providers: [i64; 0],
    /// Always empty.
    backchannel_providers_obj: [Provider; 0],
    /// Where it is opened; null: nowhere.
    #[schema(required)]
    launch_url: Option<String>,
    /// Whether it is opened in a new tab.
    open_in_new_tab: bool,
    /// Where it is opened, if that was set, or `""`.
    meta_launch_url: String,
    /// The address of its icon, or `""`.
    meta_icon: String,
    /// The same, or null.
    #[schema(required)]
    meta_icon_url: Option<String>,
    /// Always null.
    #[schema(required)]
    meta_icon_themed_urls: Option<Value>,
    /// What it is, or `""`.
    meta_description: String,
    /// Who makes it, or `""`.
    meta_publisher: String,
    /// Always `any`.
    policy_engine_mode: &'static str,
    /// The heading that it is listed under, or `""`.
    group: String,
    /// Whether My apps leaves it out.
    meta_hide: bool,
    /// The demand: what must hold before it opens. Ours.
    rollcall_access: Value,
}

impl Application {
    /// An application in authentik's words.
    #[must_use]
    pub fn new(stored: &Stored) -> Self {
        let (display, uuid) = (&stored.display, Dashed(stored.uuid));
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            pk: uuid,
            pbm_uuid: uuid,
            name: stored.name.clone(),
            slug: stored.slug.clone(),
            provider: stored.shown_provider(),
            provider_obj: Provider::shown(stored),
            backchannel_providers: [],
            backchannel_providers_obj: [],
            launch_url: stored.launch_url(),
            open_in_new_tab: display.open_in_new_tab,
            meta_launch_url: display.launch_url.clone(),
            meta_icon: display.icon.clone(),
            meta_icon_url: text(&display.icon),
            meta_icon_themed_urls: None,
            meta_description: display.description.clone(),
            meta_publisher: display.publisher.clone(),
            policy_engine_mode: "any",
            group: display.group.clone(),
            meta_hide: display.is_hidden,
            rollcall_access: serde_json::to_value(&stored.access).unwrap_or(Value::Null),
        }
    }
}

small_pages! {
    /// A page of applications.
    ApplicationPage of Application = PaginatedApplicationList;
}

/// An application to add, or an application's fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct ApplicationRequest {
    /// Its name.
    #[schema(min_length = 1, max_length = 150)]
    name: String,
    /// What names it in addresses: letters, digits, `-` and `_`.
    #[schema(min_length = 1, max_length = 50)]
    slug: String,
    /// A guard or a client, by primary key, in place of the one that is shown; null: none.
    provider: Option<i64>,
    /// Must be empty.
    #[schema(nullable = false)]
    backchannel_providers: Option<Vec<i64>>,
    /// Whether it is opened in a new tab.
    #[schema(nullable = false)]
    open_in_new_tab: Option<bool>,
    /// Where it is opened: an http or https address, or `""`.
    #[schema(nullable = false)]
    meta_launch_url: Option<String>,
    /// The address of its icon, or `""`.
    #[schema(nullable = false)]
    meta_icon: Option<String>,
    /// What it is.
    #[schema(nullable = false)]
    meta_description: Option<String>,
    /// Who makes it.
    #[schema(nullable = false)]
    meta_publisher: Option<String>,
    /// Must be `any`.
    #[schema(nullable = false)]
    policy_engine_mode: Option<String>,
    /// The heading that it is listed under.
    #[schema(nullable = false)]
    group: Option<String>,
    /// Whether My apps leaves it out.
    #[schema(nullable = false)]
    meta_hide: Option<bool>,
    /// The demand. A new application without one opens for everybody who is signed in, until its first binding. Ours.
    #[schema(nullable = false)]
    rollcall_access: Option<Value>,
}

/// Fields of an application to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedApplicationRequest {
    /// Its name.
    #[schema(nullable = false, min_length = 1, max_length = 150)]
    name: Option<String>,
    /// What names it in addresses.
    #[schema(nullable = false, min_length = 1, max_length = 50)]
    slug: Option<String>,
    /// A guard or a client, by primary key, in place of the one that is shown; null: none.
    provider: Option<i64>,
    /// The demand. Ours.
    #[schema(nullable = false)]
    rollcall_access: Option<Value>,
}

/// Whether a user may open an application.
#[derive(Serialize, ToSchema)]
pub struct PolicyTestResult {
    /// Whether they may.
    pub passing: bool,
    /// What is missing.
    pub messages: Vec<String>,
    /// Always empty.
    #[schema(value_type = Vec<Value>)]
    pub log_messages: [String; 0],
}
