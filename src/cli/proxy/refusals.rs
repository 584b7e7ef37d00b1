//! What can be shown without the app: nothing passes unasked, what is asked is what was sent, and Rollcall's own pages of
//! the host are there.

use crate::actions::guard::probes::Seen;
use crate::cli::proxy::cure::Fault;
use crate::cli::proxy::request::Request;
use crate::cli::proxy::{Checker, Outcomes, pass, warn, without_proof};
use crate::cli::{Failure, Outcome};
use crate::domain::application::host::Host;
use crate::domain::guard::kind::Kind;

/// Paths that configurations often treat in a way of their own.
const COMMON: [&str; 11] = [
    "/",
    "/index.html",
    "/index.php",
    "/favicon.ico",
    "/robots.txt",
    "/style.css",
    "/app.js",
    "/logo.png",
    "/health",
    "/api/",
    "/static/",
];
/// A host and an address that no request has by itself (RFC 2606, RFC 5737).
const FOREIGN_HOST: &str = "rollcall-probe.invalid";
const FOREIGN_ADDRESS: &str = "192.0.2.99";

impl Checker<'_> {
    /// Without credentials: each request is asked about, as it was sent, and refused unless a rule lets anyone in.
    pub(super) async fn refusals(&mut self) -> Outcome {
        let path = self.wire.path.clone();
        if !self.is_asked(&path).await? {
            return Ok(());
        }
        let others: Vec<&str> = COMMON.into_iter().filter(|common| *common != path).collect();
        let before = self.fails;
        for common in &others {
            self.passes_unasked("a common path", &Request::new("GET", common), true).await?;
        }
        if self.fails == before {
            pass("common paths", &format!("asked about: {}", others.join(" ")))?;
        }
        let before = self.fails;
        for method in ["POST", "OPTIONS", "DELETE"] {
            self.passes_unasked("another method", &Request::new(method, &path), true).await?;
        }
        self.passes_unasked("a WebSocket", &Request::new("GET", &path).for_web_socket(), true).await?;
        let below = path.trim_start_matches('/');
        for start in ["/.rollcall/..", "/outpost.goauthentik.io/..", "/%2e%2e", "/.rollcall/%2e%2e", "/", "/x/..%2f"] {
            self.passes_unasked("another spelling of a path", &Request::new("GET", &format!("{start}/{below}")), false).await?;
        }
        if self.fails == before {
            pass("other methods, WebSockets and spellings", "nothing reaches the app unasked")?;
        }
        self.is_as_sent(&path).await?;
        self.exposed().await?;
        self.pages().await
    }

    /// The address itself: is Rollcall asked at all, and about this?
    async fn is_asked(&mut self, path: &str) -> Result<bool, Failure> {
        let request = Request::new("GET", path);
        let (probe, outcomes) = self.send(&request).await?;
        let Some(seen) = outcomes.seen.clone().filter(|seen| !seen.kind.is_empty()) else {
            // Another path may tell the kind of the proxy.
            for other in ["/", "/index.html", "/health"] {
                self.send(&Request::new("GET", other)).await?;
            }
            self.fail("the proxy does not ask Rollcall", &request.describe(), &outcomes.describe(), &Fault::Unasked)?;
            return Ok(false);
        };
        if !seen.is_trusted {
            self.fails += 1;
            let detail = "http.trusted_proxies does not name the proxy's address, and every check is refused";
            crate::cli::output::line(&format!("wrong    {detail}"))?;
            return Ok(false);
        }
        self.compare("the address", (&request, &probe.proof), &outcomes, &seen, Fault::Path)?;
        if outcomes.is_in() && seen.status != 200 {
            self.fail("a request passes that Rollcall refused", &request.describe(), &outcomes.describe(), &Fault::LetIn)?;
        }
        Ok(true)
    }

    /// Fails when a request reaches the app without a check, or in spite of it. `must_ask`: it is so plain a request that it
    /// must be asked about, whatever the answer.
    async fn passes_unasked(&mut self, what: &str, request: &Request, must_ask: bool) -> Outcome {
        let (probe, outcomes) = self.send(request).await?;
        let (sent, told) = (request.describe(), outcomes.describe());
        match &outcomes.seen {
            Some(seen) if !seen.kind.is_empty() => {
                if seen.status != 200 && outcomes.is_in() {
                    return self.fail(&format!("{what}: it passes, and Rollcall refused it"), &sent, &told, &Fault::LetIn);
                }
                if must_ask {
                    let seen = seen.clone();
                    return self.compare(what, (request, &probe.proof), &outcomes, &seen, Fault::Path).map(drop);
                }
                Ok(())
            }
            _ if outcomes.is_in() => self.fail(&format!("{what}: it passes unasked"), &sent, &told, &Fault::Unasked),
            _ if must_ask && !matches!(outcomes.reply.status, 0 | 400) => {
                warn(what, &format!("{sent}: {told}; what answers it is not guarded"))
            }
            _ => Ok(()),
        }
    }

    /// Whether host, path and method that were asked about are those that were sent.
    fn compare(
        &mut self,
        what: &str,
        (request, proof): (&Request, &str),
        outcomes: &Outcomes,
        seen: &Seen,
        of_path: Fault,
    ) -> Result<bool, Failure> {
        let fault = if Host::parse(&seen.host).as_ref() != Some(&self.host) {
            if of_path == Fault::Forwarded { Fault::Forwarded } else { Fault::Host }
        } else if seen.target != request.target(proof) {
            of_path
        } else if seen.method != request.method {
            Fault::Method
        } else if !seen.is_forwarded || seen.client == FOREIGN_ADDRESS {
            Fault::Address
        } else {
            return Ok(true);
        };
        let title = match fault {
            Fault::Host => "another host is asked about",
            Fault::Method => "another method is asked about",
            Fault::Address => "the client's address is not told, or the caller chooses it",
            Fault::Forwarded => "the caller chooses what is asked about",
            _ => "another path is asked about",
        };
        self.fail(&format!("{what}: {title}"), &request.describe(), &outcomes.describe(), &fault)?;
        Ok(false)
    }

    /// Host, path, method and address arrive as sent, whatever else a caller says of them.
    async fn is_as_sent(&mut self, path: &str) -> Outcome {
        let foreign = format!("http://{FOREIGN_HOST}/rollcall-probe");
        let forwarded = [
            ("X-Forwarded-Host", FOREIGN_HOST),
            ("X-Forwarded-Uri", "/rollcall-probe"),
            ("X-Forwarded-Method", "PUT"),
            ("X-Forwarded-For", FOREIGN_ADDRESS),
            ("X-Original-URL", foreign.as_str()),
            ("X-Original-URI", "/rollcall-probe"),
            ("X-Original-Method", "PUT"),
            ("X-Rewrite-URL", "/rollcall-probe"),
            ("X-Real-IP", FOREIGN_ADDRESS),
            ("Forwarded", "for=192.0.2.99;host=rollcall-probe.invalid"),
            ("X-Envoy-Original-Path", "/rollcall-probe"),
        ];
        let mut all_together = Request::new("GET", path);
        for (name, value) in forwarded {
            all_together = all_together.with(name, value);
        }
        let mut requests: Vec<Request> =
            forwarded.into_iter().map(|(name, value)| Request::new("GET", path).with(name, value)).collect();
        let doubled = Request::new("GET", path).with("X-Forwarded-Uri", "/rollcall-probe").with("X-Forwarded-Uri", path);
        let misspelt = Request::new("GET", path).with("X_Forwarded_Uri", "/rollcall-probe").with("X.Original.URL", &foreign);
        let absolute = Request {
            origin: format!("{}://{}", self.wire.scheme, self.wire.authority),
            host: Some(FOREIGN_HOST.to_owned()),
            ..Request::new("GET", path)
        };
        let other_way = Request { origin: format!("http://{FOREIGN_HOST}"), ..Request::new("GET", path) };
        requests.extend([all_together, doubled, misspelt, absolute, other_way]);
        let before = self.fails;
        for request in requests {
            let (probe, outcomes) = self.send(&request).await?;
            let Some(seen) = outcomes.seen.clone().filter(|seen| !seen.kind.is_empty()) else {
                // Of a site with another host, an answer says nothing.
                let is_elsewhere = request.origin.contains(FOREIGN_HOST) && outcomes.arrived.is_none();
                if outcomes.is_in() && !is_elsewhere {
                    let (sent, told) = (request.describe(), outcomes.describe());
                    self.fail("it passes unasked", &sent, &told, &Fault::Unasked)?;
                }
                continue;
            };
            // What is not clear is refused: it says nothing of another host or path.
            let is_refused = seen.host.is_empty() && !outcomes.is_in();
            if is_refused {
                continue;
            }
            let fault = if request.origin.is_empty() { Fault::Forwarded } else { Fault::Host };
            if !self.compare("what a caller says of itself", (&request, &probe.proof), &outcomes, &seen, fault)? {
                break;
            }
        }
        if self.fails == before {
            pass("host, path, method and address", "arrive as sent, whatever the caller's headers say")?;
        }
        Ok(())
    }

    /// The address of the check is for the proxy alone.
    async fn exposed(&mut self) -> Outcome {
        let slug = self.application.slug.clone();
        let mut paths = vec!["/.rollcall-check".to_owned()];
        for kind in Kind::ALL {
            paths.extend([format!("/guard/{kind}/{slug}"), format!("/outpost.goauthentik.io/auth/{kind}")]);
        }
        let before = self.fails;
        for path in paths {
            let request = Request::new("GET", &path);
            let (_, outcomes) = self.send(&request).await?;
            // An app's own path of that name is asked about as any other.
            let is_check = |seen: &Seen| !seen.kind.is_empty() && without_proof(&seen.target) != path;
            if outcomes.reply.is_good() || outcomes.seen.as_ref().is_some_and(is_check) {
                let (sent, told) = (request.describe(), outcomes.describe());
                self.fail("the check can be asked from outside", &sent, &told, &Fault::Exposed)?;
            }
        }
        if self.fails == before {
            pass("the check's address", "is not reached from outside")?;
        }
        Ok(())
    }

    /// Rollcall's own pages on the host are reached, and their cookie arrives.
    async fn pages(&mut self) -> Outcome {
        let request = Request { more: "&rd=%2F".into(), ..Request::new("GET", "/.rollcall/start") };
        let (_, outcomes) = self.send(&request).await?;
        let has_cookie =
            outcomes.reply.headers.iter().any(|(name, value)| name == "set-cookie" && value.contains("rollcall_start_"));
        let home = self.app.config.http.public_url.as_ref().map_or("", |url| url.origin());
        let leads_home = outcomes.reply.header("location").is_some_and(|to| to.starts_with(&format!("{home}/guard/go?")));
        if has_cookie && leads_home {
            return pass("/.rollcall/", "leads to the sign-in, and its cookie arrives");
        }
        self.fail("/.rollcall/ does not lead to the sign-in", &request.describe(), &outcomes.describe(), &Fault::Pages)
    }

    /// While no server of Rollcall runs, nothing passes.
    pub(super) async fn fails_closed(&mut self) -> Outcome {
        let path = self.wire.path.clone();
        let mut requests = vec![Request::new("GET", &path), Request::new("POST", &path)];
        requests.push(Request::new("GET", &path).for_web_socket());
        requests.extend(COMMON.into_iter().map(|common| Request::new("GET", common)));
        let (mut count, before) = (0, self.fails);
        for request in requests {
            let (_, outcomes) = self.send(&request).await?;
            if outcomes.seen.is_some() {
                return Err("a server of Rollcall answered: stop it first, or leave --stopped out".into());
            }
            if outcomes.reply.status < 400 && outcomes.reply.status != 0 {
                self.fail(
                    "it passes while Rollcall does not answer",
                    &request.describe(),
                    &outcomes.describe(),
                    &Fault::FailsOpen,
                )?;
                break;
            }
            count += 1;
        }
        if self.fails == before {
            pass("without Rollcall", &format!("{count} requests, and none reaches the app"))?;
        }
        Ok(())
    }
}
