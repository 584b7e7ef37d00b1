//! The recorded exchanges in `tests/golden/`, replayed over both databases.
//!
//! 18 of the 226 cases show what MaxMind's test files say of an address. Those files are not part of
//! this repository, so these cases are compared without `geo_ip` and `asn`; the tests of `enrich` and
//! of the filters hold those two with files of our own.

use serde_json::Value;

use crate::support::{Answer, TestApp, raw};

const CASES: &str = include_str!("../../golden/cases.jsonl");
const FIXTURE: &str = include_str!("../../golden/fixture.jsonl");
const CREDENTIALS: &str = include_str!("../../golden/credentials.json");

db_test!(every_recorded_case_agrees, |db| async move {
    let credentials: Value = serde_json::from_str(CREDENTIALS).unwrap();
    let secret_key = credentials["secret_key"].as_str().unwrap();
    let app = TestApp::with(
        db,
        &[("AUTHENTIK__SECRET_KEY", secret_key), ("SESSIONS__TOUCH_INTERVAL", "0"), ("SAFETY__BURST_SESSIONS", "0")],
    )
    .await;
    app.import_bytes(FIXTURE, true).await.unwrap();
    let (mut count, mut without_places, mut differing) = (0, 0, Vec::new());
    for case in CASES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        count += 1;
        let steps = std::iter::once(&case).chain(case["then"].as_array().into_iter().flatten());
        for step in steps {
            let answer = ask(&app, &credentials, step).await;
            let mut want = step["expect"].clone();
            let has_places = has_place(&want["json"]);
            without_places += usize::from(has_places);
            if has_places {
                remove_places(&mut want["json"]);
            }
            for difference in differences(&want, &answer, has_places) {
                differing.push(format!("{}: {} {}: {difference}", case["name"], step["method"], step["path"]));
            }
        }
        if case["mutates"] == true {
            app.import_bytes(FIXTURE, true).await.unwrap();
        }
    }
    assert_eq!((count, without_places), (226, 18));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
});

async fn ask(app: &TestApp, credentials: &Value, step: &Value) -> Answer {
    let principal = &credentials["principals"][step["as"].as_str().unwrap_or("anonymous")];
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned()), ("User-Agent".to_owned(), "golden/1".to_owned())];
    for source in [&principal["headers"], &step["headers"]] {
        for (name, value) in source.as_object().into_iter().flatten() {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if let Some(value) = value.as_str() {
                headers.push((name.clone(), value.replace("{origin}", &app.origin())));
            }
        }
    }
    let mut cookies = principal["cookies"].as_object().cloned().unwrap_or_default();
    cookies.extend(step["cookies"].as_object().cloned().unwrap_or_default());
    if !cookies.is_empty() {
        let pairs = cookies.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap()));
        headers.push(("Cookie".to_owned(), pairs.collect::<Vec<_>>().join("; ")));
    }
    let method = step["method"].as_str().unwrap();
    let body = match &step["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !step["body"].is_null() || matches!(method, "POST" | "PUT" | "PATCH") {
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    let is_latin1 = step["latin1"] == true;
    let encode = |value: &str| {
        if is_latin1 { value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect() } else { value.as_bytes().to_vec() }
    };
    let headers: Vec<(String, Vec<u8>)> = headers.iter().map(|(name, value)| (name.clone(), encode(value))).collect();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    raw::request(app.address, method, step["path"].as_str().unwrap(), &headers, body.as_bytes()).await
}

fn has_place(body: &Value) -> bool {
    match body {
        Value::Object(fields) => {
            fields.get("geo_ip").is_some_and(Value::is_object)
                || fields.get("asn").is_some_and(Value::is_object)
                || fields.values().any(has_place)
        }
        Value::Array(items) => items.iter().any(has_place),
        _ => false,
    }
}

fn remove_places(body: &mut Value) {
    match body {
        Value::Object(fields) if fields.contains_key("geo_ip") => drop((fields.remove("geo_ip"), fields.remove("asn"))),
        Value::Object(fields) => fields.values_mut().for_each(remove_places),
        Value::Array(items) => items.iter_mut().for_each(remove_places),
        _ => {}
    }
}

fn differences(want: &Value, got: &Answer, is_without_places: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, want: Value, got: Value| {
        if want != got {
            found.push(format!("{what}: want {want}, got {got}"));
        }
    };
    compare("status", want["status"].clone(), got.status.into());
    if let Some(kind) = want["content_type"].as_str() {
        let media = got.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        compare("content type", kind.into(), media.into());
    }
    if let Some(allow) = want["allow"].as_str() {
        compare("allow", methods(allow).into(), methods(got.header("allow").unwrap_or_default()).into());
    }
    for name in want["absent_headers"].as_array().into_iter().flatten() {
        compare("absent header", Value::Null, got.header(name.as_str().unwrap()).into());
    }
    if want["body"] == "empty" {
        compare("body", "".into(), got.text().into());
    }
    let mut body: Value = serde_json::from_slice(&got.bytes).unwrap_or_default();
    if is_without_places {
        remove_places(&mut body);
    }
    if want.get("json").is_some() {
        compare("json", by_value(&want["json"]), by_value(&body));
    }
    if want.get("pagination").is_some() {
        compare("pagination", by_value(&want["pagination"]), by_value(&body["pagination"]));
    }
    let rows = || body["results"].as_array().into_iter().flatten();
    if want.get("uuids").is_some() {
        compare("uuids", want["uuids"].clone(), rows().map(|row| row["uuid"].clone()).collect());
    }
    if want["current"].is_array() {
        let current = rows().filter(|row| row["current"] == true).map(|row| row["uuid"].clone());
        compare("current", want["current"].clone(), current.collect());
    }
    found
}

/// Numbers compare by value: `6` and `6.0` are one.
fn by_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(by_value).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), by_value(value))).collect(),
        other => other.clone(),
    }
}

fn methods(header: &str) -> Vec<String> {
    let mut names: Vec<String> = header.split(',').map(|name| name.trim().to_uppercase()).filter(|name| !name.is_empty()).collect();
    names.sort();
    names
}
