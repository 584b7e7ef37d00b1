//! `rollcall app config`.

use clap::{Args, ValueEnum};

use crate::actions::app::App;
use crate::actions::guard::configuration::{self, Addresses};
use crate::cli::app::there::find;
use crate::cli::{Outcome, output};
use crate::domain::guard::kind::Kind;

/// A kind of reverse proxy.
#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Nginx => Self::Nginx,
            KindArg::Caddy => Self::Caddy,
            KindArg::Traefik => Self::Traefik,
            KindArg::Envoy => Self::Envoy,
        }
    }
}

#[derive(Args)]
pub(in crate::cli) struct ConfigArgs {
    /// The reverse proxy
    kind: KindArg,
    /// The application
    slug: String,
    /// Where the proxy listens: a port, or an address and a port
    #[arg(long, value_name = "PORT", default_value = "80")]
    listen: String,
    /// Where the app listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    app: String,
    /// Where the proxy reaches Rollcall; by default at the address that it listens on
    #[arg(long, value_name = "ADDRESS:PORT")]
    rollcall: Option<String>,
}

pub(in crate::cli) async fn run(app: &App, args: ConfigArgs) -> Outcome {
    let application = find(app, &args.slug).await?;
    let rollcall = args.rollcall.unwrap_or_else(|| app.config.proxied_address());
    let addresses = Addresses { listen: &args.listen, app: &args.app, rollcall: &rollcall };
    addresses.check()?;
    let Some(text) = configuration::of(args.kind.into(), &application, addresses) else {
        return Err(format!("{} has no guard: give it a host with rollcall app set {} --host NAME", args.slug, args.slug).into());
    };
    if app.config.http.trusted_proxies.is_empty() {
        output::say("http.trusted_proxies names no proxy: set it to the proxy's address, or all checks are refused");
    }
    output::write(text.as_bytes())
}
