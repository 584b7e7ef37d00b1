//! What can be shown with `rollcall echo` in place of the app: the identity arrives and only ours, no credential of
//! Rollcall's arrives, and what the app answers reaches the caller.

use serde_json::Value;

use crate::actions::applications::test::{Answer, Question, test};
use crate::actions::by::By;
use crate::actions::guard::probes::{self, ProbeSession};
use crate::cli::echo::{INCLUDE, MODE, REFUSAL};
use crate::cli::proxy::cure::Fault;
use crate::cli::proxy::request::Request;
use crate::cli::proxy::{Checker, Outcomes, pass, warn};
use crate::cli::{Failure, Outcome, user};
use crate::domain::application::demand::Allow;
use crate::domain::application::values::GroupsSent;
use crate::domain::guard::identity::{SentTo, names};
use crate::domain::guard::places::Words;
use crate::domain::{Method, Methods, UserId};
use crate::guard::cookies::{self, Name};

/// How many users are asked whether they may, where none is named.
const MOST_USERS: i64 = 1000;
/// The value of what is forged.
const FORGED: &str = "rollcall-forged";
/// The cookie that is the app's own.
const OWN: &str = "rollcall-echo-own=1";
/// The app's own credential.
const CREDENTIAL: &str = "Echo own";
/// The names of the two families that apps believe.
const FAMILIES: [&str; 9] = [
    "Remote-User",
    "Remote-Groups",
    "Remote-Name",
    "Remote-Email",
    "X-authentik-username",
    "X-authentik-groups",
    "X-authentik-email",
    "X-authentik-name",
    "X-authentik-uid",
];
/// The signed identity; no application may get one from a caller.
const SIGNED: &str = "X-Rollcall-Jwt";

impl Checker<'_> {
    /// With the session of a user who may.
    pub(super) async fn identity(&mut self, named: Option<&str>) -> Outcome {
        let path = self.wire.path.clone();
        let Some((user, expected)) = self.somebody(named, &path).await? else {
            return warn("identity", &format!("not looked at: nobody who is signed in may open {path}, or anyone may"));
        };
        let session = probes::begin_session(self.app, By::Cli, user, &self.application, &self.host).await?;
        let done = self.with_session(&session, &path, &expected).await;
        probes::end_session(self.app, By::Cli, &session).await?;
        done
    }

    /// A user who may open the path by being signed in, and the identity headers that the app then gets.
    async fn somebody(&self, named: Option<&str>, path: &str) -> Result<Option<(UserId, Vec<(String, String)>)>, Failure> {
        let users = match named {
            Some(name) => vec![user::find(self.app, name).await?],
            None => self.app.store.read().list_users("", MOST_USERS).await?,
        };
        for user in users {
            let answer = self.ask(Some(user.id), path).await?;
            if answer.is_open && !answer.judgement.decision.is_anonymous() {
                return Ok(Some((user.id, answer.headers)));
            }
        }
        Ok(None)
    }

    async fn ask(&self, user: Option<UserId>, path: &str) -> Result<Answer, Failure> {
        let question = Question {
            user,
            url: format!("{}://{}{path}", self.wire.scheme, self.host),
            method: "GET".into(),
            from: None,
            methods: Method::ALL.into_iter().fold(Methods::default(), Methods::with),
            age: Some(std::time::Duration::ZERO),
        };
        Ok(test(self.app, By::Cli, &question).await?)
    }

    /// A path that anyone may open, by the rules.
    async fn open_path(&self) -> Result<Option<String>, Failure> {
        let rules = self.application.guard().map(|guard| guard.rules.clone()).unwrap_or_default();
        for rule in rules.iter().filter(|rule| rule.demand.allow == Some(Allow::Anyone)) {
            for pattern in &rule.paths {
                let path = pattern.to_string().replace("/**", "/rollcall-probe").replace('*', "x");
                let answer = self.ask(None, &path).await?;
                if answer.is_open {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    async fn with_session(&mut self, session: &ProbeSession, path: &str, expected: &[(String, String)]) -> Outcome {
        let name = cookies::name(&self.app.config, &self.host, Name::App);
        let key = session.key.expose().to_owned();
        let cookie = format!("{name}={key}; {OWN}");
        let known = |path: &str| Request::new("GET", path).with("Cookie", &cookie);
        let before = self.fails;

        let request = known(path).with("Authorization", CREDENTIAL);
        let (_, outcomes) = self.send(&request).await?;
        let Some(arrived) = outcomes.arrived.clone() else {
            let (sent, told) = (format!("{} with a session", request.describe()), outcomes.describe());
            return self.fail("a request that may pass does not reach `rollcall echo`", &sent, &told, &Fault::LetIn);
        };
        self.is_identified(&request, &outcomes, &arrived, expected)?;
        self.is_signed(&request, &outcomes, &arrived)?;
        self.keeps_credentials(&request, &outcomes, &arrived, &key)?;
        self.cannot_hop(known(path), expected).await?;
        let mut strangers = vec![("a signed-in caller", known(path))];
        let open = self.open_path().await?;
        match &open {
            Some(open) => strangers.push(("a caller where anyone may", Request::new("GET", open))),
            None => warn("identity where anyone may", "not looked at: no rule lets anyone in")?,
        }
        for (who, request) in strangers {
            self.cannot_forge(who, &request).await?;
        }
        if self.fails == before {
            pass("identity", "arrives from Rollcall, and from nobody else; no credential of Rollcall's arrives")?;
        }
        self.answers(&known(path), &outcomes).await
    }

    fn is_identified(&mut self, request: &Request, outcomes: &Outcomes, arrived: &Value, expected: &[(String, String)]) -> Outcome {
        for (name, value) in expected {
            let got = values(arrived, name);
            if got != [value.as_str()] {
                let seen = format!("{}; {name}: {got:?} instead of {value:?}", outcomes.describe());
                self.fail(&format!("{name} does not arrive"), &request.describe(), &seen, &Fault::Absent(name.clone()))?;
            }
        }
        Ok(())
    }

    /// The signed identity arrives, if the application is sent one.
    fn is_signed(&mut self, request: &Request, outcomes: &Outcomes, arrived: &Value) -> Outcome {
        let guard = self.application.guard().cloned().unwrap_or_default();
        let to = SentTo { guard: &guard, groups: &GroupsSent::All, slug: "", provider: "", words: Words::Own, keys: "" };
        let (name, got) = (to.signed_name(), values(arrived, to.signed_name()));
        let has_three_parts = |text: &&str| text.split('.').filter(|part| !part.is_empty()).count() == 3;
        if guard.jwt && !(got.len() == 1 && got.iter().all(has_three_parts)) {
            let seen = format!("{}; {name} is there {} times", outcomes.describe(), got.len());
            self.fail(&format!("{name} does not arrive"), &request.describe(), &seen, &Fault::Absent(name.to_owned()))?;
        }
        Ok(())
    }

    fn keeps_credentials(&mut self, request: &Request, outcomes: &Outcomes, arrived: &Value, key: &str) -> Outcome {
        let cookie = values(arrived, "cookie").join("; ");
        if cookie.contains(key) {
            let seen = format!("{}; Cookie: {}", outcomes.describe(), cookie.replace(key, "(the key)"));
            self.fail("Rollcall's cookie reaches the app", &request.describe(), &seen, &Fault::Cookie)?;
        } else if cookie != OWN {
            let seen = format!("{}; Cookie: {cookie:?} instead of {OWN:?}", outcomes.describe());
            self.fail("the app's own cookie does not arrive", &request.describe(), &seen, &Fault::Cookie)?;
        }
        let got = values(arrived, "authorization");
        if got != [CREDENTIAL] {
            let seen = format!("{}; Authorization: {got:?} instead of {CREDENTIAL:?}", outcomes.describe());
            self.fail("the app's own Authorization does not arrive", &request.describe(), &seen, &Fault::Cookie)?;
        }
        if !values(arrived, "x-rollcall-key").is_empty() {
            let seen = format!("{}; X-Rollcall-Key is there", outcomes.describe());
            self.fail("Rollcall's credential for programs reaches the app", "X-Rollcall-Key", &seen, &Fault::Key)?;
        }
        Ok(())
    }

    /// A caller names the identity in `Connection`, so that it is taken off on the way.
    async fn cannot_hop(&mut self, request: Request, expected: &[(String, String)]) -> Outcome {
        let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let request = request.with("Connection", &format!("close, {}", names.join(", ")));
        let (_, outcomes) = self.send(&request).await?;
        let Some(arrived) = &outcomes.arrived else { return Ok(()) };
        if let Some((name, _)) = expected.iter().find(|(name, value)| values(arrived, name) != [value.as_str()]) {
            let seen = format!("{}; {name}: {:?}", outcomes.describe(), values(arrived, name));
            return self.fail("a caller takes the identity off", &request.describe(), &seen, &Fault::Hop);
        }
        Ok(())
    }

    /// What a caller sends of an identity does not arrive, in any spelling that some app reads as the name.
    async fn cannot_forge(&mut self, who: &str, request: &Request) -> Outcome {
        let guard = self.application.guard().cloned().unwrap_or_default();
        let (groups, slug) = (self.application.groups_sent.clone(), self.application.slug.clone());
        let to = SentTo { guard: &guard, groups: &groups, slug: &slug, provider: "", words: Words::Own, keys: "" };
        let mut believed = names(to);
        if !believed.iter().any(|name| name == SIGNED) {
            believed.push(SIGNED.to_owned());
        }
        let others = FAMILIES.iter().filter(|name| !believed.iter().any(|own| own.eq_ignore_ascii_case(name)));
        let others: Vec<String> = others.map(|name| (*name).to_owned()).collect();
        for (separator, is_trailer) in [('-', false), ('_', false), ('.', false), ('-', true)] {
            let spell = |name: &String| name.replace('-', &separator.to_string());
            let forged = believed.iter().chain(&others).map(|name| (spell(name), FORGED.to_owned()));
            let mut forging = request.clone();
            if is_trailer {
                forging.method = "POST";
                forging.trailers = forged.collect();
            } else {
                forging.lines.extend(forged);
            }
            let (_, outcomes) = self.send(&forging).await?;
            let Some(arrived) = &outcomes.arrived else { continue };
            let got: Vec<&String> = believed.iter().chain(&others).filter(|name| has_forged(arrived, name)).collect();
            for name in &got {
                let seen = format!("{}; {} arrived at the app", outcomes.describe(), spell(name));
                let sent = format!("{} {}: {FORGED}{}", request.method, spell(name), if is_trailer { " as a trailer" } else { "" });
                if believed.contains(name) {
                    let title = format!("{who} names {name} and the app gets it");
                    self.fail(&title, &sent, &seen, &Fault::Forged((*name).clone(), separator))?;
                }
            }
            let foreign: Vec<String> = got.into_iter().filter(|name| !believed.contains(name)).map(spell).collect();
            if !foreign.is_empty() {
                let what = format!("{} reach the app as {who} sends them", foreign.join(", "));
                warn("names that this application does not send", &what)?;
            }
        }
        Ok(())
    }

    /// What the app answers reaches the caller.
    async fn answers(&mut self, known: &Request, first: &Outcomes) -> Outcome {
        let before = self.fails;
        let has_cookie = first.reply.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with(OWN));
        if !has_cookie {
            self.fail("a Set-Cookie of the app does not arrive", &known.describe(), &first.describe(), &Fault::SetCookie)?;
        }
        let mode = |mode: &str| Request { more: format!("&{MODE}={mode}"), ..known.clone() };

        let (_, outcomes) = self.send(&mode("401")).await?;
        if outcomes.reply.status != 401 || !outcomes.reply.body.contains(REFUSAL) {
            let sent = "a request that the app itself answers with 401";
            self.fail("the app's own 401 does not reach the caller", sent, &outcomes.describe(), &Fault::Intercepted)?;
        }
        let (_, outcomes) = self.send(&mode("ssi")).await?;
        if !outcomes.reply.body.contains(INCLUDE) {
            let sent = "a page of the app that includes a part by a server-side include";
            self.fail("the proxy fetches a part of a page without a check", sent, &outcomes.describe(), &Fault::Subrequests)?;
        }
        let socket = known.clone().for_web_socket();
        let (_, outcomes) = self.send(&socket).await?;
        if outcomes.reply.status != 101 {
            self.fail("a WebSocket does not open", "a WebSocket of a signed-in user", &outcomes.describe(), &Fault::WebSocket)?;
        }
        if self.fails == before {
            pass("the app's answers", "Set-Cookie, its own 401, pages as they are, and a WebSocket arrive")?;
        }
        let events = mode("events").with("Accept", "text/event-stream");
        let begun = std::time::Instant::now();
        let (_, outcomes) = self.send_until(&events, |reply| reply.body.contains("data: 0")).await?;
        let is_stream = outcomes.reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        if outcomes.reply.status != 200 || !is_stream {
            return self.fail("an event stream does not open", &events.describe(), &outcomes.describe(), &Fault::Events);
        }
        if begun.elapsed() > std::time::Duration::from_secs(2) {
            let cure = self.kind.map(|kind| Fault::Events.cure(kind, &self.application)).unwrap_or_default();
            return warn("event streams", &format!("the first event came after {:.0?}: {cure}", begun.elapsed()));
        }
        pass("event streams", "the first event comes at once")
    }
}

/// The values that arrived under a name.
fn values<'a>(arrived: &'a Value, name: &str) -> Vec<&'a str> {
    let lines = arrived.get("headers").and_then(Value::as_array).into_iter().flatten();
    let pairs = lines.filter_map(|line| Some((line.get(0)?.as_str()?, line.get(1)?.as_str()?)));
    pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// Whether a forged value arrived under a name, in any spelling, also behind the body.
fn has_forged(arrived: &Value, name: &str) -> bool {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let parts = ["headers", "trailers"].into_iter().filter_map(|part| arrived.get(part)?.as_array());
    let pairs = parts.flatten().filter_map(|line| Some((line.get(0)?.as_str()?, line.get(1)?.as_str()?)));
    let mut same = pairs.filter(|(known, _)| plain(known) == plain(name));
    same.any(|(_, value)| value.contains(FORGED))
}
