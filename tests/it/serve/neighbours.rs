//! Two instances on one host, at different ports: browsers give both the cookies of both.

use super::*;

on_both!(instances_on_one_host_do_not_sign_each_other_out, |home| async move {
    let one = home.with_administrator();
    let other = Home::sqlite().with_administrator();
    let (here, there) = (one.serve().await, other.serve().await);
    let person = Person::signed_in(&here, "akadmin").await;
    let mut neighbour = person.at(&there);
    assert!(!neighbour.is_signed_in().await);
    assert_eq!(neighbour.sign_in("akadmin", PASSWORD).await.status(), 303);
    assert!(neighbour.is_signed_in().await && person.is_signed_in().await, "both stay");
    // A session that goes on under a new key.
    let new = "another password of these tests";
    let set = person.submit_to("/password", "/password", &[("password", new), ("again", new)]).await;
    assert_eq!(set.status(), 303);
    assert!(neighbour.is_signed_in().await && person.is_signed_in().await);
    // Signing out of one leaves the other alone, whichever signed in last.
    assert_eq!(neighbour.submit("/sign-out", &[]).await.status(), 303);
    assert!(!neighbour.is_signed_in().await && person.is_signed_in().await);
    assert_eq!(neighbour.sign_in("akadmin", PASSWORD).await.status(), 303);
    assert_eq!(person.submit("/sign-out", &[]).await.status(), 303);
    assert!(neighbour.is_signed_in().await && !person.is_signed_in().await);
    assert_eq!(here.sessions().await.len(), 0);
    assert_eq!(there.sessions().await.len(), 1);
});

on_both!(a_sign_out_at_a_server_that_knows_nobody_signs_nobody_out, |home| async move {
    let one = home.with_administrator();
    let other = Home::sqlite();
    let (here, there) = (one.serve().await, other.serve().await);
    let person = Person::signed_in(&here, "akadmin").await;
    let neighbour = person.at(&there);
    assert_eq!(neighbour.submit("/sign-out", &[]).await.status(), 303);
    assert!(person.is_signed_in().await);
});
