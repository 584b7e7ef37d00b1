//! A reverse proxy as a process.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rollcall::domain::application::Application;
use rollcall::domain::guard::kind::Kind;
use rollcall::guard::configuration::{self, Addresses};
use tempfile::TempDir;

use crate::process::{free_port, skip};

#[expect(clippy::disallowed_methods, reason = "a process is asked again and again whether it is there yet, or still")]
fn nap() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A running proxy. It is stopped in the end.
pub struct Proxy {
    child: Child,
    /// The port on loopback.
    pub port: u16,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        crate::process::signal(self.child.id(), "TERM");
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            nap();
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program of a proxy; `None`: it is not installed.
fn program(kind: Kind) -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies/bin").join(kind.as_str());
    let places = [fetched, Path::new("/usr/sbin").join(kind.as_str()), Path::new("/usr/bin").join(kind.as_str())];
    let found = places.into_iter().find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{kind} is not installed: see scripts/fetch-proxies"));
    }
    found
}

impl Proxy {
    /// Starts a proxy of this kind in front of an app, with the configuration that is printed for it.
    pub fn start(kind: Kind, application: &Application, app: &str, rollcall: &str) -> Option<Self> {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let printed = configuration::of(kind, application, Addresses { listen: &listen, app, rollcall }).expect("a configuration");
        let host = application.guard().and_then(|guard| guard.first_host()).map_or("", |host| host.as_str());
        Self::start_with(kind, port, host, &printed, &|text| text)
    }

    /// Starts a proxy of this kind with a configuration for this port and host. `edit` changes what surrounds it: for nginx
    /// the main file, for Traefik the static one.
    pub fn start_with(kind: Kind, port: u16, host: &str, printed: &str, edit: &dyn Fn(String) -> String) -> Option<Self> {
        let program = program(kind)?;
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new(program);
        set_up(&mut command, kind, folder.path(), (printed, port), edit);
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("the proxy starts");
        let mut proxy = Self { child, port, _folder: folder };
        proxy.wait(host);
        Some(proxy)
    }

    /// Waits until it listens and knows the host: Traefik reads its routes a little later.
    fn wait(&mut self, host: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.knows(host) {
            let is_gone = !matches!(self.child.try_wait(), Ok(None));
            let log = || fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
            assert!(!is_gone && Instant::now() < until, "the proxy does not answer: {}", log());
            nap();
        }
    }
}

impl Proxy {
    fn knows(&self, host: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let asked = write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut answer = [0; 12];
        // A proxy that asks Rollcall first answers later: the test's server may wait for this very thread.
        drop(stream.set_read_timeout(Some(Duration::from_millis(500))));
        asked.is_ok()
            && match stream.read_exact(&mut answer) {
                Ok(()) => answer != *b"HTTP/1.1 404",
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
    }
}

/// What surrounds the printed configuration, and how the program is called with it.
fn set_up(command: &mut Command, kind: Kind, folder: &Path, (printed, port): (&str, u16), edit: &dyn Fn(String) -> String) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    match kind {
        Kind::Nginx => {
            let at = folder.display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {at}/{name};\n"))
                .concat();
            let main = format!(
                "daemon off; pid {at}/pid; error_log stderr warn; worker_processes 2;\n\
                 events {{ worker_connections 1024; }}\nhttp {{ access_log off; client_max_body_size 64m;\n{temporary}\n{printed}\n}}\n"
            );
            let main = if is_root() { format!("user root;\n{main}") } else { main };
            command.arg("-c").arg(write("nginx.conf", &edit(main))).arg("-p").arg(folder);
        }
        Kind::Caddy => {
            let file = write("Caddyfile", &format!("{{\n\tadmin off\n\tauto_https off\n}}\n{printed}"));
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        }
        Kind::Traefik => {
            let dynamic = write("dynamic.yml", printed);
            let fixed = format!(
                "entryPoints:\n  web: {{address: \"127.0.0.1:{port}\", http: {{aliasHeadersStrategy: delete}}}}\n\
                 providers: {{file: {{filename: {}}}}}\nglobal: {{checkNewVersion: false, sendAnonymousUsage: false}}\nlog: {{level: ERROR}}\n",
                dynamic.display()
            );
            command.arg(format!("--configFile={}", write("traefik.yml", &edit(fixed)).display()));
        }
        Kind::Envoy => {
            command.arg("-c").arg(write("envoy.yaml", printed)).args([
                "--use-dynamic-base-id",
                "--concurrency",
                "2",
                "-l",
                "error",
            ]);
        }
    }
}

/// Whether the tests run as root: then nginx's workers must, too, to write into the test's folder.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
