//! Names of people: the same in upper and lower case, without invisible characters, one person each.

use serde_json::{Value, json};

use crate::process::{Home, PASSWORD, Person};

fn user(id: i64, username: &str, email: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username, "name": username, "email": email})
}

on_both!(a_name_is_one_person_in_any_case, |home| async move {
    home.import(&[]);
    home.ok_with(&["user", "add", "Zoë"], &format!("{PASSWORD}\n"));
    for same in ["zoë", "ZOË", "zoe\u{308}", " Zoë "] {
        let complaint = home.fails_with(1, &["user", "add", same], &format!("{PASSWORD}\n"));
        assert!(complaint.contains("exists"), "{same}: {complaint}");
    }
    let server = home.serve().await;
    for typed in ["Zoë", "zoë", "ZOË", "zoe\u{308}", " Zoë "] {
        let mut person = Person::new(&server, "curl/8.5.0");
        assert_eq!(person.sign_in(typed, PASSWORD).await.status(), 303, "{typed}");
    }
    let mut person = Person::new(&server, "curl/8.5.0");
    assert_ne!(person.sign_in("zoe", PASSWORD).await.status(), 303, "another name");
    server.stop().await;
});

on_both!(names_that_cannot_be_seen_are_refused, |home| async move {
    home.import(&[]);
    for bad in ["ali\u{200b}ce", "\u{202e}ecila", "ali\u{ad}ce", "al\u{2066}ice", "ali\u{3164}ce", "\u{200b}"] {
        let complaint = home.fails_with(1, &["user", "add", bad], &format!("{PASSWORD}\n"));
        assert!(complaint.contains("invisible"), "{bad:?}: {complaint}");
        let file = home.write("users.jsonl", user(7, bad, "").to_string());
        let complaint = home.fails(1, &["import", &file]);
        assert!(complaint.contains("line 1") && complaint.contains("invisible"), "{bad:?}: {complaint}");
    }
});

on_both!(an_exact_name_wins_where_an_import_brought_two_that_are_the_same, |home| async move {
    home.import(&[]);
    // A byte order mark, as editors write it.
    let lines = [
        user(2, "alice", "info@istanbul.example"),
        user(3, "ALICE", ""),
        user(4, "bob", "shared@example.com"),
        user(5, "eve", "Shared@Example.com"),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = home.write("users.jsonl", format!("\u{feff}{text}"));
    home.ok(&["import", &file]);
    for (name, password) in
        [("alice", "the password of the first"), ("ALICE", "the password of the second"), ("bob", PASSWORD), ("eve", PASSWORD)]
    {
        home.ok_with(&["user", "set-password", name], &format!("{password}\n"));
    }
    let complaint = home.fails_with(1, &["user", "set-password", "Alice"], &format!("{PASSWORD}\n"));
    assert!(!complaint.is_empty(), "two users are meant");
    let server = home.serve().await;
    for (typed, password, is_in) in [
        ("alice", "the password of the first", true),
        ("ALICE", "the password of the second", true),
        ("alice", "the password of the second", false),
        ("Alice", "the password of the first", false),
        ("INFO@istanbul.example", "the password of the first", true),
        ("info@ıstanbul.example", "the password of the first", false),
        ("shared@example.com", PASSWORD, true),
        ("Shared@Example.com", PASSWORD, true),
        ("SHARED@EXAMPLE.COM", PASSWORD, false),
    ] {
        let mut person = Person::new(&server, "curl/8.5.0");
        assert_eq!(person.sign_in(typed, password).await.status() == 303, is_in, "{typed}");
    }
    server.stop().await;
    let report = home.run(&["check"]);
    for pair in ["ALICE, alice", "bob, eve"] {
        assert!(report.out.contains(pair), "{pair}: {}", report.out);
    }
});
