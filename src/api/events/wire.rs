//! Events in authentik's words.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::core::wire::Dashed;
use crate::api::events::actions::{self, APPLICATION, EventActions, GROUP, Model, POLICY, SESSION, TOKEN, USER};
use crate::api::list::{Empty, Pagination};
use crate::domain::event::EventContent;
use crate::domain::{Methods, Timestamp};
use crate::store::events::rows::EventRow;

/// The end of the year 9999: what is kept for ever expires then.
const NEVER: Timestamp = Timestamp(253_402_300_799_999_999);
/// The one brand there is.
pub const BRAND: &str = "Default";

/// An event: what happened, who did it, and from where.
#[derive(Serialize, ToSchema)]
pub struct Event {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// Who did it: `pk`, `username` and `email`. The names are of that time, the e-mail address is of now; a user who is
    /// gone has the primary key 0. Empty: no user did it.
    #[schema(value_type = Object)]
    user: Who,
    action: EventActions,
    /// The module of authentik that writes such events.
    app: &'static str,
    /// What it is about. It depends on the action; nothing in it is secret.
    #[schema(value_type = Object)]
    context: Context,
    /// Null when it is not known, or not kept any more.
    #[schema(required)]
    client_ip: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it is forgotten.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Always the same one.
    #[schema(value_type = Object)]
    brand: Object<'static>,
}

/// Who did it.
#[derive(Serialize)]
#[serde(untagged)]
enum Who {
    Nobody {},
    User { pk: i64, username: String, email: String },
}

/// An object of authentik's.
#[derive(Serialize)]
struct Object<'a> {
    pk: &'a str,
    app: &'a str,
    name: &'a str,
    model_name: &'a str,
}

/// What an event is about, and the request that it came with.
#[derive(Serialize)]
struct Context {
    #[serde(flatten)]
    about: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<Sent>,
}

/// A request, of which the id alone is stored.
#[derive(Serialize)]
struct Sent {
    path: &'static str,
    method: &'static str,
    args: Empty,
    user_agent: &'static str,
    request_id: String,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedEventList)]
pub struct EventPage {
    /// Where the page is among the others.
    pub pagination: Pagination,
    /// The events of this page.
    pub results: Vec<Event>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

impl Event {
    /// A stored event. `kept` is how long events are kept, zero for ever.
    #[must_use]
    pub fn new(row: &EventRow, kept: Duration) -> Self {
        let user = match row.actor_uuid {
            None => Who::Nobody {},
            Some(_) => {
                let (username, email) = (row.actor.clone(), row.actor_email.clone());
                Who::User { pk: row.actor_id.unwrap_or(0), username, email }
            }
        };
        Self {
            pk: Dashed(row.uuid),
            user,
            action: actions::action(row.kind()),
            app: actions::module(row.kind()),
            context: context(row),
            client_ip: (!row.ip.is_empty()).then(|| row.ip.clone()),
            created: row.at,
            expires: if kept.is_zero() { NEVER } else { row.at.plus(kept) },
            brand: Object { pk: "", app: "authentik_brands", name: BRAND, model_name: "brand" },
        }
    }

    /// Whether each folded term is part of the uuid, the user, the action, the module, the context or the address.
    #[must_use]
    pub fn has_all(&self, terms: &[String]) -> bool {
        let texts = [
            self.pk.0.hyphenated().to_string(),
            json_text(&self.user),
            self.action.as_str().to_owned(),
            self.app.to_owned(),
            json_text(&self.context),
            self.client_ip.clone().unwrap_or_default(),
        ];
        let texts = texts.map(|text| crate::domain::fold::fold(&text));
        terms.iter().all(|term| texts.iter().any(|text| text.contains(term)))
    }
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What an event is about.
fn context(row: &EventRow) -> Context {
    let mut context = Map::new();
    let mut put = |name: &str, value: Value| context.insert(name.to_owned(), value);
    match actions::action(row.kind()) {
        EventActions::Login => {
            let methods = match &row.content {
                EventContent::SignIn { methods } => Methods::parse(methods),
                _ => Methods::default(),
            };
            let has_password = methods.words().contains(&"pwd");
            put("auth_method", json!(if has_password { "password" } else { "auth_webauthn_pwl" }));
            put("auth_method_args", json!({ "methods": methods }));
        }
        EventActions::LoginFailed => {
            let (app, name) = match row.kind() {
                "factor_failed" => ("authentik_stages_authenticator_validate", "authenticatorvalidatestage"),
                _ => ("authentik_stages_password", "passwordstage"),
            };
            put("username", json!(row.username));
            put("stage", json!({ "pk": "", "app": app, "name": row.kind(), "model_name": name }));
        }
        EventActions::Logout | EventActions::PasswordSet => {}
        EventActions::SuspiciousRequest => {
            put("message", json!(row.text()));
        }
        EventActions::AuthorizeApplication => {
            put("authorized_application", application(&row.application, row.application_uuid));
        }
        EventActions::SecretView => {
            put("secret", object(row));
        }
        EventActions::ModelCreated | EventActions::ModelUpdated | EventActions::ModelDeleted => {
            put("model", object(row));
        }
        _ => {
            put("kind", json!(row.kind()));
            put("message", json!(row.text()));
            for (name, value) in row.content.to_json() {
                put(&name, value);
            }
        }
    }
    if row.actor_uuid.is_none() && row.request_id.is_empty() {
        return Context { about: context, http_request: None };
    }
    context.remove("http_request");
    let request = Sent { path: "", method: "", args: Empty {}, user_agent: "", request_id: row.request_id.clone() };
    Context { about: context, http_request: Some(request) }
}

/// An application as events name it: by its slug, and by its primary key if it exists now.
#[must_use]
pub fn application(slug: &str, uuid: Option<Uuid>) -> Value {
    let Model { app, name: model_name } = APPLICATION;
    json!({ "pk": undashed(uuid), "app": app, "name": slug, "model_name": model_name })
}

/// A uuid without dashes; `""`: there is none.
fn undashed(uuid: Option<Uuid>) -> String {
    uuid.map(|uuid| uuid.simple().to_string()).unwrap_or_default()
}

/// The object that an event is about: its primary key, its kind and its name.
fn object(row: &EventRow) -> Value {
    let Some(model) = actions::model(row.kind()) else { return json!({}) };
    let content = row.content.to_json();
    let text = |name: &str| content.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Events of earlier versions have no uuid: then it is that of the object which has the name now.
    let uuid = |name: &str, now: Option<Uuid>| Some(text(name)).filter(|uuid| !uuid.is_empty()).unwrap_or_else(|| undashed(now));
    let (pk, name) = match model {
        SESSION => (json!(undashed(row.session.map(|id| id.0))), row.username.clone()),
        // A user who is gone has no key: another may get theirs.
        USER => (json!(row.user_id.unwrap_or(0)), row.username.clone()),
        TOKEN => (json!(text("token_uuid")), text("token")),
        GROUP => (json!(uuid("group_uuid", row.group_uuid)), text("group")),
        APPLICATION => (json!(uuid("application_uuid", row.application_uuid)), text("application")),
        // Whose policy it is: a group's or a user's.
        POLICY if content.get("group").is_some_and(Value::is_string) => (json!(uuid("group_uuid", row.group_uuid)), text("group")),
        POLICY => (json!(undashed(row.user_uuid)), row.username.clone()),
        _ => (json!(""), String::new()),
    };
    json!({ "pk": pk, "app": model.app, "name": name, "model_name": model.name })
}
