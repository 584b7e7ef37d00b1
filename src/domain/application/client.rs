//! The client of an application: its part for OpenID Connect.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Network;
use crate::domain::application::guard::words;
use crate::domain::application::rule::{ApplicationRule, MAX_PARTS};
use crate::domain::application::values::Identity;
use crate::domain::oidc::claims::{OFFLINE, PROXY, SCOPES, has};
use crate::domain::oidc::own_claim::OwnClaim;
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::oidc::target::{Own, Target};
use crate::domain::signing::Algorithm;

/// The characters of a `client_id` that was not chosen.
pub const ID_LENGTH: usize = 40;
/// The longest life of a code, in seconds.
pub const MAX_CODE_LIFETIME: u64 = 600;
/// The longest life of an access token, in seconds.
pub const MAX_ACCESS_LIFETIME: u64 = 24 * 3600;
/// The same of one that is a JWT.
pub const MAX_JWT_LIFETIME: u64 = 3600;
/// How long a session of an app lives, unless it is said, in seconds.
const OFFLINE_LIFETIME: u64 = 30 * 24 * 3600;
/// The longest life of a refresh token, and of a session of an app, in seconds.
pub const MAX_REFRESH_LIFETIME: u64 = 366 * 24 * 3600;
/// The fewest characters of a secret that was chosen.
pub const MIN_SECRET: usize = 32;
/// How long the secret before the newest one is good, unless it is said.
pub const OLD_SECRET_LIVES: Duration = Duration::from_secs(7 * 24 * 3600);

words! {
    /// Whether a request must bring a challenge (PKCE).
    Pkce {
        /// It must; of a public client always.
        #[default]
        Required = "required",
        /// One that is sent is checked.
        Optional = "optional",
    }
}
words! {
    /// The algorithm of its ID tokens.
    TokenAlgorithm {
        /// What every app knows.
        #[default]
        Rs256 = "RS256",
        /// Shorter, and quicker to sign.
        Es256 = "ES256",
    }
}
words! {
    /// Who its tokens take a user for (`sub`).
    SubMode {
        /// The user's `uid`.
        #[default]
        HashedUserId = "hashed_user_id",
        /// The primary key.
        UserId = "user_id",
        /// The uuid.
        UserUuid = "user_uuid",
        /// The username, which can change and come back with another person.
        UserUsername = "user_username",
        /// The e-mail address, which can, too.
        UserEmail = "user_email",
    }
}
words! {
    /// Whether a user is asked before the app gets what it asks for.
    ConsentMode {
        /// Not: who may open the application agrees by opening it.
        #[default]
        Implicit = "implicit",
        /// Once, and again when the app wants more or has changed.
        Once = "once",
        /// By each request.
        Always = "always",
    }
}
words! {
    /// Which names an app is told with the end of a session.
    NoticeNames {
        /// The session's, and the user's unless the user has the app open in another session: some apps read it as "all
        /// sessions of this user", and others know no sessions.
        #[default]
        Auto = "auto",
        /// The session's alone.
        Sid = "sid",
        /// Both.
        Both = "both",
    }
}
words! {
    /// What an access token is.
    AccessToken {
        /// A secret: apps ask Rollcall what it is worth, and it is worth nothing from the end of its session on.
        #[default]
        Opaque = "opaque",
        /// A JWT (RFC 9068): apps can check it by themselves, and then learn of an end when its time is over.
        Jwt = "jwt",
    }
}
words! {
    /// What the scope `offline_access` gives.
    Offline {
        /// A refresh token that ends with the session.
        #[default]
        WithSession = "with_session",
        /// A session of its own, which outlives the browser's, once its user has agreed.
        OwnSession = "own_session",
        /// Nothing: without it the client gets no refresh token either.
        Refuse = "refuse",
    }
}

/// The client of an application. Its `client_id` is a column of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Client {
    /// Whether it is an app that keeps no secret, such as one in a browser or on a phone.
    pub is_public: bool,
    /// Whether requests must bring a challenge.
    pub pkce: Pkce,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where browsers may be led after a sign-out.
    pub post_logout_uris: Vec<RedirectUri>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout 1.0).
    pub back_channel_uri: Option<Target>,
    /// Which names it is told then.
    pub notice_names: NoticeNames,
    /// Whether it gets refresh tokens.
    pub refresh: bool,
    /// Which scopes it may ask for.
    pub scopes: Vec<String>,
    /// The algorithm of its ID tokens.
    pub algorithm: TokenAlgorithm,
    /// What an access token is. It is stored only where it is a JWT: nodes before it do not know it.
    #[serde(skip_serializing_if = "is_opaque")]
    pub access_token: AccessToken,
    /// How long a code can be redeemed, in seconds.
    pub code_lifetime: u64,
    /// How long an access token is good, in seconds.
    pub access_lifetime: u64,
    /// How long a refresh token is good, in seconds.
    pub refresh_lifetime: u64,
    /// Whether ID tokens have the claims of the scopes, too.
    pub claims_in_id_token: bool,
    /// Claims of its own. They are stored only where there are some: nodes before them do not know them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<OwnClaim>,
    /// Who its tokens take a user for.
    pub sub: SubMode,
    /// Whether a user is asked first.
    pub consent: ConsentMode,
    /// What `offline_access` gives.
    pub offline: Offline,
    /// How long a session lives that `offline_access` gives, in seconds. It is stored only where it is another one: nodes before
    /// it do not know it.
    #[serde(skip_serializing_if = "is_usual_offline_lifetime")]
    pub offline_lifetime: u64,
    /// Whether a refresh is no use of the session.
    pub background: bool,
    /// Whether devices without a browser sign in by it (RFC 8628). It is stored only where it is on: nodes before it do not know
    /// it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub device: bool,
    /// Whether the app signs in through a popup: the pages on the way leave the window that opened it in reach. It is stored
    /// only where it is on: nodes before it do not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub popup: bool,
    /// Origins whose scripts may call the token endpoint, in addition to those of the redirect addresses.
    pub allowed_origins: Vec<String>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            is_public: false,
            pkce: Pkce::Required,
            redirect_uris: Vec::new(),
            post_logout_uris: Vec::new(),
            back_channel_uri: None,
            notice_names: NoticeNames::Auto,
            refresh: true,
            // What is noted about a user is for apps that ask for it by name, and whose administrator said so.
            scopes: SCOPES.iter().map(|scope| scope.name).filter(|name| *name != PROXY).map(str::to_owned).collect(),
            algorithm: TokenAlgorithm::Rs256,
            access_token: AccessToken::Opaque,
            code_lifetime: 60,
            access_lifetime: 300,
            refresh_lifetime: 30 * 24 * 3600,
            claims_in_id_token: true,
            claims: Vec::new(),
            sub: SubMode::HashedUserId,
            consent: ConsentMode::Implicit,
            offline: Offline::WithSession,
            offline_lifetime: OFFLINE_LIFETIME,
            background: false,
            device: false,
            popup: false,
            allowed_origins: Vec::new(),
        }
    }
}

impl From<TokenAlgorithm> for Algorithm {
    fn from(algorithm: TokenAlgorithm) -> Self {
        match algorithm {
            TokenAlgorithm::Rs256 => Self::Rs256,
            TokenAlgorithm::Es256 => Self::Es256,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_opaque(kind: &AccessToken) -> bool {
    *kind == AccessToken::Opaque
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_usual_offline_lifetime(seconds: &u64) -> bool {
    *seconds == OFFLINE_LIFETIME
}

impl Client {
    /// Whether a grant of these scopes is a session of its own.
    #[must_use]
    pub fn has_own_session(&self, scopes: &str) -> bool {
        self.offline == Offline::OwnSession && self.refresh && has(scopes, OFFLINE)
    }

    /// The client as it is stored. `plain` are hosts whose redirect addresses may be `http`; what it is told goes to networks
    /// in `allow` or to public addresses, and not to Rollcall itself.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn check(mut self, plain: &[String], allow: &[Network], own: &Own) -> Result<Self, ApplicationRule> {
        if self.redirect_uris.is_empty() || self.redirect_uris.len() > MAX_PARTS || self.post_logout_uris.len() > MAX_PARTS {
            return Err(ApplicationRule::RedirectUris);
        }
        for uri in self.redirect_uris.iter().chain(&self.post_logout_uris) {
            RedirectUri::parse(uri.as_str(), plain)?;
        }
        if let Some(target) = &self.back_channel_uri {
            target.check(allow, own)?;
        }
        if let Some(unknown) = self.scopes.iter().find(|scope| SCOPES.iter().all(|known| known.name != **scope)) {
            return Err(ApplicationRule::Scope(unknown.clone()));
        }
        if self.claims.len() > MAX_PARTS {
            return Err(ApplicationRule::ManyClaims);
        }
        self.scopes.dedup();
        let lifetimes = [
            (self.code_lifetime, MAX_CODE_LIFETIME),
            (self.access_lifetime, MAX_ACCESS_LIFETIME),
            (self.refresh_lifetime, MAX_REFRESH_LIFETIME),
            (self.offline_lifetime, MAX_REFRESH_LIFETIME),
        ];
        if lifetimes.into_iter().any(|(given, most)| given == 0 || given > most) {
            return Err(ApplicationRule::TokenLifetime);
        }
        if self.access_token == AccessToken::Jwt && self.access_lifetime > MAX_JWT_LIFETIME {
            return Err(ApplicationRule::JwtLifetime);
        }
        let is_origin = |origin: &String| RedirectUri::parse(origin, plain).is_ok_and(|uri| uri.origin() == Some(origin));
        if let Some(other) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(ApplicationRule::Origin(other.clone()));
        }
        if self.is_public {
            self.pkce = Pkce::Required;
        }
        Ok(self)
    }

    /// Whether codes may be sent to an address.
    #[must_use]
    pub fn has_redirect(&self, asked: &str) -> bool {
        self.redirect_uris.iter().any(|known| known.is(asked))
    }

    /// Whether browsers may be led to an address after a sign-out.
    #[must_use]
    pub fn has_post_logout(&self, asked: &str) -> bool {
        self.post_logout_uris.iter().any(|known| known.is(asked))
    }

    /// Whether scripts of an origin may call the endpoints that apps call.
    #[must_use]
    pub fn has_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|known| known == origin)
            || self.redirect_uris.iter().any(|uri| uri.origin() == Some(origin))
    }

    /// Who its tokens take a user for; `id` is the user's primary key. Without an e-mail address there is no such `sub`.
    #[must_use]
    pub fn sub_of(&self, user: &Identity, id: i64) -> Option<String> {
        let sub = match self.sub {
            SubMode::HashedUserId => user.uid.clone(),
            SubMode::UserId => id.to_string(),
            SubMode::UserUuid => user.uuid.hyphenated().to_string(),
            SubMode::UserUsername => user.username.clone(),
            SubMode::UserEmail => user.email.clone(),
        };
        Some(sub).filter(|sub| !sub.is_empty())
    }
}

/// A `client_id` as it is stored: visible ASCII without `:`, which separates it from the secret.
///
/// # Errors
/// [`ApplicationRule::ClientId`].
pub fn check_id(id: &str) -> Result<String, ApplicationRule> {
    let is_right = (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if is_right { Ok(id.to_owned()) } else { Err(ApplicationRule::ClientId) }
}
