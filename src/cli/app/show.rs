//! Applications, rules and app sessions as commands print them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices;
use crate::cli::{Failure, Outcome, output};
use crate::domain::Timestamp;
use crate::domain::application::Application;
use crate::domain::application::demand::{Allow, Demand, DemandChange, Party};
use crate::domain::oidc::notice::UNREACHABLE;
use crate::store::applications::app_sessions::AppSessionRow;
use crate::store::oidc::notices::NoticeSummary;

/// Names of users and groups, for people: `group:staff`.
type Names = HashMap<Party, String>;

async fn names(app: &App, application: &Application) -> Result<Names, Failure> {
    let mut parties = application.access.allow.parties().to_vec();
    for rule in application.guard().into_iter().flat_map(|guard| &guard.rules) {
        parties.extend(rule.demand.allow.iter().flat_map(crate::domain::application::demand::Allow::parties));
    }
    Ok(app.store.read().list_party_names(&parties).await?.into_iter().collect())
}

fn allowed(allow: &Allow, names: &Names) -> Vec<String> {
    if let Some(word) = allow.word() {
        return vec![word.to_owned()];
    }
    let name = |party: &Party| match (party, names.get(party)) {
        (Party::User(_), Some(name)) => format!("user:{name}"),
        (Party::Group(_), Some(name)) => format!("group:{name}"),
        (gone, None) => format!("{gone} (removed)"),
    };
    allow.parties().iter().map(name).collect()
}

/// A demand as an object whose users and groups have names.
fn demand(demand: &DemandChange, names: &Names) -> Map<String, Value> {
    let mut object = match serde_json::to_value(demand) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    if let Some(allow) = &demand.allow {
        object.insert("allow".into(), json!(allowed(allow, names)));
    }
    if let Some(age) = demand.max_age {
        object.insert("max_age".into(), json!(humantime::format_duration(age).to_string()));
    }
    object
}

/// The whole of a demand as a change, so that both are written alike.
fn whole(demand: &Demand) -> DemandChange {
    DemandChange {
        allow: Some(demand.allow.clone()),
        factor: Some(demand.factor),
        max_age: demand.max_age,
        networks: Some(demand.networks.clone()).filter(|list| !list.is_empty()),
        countries: Some(demand.countries.clone()).filter(|list| !list.is_empty()),
        app_passwords: Some(demand.app_passwords),
    }
}

fn rule_objects(application: &Application, names: &Names) -> Vec<Map<String, Value>> {
    let rules = application.guard().map(|guard| guard.rules.as_slice()).unwrap_or_default();
    let object = |(at, rule): (usize, &crate::domain::application::guard::PathRule)| {
        let mut object = Map::new();
        object.insert("number".into(), json!(at + 1));
        object.insert("paths".into(), json!(rule.paths));
        if !rule.methods.is_empty() {
            object.insert("methods".into(), json!(rule.methods));
        }
        if !rule.if_network.is_empty() {
            object.insert("if_network".into(), json!(rule.if_network));
        }
        object.extend(demand(&rule.demand, names));
        object
    };
    rules.iter().enumerate().map(object).collect()
}

fn record(application: &Application, names: &Names) -> Value {
    let mut guard = application.guard().and_then(|guard| serde_json::to_value(guard).ok()).unwrap_or(Value::Null);
    if let Some(object) = guard.as_object_mut() {
        object.insert("rules".into(), json!(rule_objects(application, names)));
    }
    let mut client = application.client.as_ref().and_then(|part| serde_json::to_value(&part.client).ok()).unwrap_or(Value::Null);
    if let (Some(object), Some(part)) = (client.as_object_mut(), &application.client) {
        object.insert("client_id".into(), json!(part.client_id));
    }
    json!({
        "slug": application.slug,
        "name": application.name,
        "access": demand(&whole(&application.access), names),
        "display": application.display,
        "groups_sent": application.groups_sent,
        "guard": guard,
        "client": client,
        "created": application.created_at,
        "updated": application.updated_at,
    })
}

/// What became of what the app is told of ends.
async fn told(app: &App, application: i64) -> Result<Value, Failure> {
    let (NoticeSummary { waiting, given_up, delivered, oldest, line }, _) = notices::summary(app, By::Cli, application, 0).await?;
    let known = |at: Timestamp| Some(at).filter(|at| at.0 > 0);
    Ok(json!({
        "today": delivered, "waiting": waiting, "given_up": given_up, "oldest": oldest, "last": known(line.told_at),
        "last_failure": known(line.failed_at), "failure": line.failed,
        "unreachable_until": known(line.rests_until).filter(|_| line.failures >= UNREACHABLE),
    }))
}

pub(super) async fn show(app: &App, application: &Application, is_json: bool) -> Outcome {
    let names = names(app, application).await?;
    let mut record = record(application, &names);
    if let (Some(object), true) = (record.as_object_mut(), application.client.is_some()) {
        object.insert("told".into(), told(app, application.id).await?);
    }
    if is_json {
        return output::line(&record.to_string());
    }
    let mut facts = Map::new();
    for (key, value) in record.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if matches!(key.as_str(), "access" | "display" | "guard" | "client" | "told") => {
                for (part, value) in inner.iter().filter(|(part, value)| *part != "rules" && **value != json!("")) {
                    facts.insert(format!("{key}.{part}"), value.clone());
                }
            }
            other => {
                facts.insert(key.clone(), other.clone());
            }
        }
    }
    output::facts(&Value::Object(facts))?;
    if application.guard().is_some_and(|guard| !guard.rules.is_empty()) {
        output::line("")?;
        print_rules(&rule_objects(application, &names))?;
    }
    Ok(())
}

pub(super) async fn rules(app: &App, application: &Application, is_json: bool) -> Outcome {
    let rules = rule_objects(application, &names(app, application).await?);
    if !is_json {
        return print_rules(&rules);
    }
    for rule in rules {
        output::line(&Value::Object(rule).to_string())?;
    }
    Ok(())
}

fn print_rules(rules: &[Map<String, Value>]) -> Outcome {
    const HEADER: [&str; 5] = ["rule", "paths", "methods", "if network", "asks for"];
    let list = |value: Option<&Value>| {
        let texts = value.and_then(Value::as_array).map(|items| items.iter().map(text).collect::<Vec<_>>());
        texts.unwrap_or_default().join(", ")
    };
    let row = |rule: &Map<String, Value>| {
        let named = ["number", "paths", "methods", "if_network"];
        let rest: Vec<String> = rule
            .iter()
            .filter(|(key, _)| !named.contains(&key.as_str()))
            .map(
                |(key, value)| {
                    if value.is_array() { format!("{key} {}", list(Some(value))) } else { format!("{key} {}", text(value)) }
                },
            )
            .collect();
        let [number, paths, methods, networks] = named.map(|key| rule.get(key));
        vec![number.map(text).unwrap_or_default(), list(paths), list(methods), list(networks), rest.join("; ")]
    };
    output::table(&HEADER, rules.iter().map(row).collect())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) async fn list(app: &App, is_json: bool, is_csv: bool) -> Outcome {
    const HEADER: [&str; 5] = ["slug", "name", "hosts", "allow", "rules"];
    let all = app.store.applications().await?;
    let mut rows = Vec::new();
    for application in all.all() {
        let names = names(app, application).await?;
        if is_json {
            output::line(&record(application, &names).to_string())?;
            continue;
        }
        let hosts = application.guard().map(|guard| guard.hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
        rows.push(vec![
            application.slug.clone(),
            application.name.clone(),
            hosts.unwrap_or_default().join(", "),
            allowed(&application.access.allow, &names).join(", "),
            application.guard().map_or(0, |guard| guard.rules.len()).to_string(),
        ]);
    }
    match (is_json, is_csv) {
        (true, _) => Ok(()),
        (_, true) => output::csv(&HEADER, &rows),
        _ => output::table(&HEADER, rows),
    }
}

pub(super) fn sessions(rows: &[AppSessionRow], is_json: bool, is_csv: bool) -> Outcome {
    const HEADER: [&str; 6] = ["app session", "application", "user", "opened", "last used", "session"];
    if is_json {
        for row in rows {
            let AppSessionRow { slug, name, username, hosts, client_id, .. } = row;
            let record = json!({
                "uuid": row.uuid.hyphenated().to_string(), "slug": slug, "name": name, "user": username, "session": row.session,
                "hosts": hosts, "client_id": client_id, "created": row.created_at, "last_used": row.last_used_at,
            });
            output::line(&record.to_string())?;
        }
        return Ok(());
    }
    let line = |row: &AppSessionRow| {
        let opened = row.hosts.iter().chain(&row.client_id).cloned().collect::<Vec<_>>().join(", ");
        let (uuid, used) = (row.uuid.hyphenated().to_string(), row.last_used_at.to_string());
        vec![uuid, row.slug.clone(), row.username.clone(), opened, used, row.session.to_string()]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    if is_csv { output::csv(&HEADER, &lines) } else { output::table(&HEADER, lines) }
}
