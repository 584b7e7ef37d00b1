//! Which line of a configuration mends what is wrong: the printed configuration has it, with its number.

use crate::domain::application::Application;
use crate::domain::guard::kind::Kind;
use crate::guard::configuration::{self, Addresses};

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A request is answered, and Rollcall was not asked.
    Unasked,
    /// Rollcall refused, and the request passed.
    LetIn,
    /// Rollcall did not answer, and the request passed.
    FailsOpen,
    /// Another host is asked about.
    Host,
    /// Another path is asked about.
    Path,
    /// Another path or host is asked about when the caller names one in a header.
    Forwarded,
    /// Another method is asked about.
    Method,
    /// The client's address is not told, or the caller chooses it.
    Address,
    /// A header of an identity arrives as the caller sent it, in this spelling of a name.
    Forged(String, char),
    /// A header of an identity does not arrive.
    Absent(String),
    /// The same when the caller names it in `Connection`.
    Hop,
    /// Rollcall's cookie arrives at the app.
    Cookie,
    /// Rollcall's credential for programs arrives at the app.
    Key,
    /// The host's own addresses do not lead to Rollcall.
    Pages,
    /// The check can be asked from outside.
    Exposed,
    /// A WebSocket does not open.
    WebSocket,
    /// An event stream is held back.
    Events,
    /// The app's own 401 does not reach the caller.
    Intercepted,
    /// Parts of a page are fetched without a check.
    Subrequests,
    /// A `Set-Cookie` of the app does not reach the browser.
    SetCookie,
}

impl Fault {
    /// What a line of the printed configuration has that mends it.
    fn needle(&self, kind: Kind) -> String {
        let text = match (self, kind) {
            (Self::Forged(name, _) | Self::Absent(name), Kind::Nginx) => return format!("proxy_set_header {name} "),
            (Self::Forged(name, '-'), Kind::Caddy) if !name.starts_with("X-Rollcall") => return format!("request_header -{name}"),
            (Self::Unasked | Self::LetIn | Self::FailsOpen, Kind::Nginx) => "auth_request     /.rollcall-check;",
            (
                Self::Unasked
                | Self::LetIn
                | Self::FailsOpen
                | Self::Host
                | Self::Forwarded
                | Self::Method
                | Self::Address
                | Self::Exposed,
                Kind::Caddy,
            ) => "forward_auth ",
            (Self::Path | Self::Absent(_), Kind::Caddy) => "route {",
            (Self::Forged(..), Kind::Caddy) => "request_header -X-Rollcall-Jwt",
            (Self::Hop, Kind::Caddy) => "@hop header_regexp",
            (Self::Cookie, Kind::Caddy) => "copy_headers",
            (Self::Key, Kind::Caddy) => "request_header -X-Rollcall-Key",
            (Self::Pages, Kind::Caddy) => "reverse_proxy /.rollcall/*",
            (Self::WebSocket | Self::Events | Self::Intercepted | Self::Subrequests | Self::SetCookie, Kind::Caddy) => {
                "stream_timeout"
            }
            (Self::Host | Self::Path | Self::Forwarded, Kind::Nginx) => "proxy_set_header X-Original-URL",
            (Self::Method, Kind::Nginx) => "proxy_set_header X-Original-Method",
            (Self::Address, Kind::Nginx) => "proxy_set_header X-Forwarded-For",
            (Self::Hop, Kind::Nginx) => "proxy_set_header Connection $rollcall_connection",
            (Self::Cookie, Kind::Nginx) => "proxy_set_header Cookie",
            (Self::Key, Kind::Nginx) => "proxy_set_header X-Rollcall-Key",
            (Self::Pages, Kind::Nginx) => "location ^~ /.rollcall/",
            (Self::Exposed, Kind::Nginx) => "internal;",
            (Self::WebSocket, Kind::Nginx) => "proxy_set_header Upgrade",
            (Self::Intercepted, Kind::Nginx) => "error_page 401",
            (Self::Events | Self::Subrequests | Self::SetCookie, Kind::Nginx) => "location / {",
            (Self::Unasked | Self::LetIn | Self::FailsOpen | Self::Path | Self::Exposed, Kind::Traefik) => "middlewares: [",
            (Self::Host | Self::Forwarded | Self::Method | Self::Address, Kind::Traefik) => "trustForwardHeader: true",
            (Self::Forged(_, '-') | Self::Absent(_) | Self::Hop | Self::Key, Kind::Traefik) => "authResponseHeadersRegex",
            (Self::Forged(..), Kind::Traefik) => "aliasHeadersStrategy: delete}}",
            (Self::Cookie, Kind::Traefik) => "authResponseHeaders: [Cookie",
            (Self::Pages, Kind::Traefik) => "PathPrefix(`/.rollcall/`)",
            (Self::WebSocket | Self::Events | Self::Intercepted | Self::Subrequests | Self::SetCookie, Kind::Traefik) => {
                "loadBalancer"
            }
            (Self::FailsOpen, Kind::Envoy) => "failure_mode_allow: false",
            (Self::Unasked | Self::LetIn | Self::Exposed, Kind::Envoy) => "- name: envoy.filters.http.ext_authz",
            (Self::Host | Self::Path | Self::Forwarded | Self::Method, Kind::Envoy) => "path_prefix: /guard/envoy/",
            (Self::Address, Kind::Envoy) => "{exact: x-forwarded-for}",
            (Self::Forged(..), Kind::Envoy) => "remove_on_match",
            (Self::Absent(_) | Self::Hop | Self::Cookie, Kind::Envoy) => "allowed_upstream_headers",
            (Self::Key, Kind::Envoy) => "request_headers_to_remove: [x-rollcall-key]",
            (Self::Pages, Kind::Envoy) => "prefix: /.rollcall/",
            (Self::WebSocket, Kind::Envoy) => "upgrade_configs",
            (Self::Events | Self::Intercepted | Self::Subrequests | Self::SetCookie, Kind::Envoy) => "route: {cluster: app",
        };
        text.to_owned()
    }

    /// What usually is in the way of that line; `""`: nothing but its absence.
    fn hint(&self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Unasked | Self::LetIn, Kind::Nginx) => {
                "it belongs in the server and not in a location; return and rewrite answer before it, satisfy any goes around \
                 it, and a check that leads to a static file lets everybody in"
            }
            (Self::Unasked | Self::LetIn, Kind::Caddy) => {
                "every way to the app goes through it, and nothing else (handle_response) passes requests on that it refused"
            }
            (Self::Unasked | Self::LetIn, Kind::Traefik) => "every router that leads to the app needs the middleware",
            (Self::Unasked | Self::LetIn, Kind::Envoy) => "no route that leads to the app may disable the filter",
            (Self::FailsOpen, Kind::Nginx) => "error_page of 500 and above must not lead to the app",
            (Self::FailsOpen, Kind::Caddy) => "handle_errors must not lead to the app",
            (Self::Host | Self::Path | Self::Forwarded, Kind::Nginx) => "$host and not $http_host, which is what the caller wrote",
            (Self::Path, Kind::Caddy) => {
                "rewrite, uri and handle_path belong behind forward_auth: before it they change what is asked"
            }
            (Self::Forwarded | Self::Host | Self::Address, Kind::Caddy) => {
                "trusted_proxies names proxies in front of this one, and no others"
            }
            (Self::Path, Kind::Traefik) => "middlewares that change the path, such as stripPrefix, belong behind it",
            (Self::Forwarded | Self::Host | Self::Method | Self::Address, Kind::Traefik) => {
                "with it, the entry point must remove what callers send: no forwardedHeaders.insecure"
            }
            (Self::Forged(..), Kind::Nginx) => {
                "in every location that reaches the app: one proxy_set_header there takes all inherited ones away"
            }
            (Self::Absent(_), Kind::Caddy) => "outside route, Caddy asks before it strips, and then strips the identity, too",
            (Self::Forged(_, '-') | Self::Absent(_), Kind::Traefik) => "a name that is not in it stays as the caller sent it",
            (Self::Forged(..), Kind::Envoy) => {
                "what Rollcall does not send stays as the caller sent it, unless it is removed early"
            }
            (Self::Events, Kind::Nginx) => "add proxy_buffering off for event streams",
            (Self::Intercepted, Kind::Nginx) => "without proxy_intercept_errors",
            (Self::Subrequests, Kind::Nginx) => "without ssi: subrequests are not checked",
            _ => "",
        }
    }

    /// The line, with its number in the printed configuration and what is in its way.
    pub(super) fn cure(&self, kind: Kind, application: &Application) -> String {
        let needle = self.needle(kind);
        let printed = configuration::of(kind, application, Addresses::default()).unwrap_or_default();
        let found = printed.lines().enumerate().find(|(_, line)| line.contains(&needle));
        let (number, line) = match found {
            Some((at, line)) => (format!("line {} of ", at + 1), line.trim().trim_start_matches("# ").to_owned()),
            None => ("see ".to_owned(), needle.trim().to_owned()),
        };
        let line: String = if line.chars().count() > 160 { needle } else { line };
        let hint = match self.hint(kind) {
            "" => String::new(),
            hint => format!(" ({hint})"),
        };
        format!("{number}`rollcall app config {kind} {}`: {line}{hint}", application.slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::domain::application::Provider;

    /// A line that is named and not there mends nothing.
    #[test]
    fn every_line_that_is_named_is_in_the_printed_configuration() {
        let mut application = Application::new(1, uuid::Uuid::nil(), "app".into(), "app".into(), Timestamp(0));
        let guard = serde_json::from_value(serde_json::json!({"hosts": ["app.example.com"]})).unwrap();
        let kept = serde_json::Map::new();
        application.provider = Some(Provider { id: 1, name: "app".into(), application: Some(1), guard, kept });
        for fault in [
            Fault::Unasked,
            Fault::LetIn,
            Fault::FailsOpen,
            Fault::Host,
            Fault::Path,
            Fault::Forwarded,
            Fault::Method,
            Fault::Address,
            Fault::Forged("Remote-User".into(), '-'),
            Fault::Forged("Remote-Groups".into(), '_'),
            Fault::Forged("X-Rollcall-Jwt".into(), '.'),
            Fault::Absent("Remote-Name".into()),
            Fault::Hop,
            Fault::Cookie,
            Fault::Key,
            Fault::Pages,
            Fault::Exposed,
            Fault::WebSocket,
            Fault::Events,
            Fault::Intercepted,
            Fault::Subrequests,
            Fault::SetCookie,
        ] {
            for kind in Kind::ALL {
                let cure = fault.cure(kind, &application);
                assert!(cure.starts_with("line "), "{kind} {fault:?}: {cure}");
            }
        }
    }
}
