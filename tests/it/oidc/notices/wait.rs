//! `rollcall session end --wait`: the command line says how many apps were told.

use super::person::{FIRST_USER, LEASE_AND_MORE, Person, add_app, installed, sids, waiting};
use super::told::Told;
use crate::process::{Home, within};

on_both!(the_command_line_waits_until_the_apps_were_told, |home| async move {
    let (told, deaf) = (Told::start().await, Told::start().await);
    let (home, secret) = installed(home, &told);
    let shop = add_app(&home, "shop", &deaf);
    let server = home.serve().await;
    let reader = Person::new(FIRST_USER, &server.origin, ("wiki", &secret));
    let buyer = Person::new(FIRST_USER, &server.origin, ("shop", &shop));
    let end = |which: &str, wait: &str| home.run(&["session", "end", which, "--yes", wait]);
    let everybody = format!("user:person-{FIRST_USER}");

    let session = reader.opened(&[]).await;
    let done = end(&session, "--wait");
    assert!(done.code == 0 && done.out.is_empty(), "{done:?}");
    assert!(done.err.contains("ended 1 session\n") && done.err.contains("told 1 of 1 app\n"), "{done:?}");
    assert_eq!(sids(&told), [session], "when it says so, the app was told");

    reader.sign_in().await.expect("the server is there");
    let done = end(&everybody, "--wait");
    assert!(done.code == 0 && done.err.contains("no app is to be told\n"), "{done:?}");

    // One app answers, the other one does not.
    deaf.is_answering(false);
    let session = reader.opened(&[&buyer]).await;
    let done = end(&everybody, "--wait=10s");
    assert!(done.code == 1 && done.err.contains("told 1 of 2 apps\n"), "{done:?}");
    assert!(done.err.contains("not all were told within 10s; a server that runs goes on"), "{done:?}");
    assert_eq!((sids(&told).contains(&session), deaf.count() > 0), (true, true));
    deaf.is_answering(true);
    within(LEASE_AND_MORE, "that the other app is told", async || (waiting(&home).await == 0).then_some(())).await;
    assert!(sids(&deaf).iter().all(|sid| *sid == session), "of that one alone, however often it was tried");

    // An error of the app is no success either.
    told.answers(500);
    let session = reader.opened(&[]).await;
    let done = end(&session, "--wait=1s");
    assert!(done.code == 1 && done.err.contains("told 0 of 1 app\n"), "{done:?}");
    told.answers(200);
    within(LEASE_AND_MORE, "that it is told", async || (waiting(&home).await == 0).then_some(())).await;
    assert!(sids(&told).contains(&session));

    // Nobody sends while no server runs. The next one does.
    let session = reader.opened(&[]).await;
    server.stop().await;
    let done = end(&session, "--wait=1s");
    assert!(done.code == 1 && done.err.contains("told 0 of 1 app\n") && told.count() == 0, "{done:?}");
    let _server = home.serve().await;
    within(LEASE_AND_MORE, "that it is told after all", async || (waiting(&home).await == 0).then_some(())).await;
    assert_eq!(sids(&told), [session]);
    let refused = home.fails(2, &["session", "end", "--everyone", "--yes", "--wait=soon"]);
    assert!(refused.contains("\"soon\" is no duration such as 30s or 5m"), "{refused}");
});
