//! `/applications/{slug}/guard`: the hosts and the options of an application's guard; `…/guard/remove`, which asks before it
//! is removed; and `…/config`, the configuration of the reverse proxy in front of it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::actions::guard::configuration::{self, Addresses};
use crate::domain::application::guard::{Encoding, Guard, Headers, Preflight, SameSite, Uses};
use crate::domain::application::host::HostPattern;
use crate::domain::application::values::Source;
use crate::domain::application::{Application, ApplicationRule};
use crate::domain::guard::kind::Kind;
use crate::http::query::Query;
use crate::ui::applications::part::{self, Part};
use crate::ui::applications::said::{HostLine, Wrong, items, lines};
use crate::ui::applications::{PATH, find};
use crate::ui::error::{PageError, conflict};
use crate::ui::submission::Submission;
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

/// The choice of a table of one's own.
const OWN: &str = "own";

#[derive(Template)]
#[template(path = "pages/application_guard.html")]
struct GuardPage {
    frame: Frame,
    slug: String,
    name: String,
    /// Whether it has a guard.
    has_guard: bool,
    /// Whether a guard can be made: Rollcall knows its own address.
    has_address: bool,
    given: GuardForm,
    families: [(&'static str, &'static str); 4],
    encodings: Vec<&'static str>,
    preflights: Vec<&'static str>,
    same_sites: Vec<&'static str>,
    all_uses: Vec<&'static str>,
    wrong: Wrong,
}

/// What the form sends.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct GuardForm {
    version: String,
    /// What the form showed, as it carries it.
    shown: String,
    hosts: String,
    headers: String,
    table: String,
    encoding: String,
    basic: Option<String>,
    preflight: String,
    same_site: String,
    uses: String,
    jwt: Option<String>,
}

impl Form for GuardForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("hosts", "Hosts", FieldKind::Text),
        ("headers", "Identity headers", FieldKind::Text),
        ("table", "Table of headers", FieldKind::Text),
        ("encoding", "Values that are not ASCII", FieldKind::Text),
        ("basic", "Ask programs for a name and an app password", FieldKind::Box),
        ("jwt", "Send a signed identity, too", FieldKind::Box),
        ("preflight", "CORS preflights", FieldKind::Text),
        ("same_site", "SameSite of its cookie", FieldKind::Text),
        ("uses", "What is a use of the session", FieldKind::Text),
    ];
}

impl GuardForm {
    fn of(application: &Application) -> Self {
        let guard = application.guard().cloned().unwrap_or_default();
        let table =
            |table: &BTreeMap<String, Source>| table.iter().map(|(name, source)| format!("{name}={source}")).collect::<Vec<_>>();
        let (headers, table) = match &guard.headers {
            Headers::ByAddress => ("default", Vec::new()),
            Headers::Remote => ("remote", Vec::new()),
            Headers::Authentik => ("authentik", Vec::new()),
            Headers::Own(own) => (OWN, table(own)),
        };
        let form = Self {
            version: application.version(),
            shown: String::new(),
            hosts: guard.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            headers: headers.to_owned(),
            table: table.join("\n"),
            encoding: guard.encoding.as_str().to_owned(),
            basic: guard.basic.then(|| "yes".to_owned()),
            preflight: guard.preflight.as_str().to_owned(),
            same_site: guard.same_site.as_str().to_owned(),
            uses: guard.uses.as_str().to_owned(),
            jwt: guard.jwt.then(|| "yes".to_owned()),
        };
        Self { shown: three_way::carry(&form), ..form }
    }

    /// The guard that it describes, with the rules of this one.
    fn read(&self, before: Guard) -> Result<Guard, Wrong> {
        let hosts = items(&self.hosts).map(HostPattern::parse).collect::<Result<Vec<_>, _>>();
        let hosts = hosts.map_err(|rule| Wrong::sorry("hosts", rule))?;
        let word = |field: &'static str, word: &str| Wrong::sorry(field, format!("{word:?} is not one of these"));
        Ok(Guard {
            hosts,
            headers: self.headers()?,
            encoding: Encoding::parse(&self.encoding).ok_or_else(|| word("encoding", &self.encoding))?,
            basic: self.basic.is_some(),
            preflight: Preflight::parse(&self.preflight).ok_or_else(|| word("preflight", &self.preflight))?,
            same_site: SameSite::parse(&self.same_site).ok_or_else(|| word("same_site", &self.same_site))?,
            uses: Uses::parse(&self.uses).ok_or_else(|| word("uses", &self.uses))?,
            jwt: self.jwt.is_some(),
            rules: before.rules,
        })
    }

    fn headers(&self) -> Result<Headers, Wrong> {
        if self.headers != OWN {
            return Headers::parse_word(&self.headers)
                .ok_or_else(|| Wrong::sorry("headers", format!("{:?} is not one of these", self.headers)));
        }
        let mut table = BTreeMap::new();
        for line in lines(&self.table) {
            let (name, source) = line.split_once('=').ok_or_else(|| Wrong::sorry("table", format!("{line} is not NAME=SOURCE")))?;
            let source = Source::parse(source.trim()).map_err(|rule| Wrong::sorry("table", rule))?;
            if table.insert(name.trim().to_owned(), source).is_some() {
                return Err(Wrong::sorry("table", format!("the header {} is there twice", name.trim())));
            }
        }
        Ok(Headers::Own(table))
    }
}

/// The field that a rule is about.
fn field(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::Headers
        | ApplicationRule::HeaderName(_)
        | ApplicationRule::HeaderTwice(_)
        | ApplicationRule::Source(_) => "table",
        ApplicationRule::SignedNeedsHttps => "jwt",
        _ => "hosts",
    }
}

fn form_page(app: &App, visitor: &Visitor, application: &Application, given: GuardForm, wrong: Wrong) -> Response {
    let status = if wrong.text.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = GuardPage {
        frame: visitor.frame(app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        has_guard: application.guard().is_some(),
        has_address: app.config.http.public_url.is_some(),
        given,
        families: [
            ("default", "Remote-User and so on; at authentik’s addresses X-authentik-username and so on"),
            ("remote", "Remote-User and so on"),
            ("authentik", "X-authentik-username and so on"),
            (OWN, "Those of the table"),
        ],
        encodings: Encoding::ALL.iter().map(|it| it.as_str()).collect(),
        preflights: Preflight::ALL.iter().map(|it| it.as_str()).collect(),
        same_sites: SameSite::ALL.iter().map(|it| it.as_str()).collect(),
        all_uses: Uses::ALL.iter().map(|it| it.as_str()).collect(),
        wrong,
    };
    page(status, &template)
}

/// The form.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let application = find(&app, &slug).await?;
    Ok(form_page(&app, &visitor, &application, GuardForm::of(&application), Wrong::default()))
}

/// Changes the guard, or gives the application one.
pub async fn submit(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}/guard");
    let Submission { visitor, form, .. } = Submission::<GuardForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let again = |given: GuardForm, wrong: Wrong| Ok(form_page(&app, &visitor, &application, given, wrong));
    let guard = match form.read(application.guard().cloned().unwrap_or_default()) {
        Ok(guard) => guard,
        Err(wrong) => return again(form, wrong),
    };
    let wanted =
        ApplicationChange { guard: Some(Some(guard)), expected: Some(form.version.clone()), ..ApplicationChange::default() };
    match applications::change(&app, By::Principal(&who, &visitor.actor()), &slug, wanted).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => again(form, Wrong::sorry(field(&rule), rule)),
        Err(ActionError::Outdated) => {
            let now = find(&app, &slug).await?;
            let Merged { form, lines } = three_way::onto(&form, &GuardForm::of(&now), &|_, _| None);
            conflict(again(form, Wrong::outdated(lines)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks before a guard is removed.
pub async fn ask_remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (visitor, _) = Visitor::administrator(&app, request).await?;
    let application = find(&app, &slug).await?;
    let hosts = HostLine::all(&application.guard().ok_or(PageError::NotFound)?.hosts);
    let part = Part {
        name: "guard",
        follows: "The application stays, without hosts and rules. A proxy that still asks is told that nobody may.",
        heading: "These hosts are not guarded any more",
        listed: hosts.into_iter().map(|host| host.text).collect(),
    };
    part::ask(&app, &visitor, &application, part).await
}

/// Removes the guard.
pub async fn remove(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let wanted = ApplicationChange { guard: Some(None), ..ApplicationChange::default() };
    part::remove(&app, &slug, request, wanted).await
}

#[derive(Template)]
#[template(path = "pages/application_config.html")]
struct ConfigPage {
    frame: Frame,
    slug: String,
    name: String,
    kinds: Vec<&'static str>,
    kind: &'static str,
    listen: String,
    app: String,
    rollcall: String,
    text: String,
    error: String,
    /// Whether checks are refused for now: no proxy is trusted.
    trusts_nobody: bool,
}

/// The configuration of a reverse proxy, as `rollcall app config` prints it.
pub async fn config(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_inspect()?;
    let application = find(&app, &slug).await?;
    application.guard().ok_or(PageError::NotFound)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let given = |name: &str, default: &str| {
        let text = query.last(name).map(str::trim).filter(|text| !text.is_empty());
        text.unwrap_or(default).to_owned()
    };
    let kind = Kind::ALL.into_iter().find(|kind| query.last("kind") == Some(kind.as_str())).unwrap_or(Kind::Nginx);
    let rollcall = app.config.proxied_address();
    let (listen, behind, rollcall) = (given("listen", "80"), given("app", "127.0.0.1:8080"), given("rollcall", &rollcall));
    let addresses = Addresses { listen: &listen, app: &behind, rollcall: &rollcall };
    let (text, error) = match addresses.check() {
        Ok(()) => (configuration::of(kind, &application, addresses).unwrap_or_default(), String::new()),
        Err(rule) => (String::new(), format!("Sorry: {rule}.")),
    };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = ConfigPage {
        frame: visitor.frame(&app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        kinds: Kind::ALL.iter().map(|kind| kind.as_str()).collect(),
        kind: kind.as_str(),
        text,
        error,
        trusts_nobody: app.config.http.trusted_proxies.is_empty(),
        listen,
        app: behind,
        rollcall,
    };
    Ok(page(status, &template))
}
