//! `rollcall migrate`, and databases of other versions.

use super::*;

on_both!(migrating_changes_nothing_where_the_schema_is_new, |home| async move {
    assert!(home.fails(2, &["migrate"]).contains("there is no Rollcall in"), "it makes none");
    home.import(&[]);
    let done = home.run(&["migrate"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(!done.err.contains("applied") && done.err.contains("up to date"), "{done:?}");
});

on_both!(migrating_at_once_is_done_once, |home| async move {
    let runs: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| home.run_with(&["import", "-"], ""))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(runs.iter().all(|done| done.code == 0), "{runs:?}");
    assert!(home.run(&["migrate"]).err.contains("up to date"));
});

on_both!(a_database_of_a_newer_version_is_left_alone, |home| async move {
    home.import(&[]);
    let sql = "INSERT INTO migrations (name) VALUES ('9999_future')";
    match home.schema() {
        Some(schema) => schema.execute(sql).await,
        None => rusqlite::Connection::open(home.data("rollcall.db")).unwrap().execute_batch(sql).unwrap(),
    }
    for args in [&["serve"][..], &["migrate"], &["user", "list"]] {
        assert!(home.fails(1, args).contains("9999_future"));
    }
    let done = home.run(&["check"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("9999_future"), "{done:?}");
});
