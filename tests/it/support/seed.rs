//! Lines to import: made-up users and sessions, all alike but for what a test is about.

use serde_json::{Value, json};

/// A user with the key `id`.
pub fn user(id: i64, username: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username})
}

/// The `n`th session, of the user with the key `user`; `with` replaces fields.
pub fn session(n: u32, user: i64, with: Value) -> Value {
    let mut line = json!({
        "kind": "session", "uuid": uuid(n), "session_key": format!("key-{n}"), "user": user, "last_ip": "192.0.2.1",
        "last_user_agent": "", "last_used": "2026-10-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z",
    });
    let Value::Object(with) = with else { panic!("fields to replace are an object") };
    for (name, value) in with {
        assert!(line.get(&name).is_some(), "a session has no field {name}");
        line[name] = value;
    }
    line
}

/// The uuid of the `n`th session. They sort as `n` does.
pub fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// The uuids of these sessions.
pub fn uuids(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|n| uuid(*n)).collect()
}
