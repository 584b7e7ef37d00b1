//! Clients in authentik's words.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::core::wire::Dashed;
use crate::api::duration;
use crate::api::providers::wire::{Provider, text, uuid};
use crate::api::small_list::small_pages;
use crate::config::PublicUrl;
use crate::domain::application::client::Client;
use crate::domain::application::{Application, ClientPart};
use crate::domain::oidc::device::GRANT;
use crate::domain::oidc::redirect::RedirectUri;

/// The grant types that clients have.
pub const CODE: &str = "authorization_code";
/// The grant type of refresh tokens.
pub const REFRESH: &str = "refresh_token";
/// The kept texts that say how long something lives.
pub const CODE_VALIDITY: &str = "access_code_validity";
/// The same of access tokens.
pub const ACCESS_VALIDITY: &str = "access_token_validity";
/// The same of refresh tokens.
pub const REFRESH_VALIDITY: &str = "refresh_token_validity";
/// How long before its end a refresh token is renewed: kept, and without effect, since each use renews it.
pub const THRESHOLD: &str = "refresh_token_threshold";
/// The default of the threshold, which is what Rollcall does.
const ALWAYS_RENEWED: &str = "seconds=0";

/// An address of a client.
#[derive(Serialize, ToSchema)]
pub struct RedirectUriShown {
    /// Always `strict`: exactly this address.
    matching_mode: &'static str,
    /// The address.
    url: String,
    /// `authorization`, or `logout` for after a sign-out.
    redirect_uri_type: &'static str,
}

/// A client.
#[derive(Serialize, ToSchema)]
pub struct OAuth2Provider {
    /// As in the list of all providers.
    #[serde(flatten)]
    provider: Provider,
    /// `confidential`, or `public` for an app that keeps no secret.
    client_type: &'static str,
    /// `authorization_code`, `refresh_token` if it gets refresh tokens, and the grant type of devices if they sign in by it.
    grant_types: Vec<&'static str>,
    /// What names it to Rollcall.
    #[schema(max_length = 255)]
    client_id: String,
    /// The secret, in the answer of the call that sets it alone, then `""`. With `api.readable_secrets` administrators can
    /// read it again.
    #[schema(max_length = 255)]
    client_secret: String,
    /// How long a code can be redeemed.
    access_code_validity: String,
    /// How long an access token is good; it ends with its session in any case.
    access_token_validity: String,
    /// How long a refresh token is good; it ends with its session in any case.
    refresh_token_validity: String,
    /// Kept, and without effect: each use of a refresh token renews it.
    refresh_token_threshold: String,
    /// Whether ID tokens have the claims of the scopes, too.
    include_claims_in_id_token: bool,
    /// Kept, and without effect: Rollcall has one set of keys.
    #[schema(required, value_type = Option<String>, format = Uuid)]
    signing_key: Option<Dashed>,
    /// Always null.
    #[schema(required, value_type = Option<String>, format = Uuid)]
    encryption_key: Option<Dashed>,
    /// Where codes may be sent, and where browsers may go on to after a sign-out.
    redirect_uris: Vec<RedirectUriShown>,
    /// Where the app is told that a session ended; `""`: nowhere.
    #[schema(format = "uri")]
    logout_uri: String,
    /// Always `backchannel`.
    logout_method: &'static str,
    /// Who its tokens take a user for.
    sub_mode: &'static str,
    /// Always `per_provider`.
    issuer_mode: &'static str,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    jwt_federation_sources: [String; 0],
    /// Always empty.
    jwt_federation_providers: [i64; 0],
    /// `opaque`, or `jwt`, which apps can check by themselves and then learn of an end when its time is over. Ours.
    rollcall_access_token: &'static str,
}

/// What was kept as a text for a number of seconds, while it still means that; else the seconds in authentik's form.
fn validity(kept: &Map<String, Value>, name: &str, seconds: u64) -> String {
    let micros = u128::from(seconds) * 1_000_000;
    let told = text(kept, name, "");
    let is_same = duration::parse(&told).and_then(|known| u128::try_from(known).ok()) == Some(micros);
    if is_same { told } else { duration::format(micros) }
}

fn addresses(client: &Client) -> Vec<RedirectUriShown> {
    let shown = |kind: &'static str| {
        move |uri: &RedirectUri| RedirectUriShown { matching_mode: "strict", url: uri.as_str().to_owned(), redirect_uri_type: kind }
    };
    let codes = client.redirect_uris.iter().map(shown("authorization"));
    codes.chain(client.post_logout_uris.iter().map(shown("logout"))).collect()
}

impl OAuth2Provider {
    /// A client in authentik's words, with its application, and with its secret where it may be shown.
    #[must_use]
    pub fn new(part: &ClientPart, application: Option<&Application>, secret: Option<&str>) -> Self {
        let (client, kept) = (&part.client, &part.kept);
        Self {
            provider: Provider::of_client(part, application),
            client_type: if client.is_public { "public" } else { "confidential" },
            grant_types: [CODE]
                .into_iter()
                .chain(client.refresh.then_some(REFRESH))
                .chain(client.device.then_some(GRANT))
                .collect(),
            client_id: part.client_id.clone(),
            client_secret: secret.unwrap_or_default().to_owned(),
            access_code_validity: validity(kept, CODE_VALIDITY, client.code_lifetime),
            access_token_validity: validity(kept, ACCESS_VALIDITY, client.access_lifetime),
            refresh_token_validity: validity(kept, REFRESH_VALIDITY, client.refresh_lifetime),
            refresh_token_threshold: text(kept, THRESHOLD, ALWAYS_RENEWED),
            include_claims_in_id_token: client.claims_in_id_token,
            signing_key: uuid(kept, "signing_key"),
            encryption_key: None,
            redirect_uris: addresses(client),
            logout_uri: client.back_channel_uri.as_ref().map(|uri| uri.as_str().to_owned()).unwrap_or_default(),
            logout_method: "backchannel",
            sub_mode: client.sub.as_str(),
            issuer_mode: "per_provider",
            jwt_federation_sources: [],
            jwt_federation_providers: [],
            rollcall_access_token: client.access_token.as_str(),
        }
    }
}

small_pages! {
    /// A page of clients.
    OAuth2ProviderPage of OAuth2Provider = PaginatedOAuth2ProviderList;
}

/// What an app is told of its client. Without an application, addresses that name it are `""`.
#[derive(Serialize, ToSchema)]
pub struct OAuth2ProviderSetupURLs {
    /// The issuer.
    issuer: String,
    /// Where browsers bring requests.
    authorize: String,
    /// Where codes become tokens.
    token: String,
    /// What an access token tells of its user.
    user_info: String,
    /// The document that names all of these.
    provider_info: String,
    /// Where an app sends its user to sign out.
    logout: String,
    /// The keys that sign.
    jwks: String,
    /// Always null: clients are not registered by themselves.
    #[schema(required)]
    dcr_registration: Option<String>,
}

impl OAuth2ProviderSetupURLs {
    /// The addresses of a client; `url` is Rollcall's, if it has one that apps can trust.
    #[must_use]
    pub fn new(url: Option<&PublicUrl>, application: Option<&Application>) -> Self {
        let at = |path: &str| url.map(|url| format!("{}/application/o/{path}", url.origin())).unwrap_or_default();
        let own = |path: &str| application.map(|it| at(&format!("{}/{path}", it.slug))).unwrap_or_default();
        Self {
            issuer: own(""),
            authorize: at("authorize/"),
            token: at("token/"),
            user_info: at("userinfo/"),
            provider_info: own(".well-known/openid-configuration"),
            logout: own("end-session/"),
            jwks: own("jwks/"),
            dcr_registration: None,
        }
    }
}

/// The longest text of the seconds of a lifetime, for errors.
#[must_use]
pub fn most(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

macro_rules! requests {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes what is read field by field")]
        pub struct $name {
            $($(#[$attribute])* $field: $kind,)+
            /// Kept, and without effect.
            #[schema(format = Uuid)]
            authentication_flow: Option<String>,
            /// Which scopes it may ask for; an empty list: all but `ak_proxy`.
            #[schema(nullable = false)]
            property_mappings: Option<Vec<String>>,
            /// `confidential` or `public`.
            #[schema(nullable = false)]
            client_type: Option<String>,
            /// `authorization_code`, always, `refresh_token`, and `urn:ietf:params:oauth:grant-type:device_code`.
            #[schema(nullable = false)]
            grant_types: Option<Vec<String>>,
            /// What names it; drawn if it is not given.
            #[schema(nullable = false, min_length = 1, max_length = 255)]
            client_id: Option<String>,
            /// Its secret, of 32 characters at least, which is the only one from then on; `""`: as it is, or drawn.
            #[schema(nullable = false, max_length = 255)]
            client_secret: Option<String>,
            /// How long a code can be redeemed, such as `minutes=1`: 10 minutes at most.
            #[schema(nullable = false, min_length = 1)]
            access_code_validity: Option<String>,
            /// How long an access token is good: a day at most.
            #[schema(nullable = false, min_length = 1)]
            access_token_validity: Option<String>,
            /// How long a refresh token is good: a year at most.
            #[schema(nullable = false, min_length = 1)]
            refresh_token_validity: Option<String>,
            /// Kept, and without effect.
            #[schema(nullable = false, min_length = 1)]
            refresh_token_threshold: Option<String>,
            /// Whether ID tokens have the claims of the scopes, too.
            #[schema(nullable = false)]
            include_claims_in_id_token: Option<bool>,
            /// Kept, and without effect.
            #[schema(format = Uuid)]
            signing_key: Option<String>,
            /// Must be null.
            #[schema(format = Uuid)]
            encryption_key: Option<String>,
            /// Where the app is told that a session ended; `""`: nowhere.
            #[schema(nullable = false)]
            logout_uri: Option<String>,
            /// `backchannel`.
            #[schema(nullable = false)]
            logout_method: Option<String>,
            /// Who its tokens take a user for; `user_upn` is refused.
            #[schema(nullable = false)]
            sub_mode: Option<String>,
            /// `per_provider`.
            #[schema(nullable = false)]
            issuer_mode: Option<String>,
            /// Must be empty.
            #[schema(nullable = false)]
            jwt_federation_sources: Option<Vec<String>>,
            /// Must be empty.
            #[schema(nullable = false)]
            jwt_federation_providers: Option<Vec<i64>>,
            /// `opaque` or `jwt`. Ours.
            #[schema(nullable = false)]
            rollcall_access_token: Option<String>,
        }
    )+};
}

/// An address of a client that is sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct RedirectUriRequest {
    /// `strict`; `regex` is refused.
    matching_mode: String,
    /// The address, exactly as the app sends it.
    #[schema(min_length = 1)]
    url: String,
    /// `authorization` unless given, or `logout` for after a sign-out.
    #[schema(nullable = false)]
    redirect_uri_type: Option<String>,
}

requests! {
    /// A client to add, or a client's fields.
    OAuth2ProviderRequest {
        /// Its name.
        #[schema(min_length = 1, max_length = 150)]
        name: String,
        /// `default-provider-authorization-explicit-consent` asks users each time; any other does not.
        #[schema(format = Uuid)]
        authorization_flow: String,
        /// Kept, and without effect.
        #[schema(format = Uuid)]
        invalidation_flow: String,
        /// Where codes may be sent, and where browsers may go on to after a sign-out.
        redirect_uris: Vec<RedirectUriRequest>,
    }
    /// Fields of a client to change.
    PatchedOAuth2ProviderRequest {
        /// Its name.
        #[schema(nullable = false, min_length = 1, max_length = 150)]
        name: Option<String>,
        /// `default-provider-authorization-explicit-consent` asks users each time; any other does not.
        #[schema(nullable = false, format = Uuid)]
        authorization_flow: Option<String>,
        /// Kept, and without effect.
        #[schema(nullable = false, format = Uuid)]
        invalidation_flow: Option<String>,
        /// Where codes may be sent, and where browsers may go on to after a sign-out.
        #[schema(nullable = false)]
        redirect_uris: Option<Vec<RedirectUriRequest>>,
    }
}
