//! Two made-up apps, which print who they see: what the proxy says of the user. They listen on loopback and know nothing
//! of Rollcall.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::cli::Failure;
use crate::domain::application::Application;
use crate::domain::application::demand::{Allow, Demand, Party};
use crate::domain::application::guard::Guard;
use crate::domain::application::host::HostPattern;

/// The slug, the name, and the port that the proxy takes for it where it is free.
const APPS: [(&str, &str, u16); 2] = [("wiki", "The wiki", 8081), ("staff", "The staff room", 8082)];
/// How many ports are tried for an app, and how far they are from one another.
const PORT_TRIES: u16 = 50;
const PORT_STEP: u16 = 2;
/// What the proxy says, in the order in which an app prints it.
const SHOWN: [&str; 6] = ["remote-user", "remote-name", "remote-groups", "remote-email", "cookie", "authorization"];

/// An app that runs, and where.
pub(super) struct MadeUp {
    /// As the guard knows it.
    pub application: Application,
    /// Where the app listens.
    pub address: SocketAddr,
    /// The port of the proxy for it.
    pub port: u16,
    /// Where people open it.
    url: String,
    server: AbortHandle,
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The two apps: one for everybody who is signed in, and one for the group of the staff.
pub(super) struct Apps {
    pub all: Vec<MadeUp>,
    _reserved: Vec<ReservedPort>,
}

#[derive(Template)]
#[template(path = "demo/app.html")]
struct Page {
    name: &'static str,
    other: (&'static str, String),
    rollcall: String,
    /// Who is there, or `""`.
    who: String,
    /// What the proxy said: a header and its value, or `""`.
    headers: Vec<(&'static str, String)>,
}

/// What an app's pages are made of.
struct Fixed {
    name: &'static str,
    other: (&'static str, String),
    rollcall: String,
}

impl Apps {
    /// Starts the apps and gives each an application. `origin` is where people reach Rollcall, and `group` may open the
    /// second app.
    ///
    /// # Errors
    /// When a port or the database cannot be used.
    pub async fn start(app: &App, origin: &str, group: &str) -> Result<Self, Failure> {
        let id = app.store.read().find_group_id(group).await?.ok_or("the demo has no group of the staff")?;
        let staff = app.store.read().find_group_by_id(id).await?.ok_or("the demo has no group of the staff")?;
        let allowed = [Allow::SignedIn, Allow::those([Party::Group(staff.uuid)])];
        let mut reserved = Vec::new();
        for (.., port) in APPS {
            reserved.push(ReservedPort::find(port)?);
        }
        let mut all = Vec::new();
        for (nth, (slug, name, _)) in APPS.into_iter().enumerate() {
            let (port, other) = (reserved.get(nth).ok_or("no port")?.port, 1 - nth);
            let url = |nth: usize| {
                let (slug, port) =
                    (APPS.get(nth).map_or("", |(slug, ..)| slug), reserved.get(nth).map_or(0, |reserved| reserved.port));
                format!("http://{slug}.localhost:{port}/")
            };
            let guard = Guard { hosts: vec![HostPattern::parse(&format!("{slug}.localhost:{port}"))?], ..Guard::default() };
            let mut wanted = ApplicationChange {
                slug: Some(slug.to_owned()),
                name: Some(name.to_owned()),
                access: Some(Demand { allow: allowed.get(nth).cloned().unwrap_or_default(), ..Demand::default() }),
                guard: Some(Some(guard)),
                ..ApplicationChange::default()
            };
            wanted.display.get_or_insert_default().launch_url = url(nth);
            let application = applications::add(app, By::System, wanted).await?;
            let other = (APPS.get(other).map_or("", |(_, name, _)| name), url(other));
            let fixed = Fixed { name, other, rollcall: origin.to_owned() };
            let (address, server) = serve(fixed).await?;
            all.push(MadeUp { application, address, port, url: url(nth), server });
        }
        Ok(Self { all, _reserved: reserved })
    }

    /// Where people open them.
    pub fn addresses(&self) -> [&str; 2] {
        let url = |nth: usize| self.all.get(nth).map_or("", |app| app.url.as_str());
        [url(0), url(1)]
    }
}

/// A port of loopback for the proxy.
struct ReservedPort {
    port: u16,
    /// No other demo takes the port while this is open: each asks for the UDP port of the same number first, also while the
    /// proxy does not listen yet.
    _udp: UdpSocket,
}

impl ReservedPort {
    /// This port where it is free, else one after it, else any.
    ///
    /// # Errors
    /// When there is none.
    fn find(wanted: u16) -> std::io::Result<Self> {
        let reserve = |port: u16| {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
            let port = udp.local_addr()?.port();
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            Ok(Self { port, _udp: udp })
        };
        let others = (1..PORT_TRIES).map(|nth| wanted + nth * PORT_STEP);
        others.chain([0]).fold(reserve(wanted), |found, other| found.or_else(|_| reserve(other)))
    }
}

async fn serve(fixed: Fixed) -> Result<(SocketAddr, AbortHandle), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let routes = Router::new().fallback(show).with_state(Arc::new(fixed));
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "an app of the demo stopped");
        }
    });
    Ok((address, server.abort_handle()))
}

/// The page, whatever the path.
async fn show(State(fixed): State<Arc<Fixed>>, headers: HeaderMap) -> impl IntoResponse {
    let value = |name: &str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        percent_decode_str(text).decode_utf8_lossy().into_owned()
    };
    let page = Page {
        name: fixed.name,
        other: fixed.other.clone(),
        rollcall: fixed.rollcall.clone(),
        who: value("remote-user"),
        headers: SHOWN.into_iter().map(|name| (name, value(name))).collect(),
    };
    let html = page.render().unwrap_or_else(|error| error.to_string());
    ([(header::CACHE_CONTROL, "no-store")], Html(html))
}
