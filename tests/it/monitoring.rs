//! What is in `deploy/` for Prometheus and Grafana: promtool reads it, and a real server has every series in it.

use std::collections::BTreeSet;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;

use crate::process::{Home, Person, Server, TOKEN, eventually, finish, skip};

const RULES: &str = "deploy/prometheus/rollcall.rules.yml";
const DASHBOARD: &str = "deploy/grafana/rollcall.json";

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root(file)).unwrap()
}

/// Whether promtool is there; said aloud where it is not.
fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_here = found.is_ok_and(|status| status.success());
    if !is_here {
        skip("promtool is not installed (Debian: prometheus)");
    }
    is_here
}

/// Runs promtool, with this on its standard input; it must find nothing.
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    let done =
        finish(command.args(args).current_dir(root("deploy/prometheus")).stdout(Stdio::piped()).stderr(Stdio::piped()), input);
    assert_eq!((done.code, done.err.contains("FAILED")), (0, false), "{args:?}: {}{}", done.out, done.err);
}

/// The alerts: each one's name and the lines of its rule.
fn alerts() -> Vec<(String, String)> {
    let rules = text(RULES);
    let parts = rules.split("      - alert: ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

/// Every object of a JSON value that has an `expr`.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

/// The dashboard's expressions, with values for its variables.
fn dashboard() -> Vec<String> {
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&text(DASHBOARD)).unwrap(), &mut found);
    found.iter().map(|expression| expression.replace("$__rate_interval", "5m").replace("$instance", ".*")).collect()
}

/// The series that a text of expressions names.
fn series(text: &str) -> BTreeSet<String> {
    let names = Regex::new(r"\b(?:rollcall|process)_[a-z_]+\b").unwrap();
    names.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn each_alert_fires_and_is_quiet_as_promtool_computes_it() {
    let tests = text("deploy/prometheus/rollcall.rules.test.yml");
    for (name, rule) in alerts() {
        assert!(tests.contains(&format!("name: {name} fires\n")) && tests.contains(&format!("name: {name} is quiet\n")), "{name}");
        let heading = format!("\n### {name}\n");
        assert!(text("docs/OPERATIONS.md").contains(&heading), "OPERATIONS has a heading {name}");
        assert!(rule.contains(&format!("runbook: docs/OPERATIONS.md#{}\n", name.to_lowercase())), "{rule}");
    }
    assert!(alerts().len() > 10);
    if has_promtool() {
        promtool(&["check", "rules", "rollcall.rules.yml"], "");
        promtool(&["test", "rules", "rollcall.rules.test.yml"], "");
    }
}

#[test]
fn the_dashboard_has_a_variable_for_its_source_and_expressions_that_can_be_read() {
    let dashboard_json: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let variables = dashboard_json["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource"));
    let panels = dashboard_json["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{}", panel["title"]);
        }
    }
    if !has_promtool() {
        return;
    }
    // A rule for each expression: promtool reads them in rules.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (nth, expression) in dashboard().iter().enumerate() {
        rules.push_str(&format!("  - record: dashboard:panel:{nth}\n    expr: {}\n", Value::from(expression.as_str())));
    }
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", &file.display().to_string()], "");
}

/// A short load in which everything happens that is counted.
async fn load(home: &Home, server: &Server) {
    home.add_user("ada");
    let person = Person::signed_in(server, "ada").await;
    for _ in 0..12 {
        Person::new(server, "curl/8.5.0").sign_in("ada", "not the password").await;
    }
    server.revoke(&person.uuid().await).await;
    server.sessions().await;
    home.ok(&["app", "add", "wiki", "--host", "wiki.example"]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let check = client.get(format!("{}/guard/nginx/-", server.origin)).header("host", "wiki.example");
    let check = check.header("x-original-method", "GET").header("x-original-url", "http://wiki.example/");
    check.send().await.unwrap();
    home.ok(&["backup", &home.folder().join("x.backup").display().to_string()]);
}

on_both!(every_series_of_alerts_and_dashboard_is_there, |home| async move {
    let ca = crate::serve::tls::Authority::new(&home);
    let (certificate, key) = ca.issue("one", "localhost", 30);
    let mut asn = mmdb_writer::Writer::builder("Test-ASN").description(&[("en", "a test")]).build();
    asn.insert("127.0.0.0/8".parse::<ipnet::IpNet>().unwrap(), &serde_json::json!({"autonomous_system_number": 64496})).unwrap();
    let asn = home.write("asn.mmdb", asn.to_bytes().unwrap());
    let home = home
        .with_administrator()
        .with("ROLLCALL_LISTEN", "127.0.0.1:0,tls:127.0.0.1:0")
        .with("ROLLCALL_TLS__CERTIFICATE", &certificate)
        .with("ROLLCALL_TLS__KEY", &key)
        .with("ROLLCALL_GEOIP__ASN", &asn)
        .with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1")
        .with("ROLLCALL_METRICS__LISTEN", "127.0.0.1:0");
    let server = home.serve().await;
    load(&home, &server).await;
    let log = || server.log().lines().find_map(|line| line.strip_prefix("metrics at ")).map(str::to_owned);
    let address = eventually("the metrics' address", || ready(log())).await;
    let metrics = reqwest::get(&address).await.unwrap().text().await.unwrap();
    let shown: BTreeSet<&str> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let mut named = series(&dashboard().join("\n"));
    named.extend(alerts().iter().flat_map(|(_, rule)| series(rule)));
    assert!(named.len() > 20, "{named:?}");
    for name in &named {
        assert!(shown.contains(name.as_str()), "{name} is not in\n{metrics}");
    }
    assert!(metrics.contains("\nrollcall_ready 1\n"), "{metrics}");
    let info = format!("\nrollcall_build_info{{version=\"{}\",commit=\"", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&info), "{metrics}");
    let left = metrics.lines().find_map(|line| line.strip_prefix("rollcall_tls_expiry_seconds ")).unwrap().parse::<f64>().unwrap();
    assert!(left > 29.0 * 86400.0 && left <= 30.0 * 86400.0, "{left}");
    assert!(!metrics.contains(TOKEN));
    if has_promtool() {
        promtool(&["check", "metrics"], &metrics);
    }
    server.stop().await;
});
