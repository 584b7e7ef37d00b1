//! `/applications/{slug}/rules/…`: the path rules of a guard: added, changed, moved, removed. Each form carries the
//! version of the application that it shows.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::rules;
use crate::actions::applications::rules::RuleChange;
use crate::actions::by::By;
use crate::domain::Network;
use crate::domain::application::demand::{DemandChange, Level};
use crate::domain::application::guard::PathRule;
use crate::domain::application::path::PathPattern;
use crate::domain::application::{Application, ApplicationRule};
use crate::store::StoreError;
use crate::ui::applications::said::{Names, Wrong, allow_of, allowed, asked, items, lines};
use crate::ui::applications::{PATH, find};
use crate::ui::error::{PageError, conflict};
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

/// The word for "no restriction", where an empty field means "as the application".
const ANY: &str = "any";

#[derive(Template)]
#[template(path = "pages/application_rule.html")]
struct RulePage {
    frame: Frame,
    slug: String,
    name: String,
    /// The rule that is changed; 0: a new one.
    number: usize,
    /// The number of places that it can have.
    places: usize,
    given: RuleForm,
    levels: Vec<&'static str>,
    wrong: Wrong,
}

/// What the form of a rule sends.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct RuleForm {
    version: String,
    paths: String,
    methods: String,
    if_network: String,
    allow: String,
    factor: String,
    max_age: String,
    networks: String,
    countries: String,
    app_passwords: String,
    place: String,
}

impl RuleForm {
    /// The form of a rule at its place.
    fn of(rule: &PathRule, names: &Names, place: usize, version: String) -> Self {
        let demand = &rule.demand;
        // An empty list of a rule means all of them, and an empty field those of the application.
        let any_or = |items: Vec<String>, between: &str| if items.is_empty() { ANY.to_owned() } else { items.join(between) };
        let networks = |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
        let age = |age: Duration| if age.is_zero() { ANY.to_owned() } else { humantime::format_duration(age).to_string() };
        Self {
            version,
            paths: rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            methods: rule.methods.join(", "),
            if_network: networks(&rule.if_network).join("\n"),
            allow: demand.allow.as_ref().map(|allow| allowed(allow, names).join("\n")).unwrap_or_default(),
            factor: demand.factor.map(Level::as_str).unwrap_or_default().to_owned(),
            max_age: demand.max_age.map(age).unwrap_or_default(),
            networks: demand.networks.as_deref().map(|list| any_or(networks(list), "\n")).unwrap_or_default(),
            countries: demand.countries.clone().map(|list| any_or(list, ", ")).unwrap_or_default(),
            app_passwords: demand.app_passwords.map(|accepted| if accepted { "yes" } else { "no" }).unwrap_or_default().to_owned(),
            place: place.to_string(),
        }
    }

    /// The rule that it describes, and its place; or what is wrong, and in which field.
    async fn read(&self, app: &App) -> Result<Result<(PathRule, Option<usize>), Wrong>, StoreError> {
        let allow = match self.allow.trim() {
            "" => None,
            text => match allow_of(app, text).await? {
                Ok(allow) => Some(allow),
                Err(text) => return Ok(Err(Wrong::new("allow", text))),
            },
        };
        Ok(self.read_rest().map(|(mut rule, place)| {
            rule.demand.allow = allow;
            (rule, place)
        }))
    }

    fn read_rest(&self) -> Result<(PathRule, Option<usize>), Wrong> {
        let paths = lines(&self.paths).map(PathPattern::parse).collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(|rule| Wrong::sorry("paths", rule))?;
        if paths.is_empty() {
            return Err(Wrong::sorry("paths", "a rule has at least one path"));
        }
        let max_age = match self.max_age.trim() {
            "" => None,
            "0" | ANY => Some(Duration::ZERO),
            text => Some(age(text)?),
        };
        let networks = match self.networks.trim() {
            "" => None,
            ANY => Some(Vec::new()),
            text => Some(read_networks("networks", text)?),
        };
        let countries = match self.countries.trim() {
            "" => None,
            ANY => Some(Vec::new()),
            text => Some(read_countries(text)),
        };
        let demand = DemandChange {
            allow: None,
            factor: Some(self.factor.as_str()).filter(|word| !word.is_empty()).map(level).transpose()?,
            max_age,
            networks,
            countries,
            app_passwords: Some(self.app_passwords.as_str()).filter(|word| !word.is_empty()).map(|word| word == "yes"),
        };
        let rule = PathRule {
            paths,
            methods: items(&self.methods).map(str::to_owned).collect(),
            if_network: read_networks("if_network", &self.if_network)?,
            demand: DemandChange::default(),
        };
        let rule = rule.check().map_err(|rule| Wrong::sorry(field(&rule), rule))?;
        let place = match self.place.trim() {
            "" => None,
            text => Some(text.parse().map_err(|_| Wrong::sorry("place", format!("{text} is not a place")))?),
        };
        let demand = demand.check().map_err(|rule| Wrong::sorry(field(&rule), rule))?;
        Ok((PathRule { demand, ..rule }, place))
    }
}

/// The field that a rule of demands and path rules is about.
pub(super) fn field(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::MaxAge => "max_age",
        ApplicationRule::ManyNetworks => "networks",
        ApplicationRule::Country(_) => "countries",
        ApplicationRule::Path(_) | ApplicationRule::RulePaths => "paths",
        ApplicationRule::Method(_) | ApplicationRule::RuleParts => "methods",
        ApplicationRule::NoRule(_) | ApplicationRule::ManyRules => "place",
        _ => "allow",
    }
}

/// A duration.
pub(super) fn age(text: &str) -> Result<Duration, Wrong> {
    humantime::parse_duration(text).map_err(|_| Wrong::sorry("max_age", format!("{text} is not a duration such as 30m, 12h or 1d")))
}

/// A level of proof.
pub(super) fn level(word: &str) -> Result<Level, Wrong> {
    Level::parse(word).ok_or_else(|| Wrong::sorry("factor", format!("{word} is not a level of proof")))
}

/// Networks, separated by blanks, commas or lines.
pub(super) fn read_networks(field: &'static str, text: &str) -> Result<Vec<Network>, Wrong> {
    let read =
        |text: &str| Network::parse(text).ok_or_else(|| Wrong::sorry(field, format!("{text} is not a network such as 10.0.0.0/8")));
    items(text).map(read).collect()
}

/// Countries, separated by commas or lines, since their names may have blanks.
pub(super) fn read_countries(text: &str) -> Vec<String> {
    text.split([',', '\n', '\r']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// An application's guard has this rule.
fn rule_of<'a>(application: &'a Application, number: &str) -> Result<(usize, &'a PathRule), PageError> {
    let rules = application.guard().map(|guard| guard.rules.as_slice()).unwrap_or_default();
    let number: usize = number.parse().map_err(|_| PageError::NotFound)?;
    let rule = number.checked_sub(1).and_then(|at| rules.get(at)).ok_or(PageError::NotFound)?;
    Ok((number, rule))
}

fn count(application: &Application) -> usize {
    application.guard().map_or(0, |guard| guard.rules.len())
}

fn form_page(
    app: &App,
    visitor: &Visitor,
    application: &Application,
    (number, given, wrong): (usize, RuleForm, Wrong),
) -> Response {
    let status = if wrong.text.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = RulePage {
        frame: visitor.frame(app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        number,
        places: count(application) + usize::from(number == 0),
        given,
        levels: Level::ALL.map(Level::as_str).to_vec(),
        wrong,
    };
    page(status, &template)
}

/// The form for a new rule.
pub async fn show_new(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let application = find(&app, &slug).await?;
    application.guard().ok_or(PageError::NotFound)?;
    let given = RuleForm { version: application.version(), ..RuleForm::default() };
    Ok(form_page(&app, &visitor, &application, (0, given, Wrong::default())))
}

/// The form of a rule.
pub async fn show(State(app): State<App>, Path((slug, number)): Path<(String, String)>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_administer()?;
    let application = find(&app, &slug).await?;
    let (number, rule) = rule_of(&application, &number)?;
    let names = Names::of(&app, &application).await?;
    let given = RuleForm::of(rule, &names, number, application.version());
    Ok(form_page(&app, &visitor, &application, (number, given, Wrong::default())))
}

/// Adds a rule.
pub async fn add(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    submit(&app, slug, None, request).await
}

/// Changes a rule.
pub async fn set(State(app): State<App>, Path((slug, number)): Path<(String, String)>, request: Request) -> PageResult {
    submit(&app, slug, Some(number), request).await
}

async fn submit(app: &App, slug: String, number: Option<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, form, .. } = Submission::<RuleForm>::confirmed(app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(app, &slug).await?;
    let number = match &number {
        Some(number) => rule_of(&application, number)?.0,
        None => 0,
    };
    let again = |given: RuleForm, wrong: Wrong| Ok(form_page(app, &visitor, &application, (number, given, wrong)));
    let (rule, place) = match form.read(app).await? {
        Ok(read) => read,
        Err(wrong) => return again(form, wrong),
    };
    let change = match number {
        0 => RuleChange::Add(rule, place),
        number => RuleChange::Set(number, rule, place.unwrap_or(number)),
    };
    match rules::change(app, By::Principal(&who, &visitor.actor()), &slug, Some(form.version.clone()), change).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}#rules", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => again(form, Wrong::sorry(field(&rule), rule)),
        Err(ActionError::Outdated) => {
            let given = RuleForm { version: application.version(), ..form };
            conflict(again(given, Wrong::new("", OUTDATED.to_owned())))
        }
        Err(error) => Err(error.into()),
    }
}

/// What is said where somebody else changed the application. Rules are known by their numbers alone: which one this form is
/// of cannot be told any more.
const OUTDATED: &str = "Somebody else changed this application since you opened the form. Nothing was stored. Rules may have other \
    numbers now: look at them in another window, then save again to store your form in place of the rule with its number.";

/// What the buttons that move a rule send.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct MoveForm {
    version: String,
    to: String,
}

/// Moves a rule to another place.
pub async fn move_to(State(app): State<App>, Path((slug, number)): Path<(String, String)>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, form, .. } = Submission::<MoveForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let (number, _) = rule_of(&application, &number)?;
    let to: usize = form.to.parse().ok().filter(|to| (1..=count(&application)).contains(to)).ok_or(PageError::NotFound)?;
    rules::change(&app, By::Principal(&who, &visitor.actor()), &slug, Some(form.version), RuleChange::Move(number, to)).await?;
    Ok(Redirect::to(&format!("{back}#rules")).into_response())
}

/// Asks before a rule is removed.
pub async fn ask_remove(State(app): State<App>, Path((slug, number)): Path<(String, String)>, request: Request) -> PageResult {
    let (visitor, _) = Visitor::administrator(&app, request).await?;
    let application = find(&app, &slug).await?;
    let (number, rule) = rule_of(&application, &number)?;
    let names = Names::of(&app, &application).await?;
    let mut listed: Vec<String> = rule.paths.iter().map(ToString::to_string).collect();
    listed.extend(asked(&rule.demand, &names));
    let question = Question {
        verb: "Remove",
        object: format!("rule {number} of {}", application.name),
        follows: vec![
            "From the next request on, the rule after it that fits decides, or the access of the application.".to_owned(),
        ],
        heading: "This rule goes",
        count: listed.len(),
        listed,
        action: format!("{PATH}/{slug}/rules/{number}/remove"),
        fields: vec![("version", application.version())],
        back: (format!("{PATH}/{slug}"), application.name.clone()),
    };
    Ok(question::ask(&app, &visitor, Section::Applications, question))
}

/// Removes a rule.
pub async fn remove(State(app): State<App>, Path((slug, number)): Path<(String, String)>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, form, .. } = Submission::<MoveForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let (number, _) = rule_of(&application, &number)?;
    rules::change(&app, By::Principal(&who, &visitor.actor()), &slug, Some(form.version), RuleChange::Remove(number)).await?;
    Ok(Redirect::to(&format!("{back}#rules")).into_response())
}
