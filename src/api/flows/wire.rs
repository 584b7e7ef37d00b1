//! The challenges of a flow and the answers to them, for the description: [`executor`](crate::api::flows::executor) writes
//! and reads them by hand.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::schema::{Discriminator, ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, RefOr};

use crate::api::core::brands::ThemedUrls;
use crate::api::flows::instances::{FlowDesignationEnum, FlowLayoutEnum};

/// Each component with the model of its challenge, and that of the answer to it, if it takes one.
const COMPONENTS: [(&str, &str, Option<&str>); 7] = [
    ("ak-stage-access-denied", "AccessDeniedChallenge", None),
    (
        "ak-stage-authenticator-validate",
        "AuthenticatorValidationChallenge",
        Some("AuthenticatorValidationChallengeResponseRequest"),
    ),
    ("ak-stage-identification", "IdentificationChallenge", Some("IdentificationChallengeResponseRequest")),
    ("ak-stage-password", "PasswordChallenge", Some("PasswordChallengeResponseRequest")),
    ("ak-stage-prompt", "PromptChallenge", Some("PromptChallengeResponseRequest")),
    ("ak-stage-user-login", "UserLoginChallenge", Some("UserLoginChallengeResponseRequest")),
    ("xak-flow-redirect", "RedirectChallenge", None),
];

/// Objects that have a `component`.
macro_rules! models {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })+) => {$(
        $(#[doc = $doc])+
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes what is written and read by hand")]
        pub struct $name {
            /// Which challenge it is, or which one it answers.
            component: String,
            $($(#[$attribute])* $field: $type,)*
        }
    )+};
}

models! {
    /// Asks who signs in.
    IdentificationChallenge {
        flow_info: ContextualFlowInfo,
        #[schema(required = false, nullable = false)] response_errors: Option<BTreeMap<String, Vec<ErrorDetail>>>,
        /// What a user can be named by: `username`, `email`.
        user_fields: Vec<String>,
        /// Always false: the password comes next.
        password_fields: bool,
        flow_designation: FlowDesignationEnum,
        primary_action: String,
        /// Always empty.
        #[schema(value_type = Vec<Object>)] sources: Vec<BTreeMap<String, String>>,
        /// Always false.
        show_source_labels: bool,
        /// Always false.
        enable_remember_me: bool,
    }
    /// Asks for the password.
    PasswordChallenge {
        flow_info: ContextualFlowInfo,
        #[schema(required = false, nullable = false)] response_errors: Option<BTreeMap<String, Vec<ErrorDetail>>>,
        pending_user: String,
        pending_user_avatar: String,
        /// Always false.
        allow_show_password: bool,
    }
    /// Asks for a second factor.
    AuthenticatorValidationChallenge {
        flow_info: ContextualFlowInfo,
        #[schema(required = false, nullable = false)] response_errors: Option<BTreeMap<String, Vec<ErrorDetail>>>,
        pending_user: String,
        pending_user_avatar: String,
        /// Always empty.
        #[schema(value_type = Vec<Object>)] configuration_stages: Vec<BTreeMap<String, String>>,
        /// What may be used.
        device_challenges: Vec<DeviceChallenge>,
    }
    /// Asks whether to stay signed in.
    UserLoginChallenge {
        flow_info: ContextualFlowInfo,
        #[schema(required = false, nullable = false)] response_errors: Option<BTreeMap<String, Vec<ErrorDetail>>>,
        pending_user: String,
        pending_user_avatar: String,
    }
    /// Asks whether signing out was meant: any answer says so.
    PromptChallenge {
        flow_info: ContextualFlowInfo,
        /// Always empty.
        #[schema(value_type = Vec<Object>)] fields: Vec<BTreeMap<String, String>>,
    }
    /// The conversation ended without a sign-in.
    AccessDeniedChallenge {
        flow_info: ContextualFlowInfo,
        #[schema(required = false, nullable = false)] response_errors: Option<BTreeMap<String, Vec<ErrorDetail>>>,
        pending_user: String,
        pending_user_avatar: String,
        error_message: String,
    }
    /// The conversation ended: the page leads on.
    RedirectChallenge {
        flow_info: ContextualFlowInfo,
        /// Where to.
        to: String,
    }
    /// Says who signs in.
    IdentificationChallengeResponseRequest {
        /// A username or an e-mail address.
        uid_field: String,
    }
    /// The password.
    PasswordChallengeResponseRequest {
        password: String,
    }
    /// A code, or what a passkey answered.
    AuthenticatorValidationChallengeResponseRequest {
        /// Of an authenticator app, or a recovery code.
        #[schema(required = false, nullable = false)] code: Option<String>,
        /// What the browser gave, as JSON.
        #[schema(required = false, nullable = false, value_type = Option<Object>)] webauthn: Option<BTreeMap<String, String>>,
    }
    /// Whether to stay signed in.
    UserLoginChallengeResponseRequest {
        remember_me: bool,
    }
    /// Signing out was meant.
    PromptChallengeResponseRequest {}
}

/// What the page of a flow says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub struct ContextualFlowInfo {
    title: String,
    /// Always `""`.
    background: String,
    /// Always null.
    #[schema(required)]
    background_themed_urls: Option<ThemedUrls>,
    /// Where the page leads a user who gives up.
    cancel_url: String,
    layout: FlowLayoutEnum,
}

/// What is wrong with a field of the answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub struct ErrorDetail {
    /// In a sentence.
    string: String,
    /// Always `invalid`.
    code: String,
}

/// Kinds of second factors.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClassesEnum {
    /// Recovery codes.
    Static,
    /// An authenticator app.
    Totp,
    /// A passkey.
    WebAuthn,
}

/// A second factor that may be used.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub struct DeviceChallenge {
    device_class: DeviceClassesEnum,
    device_uid: String,
    /// Of a passkey what the browser is to ask it, else empty.
    #[schema(value_type = Object)]
    challenge: BTreeMap<String, String>,
    /// When it last proved something; null: never, or not known.
    #[schema(required, format = DateTime)]
    last_used: Option<String>,
}

/// A challenge: `component` says which.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ChallengeTypes {
    /// The sign-in is refused.
    AccessDenied(AccessDeniedChallenge),
    /// A second factor is needed.
    AuthenticatorValidation(AuthenticatorValidationChallenge),
    /// A name is needed.
    Identification(IdentificationChallenge),
    /// A password is needed.
    Password(PasswordChallenge),
    /// A word that it was meant is needed.
    Prompt(PromptChallenge),
    /// Nothing is needed.
    Redirect(RedirectChallenge),
    /// A choice is needed.
    UserLogin(UserLoginChallenge),
}

/// The answer to a challenge: `component` is that of the challenge.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum FlowChallengeResponseRequest {
    /// To `ak-stage-authenticator-validate`.
    AuthenticatorValidation(AuthenticatorValidationChallengeResponseRequest),
    /// To `ak-stage-identification`.
    Identification(IdentificationChallengeResponseRequest),
    /// To `ak-stage-password`.
    Password(PasswordChallengeResponseRequest),
    /// To `ak-stage-prompt`.
    Prompt(PromptChallengeResponseRequest),
    /// To `ak-stage-user-login`.
    UserLogin(UserLoginChallengeResponseRequest),
}

/// Says in the description which `component` each model has.
pub fn describe(openapi: &mut OpenApi) {
    let schemas = &mut openapi.components.get_or_insert_default().schemas;
    for (component, challenge, answer) in COMPONENTS {
        for name in [Some(challenge), answer].into_iter().flatten() {
            if let Some(RefOr::T(Schema::Object(model))) = schemas.get_mut(name) {
                let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([component]));
                model.properties.insert("component".to_owned(), RefOr::T(word.into()));
            }
        }
    }
    let place = |name: &str| format!("#/components/schemas/{name}");
    let challenges = COMPONENTS.map(|(component, challenge, _)| (component, place(challenge)));
    let answers: Vec<_> = COMPONENTS.into_iter().filter_map(|(component, _, answer)| Some((component, place(answer?)))).collect();
    for (name, mapping) in [("ChallengeTypes", challenges.to_vec()), ("FlowChallengeResponseRequest", answers)] {
        if let Some(RefOr::T(Schema::OneOf(choice))) = schemas.get_mut(name) {
            choice.discriminator = Some(Discriminator::with_mapping("component", mapping));
        }
    }
}
