//! `rollcall demo`: a throw-away instance. People, places and networks are made up; the addresses are
//! those that RFC 5737 and RFC 3849 set aside for documentation, and the demo makes its own small
//! City and ASN files for them.

mod apps;
mod authentik;
mod people;
mod provider;
mod proxy;
mod shop;

use clap::Args;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::actions::tokens::TokenRequest;
use crate::actions::{import, tokens};
use crate::cli::demo::apps::Apps;
use crate::cli::demo::authentik::MadeUp;
use crate::cli::demo::people::{GUEST, STAFF, people_and_sessions, write_geoip_files};
use crate::cli::demo::proxy::DemoProxy;
use crate::cli::demo::shop::Shop;
use crate::cli::listen::Listeners;
use crate::cli::{Outcome, ServeArgs, output, serve};
use crate::config::{Config, Location, PublicUrl};
use crate::domain::scope::Scopes;
use crate::domain::user::{ADMINISTRATOR, TokenIntent};
use crate::domain::{Clock, Network, secret};
use crate::http::listener::Inherited;

/// How the demo runs.
#[derive(Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Start this reverse proxy on loopback, with two made-up apps behind it that print who they see
    #[arg(long, value_enum)]
    pub proxy: Option<DemoProxy>,
    /// Watch a made-up authentik, whose people sign in and out all the time
    #[arg(long)]
    pub watch: bool,
    /// Start a made-up app that signs its users in by OpenID Connect, and says what it was told
    #[arg(long)]
    pub app: bool,
}

/// What the demo shows in addition to sessions.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    proxy: Option<DemoProxy>,
    is_watching: bool,
    has_app: bool,
}

impl DemoArgs {
    /// What is asked for.
    pub fn shown(&self) -> Shown {
        Shown { proxy: self.proxy, is_watching: self.watch, has_app: self.app }
    }
}

pub(super) async fn run(mut config: Config, shown: Shown, inherited: Vec<Inherited>) -> Outcome {
    let Shown { proxy: kind, is_watching, has_app } = shown;
    // Before anything is made.
    let program = kind.map(DemoProxy::find).transpose()?;
    let folder = tempfile::Builder::new().prefix("rollcall-demo-").tempdir()?;
    config.data_dir = folder.path().to_owned();
    config.database = Location::Sqlite(folder.path().join("rollcall.db"));
    config.geoip.city = Some(folder.path().join("city.mmdb"));
    config.geoip.asn = Some(folder.path().join("asn.mmdb"));
    write_geoip_files(folder.path())?;
    // It ends when this function does.
    let made_up = if is_watching { Some(MadeUp::start(&config, folder.path()).await?) } else { None };
    config.watched = made_up.as_ref().map(MadeUp::watched).transpose()?;
    let listeners = Listeners::bind(&config, inherited).await?;
    let origin = config.origin(&listeners.places());
    if has_app {
        config.outbound.allow.0.extend(Network::parse("127.0.0.0/8"));
    }
    if program.is_some() || has_app {
        config.http.public_url = Some(PublicUrl::parse(&origin).ok_or("the demo's own address cannot be read")?);
    }
    if program.is_some() {
        config.http.trusted_proxies.networks = vec!["127.0.0.1/32".parse()?];
    }
    let app = App::start(config, Clock::guarded()).await?;
    app.trusted_proxies.look_up().await;
    let password = format!("demo-{}", secret::random_alphanumeric(8)?);
    let hash = app.passwords.hash(password.clone()).await?;
    let lines = people_and_sessions(app.clock.now(), Some(&hash), program.is_some())?;
    let source = Box::new(std::io::Cursor::new(lines.into_bytes()));
    let done = import::run(&app, By::System, source, import::Stored::Stays, Box::new(|_| {})).await?;

    let administrator = users::find(&app, By::System, ADMINISTRATOR).await?;
    let request = TokenRequest {
        intent: TokenIntent::Api,
        identifier: Some("demo".into()),
        description: "printed by the demo".into(),
        lives: None,
        key: None,
        applications: Vec::new(),
        scopes: Scopes::default(),
        is_readable: false,
    };
    let (_, token) = tokens::add(&app, By::System, administrator.id, ADMINISTRATOR, request).await?;
    output::line(&format!(
        "A demo with {} people and {} sessions, gone when it stops (Ctrl-C).\n\n  \
         open      {origin}\n  user      {ADMINISTRATOR}\n  password  {password}\n  token     {key}\n\n\
         curl -s -H 'Authorization: Bearer {key}' '{origin}/api/v3/core/authenticated_sessions/?page_size=3'\n",
        done.users,
        done.sessions,
        key = token.expose(),
    ))?;
    if let Some(made_up) = &made_up {
        output::line(&format!(
            "Next to it is a made-up authentik at {}, whose people sign in and out all the time. Rollcall reads its sessions by\n\
             authentik's API, {} at first:\n\n  {origin}/sessions/all?q=source:authentik\n",
            made_up.origin, made_up.sessions,
        ))?;
    }
    // It ends when this function does, as the others do.
    let near = || listeners.near().ok_or("the demo with an app needs an address to listen on");
    let shop = if has_app { Some(Shop::start(&app, &origin, near()?).await?) } else { None };
    if let Some(shop) = &shop {
        output::line(&format!(
            "An app that signs its users in by OpenID Connect:\n\n  \
             shop      {}\n\n\
             Open it and sign in. End the session at {origin}/sessions, or as an administrator at {origin}/sessions/all, and look\n\
             at the app: it was told, and has signed you out.\n",
            shop.url,
        ))?;
    }
    let Some((kind, program)) = kind.zip(program) else { return serve::until_stopped(&app, listeners).await };
    // Both end when this function does.
    let apps = Apps::start(&app, &origin, STAFF).await?;
    let rollcall = listeners.near().ok_or("the demo with a proxy needs an address to listen on")?;
    let _proxy = proxy::start(kind, &program, folder.path(), &apps, &rollcall).await?;
    let [wiki, staff] = apps.addresses();
    output::line(&format!(
        "Two apps behind {kind}:\n\n  \
         wiki      {wiki}   for everybody who is signed in\n  \
         staff     {staff}  for the group {STAFF}\n\n\
         Open the first one and sign in; the second opens without asking. End the session at {origin}/sessions and load both\n\
         again: they are closed. {GUEST} has the same password and may open the wiki only.\n",
    ))?;
    serve::until_stopped(&app, listeners).await
}
