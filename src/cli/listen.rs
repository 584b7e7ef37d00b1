//! The listeners of a server: all of them are bound before anything is served.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::actions::app::App;
use crate::cli::Failure;
use crate::config::{At, Config, Listen};
use crate::core::trust;
use crate::files;
use crate::http::listener::{Inherited, Listener};
use crate::http::tls::Certificates;

/// How often the files of the certificate are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// All listeners of a server, in the order of the setting.
pub(super) struct Listeners {
    /// The listeners.
    pub(super) all: Vec<Listener>,
    /// The certificate, where one of them speaks TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
}

/// Takes the sockets that the service manager passed to this process (`sd_listen_fds(3)`).
///
/// # Errors
/// When one of them is no stream socket of TCP or of the Unix family.
pub(super) fn inherited() -> Result<Vec<Inherited>, String> {
    let is_ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if !is_ours {
        return Ok(Vec::new());
    }
    let mut passed = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..passed.len() {
        let unix = passed.take_unix_listener(at).ok().flatten().map(Inherited::Unix);
        let socket = unix.or_else(|| passed.take_tcp_listener(at).ok().flatten().map(Inherited::Tcp));
        sockets
            .push(socket.ok_or_else(|| format!("cannot listen on systemd: socket {} of LISTEN_FDS is no stream socket", at + 1))?);
    }
    Ok(sockets)
}

impl Listeners {
    /// Reads the certificate, and binds all that the settings name, or nothing.
    ///
    /// # Errors
    /// When a place cannot be bound, with its name, or the certificate cannot be used.
    pub(super) async fn bind(config: &Config, mut inherited: Vec<Inherited>) -> Result<Self, Failure> {
        let certificates = match config.tls.files().filter(|_| config.listen.iter().any(|listen| listen.is_tls)) {
            Some((certificate, key)) => Some(Arc::new(Certificates::load(certificate, key)?)),
            None => None,
        };
        let mut all = Vec::new();
        for listen in &config.listen {
            if listen.at == At::Inherited {
                if inherited.is_empty() {
                    return Err(format!("cannot listen on {listen}: the service manager passed no sockets (LISTEN_FDS)").into());
                }
                for socket in inherited.drain(..) {
                    all.push(Listener::inherit(socket, listen, certificates.as_ref()).map_err(|error| failed(listen, &error))?);
                }
                continue;
            }
            let bound = Listener::bind(listen, config.http.socket_mode, certificates.as_ref()).await;
            all.extend(bound.map_err(|error| failed(listen, &error))?);
        }
        if !inherited.is_empty() {
            tracing::warn!(sockets = inherited.len(), "the service manager passed sockets, and `listen` does not name systemd");
        }
        Ok(Self { all, certificates })
    }

    /// Where it listens.
    pub(super) fn places(&self) -> Vec<&Listen> {
        self.all.iter().map(Listener::listen).collect()
    }

    /// Where something on this machine reaches a listener of TCP, as a host and a port.
    pub(super) fn near(&self) -> Option<String> {
        self.places().into_iter().find_map(|listen| match &listen.at {
            At::Address(address) if address.ip().to_canonical().is_unspecified() => Some(format!("127.0.0.1:{}", address.port())),
            At::Address(address) => Some(address.to_string()),
            _ => None,
        })
    }

    /// Looks at the files of the certificate, and looks up the names of trusted proxies, until the tasks are dropped. At
    /// a stop nobody waits for them: a resolver may take its time.
    pub(super) fn keep_up(&self, app: &App) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(certificates) = self.certificates.clone() {
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    let certificates = Arc::clone(&certificates);
                    drop(tokio::task::spawn_blocking(move || certificates.look()).await);
                }
            });
        }
        let app = app.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(trust::PERIOD);
            loop {
                ticks.tick().await;
                app.trusted_proxies.look_up().await;
            }
        });
        tasks
    }
}

/// Says which place could not be bound, and what helps.
fn failed(listen: &Listen, error: &std::io::Error) -> Failure {
    let is_port = !matches!(listen.at, At::Unix(_));
    let plain = files::plain(error);
    match error.kind() {
        ErrorKind::PermissionDenied if is_port => format!(
            "cannot listen on {listen}: Permission denied; ports below 1024 need CAP_NET_BIND_SERVICE (docs/OPERATIONS.md, Ports)"
        )
        .into(),
        _ if is_port => format!("cannot listen on {listen}: {plain}; --listen takes another address").into(),
        _ => format!("cannot listen on {listen}: {plain}").into(),
    }
}
