//! Apache with `mod_auth_openidc`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::journey::{RealApp, journey, read, shows};
use super::world::{Registered, World};
use crate::process::{Chromium, Home, eventually, signal, skip};
use crate::support::encode;

const MODULES: &str = "/usr/lib/apache2/modules";

/// A running Apache. It is stopped in the end.
struct Apache {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Asked to, it takes its workers along.
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(self.process.id(), "TERM");
        }
        drop(self.process.wait());
    }
}

fn configuration(folder: &Path, ca: &str, app: &Registered) -> String {
    let (at, base) = (folder.display(), app.base());
    let modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "env", "dir", "mime", "include", "auth_openidc"];
    let loaded: String = modules.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).concat();
    format!(
        "ServerRoot {at}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/log\n{loaded}\
         User www-data\nGroup www-data\nDefaultRuntimeDir {at}\nMutex file:{at}\n\
         OIDCProviderMetadataURL {issuer}.well-known/openid-configuration\nOIDCClientID {slug}\nOIDCClientSecret {secret}\n\
         OIDCRedirectURI {base}/cb\nOIDCCryptoPassphrase the-passphrase-of-this-test\nOIDCScope \"openid profile email\"\n\
         OIDCPKCEMethod S256\nOIDCRemoteUserClaim preferred_username\nOIDCCABundlePath {ca}\nOIDCPassClaimsAs environment\n\
         OIDCCacheType file\nOIDCCacheDir {at}/cache\n\
         TypesConfig /dev/null\nDocumentRoot {at}/pages\n\
         <Directory {at}/pages>\nOptions +Includes\nDirectoryIndex index.shtml\nAddType text/html .shtml\n\
         AddOutputFilter INCLUDES .shtml\n</Directory>\n\
         <Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n\
         <Location /bye.html>\nAuthType None\nRequire all granted\n</Location>\n",
        port = app.port,
        issuer = app.issuer,
        slug = app.slug,
        secret = app.secret,
    )
}

impl Apache {
    async fn start(world: &World, app: &Registered) -> Option<Self> {
        let is_there =
            ["/usr/sbin/apache2", &format!("{MODULES}/mod_auth_openidc.so")].iter().all(|path| Path::new(path).is_file());
        if !is_there {
            skip("Apache is not installed with its module for OpenID Connect (libapache2-mod-auth-openidc)");
            return None;
        }
        let folder = TempDir::new().unwrap();
        // What it knows of its users outlives it.
        let (pages, cache) = (folder.path().join("pages"), folder.path().join("cache"));
        fs::create_dir(&pages).unwrap();
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
        let shown = "<p>signed in as <!--#echo var=\"REMOTE_USER\" --></p><p id=token><!--#echo var=\"OIDC_access_token\" --></p>";
        fs::write(pages.join("index.shtml"), shown).unwrap();
        fs::write(pages.join("bye.html"), "bye").unwrap();
        let ca = folder.path().join("ca.crt");
        fs::copy(&world.ca, &ca).unwrap();
        // Its workers are another user.
        for path in [folder.path(), &pages, &ca] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let file = folder.path().join("apache.conf");
        fs::write(&file, configuration(folder.path(), &ca.display().to_string(), app)).unwrap();
        let process = Self::spawn(folder.path(), app.port).await;
        Some(Self { process, folder, port: app.port })
    }

    async fn spawn(folder: &Path, port: u16) -> Child {
        let mut command = Command::new("/usr/sbin/apache2");
        command.arg("-f").arg(folder.join("apache.conf")).arg("-DFOREGROUND");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = folder.join("log");
        eventually("Apache listens", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "Apache ended: {}", fs::read_to_string(&log).unwrap_or_default());
            std::future::ready(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })
        .await;
        process
    }
}

async fn token(browser: &Chromium, app: &Registered) -> String {
    browser.client.goto(&format!("{}/", app.base())).await.unwrap();
    let script = "return document.querySelector('#token')?.textContent ?? ''";
    browser.script(script).await.as_str().unwrap().trim().to_owned()
}

impl RealApp for Apache {
    const LOGIN: &'static str = "/";
    const AFTER: &'static str = "/bye.html";
    const TOLD: &'static str = "/cb?logout=backchannel";

    async fn kill(&mut self) {
        // Its workers would hold the port.
        signal(self.process.id(), "TERM");
        drop(self.process.wait());
    }

    async fn start_again(&mut self) {
        self.process = Self::spawn(self.folder.path(), self.port).await;
    }

    async fn sign_out(&self, browser: &Chromium, app: &Registered) {
        let after = encode(&format!("{}{}", app.base(), Self::AFTER));
        browser.client.goto(&format!("{}/cb?logout={after}", app.base())).await.unwrap();
    }

    async fn refreshes(&self, browser: &Chromium, app: &Registered) -> bool {
        let before = token(browser, app).await;
        if before.is_empty() {
            // It was told before.
            return false;
        }
        assert!(before.len() > 40, "{before}");
        let back = encode(&format!("{}/", app.base()));
        let text = read(browser, &format!("{}/cb?refresh={back}&access_token={before}", app.base())).await;
        let at = browser.client.current_url().await.unwrap();
        if at.query().unwrap_or_default().contains("error_code=") || at.path() == "/sign-in" {
            return false;
        }
        assert!(text.contains("signed in as alice"), "{text}");
        shows(browser, "signed in as alice").await;
        token(browser, app).await != before
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mod_auth_openidc() {
    let world = World::start(Home::sqlite()).await;
    let registered = world.register("apache", Apache::AFTER, Apache::TOLD);
    let Some(app) = Apache::start(&world, &registered).await else { return };
    journey(world, registered, app).await;
}
