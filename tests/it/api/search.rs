//! Search (`docs/compat.md` 10): splitting, folding, and a plain model of the whole rule.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, encode, seed};

async fn search(caller: &Caller, text: &str) -> Vec<String> {
    caller.get(&format!("{SESSIONS}?ordering=uuid&page_size=100&search={}", encode(text))).await.uuids()
}

db_test!(terms_split_fold_and_match, |db| async move {
    let app = TestApp::new(db).await;
    let row = |ip: &str, agent: &str| json!({"last_ip": ip, "last_user_agent": agent});
    app.import(&[
        seed::user(1, "Zoë Müller"),
        seed::user(2, "o'brien \"the quote\""),
        seed::user(3, "100%_user\\x"),
        seed::user(4, "łukasz.żółć"),
        seed::user(5, "straße sıſµ"),
        seed::session(1, 1, row("10.1.2.3", "Mozilla/5.0 (X11; Linux) Firefox/131.0, like Gecko")),
        seed::session(2, 2, row("2001:218::1", "curl/8.5.0")),
        seed::session(3, 3, row("::ffff:10.1.2.3", "")),
        seed::session(4, 4, row("192.0.2.44", "Ünïcode/1")),
        seed::session(5, 5, row("192.0.2.55", "a,b c")),
    ])
    .await;
    let admin = app.admin_token().await;
    for (text, want) in [
        // One term: a part of any of the three, whatever the letter case.
        ("zoë", &[1][..]),
        ("ZOË", &[1]),
        ("ŻÓŁĆ", &[4]),
        ("ünÏ", &[4]),
        ("CURL", &[2]),
        ("10.1.2", &[1, 3]),
        ("FFFF:", &[3]),
        ("2001:218", &[2]),
        ("2001:0218", &[]),
        ("192.0.2.", &[4, 5]),
        ("nobody", &[]),
        // Folding is one character to one.
        ("strasse", &[]),
        ("STRAßE", &[5]),
        ("SISΜ", &[5]),
        ("sisμ", &[5]),
        ("sıſµ", &[5]),
        // Nothing is special.
        ("%", &[3]),
        ("_", &[3]),
        ("\\", &[3]),
        ("0%_u", &[3]),
        ("^zoë", &[]),
        ("=zoë", &[]),
        ("*", &[]),
        (".*", &[]),
        // All terms must match, each anywhere.
        ("zoë firefox", &[1]),
        ("firefox zoë 10.1", &[1]),
        ("zoë curl", &[]),
        ("zoë,firefox", &[1]),
        (",zoë,,firefox,", &[1]),
        ("zoë\u{a0}firefox\u{1c}linux\n", &[1]),
        // Quotes keep spaces and commas.
        ("\"zoë müller\"", &[1]),
        ("'zoë müller'", &[1]),
        ("\"müller zoë\"", &[]),
        ("\"131.0, like\"", &[1]),
        (",\"131.0, like\",", &[1]),
        ("'a,b c'", &[5]),
        ("a,b", &[5]),
        ("\"the quote\"", &[2]),
        ("o'brien", &[2]),
        ("\"\\\"the\"", &[2]),
        ("'o\\'b'", &[2]),
        ("\"user\\\\x\"", &[3]),
        // An unbalanced quote is a character like any other.
        ("\"the", &[2]),
        ("quote\"", &[2]),
        ("\"zoë", &[]),
        // Nothing to look for.
        ("", &[1, 2, 3, 4, 5]),
        (" , ,, ", &[1, 2, 3, 4, 5]),
        ("\"\"", &[1, 2, 3, 4, 5]),
        ("\"", &[1, 2, 3, 4, 5]),
        ("'' curl", &[2]),
    ] {
        assert_eq!(search(&admin, text).await, seed::uuids(want), "{text:?}");
    }
    let nul = admin.get(&format!("{SESSIONS}?search=a%00")).await.assert_status(400);
    assert_eq!(nul.json(), json!(["Null characters are not allowed."]));
    assert_eq!(admin.get(&format!("{SESSIONS}?search=curl&search=firefox")).await.uuids(), seed::uuids(&[1]), "the last one wins");
    assert_eq!(admin.get(&format!("{SESSIONS}?search=zo%C3%AB+firefox")).await.uuids(), seed::uuids(&[1]), "+ is a space");
    assert_eq!(admin.get(&format!("{SESSIONS}?search=zo%EB")).await.count(), 0, "what is not UTF-8 matches nothing");
});

db_test!(too_many_terms_are_refused_and_repeated_ones_are_one, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[seed::user(1, "alice"), seed::session(1, 1, json!({}))]).await;
    let admin = app.admin_token().await;
    let many: Vec<String> = (100..133).map(|n| n.to_string()).collect();
    let refused = admin.get(&format!("{SESSIONS}?search={}", many.join("+"))).await.assert_status(400);
    assert_eq!(refused.json(), json!(["Too many search terms: at most 32 are allowed."]));
    admin.get(&format!("{SESSIONS}?search={}", many[1..].join("+"))).await.assert_status(200);
    assert_eq!(search(&admin, &"al ice alice ".repeat(500)).await, seed::uuids(&[1]));
});

const NAMES: [&str; 6] = ["alice", "Álice", "bob 'b'", "ſtraße", "100%", "a,b"];
const AGENTS: [&str; 6] = ["", "Firefox/131 (X11)", "firefox", "żółć \"q\"", "µ ı_\\", "curl, 8"];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::a", "255.255.255.255", "::1"];

/// A character's simple upper case; `ß` and the like, which have none, stay.
fn upper(text: &str) -> String {
    text.chars().map(|c| if c.to_uppercase().count() == 1 { c.to_uppercase().next().unwrap() } else { c }).collect()
}

/// Terms out of pieces of what is there, and of what is not; with the text that asks for them.
fn terms() -> impl Strategy<Value = Vec<String>> {
    let pool: Vec<String> = [NAMES.as_slice(), &AGENTS, &ADDRESSES, &["zzz", "ß", "ff", "0.0"]]
        .concat()
        .iter()
        .map(|text| (*text).to_owned())
        .collect();
    let piece = (prop::sample::select(pool), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>());
    let piece = piece.prop_map(|(text, from, to, is_upper)| {
        let chars: Vec<char> = text.chars().collect();
        let (from, to) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
        let part: String = chars[from.min(to)..from.max(to)].iter().collect();
        if is_upper { upper(&part) } else { part }
    });
    prop::collection::vec(piece, 0..4)
}

/// A term in double quotes, so that it is one term whatever is in it.
fn quoted(term: &str) -> String {
    format!("\"{}\"", term.replace('\\', "\\\\").replace('"', "\\\""))
}

db_test!(search_agrees_with_a_plain_filter, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines: Vec<Value> = (1..).zip(NAMES).map(|(id, name)| seed::user(id, name)).collect();
    let mut rows = Vec::new();
    for n in 0..60_u32 {
        let pick = usize::try_from(n).unwrap();
        let (name, agent, ip) = (pick % 6, pick / 6 % 6, pick * 7 % 5);
        lines.push(seed::session(
            n,
            i64::try_from(name).unwrap() + 1,
            json!({"last_ip": ADDRESSES[ip], "last_user_agent": AGENTS[agent]}),
        ));
        rows.push([upper(NAMES[name]), upper(ADDRESSES[ip]), upper(AGENTS[agent])]);
    }
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let mut runner = TestRunner::deterministic();
    let mut found = 0;
    for _ in 0..80 {
        let terms = terms().new_tree(&mut runner).unwrap().current();
        // Two backslashes in a row read as one, in quotes too: Django unescapes in two passes.
        if terms.iter().any(|term| term.contains("\\\\") || term.contains("\\\"")) {
            continue;
        }
        let text: Vec<String> = terms.iter().map(|term| quoted(term)).collect();
        let holds = |row: &[String; 3]| terms.iter().all(|term| row.iter().any(|part| part.contains(&upper(term))));
        let want: Vec<String> = (0..).zip(&rows).filter(|(_, row)| holds(row)).map(|(n, _)| seed::uuid(n)).collect();
        found += usize::from(!want.is_empty());
        assert_eq!(search(&admin, &text.join(" ")).await, want, "{terms:?}");
    }
    assert!(found > 20, "most searches should find something, or this shows little: {found}");
});
