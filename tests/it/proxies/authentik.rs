//! Configurations as authentik documents them for its outposts, with the address of the outpost changed to Rollcall's. They
//! are written for these tests, from what the proxies are told there: which address is asked, and which headers pass.

use rollcall::domain::guard::kind::Kind;

use super::echo::Echo;
use super::guarded::{HOME, Person, WIKI, got};
use super::process::Proxy;
use crate::guard::world::{PAGE, add_app};
use crate::process::free_port;
use crate::support::{TestApp, TestDb};

/// The names that authentik's outposts send.
const NAMES: [&str; 11] = [
    "username",
    "groups",
    "entitlements",
    "email",
    "name",
    "uid",
    "meta-jwks",
    "meta-outpost",
    "meta-provider",
    "meta-app",
    "meta-version",
];

fn nginx(port: u16, app: &str, outpost: &str) -> String {
    let set = |name: &str| {
        let variable = name.replace('-', "_");
        format!(
            "auth_request_set $authentik_{variable} $upstream_http_x_authentik_{variable};\n\
             proxy_set_header X-authentik-{name} $authentik_{variable};\n"
        )
    };
    let names: String = NAMES.iter().map(|name| set(name)).collect();
    format!(
        "map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         server {{\n\
           listen 127.0.0.1:{port};\n\
           server_name {WIKI};\n\
           port_in_redirect off;\n\
           proxy_buffers 8 16k; proxy_buffer_size 32k;\n\
           location / {{\n\
             proxy_pass http://{app};\n\
             proxy_set_header Host $host;\n\
             proxy_http_version 1.1;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection $connection_upgrade;\n\
             auth_request /outpost.goauthentik.io/auth/nginx;\n\
             error_page 401 = @sign_in;\n\
             auth_request_set $auth_cookie $upstream_http_set_cookie;\n\
             add_header Set-Cookie $auth_cookie;\n\
             {names}\
           }}\n\
           location /outpost.goauthentik.io {{\n\
             proxy_pass http://{outpost}/outpost.goauthentik.io;\n\
             proxy_set_header Host $host;\n\
             proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\n\
             add_header Set-Cookie $auth_cookie;\n\
             auth_request_set $auth_cookie $upstream_http_set_cookie;\n\
             proxy_pass_request_body off;\n\
             proxy_set_header Content-Length \"\";\n\
           }}\n\
           location @sign_in {{\n\
             internal;\n\
             add_header Set-Cookie $auth_cookie;\n\
             return 302 /outpost.goauthentik.io/start?rd=$scheme://$http_host$request_uri;\n\
           }}\n\
         }}\n"
    )
}

fn caddy(port: u16, app: &str, outpost: &str) -> String {
    let names: String = NAMES.iter().map(|name| format!(" X-Authentik-{name}")).collect();
    format!(
        "http://{WIKI}:{port} {{\n\troute {{\n\t\treverse_proxy /outpost.goauthentik.io/* http://{outpost}\n\
         \t\tforward_auth http://{outpost} {{\n\t\t\turi /outpost.goauthentik.io/auth/caddy\n\t\t\tcopy_headers{names}\n\
         \t\t\ttrusted_proxies private_ranges\n\t\t}}\n\t\treverse_proxy {app}\n\t}}\n}}\n"
    )
}

fn traefik(app: &str, outpost: &str) -> String {
    let names: String = NAMES.iter().map(|name| format!("          - X-authentik-{name}\n")).collect();
    format!(
        "http:\n  middlewares:\n    authentik:\n      forwardAuth:\n\
         \x20       address: \"http://{outpost}/outpost.goauthentik.io/auth/traefik\"\n        trustForwardHeader: true\n\
         \x20       authResponseHeaders:\n{names}\
         \x20 routers:\n\
         \x20   app: {{rule: \"Host(`{WIKI}`)\", middlewares: [authentik], priority: 10, service: app}}\n\
         \x20   outpost: {{rule: \"Host(`{WIKI}`) && PathPrefix(`/outpost.goauthentik.io/`)\", priority: 15, service: outpost}}\n\
         \x20 services:\n\
         \x20   app: {{loadBalancer: {{servers: [{{url: \"http://{app}\"}}]}}}}\n\
         \x20   outpost: {{loadBalancer: {{servers: [{{url: \"http://{outpost}\"}}]}}}}\n"
    )
}

/// As Istio makes it of an `envoyExtAuthzHttp` provider that sends the cookie along and takes `x-authentik-*` from the answer.
fn envoy(port: u16, app: &str, outpost: &str) -> String {
    let cluster = |name: &str, address: &str| {
        let (host, port) = address.rsplit_once(':').unwrap();
        format!(
            "  - {{name: {name}, connect_timeout: 2s, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: \
             {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}]}}]}}}}\n"
        )
    };
    format!(
        "static_resources:\n  listeners:\n  - name: http\n    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}\n\
         \x20   filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n\
         \x20         \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n\
         \x20         stat_prefix: http\n          route_config:\n            virtual_hosts:\n            - name: app\n\
         \x20             domains: [\"{WIKI}\"]\n              routes:\n\
         \x20             - {{match: {{prefix: /outpost.goauthentik.io}}, route: {{cluster: outpost}}}}\n\
         \x20             - {{match: {{prefix: /}}, route: {{cluster: app}}}}\n          http_filters:\n\
         \x20         - name: envoy.filters.http.ext_authz\n            typed_config:\n\
         \x20             \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n\
         \x20             transport_api_version: V3\n              allowed_headers: {{patterns: [{{exact: cookie}}]}}\n\
         \x20             http_service:\n                path_prefix: /outpost.goauthentik.io/auth/envoy\n\
         \x20               server_uri: {{uri: \"http://{outpost}\", cluster: outpost, timeout: 5s}}\n\
         \x20               authorization_response:\n\
         \x20                 allowed_upstream_headers: {{patterns: [{{exact: set-cookie}}, {{prefix: x-authentik-}}]}}\n\
         \x20                 allowed_client_headers_on_success: {{patterns: [{{exact: cookie}}]}}\n\
         \x20         - {{name: envoy.filters.http.router, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}\n  clusters:\n{}{}",
        cluster("app", app),
        cluster("outpost", outpost)
    )
}

async fn work(kind: Kind, db: TestDb) {
    let home = format!("http://{HOME}");
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", &home), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    add_app(&app, "wiki", serde_json::json!({"allow": "signed_in"}), serde_json::json!({"hosts": [WIKI]})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let echo = Echo::start().await;
    let (port, address, outpost) = (free_port(), echo.address.to_string(), app.address.to_string());
    let text = match kind {
        Kind::Nginx => nginx(port, &address, &outpost),
        Kind::Caddy => caddy(port, &address, &outpost),
        Kind::Traefik => traefik(&address, &outpost),
        Kind::Envoy => envoy(port, &address, &outpost),
    };
    let Some(proxy) = Proxy::start_with(kind, port, WIKI, &text, &|text| text) else { return };
    let person = Person::new(&app, &proxy);

    // Nothing reaches the app without a session.
    for (method, path) in [("GET", "/a"), ("POST", "/a"), ("GET", "/outpost.goauthentik.io/../a"), ("GET", "//a")] {
        let answer = person.send(method, WIKI, path, &[]).await;
        assert!([302, 303, 307, 308, 400, 401, 403, 404].contains(&answer.status), "{kind} {method} {path}: {}", answer.status);
    }
    let page = person.send("GET", WIKI, "/a?b=1&c=2", &PAGE).await.assert_status(302);
    let start = page.header("location").unwrap().to_owned();
    assert!(start.contains("/outpost.goauthentik.io/start?"), "{kind} {start}");
    assert_eq!(echo.count(), 0, "{kind}");
    assert_eq!(
        person.send("GET", WIKI, "/outpost.goauthentik.io/ping", &[]).await.status / 100,
        if kind == Kind::Envoy { 4 } else { 2 }
    );

    // Sign in, and come back with the whole query; the app gets authentik's names.
    let session = person.sign_in(&app, "alice").await;
    let opened = person.open("/a?b=1&c=2").await.assert_status(200);
    assert_eq!(opened.json()["path"].as_str(), Some("/a?b=1&c=2"), "{kind}");
    assert_eq!(got(&opened, "x-authentik-username"), ["alice"], "{kind}");
    assert_eq!(got(&opened, "x-authentik-meta-app"), ["wiki"], "{kind}");
    assert_eq!(got(&opened, "x-authentik-uid").len(), 1, "{kind}");
    assert_eq!(got(&opened, "remote-user"), [""; 0], "{kind}");
    // What a caller sends in authentik's names is replaced.
    let forged = person.send("GET", WIKI, "/a", &[("x-authentik-username", "admin")]).await.assert_status(200);
    assert_eq!(got(&forged, "x-authentik-username"), ["alice"], "{kind}");

    // The end of the session, and signing out.
    let admin = app.known("root").await.token().await;
    admin.delete(&format!("{}{session}/", crate::support::SESSIONS)).await.assert_status(204);
    assert_ne!(person.send("GET", WIKI, "/a", &[]).await.status, 200, "{kind}");
    let session = person.sign_in(&app, "alice").await;
    person.open("/a").await.assert_status(200);
    let own = [PAGE.as_slice(), &[("sec-fetch-site", "same-origin")]].concat();
    let out = person.send("GET", WIKI, "/outpost.goauthentik.io/sign_out", &own).await;
    if kind == Kind::Envoy {
        // It is not told that the app's own page leads here, so Rollcall asks.
        assert_eq!(out.header("location"), Some("http://id.example/sign-out"));
    } else {
        out.assert_status(200);
        assert_eq!(app.ending(&session).await.unwrap().0, "signed_out", "{kind}");
        assert_ne!(person.send("GET", WIKI, "/a", &[]).await.status, 200, "{kind}");
    }
}

db_test!(nginx_as_authentik_documents_it, |db| async move { work(Kind::Nginx, db).await });
db_test!(caddy_as_authentik_documents_it, |db| async move { work(Kind::Caddy, db).await });
db_test!(traefik_as_authentik_documents_it, |db| async move { work(Kind::Traefik, db).await });
db_test!(envoy_as_authentik_documents_it, |db| async move { work(Kind::Envoy, db).await });
