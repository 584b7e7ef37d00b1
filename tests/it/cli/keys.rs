//! `rollcall key`.

use super::*;

on_both!(keys_are_listed_and_replaced_by_hand, |home| async move {
    home.serve().await.stop().await;
    let list =
        || home.run(&["key", "list", "--json"]).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    assert_eq!(list(), Vec::<Value>::new(), "none were needed yet");
    let made = home.run(&["key", "rotate", "--now"]);
    assert!(made.code == 0 && made.out.is_empty() && made.err.contains("Nobody is signed out"), "{made:?}");
    let first = list();
    assert!(first.len() == 2 && first.iter().all(|key| key["state"] == "signs"), "{first:?}");
    assert!(home.run(&["check"]).out.contains("ok       signing keys: 2 keys"));

    let next = home.run(&["key", "rotate"]);
    assert!(next.code == 0 && next.err.contains("they sign from"), "{next:?}");
    let again = home.run(&["key", "rotate"]);
    assert!(again.code == 1 && again.err.contains("the next keys are there"), "{again:?}");
    let states: Vec<_> = list().iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["signs", "signs", "next", "next"]);
    let csv = home.run(&["key", "list", "--csv"]).out;
    assert!(csv.starts_with("kid,algorithm,state,published from,signs from") && csv.lines().count() == 5, "{csv}");

    // With another instance key they open no more, and new ones take their place.
    std::fs::remove_file(home.data("instance.key")).unwrap();
    home.serve().await.stop().await;
    let wrong = home.run(&["check"]);
    assert!(wrong.code == 1 && wrong.out.contains("wrong    signing keys") && wrong.out.contains("key rotate --now"), "{wrong:?}");
    assert_eq!(list().len(), 4, "they are listed all the same");
    assert_eq!(home.run(&["key", "rotate", "--now"]).code, 0);
    assert_eq!((list().len(), home.run(&["check"]).code), (2, 0));
});
