//! `docs/api-operations.md`: every operation of the API, made from the description, which comes from the
//! router. `UPDATE_DOCS=1` writes it. What the document calls absent must be absent.

use std::fmt::Write as _;

use rollcall::api::schema::description;
use serde_json::Value;

use crate::settings::compare;

const HEAD: &str = "\
# Operations of the API

<!-- Made from the router by UPDATE_DOCS=1 cargo test --test it operations. A test compares them. -->

Every operation under `/api/v3/`, by authentik's names where authentik has it. [API.md](API.md) explains them; it links to the rules they share.

";

/// Paths of authentik's API that Rollcall does not answer, and why.
const ABSENT: [(&str, &str); 13] = [
    ("/core/transactional/applications/", "there are no applications yet"),
    ("/core/users/{id}/impersonate/", "nobody acts as somebody else"),
    ("/core/users/{id}/recovery_email/", "Rollcall sends no mail; `recovery/` gives the link"),
    ("/core/users/account_lockdown/", "`is_active` and `bulk_delete/` do it"),
    ("/enterprise/license/{license_uuid}/", "there is no licence"),
    ("/events/rules/{pbm_uuid}/", "alerts are made from `/metrics` and the log"),
    ("/flows/bindings/", "the two flows are fixed"),
    ("/managed/blueprints/{instance_uuid}/", "`rollcall import` takes its place"),
    ("/policies/expression/", "no code of users runs in the server"),
    ("/providers/saml/{id}/", "there is no SAML"),
    ("/providers/scim/", "there is no SCIM"),
    ("/sources/oauth/", "people sign in here, not elsewhere"),
    ("/stages/prompt/stages/", "the stages are fixed"),
];

fn document(description: &Value) -> String {
    let mut text = HEAD.to_owned();
    let mut tag = String::new();
    let mut rows: Vec<(String, String)> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default().replace('|', "\\|");
            let id = operation["operationId"].as_str().unwrap();
            let row = format!("| `{} {path}` | `{id}` | {summary} |", method.to_uppercase());
            rows.push((operation["tags"][0].as_str().unwrap_or("other").to_owned(), row));
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    for (group, row) in rows {
        if group != tag {
            let gap = if tag.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}## {group}\n\n| Method and address | Operation | |\n| --- | --- | --- |").unwrap();
            tag = group;
        }
        writeln!(text, "{row}").unwrap();
    }
    text.push_str(
        "\n## Not there\n\nThese addresses of authentik are 404, and so is every other one that is not listed above.\n\n",
    );
    text.push_str("| Address | Why |\n| --- | --- |\n");
    for (path, why) in ABSENT {
        writeln!(text, "| `{path}` | {why} |").unwrap();
    }
    text
}

#[test]
fn the_document_of_operations_is_what_the_router_has() {
    let description = serde_json::to_value(description()).unwrap();
    for (path, _) in ABSENT {
        assert!(description["paths"][path].is_null(), "{path} is there; take it off the list of what is not");
    }
    compare("docs/api-operations.md", &document(&description));
}
