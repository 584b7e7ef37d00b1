//! The search language: what is understood of it, and what is said of the rest.

use super::*;
use crate::domain::address::Network;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn the_whole_language() {
    let now = at("2026-11-01T12:00:00Z");
    let query = SessionQuery::parse(
        "user:alice country:germany network:AS3320 browser:firefox os:\"Mac OS X\" ip:10.0.0.0/8 idle:>30d -current le wis",
    );
    assert_eq!(query.mistakes(), None);
    let want = SessionFilter {
        username: Some("alice".into()),
        country: Some("DE".into()),
        asn: Some(3320),
        network: Network::parse("10.0.0.0/8"),
        browser: Some("firefox".into()),
        os: Some("Mac OS X".into()),
        last_used_lte: Some(at("2026-10-02T12:00:00Z")),
        search: vec!["WIS".into(), "LE".into()],
        search_people: Some(true),
        ..SessionFilter::default()
    };
    assert_eq!(query.filter(now), Ok(want));
    assert!(query.spares_current());
    assert_eq!(SessionQuery::parse("user:alice").filter(now).unwrap().search_people, None, "without a word there is no search");
    assert_eq!(query.terms().collect::<Vec<_>>(), ["le", "wis"]);
}

#[test]
fn addresses_are_words_and_fields() {
    for word in ["2001:db8::1", "dead:beef::1", "10.0", "::1"] {
        assert_eq!(read(word), Ok(Meaning::Words(word.into())), "{word}");
    }
    let address = |value: &str| Ok(Meaning::Filter { name: "last_ip", value: value.into() });
    assert_eq!(read("ip:2001:db8::1"), address("2001:db8::1"));
    assert_eq!(read("\"user:alice\""), Ok(Meaning::Words("\"user:alice\"".into())));
}

#[test]
fn times() {
    let now = at("2026-11-10T12:00:00Z");
    let filter = |text: &str| {
        let query = SessionQuery::parse(text);
        assert_eq!(query.mistakes(), None, "{text}");
        query.filter(now).unwrap()
    };
    assert_eq!(filter("idle:<2h").last_used_gte, Some(at("2026-11-10T10:00:00Z")));
    assert_eq!(filter("idle:15m").last_used_lte, Some(at("2026-11-10T11:45:00Z")));
    assert_eq!(filter("ends:<1d").expires_lte, Some(at("2026-11-11T12:00:00Z")));
    assert_eq!(filter("ends:>1w").expires_gte, Some(at("2026-11-17T12:00:00Z")));
    let day = filter("used:2026-11-05");
    assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-05")), Some(at("2026-11-05T23:59:59.999999Z"))));
    let span = filter("used:2026-11-01..2026-11-03");
    assert_eq!((span.last_used_gte, span.last_used_lte), (Some(at("2026-11-01")), Some(at("2026-11-03T23:59:59.999999Z"))));
    let day = filter("used:yesterday");
    assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-09")), Some(at("2026-11-09T23:59:59.999999Z"))));
    let span = filter("used:yesterday..today");
    assert_eq!((span.last_used_gte, span.last_used_lte), (Some(at("2026-11-09")), Some(at("2026-11-10T23:59:59.999999Z"))));
    assert_eq!(filter("used:<Today").last_used_lte, Some(at("2026-11-09T23:59:59.999999Z")));
    assert_eq!(filter("used:>2026-11-01").last_used_gte, Some(at("2026-11-02")));
    assert_eq!(filter("used:<2026-11-01").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
    // Who was there on a day may have come back since.
    let day = filter("active:yesterday");
    assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-09")), None));
    assert_eq!(day.created_lte, Some(at("2026-11-09T23:59:59.999999Z")));
    let span = filter("active:2026-11-01..2026-11-03");
    assert_eq!((span.last_used_gte, span.created_lte), (Some(at("2026-11-01")), Some(at("2026-11-03T23:59:59.999999Z"))));
    let after = filter("active:>2026-11-01");
    assert_eq!((after.last_used_gte, after.created_lte), (Some(at("2026-11-02")), None));
    let both = filter("active:yesterday used:today");
    assert_eq!((both.last_used_gte, both.created_lte), (Some(at("2026-11-10")), Some(at("2026-11-09T23:59:59.999999Z"))));
    // Both apply: the narrower end.
    assert_eq!(filter("used:<2026-11-01 idle:>1h").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
}

#[test]
fn mistakes_say_what_would_be_right() {
    for (text, says) in [
        ("colour:red", "There is no “colour:”. There is user, country"),
        ("country:Atlantis", "“Atlantis” is nothing that “country:” can be. Such as country:DE"),
        ("idle:soon", "Such as idle:>30d"),
        ("idle:>99999999999999999999d", "Such as idle"),
        ("ip:1.2.3", "Such as ip:192.0.2.7"),
        ("used:tomorrow", "Such as used:yesterday"),
        ("active:soon", "Such as active:yesterday"),
        ("ended:soon", "Such as ended:today"),
        ("reason:boredom", "Such as reason:revoked"),
        ("user:", "“user:” says nothing. Such as user:alice"),
        ("-mobile", "only “-current”"),
        ("user:a user:b", "“user:b” comes second"),
        ("ip:1.2.3.4 network:10.0.0.0/8", "comes second"),
    ] {
        let query = SessionQuery::parse(text);
        let mistakes = query.mistakes().unwrap().sentences;
        assert!(mistakes.len() == 1 && mistakes[0].contains(says), "{text}: {mistakes:?}");
    }
    let many = SessionQuery::parse(&"-current ".repeat(50)).mistakes().unwrap();
    assert!(many.sentences.last().unwrap().contains("More than 40"), "{many}");
}

#[test]
fn a_query_with_a_mistake_is_shown_and_not_used() {
    let query = SessionQuery::parse("colour:red user:a b");
    assert_eq!(query.understood(Timestamp(0)).username.as_deref(), Some("a"));
    let mistakes = query.filter(Timestamp(0)).unwrap_err();
    assert_eq!((mistakes.sentences.len(), mistakes.understood.as_str()), (1, "user:a b"));
    assert!(mistakes.to_string().ends_with("The rest was understood: “user:a b”."), "{mistakes}");
    assert!(SessionQuery::parse("colour:red").filter(Timestamp(0)).is_err());
}

#[test]
fn one_word_too_many_is_a_mistake_and_not_a_search_for_nothing() {
    let words = |count: u32| (0..count).map(|n| format!("w{n:03}")).collect::<Vec<_>>().join(" ");
    let most = SessionQuery::parse(&words(32));
    assert_eq!(most.filter(Timestamp(0)).unwrap().search.len(), 32);
    let more = SessionQuery::parse(&words(33));
    assert!(more.filter(Timestamp(0)).unwrap_err().sentences[0].contains("“w032” is one word too many"));
    assert_eq!(more.understood(Timestamp(0)).search.len(), 32);
}

#[test]
fn quotes_keep_words_together() {
    let terms = |text: &str| SessionQuery::parse(text).terms().collect::<Vec<_>>();
    assert_eq!(terms("\"a b\" c,d 'e"), ["a b", "c,d", "'e"]);
    assert_eq!(terms("\"user:alice\" say\\ \"x \\\" y\""), ["user:alice", "say\\", "x \" y"]);
}

#[test]
fn each_word_is_explained_once_and_its_example_is_understood() {
    let mut keys = Vec::new();
    for Word { key, example, .. } in words() {
        assert!(!keys.contains(&key), "{key} is there twice");
        keys.push(key);
        let query = SessionQuery::parse(&format!("{key}:{example}"));
        assert_eq!(query.mistakes(), None, "{key}:{example}");
        assert_ne!(query.ended_understood(Timestamp(1 << 50)), EndedFilter::default(), "{key}:{example}");
    }
}

#[test]
fn words_about_ended_sessions_never_widen_a_search_of_live_ones() {
    let now = at("2026-11-10T12:00:00Z");
    let query = SessionQuery::parse("user:alice reason:revoked by:root ended:yesterday");
    assert!(query.is_of_ended() && query.mistakes().is_none());
    let filter = query.ended_filter(now).unwrap();
    assert_eq!((filter.session.username.as_deref(), filter.ended_by.as_deref()), (Some("alice"), Some("root")));
    assert_eq!(filter.reason, Some(crate::domain::EndReason::Revoked));
    assert_eq!((filter.ended_gte, filter.ended_lte), (Some(at("2026-11-09")), Some(at("2026-11-09T23:59:59.999999Z"))));
    let mistakes = query.filter(now).unwrap_err();
    assert_eq!((mistakes.sentences.len(), mistakes.understood.as_str()), (3, "user:alice"));
    assert!(mistakes.sentences[0].starts_with("“reason:revoked” is about ended sessions"), "{mistakes}");
    let live = SessionQuery::parse("user:alice used:today");
    assert!(!live.is_of_ended() && live.filter(now).is_ok());
    assert_eq!(live.ended_filter(now).unwrap().session, live.filter(now).unwrap());
    assert!(SessionQuery::parse("reason:revoked reason:expired").mistakes().is_some(), "one of a kind");
}

#[test]
fn tokens_come_and_go() {
    let query = SessionQuery::parse("  user:\"a b\"   fire country:DE \"open");
    assert_eq!(query.to_string(), "user:\"a b\" fire country:DE \"open\"");
    assert_eq!(query.without(0), "fire country:DE \"open\"");
    assert_eq!(query.with("country:FR"), "user:\"a b\" fire \"open\" country:FR");
    assert_eq!(SessionQuery::parse("x").with("y"), "x y");
    for name in ["plain", "two words", "say \"hi\"", "back\\slash quote\"", ""] {
        let query = SessionQuery::parse(&token("user", name));
        if !name.is_empty() {
            assert_eq!(query.understood(Timestamp(0)).username.as_deref(), Some(name), "{query}");
        }
    }
}
