//! `/applications/{slug}`: one application: its access, its rules, whether somebody may open an address, and who has it
//! open. Changes need a fresh proof.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::test::{Question, test};
use crate::actions::applications::{self, ApplicationChange, app_sessions};
use crate::actions::by::By;
use crate::domain::application::Application;
use crate::domain::application::demand::{Demand, Level};
use crate::domain::application::guard::Headers;
use crate::domain::application::values::GroupsSent;
use crate::domain::{Address, Method, Methods};
use crate::http::query::Query;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::ui::applications::said::{HostLine, Names, Wrong, allow_of, allowed, asked};
use crate::ui::applications::{PATH, find, rules};
use crate::ui::error::{PageError, conflict};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::three_way::{self, FieldKind, Form, Merged};
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

/// How many app sessions are shown.
const SESSIONS: i64 = 25;

#[derive(Template)]
#[template(path = "pages/application.html")]
struct ApplicationPage {
    frame: Frame,
    application: Arc<Application>,
    /// What the forms carry, so that they overwrite nothing unseen.
    version: String,
    has_guard: bool,
    hosts: Vec<HostLine>,
    /// The options of the guard: a name and a word.
    options: Vec<(&'static str, String)>,
    /// Which names of groups the app gets.
    groups_sent: String,
    rules: Vec<RuleLine>,
    given: AccessForm,
    levels: Vec<&'static str>,
    wrong: Wrong,
    tried: Tried,
    answer: Option<AnswerLine>,
    count: i64,
    sessions: Vec<SessionLine>,
}

struct RuleLine {
    number: usize,
    paths: Vec<String>,
    methods: Vec<String>,
    networks: Vec<String>,
    asked: Vec<String>,
}

struct SessionLine {
    session: String,
    username: String,
    user: i64,
    uuid: String,
    hosts: Vec<HostLine>,
    used: Moment,
}

/// What the form of the test was filled with.
#[derive(Default)]
struct Tried {
    user: String,
    url: String,
    from: String,
    method: String,
    methods: String,
    age: String,
    error: String,
}

struct AnswerLine {
    is_open: bool,
    rules: Vec<String>,
    /// How the path can be read; empty where there is one way.
    readings: Vec<String>,
    missing: Vec<String>,
    headers: Vec<(String, String)>,
}

/// The page.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(parts.uri.path())?;
    who.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (tried, answer) = answer(&app, By::Principal(&who, &visitor.actor()), &query).await?;
    shown(&app, &visitor, &find(&app, &slug).await?, None, (tried, answer)).await
}

/// The options of a guard in words.
fn options(application: &Application) -> Vec<(&'static str, String)> {
    let Some(guard) = application.guard() else { return Vec::new() };
    let headers = match &guard.headers {
        Headers::Own(table) => table.iter().map(|(name, source)| format!("{name}={source}")).collect::<Vec<_>>().join(", "),
        family => family.word().unwrap_or_default().to_owned(),
    };
    vec![
        ("Identity headers", headers),
        ("Encoding", guard.encoding.as_str().to_owned()),
        ("Asks programs for a password", if guard.basic { "yes" } else { "no" }.to_owned()),
        ("Signed identity", if guard.jwt { "yes" } else { "no" }.to_owned()),
        ("CORS preflights", guard.preflight.as_str().to_owned()),
        ("SameSite", guard.same_site.as_str().to_owned()),
        ("Uses", guard.uses.as_str().to_owned()),
    ]
}

async fn shown(
    app: &App,
    visitor: &Visitor,
    application: &Arc<Application>,
    again: Option<(AccessForm, Wrong)>,
    (tried, answer): (Tried, Option<AnswerLine>),
) -> PageResult {
    let (names, now) = (Names::of(app, application).await?, app.clock.now());
    let filter = AppSessionFilter { application: Some(application.slug.clone()), ..AppSessionFilter::default() };
    let who = visitor.principal(PATH)?;
    let (count, rows) = app_sessions::list(app, By::Principal(&who, &visitor.actor()), filter, 0, SESSIONS).await?;
    let rules = application.guard().map(|guard| guard.rules.as_slice()).unwrap_or_default();
    let rules = rules.iter().enumerate().map(|(at, rule)| RuleLine {
        number: at + 1,
        paths: rule.paths.iter().map(ToString::to_string).collect(),
        methods: rule.methods.clone(),
        networks: rule.if_network.iter().map(ToString::to_string).collect(),
        asked: asked(&rule.demand, &names),
    });
    let (given, wrong) = again.unwrap_or_else(|| (AccessForm::of(application, &names), Wrong::default()));
    let status = if wrong.text.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = ApplicationPage {
        frame: visitor.frame(app, Section::Applications),
        version: application.version(),
        has_guard: application.guard().is_some(),
        hosts: application.guard().map(|guard| HostLine::all(&guard.hosts)).unwrap_or_default(),
        options: options(application),
        groups_sent: match &application.groups_sent {
            GroupsSent::All => String::new(),
            GroupsSent::Only(names) => names.join(", "),
        },
        rules: rules.collect(),
        given,
        levels: Level::ALL.map(Level::as_str).to_vec(),
        wrong,
        tried,
        answer,
        count,
        sessions: rows
            .iter()
            .map(|row| SessionLine {
                session: row.session.to_string(),
                username: row.username.clone(),
                user: row.user_id.0,
                uuid: row.uuid.hyphenated().to_string(),
                hosts: HostLine::all(&row.hosts),
                used: Moment::new(row.last_used_at, now),
            })
            .collect(),
        application: Arc::clone(application),
    };
    Ok(page(status, &template))
}

/// What the query of the page asks: `url`, `user`, `from`, `method`, `methods`, `age`.
async fn answer(app: &App, by: By<'_>, query: &Query) -> Result<(Tried, Option<AnswerLine>), PageError> {
    let given = |name: &str| query.last(name).unwrap_or_default().trim().replace('\0', "");
    let mut tried = Tried {
        user: given("user"),
        url: given("url"),
        from: given("from"),
        method: given("method"),
        methods: given("methods"),
        age: given("age"),
        error: String::new(),
    };
    if tried.url.is_empty() {
        return Ok((tried, None));
    }
    let from = Address::parse(&tried.from);
    if !tried.from.is_empty() && from.is_none() {
        tried.error = format!("Sorry: {} is not an address.", tried.from);
        return Ok((tried, None));
    }
    let age = match tried.age.as_str() {
        "" => Ok(Duration::ZERO),
        text => rules::age(text),
    };
    let age = match age {
        Ok(age) => age,
        Err(wrong) => {
            tried.error = wrong.text;
            return Ok((tried, None));
        }
    };
    let user = match tried.user.as_str() {
        "" => None,
        name => match app.store.read().find_user_by_name(name).await? {
            Some(user) => Some(user.id),
            None => {
                tried.error = format!("Sorry: there is no user named {name}.");
                return Ok((tried, None));
            }
        },
    };
    let has = |method: &Method| tried.methods.split([',', ' ']).any(|word| word == method.as_str());
    let question = Question {
        user,
        url: tried.url.clone(),
        method: if tried.method.is_empty() { "GET".to_owned() } else { tried.method.clone() },
        from,
        methods: Method::ALL.into_iter().filter(has).fold(Methods::default(), Methods::with),
        age: Some(age),
    };
    match test(app, by, &question).await {
        Ok(answer) => {
            let headers = answer.shown_headers();
            let line = AnswerLine {
                is_open: answer.is_open,
                rules: answer.rules(),
                missing: answer.missing(),
                readings: if answer.readings.len() > 1 { answer.readings } else { Vec::new() },
                headers,
            };
            Ok((tried, Some(line)))
        }
        Err(ActionError::Application(rule)) => {
            tried.error = format!("Sorry: {rule}.");
            Ok((tried, None))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the form of the access sends.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct AccessForm {
    version: String,
    /// What the form showed, as it carries it.
    shown: String,
    /// Who may, one in each line.
    allow: String,
    factor: String,
    max_age: String,
    networks: String,
    countries: String,
    app_passwords: Option<String>,
    apply_now: Option<String>,
}

impl Form for AccessForm {
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
        ("allow", "Who may open it", FieldKind::Text),
        ("factor", "Proof that it needs", FieldKind::Text),
        ("max_age", "Longest time since that proof", FieldKind::Text),
        ("networks", "Networks of the client", FieldKind::Text),
        ("countries", "Countries of the client", FieldKind::Text),
        ("app_passwords", "Accept app passwords of programs", FieldKind::Box),
    ];
}

impl AccessForm {
    fn of(application: &Application, names: &Names) -> Self {
        let access = &application.access;
        let form = Self {
            version: application.version(),
            shown: String::new(),
            allow: allowed(&access.allow, names).join("\n"),
            factor: access.factor.as_str().to_owned(),
            max_age: access.max_age.map(|age| humantime::format_duration(age).to_string()).unwrap_or_default(),
            networks: access.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            countries: access.countries.join(", "),
            app_passwords: access.app_passwords.then(|| "yes".to_owned()),
            apply_now: None,
        };
        Self { shown: three_way::carry(&form), ..form }
    }

    /// The demand that it describes, but for who may.
    fn read(&self) -> Result<Demand, Wrong> {
        let max_age = match self.max_age.trim() {
            "" | "0" => None,
            text => Some(rules::age(text)?),
        };
        Ok(Demand {
            factor: rules::level(&self.factor)?,
            max_age,
            networks: rules::read_networks("networks", &self.networks)?,
            countries: rules::read_countries(&self.countries),
            app_passwords: self.app_passwords.is_some(),
            ..Demand::default()
        })
    }
}

/// Changes the access of an application.
pub async fn set_access(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, form, .. } = Submission::<AccessForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let again = async |form: AccessForm, wrong: Wrong| {
        shown(&app, &visitor, &application, Some((form, wrong)), (Tried::default(), None)).await
    };
    let access = match (form.read(), allow_of(&app, &form.allow).await?) {
        (Ok(access), Ok(allow)) => Demand { allow, ..access },
        (_, Err(text)) => return again(form, Wrong::new("allow", text)).await,
        (Err(wrong), _) => return again(form, wrong).await,
    };
    let wanted = ApplicationChange {
        access: Some(access),
        apply_now: form.apply_now.is_some(),
        expected: Some(form.version.clone()),
        ..ApplicationChange::default()
    };
    match applications::change(&app, By::Principal(&who, &visitor.actor()), &slug, wanted).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => again(form, Wrong::sorry(rules::field(&rule), rule)).await,
        Err(ActionError::Outdated) => {
            let now = find(&app, &slug).await?;
            let stored = AccessForm::of(&now, &Names::of(&app, &now).await?);
            let Merged { form, lines } = three_way::onto(&form, &stored, &|_, _| None);
            conflict(again(form, Wrong::outdated(lines)).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends one app session of this application, and leaves its session.
pub async fn end(State(app): State<App>, Path((slug, opened)): Path<(String, String)>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    find(&app, &slug).await?;
    let opened = uuid::Uuid::try_parse(&opened).map_err(|_| PageError::NotFound)?;
    match app_sessions::end(&app, By::Principal(&who, &visitor.actor()), opened).await {
        // It has ended already, which was the purpose.
        Ok(()) | Err(ActionError::NotFound) => Ok(Redirect::to(&format!("{back}#open")).into_response()),
        Err(error) => Err(error.into()),
    }
}
