//! authentik's own client, generated from its published schema, works unchanged.

use authentik_client::apis::configuration::Configuration;
use authentik_client::apis::{core_api, flows_api};
use authentik_client::models::{
    ChallengeTypes, FlowChallengeResponseRequest, IdentificationChallengeResponseRequest, PasswordChallengeResponseRequest,
    UserLoginChallengeResponseRequest,
};
use rollcall::domain::user::TokenIntent;
use serde_json::json;

use crate::support::app::PASSWORD;
use crate::support::{Caller, SESSIONS, TestApp, geoip, seed};

fn configuration(app: &TestApp, caller: &Caller, key: Option<String>) -> Configuration {
    Configuration {
        base_path: format!("{}/api/v3", app.origin()),
        client: caller.client().into(),
        bearer_access_token: key,
        ..Configuration::default()
    }
}

db_test!(it_lists_retrieves_and_ends_sessions, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("10.0.0.0/8", "", "", ""), ("198.51.100.0/24", "EU", "DE", "Berlin")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "Example Net")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let mut lines = vec![seed::user(1, "alice"), seed::user(2, "bob")];
    let addresses = ["198.51.100.7", "10.0.0.1", "::1", "2001:db8::1", "192.0.2.7", "192.0.2.7"];
    lines.extend(
        (0..)
            .zip(addresses)
            .map(|(n, ip)| seed::session(n, i64::from(n % 2) + 1, json!({"last_ip": ip, "last_user_agent": "curl/8"}))),
    );
    app.import(&lines).await;
    let key = app.superuser("root").await.token_key(TokenIntent::Api, None).await;
    let api = configuration(&app, &app.anonymous(), Some(key));

    let page =
        core_api::core_authenticated_sessions_list(&api, Some("uuid"), Some(1), Some(4), None, None, None, None).await.unwrap();
    assert_eq!((page.results.len(), page.pagination.count, page.pagination.next), (4, 6.0, 2.0));
    let first = &page.results[0];
    assert_eq!(first.geo_ip.as_ref().unwrap().city, "Berlin");
    assert_eq!(first.asn.as_ref().unwrap().asn, Some(64500));
    let found = core_api::core_authenticated_sessions_list(
        &api,
        None,
        None,
        None,
        Some("bob"),
        Some("10.0.0.1"),
        Some("curl/8"),
        Some("bob"),
    )
    .await
    .unwrap();
    assert_eq!(found.pagination.count, 1.0);

    let uuid = first.uuid.unwrap().to_string();
    let one = core_api::core_authenticated_sessions_retrieve(&api, &uuid).await.unwrap();
    assert_eq!((&one, one.user), (first, 1));
    assert!(core_api::core_authenticated_sessions_used_by_list(&api, &uuid).await.unwrap().is_empty());
    core_api::core_authenticated_sessions_destroy(&api, &uuid).await.unwrap();
    assert!(core_api::core_authenticated_sessions_retrieve(&api, &uuid).await.is_err());
    let deleted = core_api::core_authenticated_sessions_bulk_delete_destroy(&api, vec![1, 2]).await.unwrap();
    assert_eq!(deleted.deleted, 5);
});

db_test!(it_signs_in_and_out, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let api = configuration(&app, &caller, None);
    let flow = "default-authentication-flow";
    let first = flows_api::flows_executor_get(&api, flow, "next=%2Fsessions").await.unwrap();
    assert!(matches!(first, ChallengeTypes::AkStageIdentification(_)), "{first:?}");
    let answer = IdentificationChallengeResponseRequest { uid_field: Some(Some("alice".into())), ..Default::default() };
    let answer = FlowChallengeResponseRequest::AkStageIdentification(answer);
    let second = flows_api::flows_executor_solve(&api, flow, "", Some(answer)).await.unwrap();
    assert!(matches!(second, ChallengeTypes::AkStagePassword(_)), "{second:?}");
    for (password, is_right) in [("wrong", false), (PASSWORD, true)] {
        let answer = PasswordChallengeResponseRequest { password: password.into(), ..Default::default() };
        let answer = FlowChallengeResponseRequest::AkStagePassword(answer);
        match flows_api::flows_executor_solve(&api, flow, "", Some(answer)).await.unwrap() {
            ChallengeTypes::AkStagePassword(again) => assert!(!is_right && again.response_errors.unwrap().contains_key("password")),
            ChallengeTypes::AkStageUserLogin(challenge) => assert!(is_right && challenge.pending_user == "alice"),
            other => panic!("{other:?}"),
        }
    }
    let answer = UserLoginChallengeResponseRequest { remember_me: true, ..Default::default() };
    let answer = FlowChallengeResponseRequest::AkStageUserLogin(answer);
    let last = flows_api::flows_executor_solve(&api, flow, "next=%2Fsessions", Some(answer)).await.unwrap();
    let ChallengeTypes::XakFlowRedirect(redirect) = last else { panic!("{last:?}") };
    assert_eq!(redirect.to, "/sessions");
    // The session's cookie is the client's credential from now on.
    let list = core_api::core_authenticated_sessions_list(&api, None, None, None, None, None, None, None).await.unwrap();
    assert!(list.results.len() == 1 && list.results[0].current);
    let out = flows_api::flows_executor_solve(&api, "default-invalidation-flow", "", None).await.unwrap();
    assert!(matches!(out, ChallengeTypes::XakFlowRedirect(_)), "{out:?}");
    caller.get(SESSIONS).await.assert_status(403);
});
