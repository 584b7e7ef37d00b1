//! Tokens in authentik's words.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::core::users::wire::{Shown, User};
use crate::api::core::wire::Dashed;
use crate::api::list::{Empty, Pagination};
use crate::domain::Timestamp;
use crate::domain::user::TokenIntent;
use crate::store::people::token_list::TokenDetail;
use crate::store::people::user_list::ListedUser;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentEnum {
    /// Proves an address.
    Verification,
    /// The API.
    Api,
    /// Sets a password: a link.
    Recovery,
    /// Applications, as a password.
    AppPassword,
}

impl From<TokenIntent> for IntentEnum {
    fn from(intent: TokenIntent) -> Self {
        match intent {
            TokenIntent::Verification => Self::Verification,
            TokenIntent::Api => Self::Api,
            TokenIntent::Recovery => Self::Recovery,
            TokenIntent::AppPassword => Self::AppPassword,
        }
    }
}

/// A token, without its key.
#[derive(Serialize, ToSchema)]
pub struct Token<'a> {
    /// Addresses have the identifier, not this.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// What made it; null: people.
    #[schema(required)]
    managed: Option<&'a str>,
    /// What names it in addresses.
    #[schema(max_length = 255, pattern = "^[-a-zA-Z0-9_]+$")]
    identifier: &'a str,
    intent: IntentEnum,
    /// The owner's primary key.
    user: i64,
    /// The owner.
    user_obj: User<'a>,
    /// What it is for.
    description: &'a str,
    /// When it ends; null: never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// Whether it ends.
    expiring: bool,
    /// What it may do of what its owner may; empty: all of it. Ours, not authentik's.
    rollcall_scopes: Vec<&'static str>,
    /// The slugs of the applications that an app password opens. Ours, not authentik's.
    rollcall_applications: &'a [String],
    /// When it was last used, to five minutes; null: never. Ours, not authentik's.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    rollcall_last_used: Option<Timestamp>,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedTokenList)]
pub struct TokenPage<'a> {
    /// Where the page is among the others.
    pub pagination: Pagination,
    /// The tokens of this page.
    pub results: Vec<Token<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

impl<'a> Token<'a> {
    /// A token, its owner, and the slugs of the applications that it opens.
    #[must_use]
    pub fn new(token: &'a TokenDetail, owner: &'a ListedUser, applications: &'a [String]) -> Self {
        Self {
            pk: Dashed(token.uuid),
            managed: token.managed.as_deref(),
            identifier: &token.identifier,
            intent: TokenIntent::parse(&token.intent).map_or(IntentEnum::Verification, Into::into),
            user: token.user_id.0,
            user_obj: User::new(owner, Shown { groups: true, roles: true }),
            description: &token.description,
            expires: token.is_expiring.then_some(token.expires_at),
            expiring: token.is_expiring,
            rollcall_scopes: token.scopes.words(),
            rollcall_applications: applications,
            rollcall_last_used: token.last_used_at,
        }
    }
}

/// A token to make, or its fields. Fields that are not sent stay as they are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct TokenRequest {
    /// What names it in addresses.
    #[schema(min_length = 1, max_length = 255, pattern = "^[-a-zA-Z0-9_]+$")]
    identifier: String,
    /// `api` unless given; only `api` and `app_password` can be made.
    #[schema(required = false)]
    intent: IntentEnum,
    /// The owner: the caller unless an administrator names somebody else. It cannot be changed.
    #[schema(required = false)]
    user: i64,
    /// What it is for.
    #[schema(required = false)]
    description: String,
    /// When an app password ends. Tokens for the API live for `api.token_lifetime`, whatever is sent.
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    expires: Option<String>,
    /// Whether it ends: true unless given.
    #[schema(required = false)]
    expiring: bool,
    /// What it may do of what its owner may; empty: all of it.
    #[schema(required = false)]
    rollcall_scopes: Vec<String>,
    /// The slugs of the applications that an app password opens; it opens no others.
    #[schema(required = false)]
    rollcall_applications: Vec<String>,
}

/// The fields of a token that change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedTokenRequest {
    /// What names it in addresses.
    #[schema(required = false, min_length = 1, max_length = 255, pattern = "^[-a-zA-Z0-9_]+$")]
    identifier: String,
    /// `api` or `app_password`.
    #[schema(required = false)]
    intent: IntentEnum,
    /// The owner, which cannot be changed.
    #[schema(required = false)]
    user: i64,
    /// What it is for.
    #[schema(required = false)]
    description: String,
    /// When an app password ends.
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    expires: Option<String>,
    /// Whether it ends.
    #[schema(required = false)]
    expiring: bool,
    /// What it may do of what its owner may; empty: all of it.
    #[schema(required = false)]
    rollcall_scopes: Vec<String>,
    /// The slugs of the applications that an app password opens; it opens no others.
    #[schema(required = false)]
    rollcall_applications: Vec<String>,
}

/// The key of a token.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    /// The key itself.
    pub key: String,
}

/// A key to set.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct TokenSetKeyRequest {
    /// At least 16 characters, of which six differ; no blanks.
    #[schema(min_length = 16)]
    key: String,
}
