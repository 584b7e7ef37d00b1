use serde_json::json;

use super::*;

fn body(fields: &Value) -> Body {
    Body::new(fields.as_object().unwrap().clone(), false)
}

fn errors(body: Body) -> Value {
    match body.finish() {
        Ok(()) => Value::Null,
        Err(ApiError::Parameters(errors)) => json!(errors),
        Err(other) => panic!("{other:?}"),
    }
}

/// What a reader gives for one value, and what it finds wrong with it.
macro_rules! read {
    ($value:expr, $($reader:tt)+) => {{
        let mut body = body(&json!({ "f": $value }));
        let got = body.field("f").$($reader)+;
        match errors(body) {
            Value::Null => Ok(got.unwrap()),
            errors => Err(errors["f"][0].as_str().unwrap().to_owned()),
        }
    }};
}

#[test]
fn texts_as_django_rest_framework_reads_them() {
    let text = |value: Value| read!(value, text(5));
    assert_eq!(text(json!(" a\u{a0}")), Ok("a".into()));
    assert_eq!(text(json!(12)), Ok("12".into()));
    assert_eq!(text(json!("ääääää")), Err("Ensure this field has no more than 5 characters.".into()));
    assert_eq!(text(json!("")), Err(BLANK.into()));
    assert_eq!(text(json!("  ")), Err(BLANK.into()));
    assert_eq!(text(json!(null)), Err(NO_NULL.into()));
    for bad in [json!(true), json!([]), json!({})] {
        assert_eq!(text(bad), Err(NO_STRING.into()));
    }
    assert_eq!(text(json!("a\0")), Err(NULL_CHARACTER.into()));
    assert_eq!(read!(json!(" "), or_blank().text(5)), Ok(String::new()));
    assert_eq!(read!(json!(" a "), untrimmed().text(5)), Ok(" a ".into()));
    assert_eq!(read!(json!(""), untrimmed().text(5)), Err(BLANK.into()));
    assert_eq!(read!(json!(null), text_or_null(5)), Ok(None));
}

#[test]
fn booleans_integers_and_instants() {
    let boolean = |value: Value| read!(value, boolean());
    for yes in [json!(true), json!("t"), json!("Yes"), json!("ON"), json!("1"), json!(1), json!(1.0)] {
        assert_eq!(boolean(yes), Ok(true));
    }
    for no in [json!(false), json!("N"), json!("False"), json!("off"), json!(0)] {
        assert_eq!(boolean(no), Ok(false));
    }
    for bad in [json!("tRue"), json!("maybe"), json!(2), json!([]), json!("")] {
        assert_eq!(boolean(bad), Err(NO_BOOLEAN.into()));
    }
    let integer = |value: Value| read!(value, integer());
    assert_eq!((integer(json!("6.0")), integer(json!(6.0)), integer(json!(-7))), (Ok(6), Ok(6), Ok(-7)));
    for bad in [json!("x"), json!(1.5), json!(true), json!([1]), json!("99999999999999999999")] {
        assert_eq!(integer(bad), Err(NO_INTEGER.into()));
    }
    let instant = |value: Value| read!(value, instant());
    assert_eq!(instant(json!("1970-01-01T00:00:01+00:00")), Ok(Timestamp(1_000_000)));
    for bad in [json!("soon"), json!(5), json!("")] {
        assert_eq!(instant(bad), Err(NO_INSTANT.into()));
    }
    assert_eq!(read!(json!(null), instant_or_null()), Ok(None));
}

#[test]
fn words_addresses_and_objects() {
    let choice = |value: Value| read!(value, choice(|word| (word == "api").then_some(1)));
    assert_eq!(choice(json!("api")), Ok(1));
    assert_eq!(choice(json!("weird")), Err("\"weird\" is not a valid choice.".into()));
    assert_eq!(choice(json!(true)), Err("\"True\" is not a valid choice.".into()));
    assert_eq!(read!(json!("a b"), slug(255)), Err(NO_SLUG.into()));
    assert_eq!(read!(json!("a-B_1"), slug(255)), Ok("a-B_1".into()));
    assert_eq!(read!(json!("a@b.example"), email()), Ok("a@b.example".into()));
    assert_eq!(read!(json!(""), email()), Ok(String::new()));
    assert_eq!(read!(json!("nobody"), email()), Err(NO_EMAIL.into()));
    for bad in [json!([]), json!("{}"), json!(1)] {
        assert_eq!(read!(bad, object()), Err(NO_OBJECT.into()));
    }
    let large = json!({ "a": "x".repeat(MAX_OBJECT) });
    assert!(read!(large, object()).unwrap_err().contains("131072 bytes"));
    assert_eq!(read!(json!({ "a": [{ "b\0": 1 }] }), object()), Err(NULL_CHARACTER.into()));
}

#[test]
fn references() {
    let keys = |value: Value| read!(value, keys());
    assert_eq!(keys(json!([1, "2"])), Ok(vec![1, 2]));
    assert_eq!(keys(json!("1")), Err("Expected a list of items but got type \"str\".".into()));
    assert_eq!(keys(json!(["a"])), Err("Incorrect type. Expected pk value, received str.".into()));
    assert_eq!(keys(json!([true])), Err("Incorrect type. Expected pk value, received bool.".into()));
    assert_eq!(keys(json!(["99999999999999999999"])), Err("Invalid pk \"99999999999999999999\" - object does not exist.".into()));
    let uuids = |value: Value| read!(value, uuids());
    assert_eq!(uuids(json!(["nope"])), Err("“nope” is not a valid UUID.".into()));
    assert_eq!(uuids(json!([5])), Ok(vec![Uuid::from_u128(5)]));
    assert_eq!(uuids(json!([true])), Err("Incorrect type. Expected pk value, received bool.".into()));
}

#[test]
fn all_wrong_fields_are_reported_together() {
    let mut wrong = body(&json!({ "is_active": "maybe", "unknown": 1 }));
    assert_eq!(wrong.field("username").required().text(150), None);
    assert_eq!(wrong.field("is_active").boolean(), None);
    assert_eq!(wrong.field("email").email(), None);
    assert_eq!(errors(wrong), json!({ "username": [REQUIRED], "is_active": [NO_BOOLEAN] }));
    let mut partial = Body::new(Map::new(), true);
    assert_eq!(partial.field("username").required().text(150), None);
    assert_eq!(errors(partial), Value::Null);
}
