//! docs/guard.md shows the configurations that `rollcall app config` prints, which the tests run.

use rollcall::domain::Timestamp;
use rollcall::domain::application::{Application, Provider};
use rollcall::domain::guard::kind::Kind;
use rollcall::guard::configuration::{self, Addresses};
use serde_json::json;
use uuid::Uuid;

fn application(guard: serde_json::Value) -> Application {
    let mut application = Application::new(1, Uuid::nil(), "app".into(), "app".into(), Timestamp(0));
    let guard = serde_json::from_value(guard).unwrap();
    application.provider = Some(Provider { id: 1, name: "app".into(), application: Some(1), guard, kept: serde_json::Map::new() });
    application
}

#[test]
fn the_document_shows_what_the_command_prints() {
    let path = "docs/guard.md";
    let mut text = std::fs::read_to_string(path).unwrap();
    let before = text.clone();
    for kind in Kind::ALL {
        let printed = configuration::of(kind, &application(json!({"hosts": ["app.example.com"]})), Addresses::default()).unwrap();
        let mark = format!("<!-- config: {kind} -->\n```");
        let at = text.find(&mark).unwrap_or_else(|| panic!("no place for {kind}")) + mark.len();
        let start = at + text[at..].find('\n').unwrap() + 1;
        let end = start + text[start..].find("```").unwrap();
        text.replace_range(start..end, &format!("{}\n", printed.trim_end()));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    } else {
        assert!(text == before, "UPDATE_DOCS=1 cargo test --test it guard::documents writes docs/guard.md");
    }
}

#[test]
fn a_configuration_names_every_header_that_the_application_sends() {
    let own = application(json!({"hosts": ["app.example.com", "*.example.org"], "headers": {"X-WEBAUTH-USER": "username"}}));
    for kind in Kind::ALL {
        let printed = configuration::of(kind, &own, Addresses::default()).unwrap().to_lowercase();
        assert!(printed.contains("x-webauth-user") || printed.contains("x[-.]webauth[-.]user"), "{kind}: {printed}");
        assert!(
            printed.contains("app.example.com") && printed.contains("example.org") || printed.contains("example\\\\.org"),
            "{kind}: {printed}"
        );
        let mut none = own.clone();
        none.provider = None;
        assert_eq!(configuration::of(kind, &none, Addresses::default()), None);
    }
}

// nginx passes on what is not set as the caller sent it: so each name that an app believes is set, sent or not.
#[test]
fn names_that_are_never_sent_are_taken_off_too() {
    let authentik = application(json!({"hosts": ["app.example.com"], "headers": "authentik"}));
    let printed = configuration::of(Kind::Nginx, &authentik, Addresses::default()).unwrap();
    for name in ["username", "groups", "entitlements", "uid", "jwt", "meta-jwks", "meta-app"] {
        let set = format!("proxy_set_header X-authentik-{name} $rollcall_x_authentik_{};", name.replace('-', "_"));
        assert!(printed.contains(&set), "{name}: {printed}");
    }
}

#[test]
fn a_signed_identity_passes_where_it_is_sent_and_only_there() {
    let print = |kind, guard| configuration::of(kind, &application(guard), Addresses::default()).unwrap();
    for kind in Kind::ALL {
        let signed = print(kind, json!({"hosts": ["app.example.com"], "jwt": true}));
        let plain = print(kind, json!({"hosts": ["app.example.com"]}));
        let passes = match kind {
            Kind::Nginx => "proxy_set_header X-Rollcall-Jwt $rollcall_x_rollcall_jwt;",
            Kind::Caddy => "Remote-Email X-Rollcall-Jwt Cookie",
            // It passes all names that begin so on, and removes those that the answer does not have.
            Kind::Traefik => "|x-rollcall)-",
            Kind::Envoy => "{exact: x-rollcall-jwt}",
        };
        assert!(signed.contains(passes), "{kind}: {signed}");
        assert!(kind == Kind::Traefik || !plain.contains(passes), "{kind}: {plain}");
        assert!(kind != Kind::Nginx || (plain.contains("X-Rollcall-Jwt \"\"") && !signed.contains("X-Rollcall-Jwt \"\"")));
        let table = print(kind, json!({"hosts": ["app.example.com"], "jwt": true, "headers": {"X-User": "username"}}));
        assert!(table.contains(passes.trim_start_matches("Remote-Email ")), "{kind}: {table}");
    }
    let authentik = print(Kind::Nginx, json!({"hosts": ["app.example.com"], "jwt": true, "headers": "authentik"}));
    assert!(authentik.contains("X-authentik-jwt $rollcall_x_authentik_jwt;") && authentik.contains("X-Rollcall-Jwt \"\""));
    assert_eq!(authentik.matches("proxy_set_header X-authentik-jwt").count(), 1);
}
