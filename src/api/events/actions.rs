//! Kinds of events in authentik's words: the action of each, the module that would have written it, and the
//! object it is about.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! actions {
    ($($word:ident = $text:literal, $title:literal;)+) => {
        /// What happened, in authentik's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[expect(missing_docs, reason = "the words are authentik's")]
        pub enum EventActions {
            $(#[serde(rename = $text)] $word,)+
        }

        impl EventActions {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word, such as `login_failed`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }

            /// The word as people read it.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$word => $title),+ }
            }
        }
    };
}

actions! {
    Login = "login", "Login";
    LoginFailed = "login_failed", "Login Failed";
    Logout = "logout", "Logout";
    UserWrite = "user_write", "User Write";
    UserOffboarded = "user_offboarded", "User Offboarded";
    SuspiciousRequest = "suspicious_request", "Suspicious Request";
    PasswordSet = "password_set", "Password Set";
    SecretView = "secret_view", "Secret View";
    SecretRotate = "secret_rotate", "Secret Rotate";
    InvitationUsed = "invitation_used", "Invite Used";
    AuthorizeApplication = "authorize_application", "Authorize Application";
    SourceLinked = "source_linked", "Source Linked";
    ImpersonationStarted = "impersonation_started", "Impersonation Started";
    ImpersonationEnded = "impersonation_ended", "Impersonation Ended";
    FlowExecution = "flow_execution", "Flow Execution";
    PolicyExecution = "policy_execution", "Policy Execution";
    PolicyException = "policy_exception", "Policy Exception";
    PropertyMappingException = "property_mapping_exception", "Property Mapping Exception";
    SystemTaskExecution = "system_task_execution", "System Task Execution";
    SystemTaskException = "system_task_exception", "System Task Exception";
    SystemException = "system_exception", "System Exception";
    ConfigurationError = "configuration_error", "Configuration Error";
    ConfigurationWarning = "configuration_warning", "Configuration Warning";
    ModelCreated = "model_created", "Model Created";
    ModelUpdated = "model_updated", "Model Updated";
    ModelDeleted = "model_deleted", "Model Deleted";
    EmailSent = "email_sent", "Email Sent";
    UpdateAvailable = "update_available", "Update Available";
    ExportReady = "export_ready", "Export Ready";
    ReviewInitiated = "review_initiated", "Review Initiated";
    ReviewOverdue = "review_overdue", "Review Overdue";
    ReviewAttested = "review_attested", "Review Attested";
    ReviewCompleted = "review_completed", "Review Completed";
    AccessRequestCreated = "access_request_created", "Access Request Created";
    AccessRequestApproved = "access_request_approved", "Access Request Approved";
    AccessRequestDenied = "access_request_denied", "Access Request Denied";
    AccessRequestRevoked = "access_request_revoked", "Access Request Revoked";
    Custom = "custom_", "Custom Prefix";
}

impl PartialSchema for EventActions {
    fn schema() -> RefOr<Schema> {
        let words = Self::ALL.iter().map(|action| action.as_str());
        let about = "What happened, in authentik's words.";
        ObjectBuilder::new().schema_type(Type::String).description(Some(about)).enum_values(Some(words)).into()
    }
}

impl ToSchema for EventActions {
    fn name() -> Cow<'static, str> {
        "EventActions".into()
    }
}

/// A kind of object that events are about: authentik's module and model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// The module, such as `authentik_core`.
    pub app: &'static str,
    /// The model, such as `user`.
    pub name: &'static str,
}

/// A session.
pub const SESSION: Model = Model { app: "authentik_core", name: "authenticatedsession" };
/// A user.
pub const USER: Model = Model { app: "authentik_core", name: "user" };
/// A group.
pub const GROUP: Model = Model { app: "authentik_core", name: "group" };
/// A token.
pub const TOKEN: Model = Model { app: "authentik_core", name: "token" };
/// An application.
pub const APPLICATION: Model = Model { app: "authentik_core", name: "application" };
/// The policy of the instance, of a group or of a user.
pub const POLICY: Model = Model { app: "authentik_stages_user_login", name: "userloginstage" };

/// What an event of that kind is in authentik's words: the action, the module that wrote it, the kind of object.
#[rustfmt::skip]
fn said(kind: &str) -> (EventActions, &'static str, Option<Model>) {
    use EventActions as A;
    const AUTH: &str = "authentik.core.auth";
    const MODELS: &str = "authentik.core.models";
    match kind {
        "sign_in" => (A::Login, AUTH, None),
        "sign_in_failed" | "sign_in_refused" | "factor_failed" => (A::LoginFailed, AUTH, None),
        "sign_out" => (A::Logout, AUTH, None),
        "sign_in_limited" | "ends_refused" | "token_reused" | "source_alert" => (A::SuspiciousRequest, AUTH, None),
        "password_set" => (A::PasswordSet, AUTH, None),
        "application_opened" => (A::AuthorizeApplication, "authentik.providers.oauth2.views.authorize", None),
        "identity_too_large" => (A::ConfigurationError, "authentik.events.models", None),
        "notice_given_up" => (A::ConfigurationWarning, "authentik.events.models", None),
        "client_secret_added" | "client_secret_removed" | "keys_rotated" => (A::SecretRotate, MODELS, None),
        "session_revoked" | "source_session_ended" => (A::ModelDeleted, MODELS, Some(SESSION)),
        "user_added" => (A::ModelCreated, MODELS, Some(USER)),
        "user_changed" | "user_activated" | "user_deactivated" => (A::ModelUpdated, MODELS, Some(USER)),
        "user_removed" | "user_erased" => (A::ModelDeleted, MODELS, Some(USER)),
        "group_added" => (A::ModelCreated, MODELS, Some(GROUP)),
        "group_changed" => (A::ModelUpdated, MODELS, Some(GROUP)),
        "group_removed" => (A::ModelDeleted, MODELS, Some(GROUP)),
        "policy_set" => (A::ModelUpdated, MODELS, Some(POLICY)),
        "token_added" => (A::ModelCreated, MODELS, Some(TOKEN)),
        "token_changed" => (A::ModelUpdated, MODELS, Some(TOKEN)),
        "token_removed" => (A::ModelDeleted, MODELS, Some(TOKEN)),
        "application_added" => (A::ModelCreated, MODELS, Some(APPLICATION)),
        "application_changed" => (A::ModelUpdated, MODELS, Some(APPLICATION)),
        "application_removed" => (A::ModelDeleted, MODELS, Some(APPLICATION)),
        "token_key_shown" => (A::SecretView, MODELS, Some(TOKEN)),
        _ => (A::Custom, "authentik.events.models", None),
    }
}

/// The action of a kind.
#[must_use]
pub fn action(kind: &str) -> EventActions {
    said(kind).0
}

/// The module that authentik would have written it from.
#[must_use]
pub fn module(kind: &str) -> &'static str {
    said(kind).1
}

/// The kind of object that events of this kind are about, where they name one.
#[must_use]
pub fn model(kind: &str) -> Option<Model> {
    said(kind).2
}

/// The kind of object that the filters of objects look at: `model` of the context alone. What was shown of a token is in
/// `secret`, which authentik's filters do not look at.
#[must_use]
pub fn filtered_model(kind: &str) -> Option<Model> {
    model(kind).filter(|_| action(kind) != EventActions::SecretView)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;
    use crate::store::events::query::CHANGES_OF_USERS;

    #[test]
    fn the_words_are_authentiks() {
        assert_eq!(EventActions::ALL.len(), 38);
        for action in EventActions::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        let of = |wanted: EventActions| EventKind::ALL.iter().filter(|kind| action(kind.as_str()) == wanted).count();
        assert_eq!((of(EventActions::Login), of(EventActions::LoginFailed), of(EventActions::Logout)), (1, 3, 1));
        assert_eq!(action("of a newer version"), EventActions::Custom);
    }

    #[test]
    fn changes_of_users_are_found_by_their_index() {
        for kind in EventKind::ALL {
            let is_change = matches!(model(kind.as_str()), Some(USER | POLICY));
            assert_eq!(CHANGES_OF_USERS.contains(&kind.as_str()), is_change, "{}", kind.as_str());
        }
    }
}
