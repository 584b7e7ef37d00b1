//! Two administrators at one form, and what administrators and auditors are told of users and groups.

use rollcall::actions::applications::{self, ApplicationChange};
use rollcall::actions::by::By;
use rollcall::actions::people::changes::{self, UserChange};
use rollcall::actions::policies;
use rollcall::domain::policy::Policy;
use rollcall::store::people::policies::PolicyOwner;
use serde_json::json;

use crate::applications::server;
use crate::support::{Answer, TestApp};
use crate::ui::form::{fields, form, send, with, without};

async fn group(app: &TestApp, name: &str) -> String {
    let key = app.app.store.read().find_group_id(name).await.unwrap().expect("the group is there");
    app.app.store.read().find_group_by_id(key).await.unwrap().unwrap().uuid.to_string()
}

/// The form of a page that says what was changed since.
fn told(answer: Answer, says: &[&str]) -> Vec<(String, String)> {
    let text = answer.assert_status(409).text();
    for line in says {
        assert!(text.contains(&format!("<li>{line}</li>")), "{line}: {text}");
    }
    let note = text.split("This was changed since:").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!(note.matches("<li>").count(), says.len(), "{note}");
    fields(&text)
}

db_test!(a_form_of_a_user_names_every_change_and_undoes_none, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "staff"}), json!({"kind": "group", "name": "ops"})]).await;
    let alice = app.user("alice").await;
    let set = async |change| changes::change(&app.app, By::Cli, alice.id, change).await.unwrap();
    set(UserChange { email: Some("alice@example.com".into()), ..UserChange::default() }).await;
    let root = app.superuser_with_password("root").await.session().await;
    let edit = format!("/users/{}/edit", alice.id.0);
    let (staff, ops) = (group(&app, "staff").await, group(&app, "ops").await);

    // The form is open while the address is verified and the user deactivated by somebody else.
    let mut open = with(form(&root, &edit).await, "name", "Alice");
    open.push(("group".into(), ops.clone()));
    set(UserChange { is_email_verified: Some(true), ..UserChange::default() }).await;
    set(UserChange { is_active: Some(false), groups: Some(vec![staff.parse().unwrap()]), ..UserChange::default() }).await;
    let again = told(
        send(&root, &edit, &open).await,
        &[
            "Active: was yes, is now no.",
            "The e-mail address is known to be theirs: was no, is now yes.",
            "Groups: was none, is now “staff”. Your change is added to it below.",
        ],
    );
    assert!(again.contains(&("verified".into(), "yes".into())) && again.contains(&("name".into(), "Alice".into())));
    assert!(again.contains(&("group".into(), staff.clone())) && again.contains(&("group".into(), ops)));
    send(&root, &edit, &again).await.assert_status(303);
    let stored = app.app.store.read().find_listed_user(alice.id).await.unwrap().unwrap();
    assert!(stored.profile.is_email_verified && !stored.profile.user.is_active, "neither is undone");
    assert_eq!((stored.profile.user.name.as_str(), stored.groups.len()), ("Alice", 2));

    // What both changed stays as it was typed, and both values are said.
    let open = without(with(form(&root, &edit).await, "name", "Mine <b>"), "group", &staff);
    set(UserChange { name: Some("Theirs <i>".into()), path: Some("users/x".into()), ..UserChange::default() }).await;
    let again = told(
        send(&root, &edit, &open).await,
        &[
            "Full name: was “Alice”, is now “Theirs &#60;i&#62;”. You wrote “Mine &#60;b&#62;”, which is below.",
            "Path: was “users”, is now “users/x”.",
        ],
    );
    send(&root, &edit, &again).await.assert_status(303);
    let stored = app.app.store.read().find_listed_user(alice.id).await.unwrap().unwrap();
    assert_eq!((stored.profile.user.name.as_str(), stored.profile.path.as_str()), ("Mine <b>", "users/x"));
    assert_eq!(stored.groups.len(), 1, "what was taken out stays out");

    // A form with a mistake keeps the version that it shows: what happened in that time is told after it.
    let open = with(form(&root, &edit).await, "email", "nonsense");
    set(UserChange { is_auditor: Some(true), ..UserChange::default() }).await;
    let wrong = send(&root, &edit, &open).await.assert_status(422).text();
    let mended = with(fields(&wrong), "email", "alice@example.org");
    let again = told(send(&root, &edit, &mended).await, &["Auditor: was no, is now yes."]);
    send(&root, &edit, &again).await.assert_status(303);
    assert!(app.app.store.read().find_listed_user(alice.id).await.unwrap().unwrap().profile.is_auditor);
});

db_test!(forms_of_groups_policies_and_applications_do_the_same, |db| async move {
    let app = server(db).await;
    app.import(&[json!({"kind": "group", "name": "staff"}), json!({"kind": "group", "name": "all"})]).await;
    let root = app.superuser_with_password("root").await.session().await;
    let (staff, all) = (group(&app, "staff").await, group(&app, "all").await);

    let edit = format!("/groups/{staff}/edit");
    let open = with(form(&root, &edit).await, "attributes", "{\"mine\": 1}");
    let mut theirs = with(with(form(&root, &edit).await, "name", "crew"), "auditor", "yes");
    theirs.push(("parent".into(), all));
    send(&root, &edit, &theirs).await.assert_status(303);
    let again = told(
        send(&root, &edit, &open).await,
        &["Name: was “staff”, is now “crew”.", "Auditors: was no, is now yes.", "Within the groups: was none, is now “all”."],
    );
    send(&root, &edit, &again).await.assert_status(303);
    let page = root.get(&format!("/groups/{staff}")).await.text();
    for kept in ["<bdi>crew</bdi>", "See everything (set here)", "<bdi>all</bdi>", "&#34;mine&#34;: 1"] {
        assert!(page.contains(kept), "{kept}: {page}");
    }

    let path = format!("/groups/{staff}/policy");
    let open = with(form(&root, &path).await, "idle", "10m");
    let key = app.app.store.read().find_group_id("crew").await.unwrap().unwrap();
    let theirs = Policy { max_sessions: Some(3), is_factor_required: true, ..Policy::default() };
    policies::set(&app.app, By::Cli, PolicyOwner::Group(key), "crew", theirs).await.unwrap();
    let again = told(
        send(&root, &path, &open).await,
        &["Most sessions: was empty, is now “3”.", "Signing in needs a second factor: was no, is now yes."],
    );
    assert!(again.contains(&("most".into(), "3".into())) && again.contains(&("idle".into(), "10m".into())));

    let wiki = crate::applications::add(&app, "wiki", json!({"allow": "nobody"}), "wiki.example.com").await;
    let edit = "/applications/wiki/edit";
    let open = with(form(&root, edit).await, "description", "Mine");
    let mut display = wiki.display.clone();
    display.publisher = "Theirs".into();
    display.is_hidden = true;
    let theirs = ApplicationChange { display: Some(display), ..ApplicationChange::default() };
    applications::change(&app.app, By::Cli, "wiki", theirs).await.unwrap();
    let again = told(
        send(&root, edit, &open).await,
        &["Publisher: was empty, is now “Theirs”.", "Leave it out of My apps: was no, is now yes."],
    );
    send(&root, edit, &again).await.assert_status(303);
    let page = root.get(edit).await.text();
    assert!(
        page.contains("Theirs") && page.contains("Mine") && page.contains("name=\"is_hidden\" value=\"yes\" checked"),
        "{page}"
    );
    // A change of another part is said to be none of this form.
    let open = form(&root, "/applications/wiki/guard").await;
    let theirs = ApplicationChange { name: Some("Wiki".into()), ..ApplicationChange::default() };
    applications::change(&app.app, By::Cli, "wiki", theirs).await.unwrap();
    let text = send(&root, "/applications/wiki/guard", &open).await.assert_status(409).text();
    assert!(text.contains("Nothing that this form shows was changed."), "{text}");
});

db_test!(an_auditor_sees_values_of_attributes_and_who_is_an_auditor, |db| async move {
    let app = TestApp::new(db).await;
    let attributes = json!({"team": "red <b>", "api_token": "s3cret"});
    app.import(&[
        json!({"kind": "group", "name": "audit", "attributes": attributes}),
        json!({"kind": "group", "name": "interns", "parents": ["audit"]}),
        json!({"kind": "user", "username": "alice", "attributes": attributes, "groups": ["interns"]}),
    ])
    .await;
    let root = app.superuser_with_password("root").await.session().await;
    let audit = group(&app, "audit").await;
    let edit = format!("/groups/{audit}/edit");
    send(&root, &edit, &with(form(&root, &edit).await, "auditor", "yes")).await.assert_status(303);
    let auditor = app.auditor("auditor").await.session().await;
    let alice = app.known("alice").await.id.0;
    for page in [format!("/users/{alice}"), format!("/groups/{audit}")] {
        let text = auditor.get(&page).await.assert_status(200).text();
        // All of them, as the API shows them.
        for shown in ["<bdi>api_token, team</bdi>", "&#34;team&#34;: &#34;red &#60;b&#62;&#34;", "&#34;s3cret&#34;"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
    let list = auditor.get("/users").await.text();
    for name in ["alice", "auditor"] {
        let row = list.split("<tr>").skip(1).find(|row| row.contains(&format!("<bdi>{name}</bdi></a>"))).unwrap();
        assert!(row.contains(">Auditor</span>"), "{row}");
    }
    assert_eq!(list.matches(">Auditor</span>").count(), 2);
    // A group says what the groups above it give.
    let interns = auditor.get(&format!("/groups/{}", group(&app, "interns").await)).await.text();
    assert!(interns.contains("See everything (by the group audit)"), "{interns}");
});

db_test!(an_address_that_two_users_have_is_shown, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let root = app.superuser_with_password("root").await.session().await;
    for user in [&alice, &bob] {
        let edit = format!("/users/{}/edit", user.id.0);
        send(&root, &edit, &with(form(&root, &edit).await, "email", "team@example.com")).await.assert_status(303);
    }
    let text = root.get(&format!("/users/{}", alice.id.0)).await.text();
    let link = format!("The same e-mail address: <a href=\"/users/{}\"><bdi>bob</bdi></a>.", bob.id.0);
    assert!(text.contains(&link), "{text}");
    let own = root.get(&format!("/users/{}", app.known("root").await.id.0)).await.text();
    assert!(!own.contains("The same e-mail address"), "no address is nobody's");
});
