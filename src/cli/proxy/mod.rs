//! `rollcall check proxy`: asks a live reverse proxy about itself, by requests whose arrival is reported: by the server that
//! the proxy asks, and by `rollcall echo` in place of the app. It changes no answer.

mod cure;
mod identity;
mod refusals;
mod request;
mod wire;

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::guard::probes::{self, PARAMETER, Probe, Seen};
use crate::cli::echo::{NOTHING, REPORTS};
use crate::cli::proxy::cure::Fault;
use crate::cli::proxy::request::Request;
use crate::cli::proxy::wire::{Reply, Wire};
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::Config;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::domain::guard::kind::Kind;

/// What to ask which proxy.
#[derive(Args)]
pub(super) struct ProxyArgs {
    /// An address of a guarded app, such as https://app.example.com/; its path is tried as well as common ones
    url: String,
    /// Where `rollcall echo` listens, which the proxy reaches in place of the app: identity, cookies, WebSockets and event
    /// streams are looked at, too
    #[arg(long, value_name = "URL")]
    echo: Option<String>,
    /// Connect to this address instead of where the host's name leads
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<String>,
    /// With --echo: who is let in; by default the first user who may
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// No server of Rollcall runs: show that nothing reaches the app
    #[arg(long, conflicts_with_all = ["echo", "user"])]
    stopped: bool,
}

/// What became of a request.
struct Outcomes {
    /// The answer that the caller got.
    reply: Reply,
    /// What the asked server saw; `None`: none was asked.
    seen: Option<Seen>,
    /// What `rollcall echo` saw; `None`: nothing arrived, or there is none.
    arrived: Option<Value>,
}

impl Outcomes {
    /// In a few words.
    fn describe(&self) -> String {
        let reply = match self.reply.status {
            0 => "the connection was closed".to_owned(),
            status => format!("the answer {status}"),
        };
        let seen = match &self.seen {
            None => "no server of Rollcall was asked".to_owned(),
            Some(seen) if seen.kind.is_empty() => format!("Rollcall's page {} answered {}", seen.address, seen.status),
            Some(seen) => {
                let asked = match seen.host.as_str() {
                    "" => "something that is not clear".to_owned(),
                    host => format!("{} {host}{}", seen.method, without_proof(&seen.target)),
                };
                format!("Rollcall was asked about {asked} from {} and answered {}", seen.client, seen.status)
            }
        };
        let arrived = if self.arrived.is_some() { "; it reached the app" } else { "" };
        format!("{reply}; {seen}{arrived}")
    }

    /// Whether the app was reached, as far as can be told.
    fn is_in(&self) -> bool {
        self.arrived.is_some() || self.reply.is_good()
    }
}

/// An address without the proof.
fn without_proof(target: &str) -> &str {
    let end = target.find(&format!("?{PARAMETER}=")).unwrap_or(target.len());
    target.get(..end).unwrap_or_default()
}

/// A check of a proxy, under way.
struct Checker<'a> {
    app: &'a App,
    application: Arc<Application>,
    host: Host,
    wire: Wire,
    echo: Option<Wire>,
    /// The kind of the proxy, once it has asked.
    kind: Option<Kind>,
    /// How often something was wrong.
    fails: usize,
    /// What was told.
    told: Vec<Fault>,
}

impl Checker<'_> {
    /// Sends a request with a proof in its query and in a header, and finds what became of it.
    async fn send(&mut self, request: &Request) -> Result<(Probe, Outcomes), Failure> {
        self.send_until(request, |_| false).await
    }

    /// The same, and reads no more than is enough.
    async fn send_until(&mut self, request: &Request, is_enough: fn(&Reply) -> bool) -> Result<(Probe, Outcomes), Failure> {
        let probe = probes::issue(self.app, By::Cli)?;
        let bytes = request.bytes(&self.wire.authority, &probe.proof);
        let reply = tokio::task::block_in_place(|| self.wire.exchange(&bytes, is_enough))?;
        let seen = probes::find(self.app, By::Cli, probe.id).await?;
        if let Some(kind) = seen.as_ref().and_then(|seen| Kind::parse(&seen.kind)) {
            self.kind = Some(kind);
        }
        let arrived = match &self.echo {
            Some(echo) => arrived(echo, &probe.proof)?,
            None => None,
        };
        Ok((probe, Outcomes { reply, seen, arrived }))
    }

    /// Says what is wrong: what was sent, what was seen, and the line that mends it. A fault that many requests show is told
    /// once, but for requests that pass: each of them is a way to the app.
    fn fail(&mut self, what: &str, sent: &str, seen: &str, fault: &Fault) -> Outcome {
        self.fails += 1;
        let is_way = matches!(fault, Fault::Unasked | Fault::LetIn);
        if self.told.contains(fault) && !is_way {
            return Ok(());
        }
        self.told.push(fault.clone());
        output::line(&output::printable(&format!("wrong    {what}\n         sent: {sent}\n         seen: {seen}")))?;
        let kinds = self.kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
        for kind in kinds {
            output::line(&output::printable(&format!("         {}", fault.cure(kind, &self.application))))?;
        }
        Ok(())
    }
}

fn pass(what: &str, detail: &str) -> Outcome {
    output::line(&output::printable(&format!("ok       {what}: {detail}")))
}

fn warn(what: &str, detail: &str) -> Outcome {
    output::line(&output::printable(&format!("warning  {what}: {detail}")))
}

/// What `rollcall echo` says arrived with this proof.
fn arrived(echo: &Wire, proof: &str) -> Result<Option<Value>, Failure> {
    let target = format!("{REPORTS}?{PARAMETER}={proof}");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", echo.authority);
    let reply = tokio::task::block_in_place(|| echo.exchange(request.as_bytes(), |_| false))?;
    match reply.status {
        200 => Ok(Some(serde_json::from_str(&reply.body).map_err(|_| "the address of --echo is not that of `rollcall echo`")?)),
        404 if reply.body.contains(NOTHING) => Ok(None),
        _ => Err("the address of --echo is not that of `rollcall echo`".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// When anything is wrong with the proxy, or it cannot be asked.
pub(super) async fn run(config: Config, args: ProxyArgs) -> Outcome {
    let app = crate::cli::open(config).await?;
    let wire = Wire::to(&args.url, args.connect.as_deref())?;
    let echo = args.echo.as_deref().map(|url| Wire::to(url, None)).transpose()?;
    if let Some(echo) = &echo {
        arrived(echo, "")?;
    }
    let host = Host::parse(&wire.authority).ok_or_else(|| misused(format!("{}: this is no host", wire.authority)))?;
    let all = app.store.applications().await?;
    let application = all.by_host(&host).cloned().ok_or_else(|| format!("no application has the host {host}"))?;
    let mut checker = Checker { app: &app, application, host, wire, echo, kind: None, fails: 0, told: Vec::new() };
    if args.stopped {
        checker.fails_closed().await?;
    } else {
        checker.refusals().await?;
        if checker.kind.is_some() && checker.echo.is_some() {
            checker.identity(args.user.as_deref()).await?;
        }
    }
    if checker.fails == 0 { Ok(()) } else { Err("something is wrong with the proxy".into()) }
}
