//! `/applications/{slug}/client`: the client of an application, with what its app is told; `…/client/secret`, which makes
//! another secret and shows it once; and `…/client/remove`, which asks before the client is removed.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::clients::{self, ClientWish};
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::actions::guard::identity::issuer;
use crate::actions::oidc::notices;
use crate::config::parse_duration;
use crate::domain::application::client::{AccessToken, Client, ConsentMode, NoticeNames, Offline, Pkce, SubMode, TokenAlgorithm};
use crate::domain::application::{Application, ApplicationRule, ClientPart};
use crate::domain::oidc::own_claim::OwnClaim;
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::oidc::target::Target;
use crate::ui::applications::notices::Delivery;
use crate::ui::applications::part::{self, Part};
use crate::ui::applications::said::{Wrong, items, lines};
use crate::ui::applications::{PATH, find};
use crate::ui::error::{PageError, conflict};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/application_client.html")]
struct ClientPage {
    frame: Frame,
    slug: String,
    name: String,
    /// What the app is told; none: there is no client yet.
    told: Option<Told>,
    /// A secret that was just made.
    made: Option<String>,
    /// Whether there was one before it.
    has_older: bool,
    /// Whether a client can be made: Rollcall knows its own address.
    has_address: bool,
    given: ClientForm,
    pkces: Vec<&'static str>,
    consents: Vec<&'static str>,
    subs: Vec<&'static str>,
    algorithms: Vec<&'static str>,
    access_tokens: Vec<&'static str>,
    offlines: Vec<&'static str>,
    names: Vec<&'static str>,
    /// What became of what the app is told; none: there is no client yet.
    delivery: Option<Delivery>,
    wrong: Wrong,
}

/// What is written into the settings of the app.
struct Told {
    issuer: String,
    client_id: String,
    is_public: bool,
    /// For some apps: a title and the text.
    snippets: Vec<(&'static str, String)>,
}

impl Told {
    fn of(app: &App, application: &Application) -> Option<Self> {
        let (part, url) = (application.client.as_ref()?, app.config.issuer_url()?);
        let (issuer, client_id) = (issuer(url, &application.slug), part.client_id.clone());
        let redirect = part.client.redirect_uris.first().map(RedirectUri::as_str).unwrap_or_default();
        let origin = url.origin();
        let apache = format!(
            "OIDCProviderMetadataURL {issuer}.well-known/openid-configuration\nOIDCClientID {client_id}\n\
            OIDCClientSecret SECRET\nOIDCRedirectURI {redirect}\nOIDCCryptoPassphrase RANDOM\n\
            OIDCScope \"openid profile email\"\nOIDCPKCEMethod S256\nOIDCRemoteUserClaim preferred_username"
        );
        let grafana = format!(
            "[auth.generic_oauth]\nenabled = true\nname = Rollcall\nclient_id = {client_id}\nclient_secret = SECRET\n\
            scopes = openid profile email\nauth_url = {origin}/application/o/authorize/\n\
            token_url = {origin}/application/o/token/\napi_url = {origin}/application/o/userinfo/\nuse_pkce = true\n\
            use_refresh_token = true\nlogin_attribute_path = preferred_username"
        );
        let is_public = part.client.is_public;
        Some(Self { issuer, client_id, is_public, snippets: vec![("Apache, mod_auth_openidc", apache), ("Grafana", grafana)] })
    }
}

/// What the form sends.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct ClientForm {
    version: String,
    /// What the form showed, as it carries it.
    shown: String,
    client_id: String,
    redirect_uris: String,
    post_logout_uris: String,
    back_channel_uri: String,
    notice_names: String,
    is_public: Option<String>,
    pkce: String,
    consent: String,
    scopes: String,
    sub: String,
    claims_in_id_token: Option<String>,
    claims: String,
    algorithm: String,
    access_token: String,
    refresh: Option<String>,
    offline: String,
    background: Option<String>,
    popup: Option<String>,
    device: Option<String>,
    code_lifetime: String,
    access_lifetime: String,
    refresh_lifetime: String,
    offline_lifetime: String,
    allowed_origins: String,
}

impl Form for ClientForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("redirect_uris", "Redirect addresses", FieldKind::Text),
        ("post_logout_uris", "Addresses after a sign-out", FieldKind::Text),
        ("back_channel_uri", "Told of ends at", FieldKind::Text),
        ("notice_names", "Names in it", FieldKind::Text),
        ("is_public", "It is public: it keeps no secret", FieldKind::Box),
        ("pkce", "PKCE", FieldKind::Text),
        ("consent", "Ask the user", FieldKind::Text),
        ("scopes", "Scopes", FieldKind::Text),
        ("sub", "Who the user is for it", FieldKind::Text),
        ("claims_in_id_token", "The ID token has the claims of the scopes, too", FieldKind::Box),
        ("claims", "Claims of its own", FieldKind::Text),
        ("algorithm", "Algorithm", FieldKind::Text),
        ("access_token", "Access token", FieldKind::Text),
        ("refresh", "It gets refresh tokens", FieldKind::Box),
        ("offline", "offline_access", FieldKind::Text),
        ("background", "A refresh is no use of the session", FieldKind::Box),
        ("device", "Devices without a browser sign in by a code", FieldKind::Box),
        ("popup", "It signs in through a popup window", FieldKind::Box),
        ("code_lifetime", "A code is good for", FieldKind::Text),
        ("access_lifetime", "An access token is good for", FieldKind::Text),
        ("refresh_lifetime", "A refresh token is good for", FieldKind::Text),
        ("offline_lifetime", "A session of its own lives for", FieldKind::Text),
        ("allowed_origins", "Further origins", FieldKind::Text),
    ];
}

impl ClientForm {
    fn of(application: &Application) -> Self {
        let client = application.client.as_ref().map(|part| part.client.clone()).unwrap_or_default();
        let yes = |is: bool| is.then(|| "yes".to_owned());
        let uris = |uris: &[RedirectUri]| uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>().join("\n");
        let time = |seconds: u64| humantime::format_duration(Duration::from_secs(seconds)).to_string();
        let form = Self {
            version: application.version(),
            shown: String::new(),
            client_id: String::new(),
            redirect_uris: uris(&client.redirect_uris),
            post_logout_uris: uris(&client.post_logout_uris),
            back_channel_uri: client.back_channel_uri.map(|target| target.to_string()).unwrap_or_default(),
            notice_names: client.notice_names.as_str().to_owned(),
            is_public: yes(client.is_public),
            pkce: client.pkce.as_str().to_owned(),
            consent: client.consent.as_str().to_owned(),
            scopes: client.scopes.join(" "),
            sub: client.sub.as_str().to_owned(),
            claims_in_id_token: yes(client.claims_in_id_token),
            claims: client.claims.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            algorithm: client.algorithm.as_str().to_owned(),
            access_token: client.access_token.as_str().to_owned(),
            refresh: yes(client.refresh),
            offline: client.offline.as_str().to_owned(),
            background: yes(client.background),
            popup: yes(client.popup),
            device: yes(client.device),
            code_lifetime: time(client.code_lifetime),
            access_lifetime: time(client.access_lifetime),
            refresh_lifetime: time(client.refresh_lifetime),
            offline_lifetime: time(client.offline_lifetime),
            allowed_origins: client.allowed_origins.join("\n"),
        };
        Self { shown: three_way::carry(&form), ..form }
    }

    /// The client that it describes. `plain` are hosts whose addresses may be `http`.
    fn read(&self, plain: &[String]) -> Result<Client, Wrong> {
        let uris = |field: &'static str, text: &str| {
            let read = lines(text).map(|line| RedirectUri::parse(line, plain)).collect::<Result<Vec<_>, _>>();
            read.map_err(|rule| Wrong::sorry(field, rule))
        };
        let seconds = |field: &'static str, text: &str| {
            let known = parse_duration(text.trim()).map(|time| time.as_secs());
            known.ok_or_else(|| Wrong::sorry(field, format!("{text:?} is not a duration such as 5m, 12h or 30d")))
        };
        let word = |field: &'static str, word: &str| Wrong::sorry(field, format!("{word:?} is not one of these"));
        let told_at = self.back_channel_uri.trim();
        Ok(Client {
            back_channel_uri: Some(told_at).filter(|text| !text.is_empty()).map(|text| Target::stored(text.to_owned())),
            notice_names: NoticeNames::parse(&self.notice_names).ok_or_else(|| word("notice_names", &self.notice_names))?,
            is_public: self.is_public.is_some(),
            pkce: Pkce::parse(&self.pkce).ok_or_else(|| word("pkce", &self.pkce))?,
            redirect_uris: uris("redirect_uris", &self.redirect_uris)?,
            post_logout_uris: uris("post_logout_uris", &self.post_logout_uris)?,
            refresh: self.refresh.is_some(),
            scopes: items(&self.scopes).map(str::to_owned).collect(),
            algorithm: TokenAlgorithm::parse(&self.algorithm).ok_or_else(|| word("algorithm", &self.algorithm))?,
            access_token: AccessToken::parse(&self.access_token).ok_or_else(|| word("access_token", &self.access_token))?,
            code_lifetime: seconds("code_lifetime", &self.code_lifetime)?,
            access_lifetime: seconds("access_lifetime", &self.access_lifetime)?,
            refresh_lifetime: seconds("refresh_lifetime", &self.refresh_lifetime)?,
            offline_lifetime: seconds("offline_lifetime", &self.offline_lifetime)?,
            claims_in_id_token: self.claims_in_id_token.is_some(),
            claims: lines(&self.claims)
                .map(OwnClaim::parse)
                .collect::<Result<_, _>>()
                .map_err(|rule| Wrong::sorry("claims", rule))?,
            sub: SubMode::parse(&self.sub).ok_or_else(|| word("sub", &self.sub))?,
            consent: ConsentMode::parse(&self.consent).ok_or_else(|| word("consent", &self.consent))?,
            offline: Offline::parse(&self.offline).ok_or_else(|| word("offline", &self.offline))?,
            background: self.background.is_some(),
            popup: self.popup.is_some(),
            device: self.device.is_some(),
            allowed_origins: lines(&self.allowed_origins).map(str::to_owned).collect(),
        })
    }
}

/// The field that a rule is about.
fn field(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::RedirectUris => "redirect_uris",
        ApplicationRule::Target(_) => "back_channel_uri",
        ApplicationRule::Scope(_) => "scopes",
        ApplicationRule::ManyClaims => "claims",
        ApplicationRule::TokenLifetime | ApplicationRule::JwtLifetime => "access_lifetime",
        ApplicationRule::Origin(_) => "allowed_origins",
        ApplicationRule::ClientId | ApplicationRule::ClientIdTaken => "client_id",
        _ => "",
    }
}

/// A page to answer with: what its form holds, a secret that was made, and what is wrong.
#[derive(Default)]
struct Shown {
    given: ClientForm,
    made: Option<String>,
    has_older: bool,
    delivery: Option<Delivery>,
    wrong: Wrong,
}

fn form_page(app: &App, visitor: &Visitor, application: &Application, shown: Shown) -> Response {
    let status = if shown.wrong.text.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = ClientPage {
        frame: visitor.frame(app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        told: Told::of(app, application),
        made: shown.made,
        has_older: shown.has_older,
        has_address: app.config.issuer_url().is_some(),
        given: shown.given,
        pkces: Pkce::ALL.iter().map(|it| it.as_str()).collect(),
        consents: ConsentMode::ALL.iter().map(|it| it.as_str()).collect(),
        subs: SubMode::ALL.iter().map(|it| it.as_str()).collect(),
        access_tokens: AccessToken::ALL.iter().map(|it| it.as_str()).collect(),
        algorithms: TokenAlgorithm::ALL.iter().map(|it| it.as_str()).collect(),
        offlines: Offline::ALL.iter().map(|it| it.as_str()).collect(),
        names: NoticeNames::ALL.iter().map(|it| it.as_str()).collect(),
        delivery: shown.delivery,
        wrong: shown.wrong,
    };
    page(status, &template)
}

/// The form.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let (who, actor) = (visitor.principal(parts.uri.path())?, visitor.actor());
    who.must_administer()?;
    let (by, application) = (By::Principal(&who, &actor), find(&app, &slug).await?);
    let delivery = match &application.client {
        Some(_) => Some(Delivery::of(notices::summary(&app, by, application.id, 0).await?.0, app.clock.now())),
        None => None,
    };
    let given = ClientForm::of(&application);
    Ok(form_page(&app, &visitor, &application, Shown { given, delivery, ..Shown::default() }))
}

/// Changes the client, or gives the application one; a new one that is not public gets a secret, which is shown this once.
pub async fn submit(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}/client");
    let Submission { visitor, form, .. } = Submission::<ClientForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let (actor, application) = (visitor.actor(), find(&app, &slug).await?);
    let again =
        |given: ClientForm, wrong: Wrong| Ok(form_page(&app, &visitor, &application, Shown { given, wrong, ..Shown::default() }));
    let client = match form.read(&app.config.oidc.plain_hosts.0) {
        Ok(client) => client,
        Err(wrong) => return again(form, wrong),
    };
    let (is_new, is_public) = (application.client.is_none(), client.is_public);
    let client_id = Some(form.client_id.trim().to_owned()).filter(|id| is_new && !id.is_empty());
    let wanted = ApplicationChange {
        client: Some(Some(ClientWish { client_id, client })),
        expected: Some(form.version.clone()),
        ..ApplicationChange::default()
    };
    match applications::change(&app, By::Principal(&who, &actor), &slug, wanted).await {
        Ok(changed) if is_new && !is_public => {
            let made = clients::add_secret(&app, By::Principal(&who, &actor), &slug).await?;
            Ok(with_secret(&app, &visitor, &changed, made.expose(), false))
        }
        Ok(changed) => Ok(Redirect::to(&format!("{PATH}/{}/client", changed.slug)).into_response()),
        Err(ActionError::Application(rule)) => again(form, Wrong::sorry(field(&rule), rule)),
        Err(ActionError::Outdated) => {
            let now = find(&app, &slug).await?;
            let Merged { form, lines } = three_way::onto(&form, &ClientForm::of(&now), &|_, _| None);
            conflict(again(form, Wrong::outdated(lines)))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_secret(app: &App, visitor: &Visitor, application: &Application, secret: &str, has_older: bool) -> Response {
    let (given, made) = (ClientForm::of(application), Some(secret.to_owned()));
    form_page(app, visitor, application, Shown { given, made, has_older, ..Shown::default() })
}

/// Makes another secret and shows it this once.
pub async fn add_secret(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}/client");
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    client_of(&application)?;
    match clients::add_secret(&app, By::Principal(&who, &visitor.actor()), &slug).await {
        Ok(made) => Ok(with_secret(&app, &visitor, &application, made.expose(), true)),
        Err(ActionError::Application(rule)) => {
            let (given, wrong) = (ClientForm::of(&application), Wrong::sorry("", rule));
            Ok(form_page(&app, &visitor, &application, Shown { given, wrong, ..Shown::default() }))
        }
        Err(error) => Err(error.into()),
    }
}

fn client_of(application: &Application) -> Result<&ClientPart, PageError> {
    application.client.as_ref().ok_or(PageError::NotFound)
}

/// Asks before a client is removed.
pub async fn ask_remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (visitor, _) = Visitor::administrator(&app, request).await?;
    let application = find(&app, &slug).await?;
    let listed: Vec<String> = client_of(&application)?.client.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect();
    let part = Part {
        name: "client",
        follows: "The application stays. The app signs nobody in any more, and its secrets and tokens are refused.",
        heading: "Nothing is sent to these addresses any more",
        listed,
    };
    part::ask(&app, &visitor, &application, part).await
}

/// Removes the client.
pub async fn remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let wanted = ApplicationChange { client: Some(None), ..ApplicationChange::default() };
    part::remove(&app, &slug, request, wanted).await
}
