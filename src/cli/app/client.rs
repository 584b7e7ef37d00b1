//! What can be said of an application's client.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::actions::app::App;
use crate::actions::applications::clients::{self, ClientWish};
use crate::actions::by::By;
use crate::cli::app::there::edited;
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::parse_duration;
use crate::domain::application::client::{AccessToken, Client, ConsentMode, NoticeNames, Offline, Pkce, SubMode, TokenAlgorithm};
use crate::domain::application::{Application, ClientPart};
use crate::domain::oidc::own_claim::OwnClaim;
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::oidc::target::Target;

/// The client for OpenID Connect.
#[derive(Args, Default)]
pub(in crate::cli) struct ClientArgs {
    /// Where its codes are sent; makes the client; may be repeated
    #[arg(long = "redirect-uri", value_name = "ADDRESS")]
    redirect_uris: Vec<String>,
    /// Where browsers may go on to after a sign-out; may be repeated; none: nowhere
    #[arg(long = "post-logout-uri", value_name = "ADDRESS")]
    post_logout_uris: Vec<String>,
    /// Where the app is told that a session ended (back-channel logout); none: nowhere
    #[arg(long, value_name = "ADDRESS")]
    back_channel_uri: Option<String>,
    /// Which names it is told then
    #[arg(long, value_parser = PossibleValuesParser::new(words(NoticeNames::ALL, NoticeNames::as_str)))]
    notice_names: Option<String>,
    /// What names it; made up when not given
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Whether it is an app that keeps no secret, such as one in a browser or on a phone
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    public: Option<bool>,
    /// Whether it must use PKCE
    #[arg(long, value_parser = PossibleValuesParser::new(words(Pkce::ALL, Pkce::as_str)))]
    pkce: Option<String>,
    /// Whether it gets refresh tokens
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    refresh: Option<bool>,
    /// A scope that it may ask for; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The algorithm of its ID tokens
    #[arg(long, value_parser = PossibleValuesParser::new(words(TokenAlgorithm::ALL, TokenAlgorithm::as_str)))]
    algorithm: Option<String>,
    /// What an access token is: an app that checks a JWT by itself learns of an end only when its time is over
    #[arg(long, value_parser = PossibleValuesParser::new(words(AccessToken::ALL, AccessToken::as_str)))]
    access_token: Option<String>,
    /// How long a code can be redeemed, such as 60s
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    code_lifetime: Option<Duration>,
    /// How long an access token is good, such as 5m; it ends with its session in any case
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    access_lifetime: Option<Duration>,
    /// How long a refresh token is good, such as 30d; it ends with its session in any case
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    refresh_lifetime: Option<Duration>,
    /// How long a session lives that offline_access gives with --offline own_session, such as 30d
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    offline_lifetime: Option<Duration>,
    /// Whether ID tokens have the claims of the scopes, too
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    claims_in_id_token: Option<bool>,
    /// A claim of its own, such as department=profile:attributes.department; may be repeated; none: no own claims
    #[arg(long = "claim", value_name = "NAME=SCOPE:SOURCE")]
    claims: Vec<String>,
    /// Who its tokens take a user for
    #[arg(long, value_parser = PossibleValuesParser::new(words(SubMode::ALL, SubMode::as_str)))]
    sub: Option<String>,
    /// Whether users are asked before the app gets what it asks for
    #[arg(long, value_parser = PossibleValuesParser::new(words(ConsentMode::ALL, ConsentMode::as_str)))]
    consent: Option<String>,
    /// What the scope offline_access gives
    #[arg(long, value_parser = PossibleValuesParser::new(words(Offline::ALL, Offline::as_str)))]
    offline: Option<String>,
    /// Whether a refresh is no use of the session
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    background: Option<bool>,
    /// Whether devices without a browser sign in by a code that people type at /device
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    device: Option<bool>,
    /// Whether it signs in through a popup window, which stays in reach of the page that opened it
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    popup: Option<bool>,
    /// A further origin whose scripts may call the token endpoint; may be repeated; none: no other
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|it| word(*it)).collect()
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("this is no duration such as 60s, 5m or 30d")
}

/// A repeated flag as a list; the word `none` alone is an empty one, and no flag is no change.
fn list(given: &[String]) -> Option<Vec<String>> {
    match given {
        [] => None,
        [none] if none == "none" => Some(Vec::new()),
        given => Some(given.to_vec()),
    }
}

impl ClientArgs {
    fn is_empty(&self) -> bool {
        let lists = [&self.redirect_uris, &self.post_logout_uris, &self.scopes, &self.allowed_origins, &self.claims];
        let texts = [
            &self.client_id,
            &self.pkce,
            &self.algorithm,
            &self.sub,
            &self.offline,
            &self.consent,
            &self.access_token,
            &self.back_channel_uri,
            &self.notice_names,
        ];
        let flags = [self.public, self.refresh, self.claims_in_id_token, self.background, self.popup, self.device];
        let lifetimes = [self.code_lifetime, self.access_lifetime, self.refresh_lifetime, self.offline_lifetime];
        lists.iter().all(|list| list.is_empty())
            && texts.iter().all(|text| text.is_none())
            && flags.iter().all(Option::is_none)
            && lifetimes.iter().all(Option::is_none)
    }

    /// The client that is said; `None`: nothing is said of it.
    ///
    /// # Errors
    /// Wrong usage for what cannot be read, and for an application without a client and without a redirect address.
    pub fn wish(&self, app: &App, before: Option<&Application>) -> Result<Option<ClientWish>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        let part: Option<&ClientPart> = before.and_then(|application| application.client.as_ref());
        if part.is_none() && self.redirect_uris.is_empty() {
            return Err(misused("the application has no client: give it one by --redirect-uri"));
        }
        let plain = &app.config.oidc.plain_hosts.0;
        let read = |list: Vec<String>| list.iter().map(|uri| RedirectUri::parse(uri, plain)).collect::<Result<Vec<_>, _>>();
        let mut client = part.map_or_else(Client::default, |part| part.client.clone());
        if !self.redirect_uris.is_empty() {
            client.redirect_uris = read(self.redirect_uris.clone())?;
        }
        if let Some(uris) = list(&self.post_logout_uris) {
            client.post_logout_uris = read(uris)?;
        }
        client.back_channel_uri = match self.back_channel_uri.as_deref() {
            None => client.back_channel_uri,
            Some("none") => None,
            Some(uri) => Some(Target::stored(uri.to_owned())),
        };
        client.notice_names = self.notice_names.as_deref().and_then(NoticeNames::parse).unwrap_or(client.notice_names);
        if let Some(claims) = list(&self.claims) {
            client.claims = claims.iter().map(|text| OwnClaim::parse(text)).collect::<Result<_, _>>()?;
        }
        client.scopes = list(&self.scopes).unwrap_or(client.scopes);
        client.allowed_origins = list(&self.allowed_origins).unwrap_or(client.allowed_origins);
        client.is_public = self.public.unwrap_or(client.is_public);
        client.refresh = self.refresh.unwrap_or(client.refresh);
        client.claims_in_id_token = self.claims_in_id_token.unwrap_or(client.claims_in_id_token);
        client.background = self.background.unwrap_or(client.background);
        client.popup = self.popup.unwrap_or(client.popup);
        client.device = self.device.unwrap_or(client.device);
        client.pkce = self.pkce.as_deref().and_then(Pkce::parse).unwrap_or(client.pkce);
        client.algorithm = self.algorithm.as_deref().and_then(TokenAlgorithm::parse).unwrap_or(client.algorithm);
        client.access_token = self.access_token.as_deref().and_then(AccessToken::parse).unwrap_or(client.access_token);
        client.sub = self.sub.as_deref().and_then(SubMode::parse).unwrap_or(client.sub);
        client.consent = self.consent.as_deref().and_then(ConsentMode::parse).unwrap_or(client.consent);
        client.offline = self.offline.as_deref().and_then(Offline::parse).unwrap_or(client.offline);
        client.code_lifetime = self.code_lifetime.map_or(client.code_lifetime, |it| it.as_secs());
        client.access_lifetime = self.access_lifetime.map_or(client.access_lifetime, |it| it.as_secs());
        client.refresh_lifetime = self.refresh_lifetime.map_or(client.refresh_lifetime, |it| it.as_secs());
        client.offline_lifetime = self.offline_lifetime.map_or(client.offline_lifetime, |it| it.as_secs());
        Ok(Some(ClientWish { client_id: self.client_id.clone(), client }))
    }
}

/// The secrets of a client.
#[derive(Args)]
pub(in crate::cli) struct SecretArgs {
    /// Of which application
    slug: String,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Make a secret and print it, this once, alone on standard output; the one before is good for 7 days more
    Add,
    /// Remove all secrets but the newest
    Remove,
}

pub(super) async fn secret(app: &App, args: SecretArgs) -> Outcome {
    match args.command {
        SecretCommand::Add => print_secret(app, &args.slug).await,
        SecretCommand::Remove => {
            let removed = edited(clients::remove_old_secrets(app, By::Cli, &args.slug).await, &args.slug)?;
            output::say(&format!("removed {removed} old secrets of {}", args.slug));
            Ok(())
        }
    }
}

/// Makes a secret and prints it.
///
/// # Errors
/// When there is no such client, or it keeps no secret.
pub(super) async fn print_secret(app: &App, slug: &str) -> Outcome {
    let secret = edited(clients::add_secret(app, By::Cli, slug).await, slug)?;
    output::say(&format!("this is the secret of the client of {slug}, which is not shown again:"));
    output::line(secret.expose())
}
