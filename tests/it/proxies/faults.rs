//! Each fault that configurations of proxies have, put into the printed one of a real proxy: `rollcall check proxy` fails,
//! and names the line that mends it.

use rollcall::domain::guard::kind::Kind;

use super::checked::World;

/// A fault, and what must be said of it.
struct Trap {
    name: &'static str,
    kind: Kind,
    /// What it changes in the printed configuration.
    edit: fn(&World, String) -> String,
    /// What it changes around that.
    surround: fn(String) -> String,
    /// The path of the address that is checked.
    path: &'static str,
    /// What is said, and the line that is named.
    told: &'static str,
    line: &'static str,
    /// Whether it shows while Rollcall is stopped.
    is_stopped: bool,
}

impl Trap {
    const fn new(name: &'static str, kind: Kind, edit: fn(&World, String) -> String) -> Self {
        Self { name, kind, edit, surround: |text| text, path: "/", told: "", line: "", is_stopped: false }
    }

    const fn says(self, told: &'static str, line: &'static str) -> Self {
        Self { told, line, ..self }
    }
}

/// Replaces what must be there.
fn swap(text: String, from: &str, to: &str) -> String {
    assert!(text.contains(from), "there is no {from} in {text}");
    text.replacen(from, to, 1)
}

/// The lines of the location that leads to the app which begin so.
fn lines_of_location(text: &str, start: &str) -> Vec<String> {
    let (_, rest) = text.split_once("    location / {\n").unwrap();
    let (block, _) = rest.split_once("    }\n").unwrap();
    block.lines().filter(|line| line.trim().starts_with(start)).map(str::to_owned).collect()
}

const PASSES_UNASKED: &str = "it passes unasked";
const FORGED: &str = "and the app gets it";

async fn all_are_told(traps: Vec<Trap>) {
    let mut world = World::new().await;
    let (stopped, live): (Vec<Trap>, Vec<Trap>) = traps.into_iter().partition(|trap| trap.is_stopped);
    let mut wrong = Vec::new();
    for trap in live.into_iter().chain(stopped) {
        if trap.is_stopped {
            world.stop().await;
        }
        let Some(proxy) = world.proxy(trap.kind, &trap.edit, &trap.surround) else { return };
        let done = world.check(&proxy, trap.path, if trap.is_stopped { &["--stopped"] } else { &[] });
        let is_named = done.out.lines().any(|line| line.contains("app config") && line.contains(trap.line));
        if done.code != 1 || !done.out.contains(trap.told) || !is_named {
            wrong.push(format!("{}: {} {}\n{}", trap.name, done.code, done.err, done.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_nginx_are_told_with_their_line() {
    let kind = Kind::Nginx;
    all_are_told(vec![
        Trap::new("return answers before auth_request", kind, |_, text| {
            swap(text, "    location / {", "    location = /health { return 200 ok; }\n    location / {")
        })
        .says(PASSES_UNASKED, "auth_request     /.rollcall-check;"),
        Trap::new("auth_request in one location, and a regex location next to it", kind, |world, text| {
            let text = swap(text, "    auth_request     /.rollcall-check;\n", "");
            let text = swap(text, "    location / {", "    location / {\n        auth_request /.rollcall-check;");
            let open = format!("    location ~ \\.php$ {{ proxy_pass http://{}; }}\n    location / {{", world.echo.address());
            swap(text, "    location / {", &open)
        })
        .says(PASSES_UNASKED, "auth_request     /.rollcall-check;"),
        Trap {
            path: "/a",
            ..Trap::new("satisfy any with an allowed network", kind, |_, text| {
                swap(text, "    location / {", "    satisfy any; allow 127.0.0.0/8; deny all;\n    location / {")
            })
            .says("the proxy does not ask Rollcall", "auth_request     /.rollcall-check;")
        },
        Trap::new("server-side includes fetch guarded parts", kind, |_, text| {
            swap(text, "    location / {", "    location / {\n        ssi on;")
        })
        .says("fetches a part of a page without a check", "location / {"),
        Trap {
            path: "/inner/a",
            ..Trap::new("a proxy_set_header in a location takes the inherited ones away", kind, |world, text| {
                let lines = lines_of_location(&text, "proxy_set_header");
                let mut text = text;
                for line in &lines {
                    text = swap(text, &format!("{line}\n"), "");
                }
                let inner = format!(
                    "{}\n    location /inner/ {{ proxy_pass http://{}; proxy_set_header X-Inner 1; }}\n    location / {{",
                    lines.join("\n"),
                    world.echo.address()
                );
                swap(text, "    location / {", &inner)
            })
            .says("Remote-User and the app gets it", "proxy_set_header Remote-User $rollcall_remote_user;")
        },
        Trap::new("a name that is not set passes as the caller sent it", kind, |_, text| {
            swap(text, "        proxy_set_header Remote-Email $rollcall_remote_email;\n", "")
        })
        .says("names Remote-Email and the app gets it", "proxy_set_header Remote-Email $rollcall_remote_email;"),
        Trap::new("the app's own 401 becomes a sign-in", kind, |_, text| {
            swap(text, "    location / {", "    location / {\n        proxy_intercept_errors on;")
        })
        .says("the app's own 401 does not reach the caller", "error_page 401 = @rollcall_sign_in;"),
        Trap::new("$http_host in place of $host", kind, |_, text| {
            swap(text, "X-Original-URL $scheme://$host", "X-Original-URL $scheme://$http_host")
        })
        .says("another host is asked about", "proxy_set_header X-Original-URL"),
        Trap::new("the check leads to a static file", kind, |_, text| {
            swap(text, "proxy_pass http://rollcall_wiki/guard/nginx/wiki;", "alias /etc/hostname;")
        })
        .says("the proxy does not ask Rollcall", "auth_request     /.rollcall-check;"),
        Trap::new("no method is told", kind, |_, text| {
            swap(text, "        proxy_set_header X-Original-Method $request_method;\n", "")
        })
        .says("another method is asked about", "proxy_set_header X-Original-Method $request_method;"),
        Trap::new("no address is told", kind, |_, text| {
            let check = "X-Original-Method $request_method;\n        proxy_set_header X-Forwarded-For $remote_addr;\n        proxy_connect";
            swap(text, check, "X-Original-Method $request_method;\n        proxy_connect")
        })
        .says("the client's address", "proxy_set_header X-Forwarded-For $remote_addr;"),
        Trap::new("our cookie reaches the app", kind, |_, text| {
            swap(text, "        proxy_set_header Cookie $rollcall_cookie;\n", "")
        })
        .says("Rollcall's cookie reaches the app", "proxy_set_header Cookie $rollcall_cookie;"),
        Trap::new("our key reaches the app", kind, |_, text| swap(text, "        proxy_set_header X-Rollcall-Key \"\";\n", ""))
            .says("Rollcall's credential for programs reaches the app", "proxy_set_header X-Rollcall-Key"),
        Trap::new("the pages of the host lead elsewhere", kind, |_, text| {
            swap(text, "location ^~ /.rollcall/ {", "location ^~ /.rollcall/elsewhere {")
        })
        .says("/.rollcall/ does not lead to the sign-in", "location ^~ /.rollcall/ {"),
        Trap::new("no WebSockets", kind, |_, text| swap(text, "        proxy_set_header Upgrade $http_upgrade;\n", ""))
            .says("a WebSocket does not open", "proxy_set_header Upgrade $http_upgrade;"),
        Trap {
            is_stopped: true,
            ..Trap::new("an error page that leads to the app", kind, |world, text| {
                let open = format!(
                    "    error_page 500 502 504 = @open;\n    location @open {{ auth_request off; proxy_pass http://{}; }}\n    location / {{",
                    world.echo.address()
                );
                swap(text, "    location / {", &open)
            })
            .says("it passes while Rollcall does not answer", "auth_request     /.rollcall-check;")
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_caddy_are_told_with_their_line() {
    let kind = Kind::Caddy;
    all_are_told(vec![
        Trap::new("Connection takes the identity off", kind, |_, text| swap(text, "\t\trespond @hop 400\n", ""))
            .says("a caller takes the identity off", "@hop header_regexp"),
        Trap::new("outside route, it asks before it strips", kind, |_, text| {
            let text = swap(text, "\troute {\n", "");
            let (text, _) = text.rsplit_once("\t}\n}").unwrap();
            format!("{text}}}\n")
        })
        .says("does not arrive", "route {"),
        Trap::new("what was refused is passed on", kind, |world, text| {
            let open = format!(
                "\t\t\t@refused status 401\n\t\t\thandle_response @refused {{\n\t\t\t\treverse_proxy {}\n\t\t\t}}\n\t\t\ttransport http {{",
                world.echo.address()
            );
            swap(text, "\t\t\ttransport http {", &open)
        })
        .says("a request passes that Rollcall refused", "forward_auth "),
        Trap {
            path: "/files/a",
            ..Trap::new("handle_path before the check", kind, |_, text| {
                swap(text, "\troute {\n", "\troute {\n\t\turi strip_prefix /files\n")
            })
            .says("another path is asked about", "route {")
        },
        Trap::new("rewrite before the check", kind, |_, text| {
            swap(text, "\troute {\n", "\troute {\n\t\trewrite * /public{uri}\n")
        })
        .says("another path is asked about", "route {"),
        Trap::new("a way to the app that is not asked about", kind, |world, text| {
            swap(text, "\troute {\n", &format!("\troute {{\n\t\treverse_proxy /api/* {}\n", world.echo.address()))
        })
        .says(PASSES_UNASKED, "forward_auth "),
        Trap::new("our key reaches the app", kind, |_, text| swap(text, "\t\trequest_header -X-Rollcall-Key\n", ""))
            .says("Rollcall's credential for programs reaches the app", "request_header -X-Rollcall-Key"),
        Trap::new("our cookie reaches the app", kind, |_, text| swap(text, " Cookie Authorization\n", " Authorization\n"))
            .says("Rollcall's cookie reaches the app", "copy_headers"),
        Trap::new("the signed identity is not stripped", kind, |_, text| swap(text, "\t\trequest_header -X-Rollcall-Jwt\n", ""))
            .says("X-Rollcall-Jwt and the app gets it", "request_header -X-Rollcall-Jwt"),
        Trap {
            is_stopped: true,
            ..Trap::new("an error that leads to the app", kind, |world, text| {
                let (text, _) = text.rsplit_once('}').unwrap();
                format!("{text}\thandle_errors {{\n\t\treverse_proxy {}\n\t}}\n}}\n", world.echo.address())
            })
            .says("it passes while Rollcall does not answer", "forward_auth ")
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_traefik_are_told_with_their_line() {
    let kind = Kind::Traefik;
    all_are_told(vec![
        Trap {
            surround: |text| swap(text, ", http: {aliasHeadersStrategy: delete}", ""),
            ..Trap::new("other spellings of names pass", kind, |_, text| text).says(FORGED, "aliasHeadersStrategy: delete")
        },
        Trap {
            surround: |text| swap(text, "http: {alias", "forwardedHeaders: {insecure: true}, http: {alias"),
            ..Trap::new("a stranger's X-Forwarded headers are believed", kind, |_, text| text)
                .says("the caller chooses what is asked about", "trustForwardHeader: true")
        },
        Trap::new("a router on a path next to the guarded one", kind, |_, text| {
            swap(
                text,
                "  routers:\n",
                "  routers:\n    open: {rule: \"Host(`wiki.example`) && PathPrefix(`/api/`)\", service: wiki}\n",
            )
        })
        .says(PASSES_UNASKED, "middlewares: [rollcall-wiki]"),
        Trap {
            path: "/files/a",
            ..Trap::new("stripPrefix before the guard", kind, |_, text| {
                let text = swap(text, "middlewares: [rollcall-wiki]", "middlewares: [strip, rollcall-wiki]");
                swap(text, "  middlewares:\n", "  middlewares:\n    strip: {stripPrefix: {prefixes: [\"/files\"]}}\n")
            })
            .says("another path is asked about", "middlewares: [rollcall-wiki]")
        },
        Trap::new("a name that is not taken from the answer", kind, |_, text| {
            let text = swap(text, "(remote|x-authentik", "(x-authentik");
            swap(text, "[Cookie, Authorization]", "[Cookie, Authorization, Remote-User]")
        })
        .says("names Remote-Groups and the app gets it", "authResponseHeadersRegex"),
        Trap::new("our cookie reaches the app", kind, |_, text| swap(text, "[Cookie, Authorization]", "[Authorization]"))
            .says("Rollcall's cookie reaches the app", "authResponseHeaders: [Cookie"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_envoy_are_told_with_their_line() {
    let kind = Kind::Envoy;
    all_are_told(vec![
        Trap::new("a route with the filter off", kind, |_, text| {
            let off = "typed_per_filter_config: {envoy.filters.http.ext_authz: {\"@type\": \
                type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}";
            let open = format!(
                "              - match: {{prefix: /api/}}\n                route: {{cluster: app}}\n                {off}\n"
            );
            swap(text, "              - match: {prefix: /}\n", &format!("{open}              - match: {{prefix: /}}\n"))
        })
        .says(PASSES_UNASKED, "- name: envoy.filters.http.ext_authz"),
        Trap::new("what is not sent stays as the caller sent it", kind, |_, text| {
            let start = text.find("          early_header_mutation_extensions:").unwrap();
            let end = text.find("          route_config:").unwrap();
            format!("{}{}", &text[..start], &text[end..])
        })
        .says(FORGED, "remove_on_match"),
        Trap::new("no address is told", kind, |_, text| swap(text, "{exact: x-forwarded-for}, ", ""))
            .says("the client's address", "{exact: x-forwarded-for}"),
        Trap::new("the identity is not passed on", kind, |_, text| swap(text, ", {prefix: remote-}", ""))
            .says("Remote-User does not arrive", "allowed_upstream_headers"),
        Trap::new("our key reaches the app", kind, |_, text| {
            swap(text, "                request_headers_to_remove: [x-rollcall-key]\n", "")
        })
        .says("Rollcall's credential for programs reaches the app", "request_headers_to_remove: [x-rollcall-key]"),
        Trap::new("no WebSockets", kind, |_, text| swap(text, "          upgrade_configs: [{upgrade_type: websocket}]\n", ""))
            .says("a WebSocket does not open", "upgrade_configs"),
        Trap {
            is_stopped: true,
            ..Trap::new("failure_mode_allow", kind, |_, text| swap(text, "failure_mode_allow: false", "failure_mode_allow: true"))
                .says("it passes while Rollcall does not answer", "failure_mode_allow: false")
        },
    ])
    .await;
}
