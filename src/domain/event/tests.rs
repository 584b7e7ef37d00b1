use serde_json::json;

use super::*;

#[test]
fn every_kind_can_be_read_without_content() {
    for kind in EventKind::ALL {
        let erased = EventContent::read(kind.as_str(), "{}");
        assert!(!matches!(erased, EventContent::Other { .. }), "{kind:?}");
        assert_eq!(erased.kind(), kind.as_str());
        assert_eq!(EventContent::read(kind.as_str(), &Value::Object(erased.to_json()).to_string()), erased);
    }
}

#[test]
fn content_reads_back_equal() {
    let ended = EventContent::SessionsEnded {
        filter: [("browser".to_owned(), "Firefox".to_owned())].into(),
        expected: 18_535,
        count: Some(18_534),
        users: None,
        reason: EndReason::Revoked,
        comment: "old “browsers”".into(),
    };
    let stored = Value::Object(ended.to_json());
    assert_eq!(
        stored,
        json!({
            "filter": {"browser": "Firefox"}, "expected": 18_535, "count": 18_534, "users": null, "reason": "revoked",
            "comment": "old “browsers”",
        })
    );
    assert_eq!(EventContent::read("sessions_ended", &stored.to_string()), ended);
}

#[test]
fn unknown_kinds_and_broken_content_are_kept() {
    let newer = EventContent::read("a_kind_of_a_later_version", r#"{"scope":"a"}"#);
    assert_eq!((newer.kind(), Value::Object(newer.to_json())), ("a_kind_of_a_later_version", json!({"scope": "a"})));
    let broken = EventContent::read("sign_in_limited", r#"{"limit":"of a later version"}"#);
    assert_eq!((broken.kind(), broken.to_json().len()), ("sign_in_limited", 1));
    assert_eq!(EventContent::read("sign_out", "no JSON").kind(), "sign_out");
}
