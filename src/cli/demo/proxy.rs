//! The reverse proxy of the demo, as a process of its own on loopback, with the configurations that `rollcall app config`
//! prints.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;

use crate::actions::guard::configuration::{self, Addresses};
use crate::cli::Failure;
use crate::cli::demo::apps::Apps;
use crate::domain::guard::kind::Kind;

/// How long the proxy may take to listen, and to stop.
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);
/// Where distributions put servers, which may not be on the PATH of those who are not root.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Runs a program until it ends, or until the other end of standard input is closed. That happens in each way in which the
/// demo can stop, so that it never leaves the proxy behind.
const KEEPER: &str = "exec 3<&0; \"$@\" </dev/null 3<&- & proxy=$!; \
    (read -r _ <&3; kill \"$proxy\") 2>/dev/null & keeper=$!; \
    wait \"$proxy\"; code=$?; kill \"$keeper\" 2>/dev/null; exit \"$code\"";

/// A reverse proxy that the demo can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DemoProxy {
    Nginx,
    Caddy,
}

impl fmt::Display for DemoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

impl DemoProxy {
    fn kind(self) -> Kind {
        match self {
            Self::Nginx => Kind::Nginx,
            Self::Caddy => Kind::Caddy,
        }
    }

    /// The program.
    ///
    /// # Errors
    /// What to install, where it is not there.
    pub fn find(self) -> Result<PathBuf, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM.iter().map(PathBuf::from));
        let found = folders.map(|folder| folder.join(self.kind().as_str())).find(|program| program.is_file());
        let how = match self {
            Self::Nginx => "install it (Debian and Ubuntu: apt-get install nginx)",
            Self::Caddy => "install Caddy 2.11.2 or later (https://caddyserver.com/docs/install)",
        };
        found.ok_or_else(|| format!("{self} is not on the PATH: {how}, or run the demo without --proxy").into())
    }
}

/// A proxy that runs. It stops when this is dropped.
pub(super) struct Running {
    child: Child,
    /// The keeper stops the proxy when this is closed.
    stdin: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let mut left = STOP;
        while matches!(self.child.try_wait(), Ok(None)) && !left.is_zero() {
            #[expect(clippy::disallowed_methods, reason = "the process ends here: nothing else is served")]
            std::thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a proxy in front of the apps and waits until it listens. `folder` is for its files, and `rollcall` is where it
/// reaches Rollcall.
///
/// # Errors
/// When it does not start; with what it wrote.
pub(super) async fn start(kind: DemoProxy, program: &Path, folder: &Path, apps: &Apps, rollcall: &str) -> Result<Running, Failure> {
    let mut printed = String::new();
    for app in &apps.all {
        let (listen, behind) = (format!("127.0.0.1:{}", app.port), app.address.to_string());
        let addresses = Addresses { listen: &listen, app: &behind, rollcall };
        printed += &configuration::of(kind.kind(), &app.application, addresses).ok_or("an app of the demo has no guard")?;
        printed.push('\n');
    }
    let own = folder.join("proxy");
    std::fs::create_dir(&own)?;
    let log = own.join("log");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", KEEPER, "sh"]).arg(program);
    set_up(&mut command, kind, &own, &printed)?;
    command.env("HOME", &own).env("XDG_DATA_HOME", &own).env("XDG_CONFIG_HOME", &own);
    // Signals of the terminal are for the demo, which then stops the proxy.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let out = File::create(&log)?;
    command.stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(out);
    let mut child = command.spawn().map_err(|error| format!("{kind} cannot be started: {error}"))?;
    let stdin = child.stdin.take();
    let mut running = Running { child, stdin };
    let wait = async {
        for app in &apps.all {
            while tokio::net::TcpStream::connect(("127.0.0.1", app.port)).await.is_err() {
                if !matches!(running.child.try_wait(), Ok(None)) {
                    return false;
                }
                tokio::time::sleep(STEP).await;
            }
        }
        true
    };
    if tokio::time::timeout(START, wait).await.unwrap_or(false) {
        return Ok(running);
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    Err(format!("{kind} did not start: {}", said.trim()).into())
}

/// What surrounds the printed configurations, and how the program is called with them.
fn set_up(command: &mut Command, kind: DemoProxy, folder: &Path, printed: &str) -> Result<(), Failure> {
    match kind {
        DemoProxy::Nginx => {
            let at = folder.display();
            let temporary =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path \"{at}/{name}\";\n"));
            // The workers of root's nginx would be another user's, who may not write here.
            let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
            let text = format!(
                "{user}daemon off; pid \"{at}/pid\"; error_log stderr warn; worker_processes 1;\n\
                 events {{ worker_connections 256; }}\nhttp {{ access_log off;\n{}\n{printed}}}\n",
                temporary.concat()
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, text)?;
            command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(file);
        }
        DemoProxy::Caddy => {
            let file = folder.join("Caddyfile");
            std::fs::write(&file, format!("{{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}}\n{printed}"))?;
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        }
    }
    Ok(())
}
