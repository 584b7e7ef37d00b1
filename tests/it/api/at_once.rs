//! Changes of one thing that arrive together: each that was acknowledged is there afterwards.

use serde_json::{Value, json};

use crate::applications::server;
use crate::support::caller::send;
use crate::support::{Answer, Caller, TestApp};

const ROUNDS: i64 = 40;

async fn patch(caller: &Caller, path: &str, body: &Value) -> Answer {
    send(caller.build("PATCH", path).json(body)).await
}

/// Sends two changes of one thing together, round after round, and looks whether both are there. `of` makes them, with the
/// number of the round in them, so that each changes something.
pub async fn assert_both_stay(caller: &Caller, path: &str, of: impl Fn(i64) -> [Value; 2]) {
    for round in 0..ROUNDS {
        let [one, two] = of(round);
        let (first, second) = tokio::join!(patch(caller, path, &one), patch(caller, path, &two));
        assert_eq!((first.status, second.status), (200, 200), "{}{}", first.text(), second.text());
        let now = caller.get(path).await.assert_status(200).json();
        for (name, want) in [&one, &two].into_iter().flat_map(|body| body.as_object().unwrap()) {
            assert_eq!(&now[name], want, "{name} in round {round} of {path}");
        }
    }
}

db_test!(changes_of_a_token_stay, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    admin.post_json("/api/v3/core/tokens/", &json!({"identifier": "ci"})).await.assert_status(201);
    let scopes = [json!(["users:read"]), json!([])];
    let of = |round: i64| {
        let even = usize::from(round % 2 == 0);
        [json!({"rollcall_scopes": scopes[even]}), json!({"description": format!("round {round}")})]
    };
    assert_both_stay(&admin, "/api/v3/core/tokens/ci/", of).await;
    let of = |round: i64| [json!({"expiring": round % 2 == 0}), json!({"description": format!("again {round}")})];
    assert_both_stay(&admin, "/api/v3/core/tokens/ci/", of).await;
});

db_test!(changes_of_an_application_its_guard_and_a_binding_stay, |db| async move {
    let app = server(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await);
    let flow = async |slug: &str| admin.get(&format!("/api/v3/flows/instances/{slug}/")).await.json()["pk"].clone();
    let guard = json!({
        "name": "A proxy", "external_host": "https://wiki.example.com", "mode": "forward_single",
        "authorization_flow": flow("default-provider-authorization-implicit-consent").await,
        "invalidation_flow": flow("default-provider-invalidation-flow").await,
    });
    let guard = admin.post_json("/api/v3/providers/proxy/", &guard).await.assert_status(201).json();
    let guard = format!("/api/v3/providers/proxy/{}/", guard["pk"]);
    let of = |round: i64| {
        let lines = if round % 2 == 0 { "^/public" } else { "" };
        [json!({"internal_host": format!("http://host{round}.example")}), json!({"skip_path_regex": lines})]
    };
    assert_both_stay(&admin, &guard, of).await;
    let wiki = json!({"name": "Wiki", "slug": "wiki", "provider": admin.get(&guard).await.json()["pk"]});
    let wiki = admin.post_json("/api/v3/core/applications/", &wiki).await.assert_status(201).json();
    assert_both_stay(&admin, &guard, of).await;
    let of = |round: i64| [json!({"group": format!("g{round}")}), json!({"meta_description": format!("d{round}")})];
    assert_both_stay(&admin, "/api/v3/core/applications/wiki/", of).await;
    let binding = json!({"target": wiki["pk"], "user": alice.id.0, "order": 0});
    let binding = admin.post_json("/api/v3/policies/bindings/", &binding).await.assert_status(201).json();
    let of = |round: i64| [json!({"order": round + 1}), json!({"timeout": round + 1})];
    let binding = format!("/api/v3/policies/bindings/{}/", binding["pk"].as_str().unwrap());
    assert_both_stay(&admin, &binding, of).await;
});
