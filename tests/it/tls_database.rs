//! A PostgreSQL that speaks TLS alone, with a certificate for `localhost` from a CA that the test makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Done, Home, free_port, skip};

/// Runs a program to its end; it must succeed.
pub fn ran(program: &Path, args: &[&str], is_of_postgres: bool) {
    // PostgreSQL refuses to run as root.
    let mut command = if is_of_postgres && is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let done = command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "{} {args:?}: {done}", program.display());
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}

/// Where the newest PostgreSQL's programs are; Debian keeps them off the PATH.
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok).map(|at| at.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    versions.pop().map(|path| path.join("bin")).filter(|bin| bin.join("initdb").exists())
}

/// The server. It stops when this is dropped.
struct Tls {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Tls {
    fn start(bin: PathBuf) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let port = free_port();
        let server = Self { bin, folder, port };
        for ca in ["ca", "other"] {
            server.openssl(&format!("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"));
        }
        server.openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
        std::fs::write(server.file("names"), "subjectAltName=DNS:localhost").unwrap();
        server.openssl("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt");
        let root = server.folder.path().display().to_string();
        if is_root() {
            ran(Path::new("chown"), &["-R", "postgres:", &root], false);
        }
        let data = server.file("data");
        ran(&server.bin.join("initdb"), &["-D", &data, "-U", "rollcall", "-A", "trust"], true);
        std::fs::write(server.file("data/pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        let options = format!(
            "-p {port} -k {root} -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={root}/server.crt \
             -c ssl_key_file={root}/server.key -c fsync=off"
        );
        ran(&server.bin.join("pg_ctl"), &["-D", &data, "-l", &server.file("log"), "-w", "start", "-o", &options], true);
        server
    }

    fn openssl(&self, line: &str) {
        let args = line.split(' ');
        let done = Command::new("openssl").args(args).current_dir(self.folder.path()).stderr(Stdio::null()).status().unwrap();
        assert!(done.success(), "{line}");
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What `rollcall check` says of it by this host name, these parameters and `database.root_certificate`.
    fn check(&self, host: &str, parameters: &str, root: Option<&str>) -> Done {
        let url = format!("postgres://rollcall@{host}:{}/postgres?{parameters}", self.port);
        let mut home = Home::sqlite().with("ROLLCALL_DATABASE__URL", &url);
        if let Some(root) = root {
            home = home.with("ROLLCALL_DATABASE__ROOT_CERTIFICATE", root);
        }
        home.run(&["check"])
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        ran(&self.bin.join("pg_ctl"), &["-D", &self.file("data"), "-m", "immediate", "stop"], true);
    }
}

#[test]
fn postgres_is_verified_as_the_url_says() {
    let Some(bin) = programs() else { return skip("PostgreSQL's initdb is not installed") };
    let server = Tls::start(bin);
    let (ca, other) = (server.file("ca.crt"), server.file("other.crt"));
    let named = |root: &String| format!("sslmode=verify-full&sslrootcert={root}");
    let full = || "sslmode=verify-full".to_owned();
    for (host, parameters, root, is_accepted) in [
        ("localhost", named(&ca), None, true),
        ("127.0.0.1", named(&ca), None, false),
        ("localhost", named(&other), None, false),
        ("localhost", full(), None, false),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), None, true),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}"), None, false),
        ("localhost", format!("sslmode=require&sslrootcert={ca}"), None, true),
        ("localhost", "sslmode=disable".into(), None, false),
        ("localhost", full(), Some(&ca), true),
        ("127.0.0.1", full(), Some(&ca), false),
        ("localhost", full(), Some(&other), false),
        ("localhost", named(&ca), Some(&ca), false),
    ] {
        let done = server.check(host, &parameters, root.map(String::as_str));
        let said = done.out.lines().find(|line| line.contains(" database: ")).unwrap_or_else(|| panic!("{done:?}"));
        assert_eq!(!said.starts_with("wrong"), is_accepted, "{host} {parameters} {root:?}: {said}");
        assert!(!is_accepted || said.contains("PostgreSQL"), "{said}");
    }
}
