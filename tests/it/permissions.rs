//! Every action checks the right itself. The public functions of `src/actions` are read from the source: one that says
//! who does it is called here by somebody without rights, on what is somebody else's; one that does not say it has its
//! reason in [`doors::DOORS`]. A new one that is in neither fails the test.

mod doors;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::applications::client_parts::{self, ClientChange};
use rollcall::actions::applications::clients as client_secrets;
use rollcall::actions::applications::guards::{self, GuardChange};
use rollcall::actions::applications::test::Question;
use rollcall::actions::applications::{self, ApplicationChange, access, app_sessions, passwords, rules, secrets};
use rollcall::actions::backup;
use rollcall::actions::by::By;
use rollcall::actions::guard::{probes, tickets};
use rollcall::actions::people::changes::UserChange;
use rollcall::actions::people::groups::GroupChange;
use rollcall::actions::people::service_accounts::NewServiceAccount;
use rollcall::actions::people::{account, bootstrap, changes, csv_import, groups, known, privacy, service_accounts, users};
use rollcall::actions::principal::Principal;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::sessions::end_matching::EndRequest;
use rollcall::actions::sessions::{end, end_job, end_matching, look, retention};
use rollcall::actions::sign_in::{factors, guesses};
use rollcall::actions::signing::rotate;
use rollcall::actions::tokens::change::TokenChange;
use rollcall::actions::tokens::{TokenRequest, keys};
use rollcall::actions::upkeep::change_log::ChangeLog;
use rollcall::actions::upkeep::dictionary::UnusedAgents;
use rollcall::actions::upkeep::pending_ends::Moves;
use rollcall::actions::upkeep::{places, sweep, user_agents};
use rollcall::actions::watch::{accept, job, look as watch_look, many};
use rollcall::actions::watch::{end::end_one, poller::Poller, run::forever, status::status};
use rollcall::actions::{clock, import, oidc, policies, tokens};
use rollcall::domain::application::host::Host;
use rollcall::domain::caller::Actor;
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::policy::{Policy, StoredLimits};
use rollcall::domain::source::Origin;
use rollcall::domain::user::TokenIntent;
use rollcall::domain::{Methods, Permission, PlainSecret, SessionId};
use rollcall::store::applications::app_sessions::AppSessionFilter;
use rollcall::store::oidc::consents::ConsentFilter;
use rollcall::store::oidc::notices::NoticeFilter;
use rollcall::store::oidc::token_list::TokenFilter;
use rollcall::store::people::policies::PolicyOwner;
use rollcall::store::people::users::{NewUser, Rights, UserRow};

use serde_json::json;

use self::doors::DOORS;
use crate::applications::{add, open, server, token_request};
use crate::permissions::outcome::{Outcome, offer};
use crate::support::TestApp;
use crate::support::app::TestUser;

/// The public asynchronous functions below `src/actions`, as file and name, with what they take.
fn actions() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actions");
    let (mut folders, mut found) = (vec![root.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let (text, file) = (std::fs::read_to_string(&path).unwrap(), path.strip_prefix(&root).unwrap().display().to_string());
            let mut before = String::new();
            for part in text.split_inclusive("pub async fn ") {
                let (earlier, is_public) = (before.clone(), is_of_public_type(&before, &text));
                before.push_str(part);
                if earlier.is_empty() || !is_public {
                    continue;
                }
                let (name, takes) = part.split_once(['(', '<']).unwrap();
                let takes = takes.split_once(") ->").or_else(|| takes.split_once(") {")).map_or(takes, |(takes, _)| takes);
                found.insert(format!("{file} {name}"), takes.to_owned());
            }
        }
    }
    found
}

/// Whether the function that begins where `before` ends is a function by itself, or of a type that is public outside of
/// the actions.
fn is_of_public_type(before: &str, text: &str) -> bool {
    if !before.ends_with("    pub async fn ") {
        return true;
    }
    let head = before.rsplit("\nimpl").next().unwrap().lines().next().unwrap();
    let name = head.trim_start_matches(|c: char| c != ' ').split(['<', '{']).next().unwrap().trim();
    !text.contains(&format!("pub(in crate::actions) struct {name}"))
}

fn says_who(takes: &str) -> bool {
    takes.contains("by: By<") || takes.contains("who: &Principal")
}

/// Of what is one's own: the session is who does it, and what is changed is its user's.
fn is_own(takes: &str) -> bool {
    takes.contains("session: &LiveSession") || takes.contains("current: &LiveSession")
}

/// A principal with these rights.
fn principal(user: &TestUser<'_>, rights: Rights) -> Principal {
    Principal { user_id: user.id, username: user.name.clone(), rights, token: None, session: None }
}

fn newcomer() -> NewUser {
    NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: "newcomer".into(),
        name: String::new(),
        email: String::new(),
        password_hash: None,
        is_active: true,
        is_superuser: true,
        permissions: vec![Permission::ViewSessions],
    }
}

fn request() -> TokenRequest {
    token_request(TokenIntent::Api)
}

fn request_to_end() -> EndRequest {
    EndRequest { filter: SessionFilter::default(), except: None, expected: None, comment: String::new() }
}

/// Calls every action that says who does it, as `who`, on what is `alice`'s. Gives which were refused.
async fn call_all(app: &TestApp, who: &Principal, alice: &UserRow, session: SessionId) -> BTreeMap<&'static str, bool> {
    let (server, actor) = (&app.app, Actor::default());
    let by = By::Principal(who, &actor);
    let owner = PolicyOwner::User(alice.id);
    let source = || Box::new(Cursor::new(b"{\"kind\": \"user\", \"username\": \"imported\"}\n".to_vec()));
    let mut calls = BTreeMap::new();
    macro_rules! call {
        ($name:literal, $call:expr) => {
            calls.insert($name, Outcome::refused($call.await));
        };
    }
    let named = || ApplicationChange { slug: Some("new".into()), ..ApplicationChange::default() };
    call!("applications/edit.rs add", applications::add(server, by, named()));
    call!("applications/edit.rs change", applications::change(server, by, "wiki", ApplicationChange::default()));
    call!("applications/edit.rs edit", applications::edit(server, by, "wiki", |_| Ok(())));
    call!("applications/clients.rs add_secret", client_secrets::add_secret(server, by, "wiki"));
    call!("applications/clients.rs remove_old_secrets", client_secrets::remove_old_secrets(server, by, "wiki"));
    let rule = rules::RuleChange::Remove(1);
    call!("applications/rules.rs change", rules::change(server, by, "wiki", None, rule));
    call!("applications/access.rs check", access::check(server, by, "wiki", alice.id));
    call!("applications/access.rs list_allowed", access::list_allowed(server, by, alice.id));
    call!("applications/guards.rs add", guards::add(server, by, GuardChange::default()));
    call!("applications/guards.rs change", guards::change(server, by, 1, GuardChange::default()));
    call!("applications/guards.rs remove", guards::remove(server, by, 1));
    call!("applications/client_parts.rs add", client_parts::add(server, by, ClientChange::default()));
    call!("applications/client_parts.rs change", client_parts::change(server, by, 1, ClientChange::default()));
    call!("applications/client_parts.rs remove", client_parts::remove(server, by, 1));
    let readable = secrets::readable(server, by).await;
    calls.insert("applications/secrets.rs readable", readable.is_ok_and(|secrets| secrets.is_empty()));
    let owner_and_name = (alice.id, alice.username.as_str());
    let app_password = TokenRequest { intent: TokenIntent::AppPassword, ..request() };
    call!("applications/passwords.rs offered", passwords::offered(server, by, alice.id));
    call!("applications/passwords.rs add", passwords::add(server, by, owner_and_name, &["wiki".into()], app_password));
    let question = Question {
        user: Some(alice.id),
        url: "https://wiki.example.com/".into(),
        method: "GET".into(),
        from: None,
        methods: Methods::default(),
        age: None,
    };
    call!("applications/test.rs test", applications::test::test(server, by, &question));
    let opened = app_sessions::list(server, by, AppSessionFilter::default(), 0, 1).await.map(|(_, rows)| rows);
    let one = server.store.read().list_app_sessions(&AppSessionFilter::default(), 0, 1).await.unwrap().pop();
    calls.insert("applications/app_sessions.rs list", opened.is_ok_and(|rows| rows.is_empty()) && one.is_some());
    call!("applications/app_sessions.rs end", app_sessions::end(server, by, one.map(|row| row.uuid).unwrap_or_default()));
    let all = server.guarded.now(server).await.unwrap();
    let wiki = all.by_slug("wiki").expect("the wiki is there");
    let host = Host::parse("wiki.example.com").unwrap();
    call!("guard/probes.rs begin_session", probes::begin_session(server, by, alice.id, wiki, &host));
    let probes_session = probes::ProbeSession { uuid: session, key: PlainSecret::from_text("x") };
    call!("guard/probes.rs end_session", probes::end_session(server, by, &probes_session));
    call!("guard/probes.rs find", probes::find(server, by, session.0));
    let kept = applications::remove_and_keep_parts(server, by, "wiki").await;
    calls.insert("applications/edit.rs remove_and_keep_parts", kept.refused());
    call!("applications/edit.rs remove", applications::remove(server, by, "wiki"));
    let (dir, now) = (app.db.dir.path(), app.app.clock.now());
    let file = dir.join("of-the-command-line.backup");
    let options = |by, to| backup::make(by, &server.store, now, backup::Options { key: None, to, is_replacing: true });
    options(By::Cli, Some(file.as_path())).await.unwrap();
    let of_a_stranger = dir.join("of-a-stranger.backup");
    call!("backup/make.rs make", options(by, Some(of_a_stranger.as_path())));
    assert!(!of_a_stranger.exists());
    call!("backup/make.rs note", backup::note(by, &server.store, now));
    let key = server.config.instance_key_path();
    call!("backup/make.rs before_upgrade", backup::before_upgrade(by, &server.store, now, dir, &key));
    let key = (key.as_path(), backup::KeyRule::Stay);
    let whole = backup::BackupFile::open(&file).unwrap();
    call!("backup/restore.rs restore", backup::restore(by, &server.store, whole, now, key, false));
    call!("clock.rs resume", clock::resume(server, by));
    call!("clock.rs keep", clock::keep(server, by));
    call!("clock.rs request_confirmation", clock::request_confirmation(server, by));
    call!("import.rs run", import::run(server, by, source(), import::Stored::Goes, Box::new(|_| {})));
    call!("people/bootstrap.rs run", bootstrap::run(server, by));
    let mut poller = Poller::default();
    call!("watch/poller.rs poll", poller.poll(server, by));
    call!("watch/tell.rs alert_of_age", poller.alert_of_age(server, by, Duration::ZERO));
    call!("watch/poller.rs release", poller.release(server, by));
    call!("watch/run.rs forever", async { Err::<(), _>(forever(server, by, &mut poller).await) });
    call!("watch/status.rs status", status(server, by));
    call!("watch/accept.rs look", accept::look(server, by));
    call!("watch/accept.rs accept", accept::accept(server, by, &offer()));
    call!("watch/look.rs find", watch_look::find(server, by, session));
    call!("watch/look.rs find_asked", watch_look::find_asked(server, by, session));
    let of_authentik =
        || EndTarget::Matching(Box::new(SessionFilter { source: Some(Origin::Authentik), ..SessionFilter::default() }));
    let many_ends = || many::ManyEnds { which: of_authentik(), expected: Some(0), comment: String::new() };
    call!("watch/many.rs begin", many::begin(server, by, many_ends()));
    call!("watch/many.rs count", many::count(server, by, &of_authentik()));
    call!("watch/many.rs find", many::find(server, by, "a job"));
    call!("watch/many.rs list", many::list(server, by));
    call!("watch/many.rs stop", many::stop(server, by, "a job"));
    call!("watch/job.rs resume", job::resume(server, by));
    call!("watch/end.rs end_one", end_one(server, by, session, ""));
    let change = UserChange { name: Some("Changed".into()), ..UserChange::default() };
    call!("people/changes.rs change", changes::change(server, by, alice.id, change));
    let group = || GroupChange { name: Some("strangers".into()), ..GroupChange::default() };
    let staff = match server.store.read().find_group_id("staff").await.unwrap() {
        Some(id) => server.store.read().find_group_by_id(id).await.unwrap().unwrap().uuid,
        None => uuid::Uuid::nil(),
    };
    call!("people/groups.rs add", groups::add(server, by, group()));
    call!("people/groups.rs change", groups::change(server, by, staff, group()));
    call!("people/groups.rs set_member", groups::set_member(server, by, staff, alice.id, true));
    call!("people/groups.rs remove", groups::remove(server, by, staff));
    call!("people/csv_import.rs preview", csv_import::preview(server, by, b"username\nx\n".to_vec()));
    call!("people/csv_import.rs add_all", csv_import::add_all(server, by, b"username\nfrom a file\n".to_vec()));
    call!("people/account.rs decline_removal", account::decline_removal(server, by, alice.id));
    call!("people/known.rs find", known::find(server, by, alice.id));
    call!("people/privacy.rs export", privacy::export(server, by, alice));
    call!("people/privacy.rs erase", privacy::erase(server, by, &alice.username));
    call!("people/users.rs add", users::add(server, by, newcomer(), None));
    call!("people/users.rs add_with", users::add_with(server, by, newcomer(), None, UserChange::default()));
    let hash = alice.password_hash.clone().unwrap_or_default();
    call!("people/users.rs set_password_hash", users::set_password_hash(server, by, alice, hash));
    call!("people/users.rs find", users::find(server, by, &alice.username));
    call!("people/users.rs find_by_id", users::find_by_id(server, by, alice.id));
    call!("people/users.rs set_password", users::set_password(server, by, alice, "a password of a stranger".into()));
    call!("people/users.rs set_active", users::set_active(server, by, alice, false));
    call!("people/users.rs make_recovery_link", users::make_recovery_link(server, by, alice));
    let minute = Duration::from_secs(60);
    call!("people/users.rs make_recovery_link_for", users::make_recovery_link_for(server, by, alice, minute));
    let account = NewServiceAccount { name: "a job".into(), with_group: true, is_expiring: true, expires: None };
    call!("people/service_accounts.rs add", service_accounts::add(server, by, account));
    call!("people/users.rs remove", users::remove(server, by, alice));
    call!("policies.rs set", policies::set(server, by, owner, "alice", Policy::default()));
    call!("policies.rs set_if", policies::set_if(server, by, owner, "alice", Policy::default(), None));
    call!("policies.rs set_instance", policies::set_instance(server, by, StoredLimits::default(), None));
    call!("policies.rs mark_policy_applied_if_empty", policies::mark_policy_applied_if_empty(server, by));
    call!("policies.rs hold_to_instance", policies::hold_to_instance(server, by));
    call!("sessions/end.rs end_session", end::end_session(server, who, session, &actor));
    call!("sessions/end.rs end_of_users", end::end_of_users(server, who, vec![alice.id.0], &actor));
    let target = EndTarget::Matching(Box::default());
    call!("sessions/end_job.rs begin", end_job::begin(server, who, target, (1, String::new()), &actor));
    call!("guard/tickets.rs sweep", tickets::sweep(server, by));
    call!("sessions/end_job.rs resume", end_job::resume(server, by));
    call!("sessions/end.rs end_listed", end::end_listed(server, by, &[session], ""));
    call!("sessions/end.rs sweep", end::sweep(server, by, app.app.clock.now()));
    call!("sessions/end_matching.rs end_matching", end_matching::end_matching(server, by, request_to_end()));
    call!("sessions/end_matching.rs end_named", end_matching::end_named(server, who, &[session], "", &actor));
    call!("sessions/look.rs find", look::find(server, who, session));
    call!("sessions/look.rs find_anywhere", look::find_anywhere(server, who, session));
    call!("sessions/look.rs find_watched", look::find_watched(server, who, session));
    call!("sessions/look.rs find_details", look::find_details(server, who, session));
    call!("sessions/look.rs rename", look::rename(server, who, session, "mine", &actor));
    call!("sessions/retention.rs fade", retention::fade(server, by));
    call!("sessions/retention.rs clear_leftovers", retention::clear_leftovers(server, by));
    call!("sessions/retention.rs purge", retention::purge(server, by));
    call!("sessions/retention.rs purge_events", retention::purge_events(server, by));
    call!("sign_in/factors.rs remove_all", factors::remove_all(server, by, alice.id));
    call!("sign_in/guesses.rs sweep", guesses::sweep(server, by));
    call!("oidc/consents.rs withdraw", oidc::consents::withdraw(server, by, alice.id, "wiki"));
    call!("oidc/notices.rs count", oidc::notices::count(server, by, &NoticeFilter::default()));
    call!("oidc/notices.rs list", oidc::notices::list(server, by, &NoticeFilter::default(), 0, 1));
    call!("oidc/notices.rs summary", oidc::notices::summary(server, by, 1, 1));
    call!("oidc/notices.rs must_be_open", oidc::notices::must_be_open(server, by, 1, &NoticeFilter::default()));
    call!("oidc/notices.rs progress", oidc::notices::progress(server, by, app.app.clock.now()));
    call!("oidc/notices.rs send", oidc::notices::send(server, by, NoticeFilter::default()));
    call!("oidc/notices.rs drop_them", oidc::notices::drop_them(server, by, NoticeFilter::default()));
    call!("oidc/notices.rs test", oidc::notices::test(server, by, "wiki"));
    call!("oidc/notices.rs sweep", oidc::notices::sweep(server, by));
    call!("oidc/notify.rs begin", oidc::notify::Notifier::new(server).await.unwrap().begin(server, by));
    let count = oidc::consents::count(server, by, ConsentFilter::default()).await;
    calls.insert("oidc/consents.rs count", count.is_ok_and(|count| count == 0));
    let consents = oidc::consents::list(server, by, ConsentFilter::default(), 0, 1).await;
    calls.insert("oidc/consents.rs list", consents.is_ok_and(|rows| rows.is_empty()));
    let listed = oidc::token_list::list(server, by, TokenFilter::default(), 0, 1).await;
    calls.insert("oidc/token_list.rs list", listed.is_ok_and(|tokens| tokens.is_empty()));
    let count = oidc::token_list::count(server, by, TokenFilter::default()).await;
    calls.insert("oidc/token_list.rs count", count.is_ok_and(|count| count == 0));
    call!("oidc/token_list.rs remove", oidc::token_list::remove(server, by, true, 1));
    call!("oidc/tokens.rs sweep", oidc::tokens::sweep(server, by));
    call!("signing/rotate.rs list", rotate::list(server, by));
    call!("signing/rotate.rs keep", rotate::keep(server, by));
    call!("signing/rotate.rs replace", rotate::replace(server, by));
    call!("signing/rotate.rs rotate", rotate::rotate(server, by));
    call!("tokens/mod.rs add", tokens::add(server, by, alice.id, &alice.username, request()));
    call!("tokens/mod.rs look", tokens::look(server, by, "alices"));
    call!("tokens/mod.rs find", tokens::find(server, by, "alices"));
    call!("tokens/change.rs change", tokens::change::change(server, by, "alices", TokenChange::default()));
    call!("tokens/keys.rs show", keys::show(server, by, "alices"));
    call!("tokens/keys.rs set", keys::set(server, by, "alices", PlainSecret::from_text("a-new-key-of-alices-token")));
    call!("tokens/keys.rs rotate", keys::rotate(server, by, "alices", Duration::ZERO));
    call!("tokens/keys.rs clear", keys::clear(server, by));
    call!("tokens/mod.rs remove", tokens::remove(server, by, "alices"));
    call!("upkeep/change_log.rs shorten", ChangeLog::default().shorten(server, by));
    call!("upkeep/dictionary.rs prune", UnusedAgents::default().prune(server, by));
    call!("upkeep/pending_ends.rs go_on", Moves::default().go_on(server, by, Duration::ZERO));
    call!("upkeep/places.rs reload", places::reload(server, by));
    call!("upkeep/places.rs refresh", places::refresh(server, by));
    call!("upkeep/sweep.rs run", sweep::run(server, by));
    call!("upkeep/user_agents.rs refresh", user_agents::refresh(server, by));
    // Ends one's own of what matches, and nobody else's.
    let ended = end_matching::end_permitted(server, who, request_to_end(), &actor).await;
    calls.insert("sessions/end_matching.rs end_permitted", ended.as_ref().is_ok_and(|ended| *ended == 0) || ended.refused());
    calls
}

#[test]
fn every_action_says_who_does_it_or_why_not() {
    let doors: BTreeMap<&str, &str> = DOORS.iter().copied().collect();
    let actions = actions();
    assert!(actions.len() > 60, "the source is read: {}", actions.len());
    let unsaid: BTreeSet<&str> =
        actions.iter().filter(|(_, takes)| !says_who(takes) && !is_own(takes)).map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = doors.keys().copied().collect();
    let unknown: Vec<_> = unsaid.difference(&known).collect();
    assert_eq!(unknown, Vec::<&&str>::new(), "these take no `By`; give them one, or a reason in DOORS");
    let stale: Vec<_> = known.difference(&unsaid).collect();
    assert_eq!(stale, Vec::<&&str>::new(), "these are gone, or take a caller now");
}

db_test!(every_action_refuses_a_caller_without_the_right, |db| async move {
    let app = server(db).await;
    let alice = app.user_with_password("alice").await;
    let session = SessionId::parse(&alice.session().await.uuid).unwrap();
    let token = TokenRequest { identifier: Some("alices".into()), ..request() };
    tokens::add(&app.app, By::Cli, alice.id, "alice", token).await.unwrap();
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let mallory = app.user("mallory").await;
    app.import(&[json!({"kind": "group", "name": "staff"})]).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    open(&app, &session.to_string(), &wiki, "wiki.example.com").await.unwrap();
    let before = app.events().await;
    let called = call_all(&app, &principal(&mallory, Rights::default()), &row, session).await;
    let wanted: BTreeSet<String> = actions().into_iter().filter(|(_, takes)| says_who(takes)).map(|(name, _)| name).collect();
    let tried: BTreeSet<String> = called.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(tried, wanted, "an action that says who does it is not called here, or one is gone");
    let done: Vec<_> = called.iter().filter(|(_, is_refused)| !**is_refused).map(|(name, _)| *name).collect();
    assert_eq!(done, Vec::<&str>::new(), "done for somebody without rights");
    assert_eq!(app.events().await, before, "nothing happened");
    assert_eq!(users::find(&app.app, By::Cli, "alice").await.unwrap().password_hash, row.password_hash);
    alice.token().await.get(crate::support::SESSIONS).await.assert_status(200);
    // Those who may see and end sessions may do that, and nothing else of it.
    let rights = Rights { may_view_sessions: true, may_delete_sessions: true, ..Rights::default() };
    let called = call_all(&app, &principal(&mallory, rights), &row, session).await;
    let done: Vec<_> = called.iter().filter(|(_, is_refused)| !**is_refused).map(|(name, _)| *name).collect();
    let is_of_sessions = |name: &str| {
        name.starts_with("sessions/") || name.starts_with("applications/app_sessions.rs") || name == "watch/many.rs list"
    };
    assert!(done.iter().all(|name| is_of_sessions(name)), "{done:?}");
    assert!(called["sessions/look.rs rename"], "a session is named by its owner alone");
});

db_test!(an_auditor_reads_and_does_nothing, |db| async move {
    /// What only reads.
    const READS: [&str; 22] = [
        "applications/access.rs check",
        "applications/access.rs list_allowed",
        "applications/app_sessions.rs list",
        "applications/passwords.rs offered",
        "applications/test.rs test",
        "oidc/notices.rs count",
        "oidc/notices.rs list",
        "oidc/notices.rs must_be_open",
        "oidc/notices.rs progress",
        "oidc/notices.rs summary",
        "people/known.rs find",
        "people/privacy.rs export",
        "people/users.rs find",
        "people/users.rs find_by_id",
        "sessions/end_matching.rs end_permitted",
        "sessions/look.rs find",
        "sessions/look.rs find_anywhere",
        "sessions/look.rs find_details",
        "signing/rotate.rs list",
        "tokens/mod.rs look",
        "watch/many.rs list",
        "watch/status.rs status",
    ];
    let app = server(db).await;
    let alice = app.user_with_password("alice").await;
    let session = SessionId::parse(&alice.session().await.uuid).unwrap();
    let token = TokenRequest { identifier: Some("alices".into()), ..request() };
    tokens::add(&app.app, By::Cli, alice.id, "alice", token).await.unwrap();
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    app.import(&[json!({"kind": "group", "name": "staff"})]).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    open(&app, &session.to_string(), &wiki, "wiki.example.com").await.unwrap();
    let auditor = app.user("auditor").await;
    let before = app.events().await;
    // As the store gives them: who reads everything sees all sessions.
    let rights = Rights { is_auditor: true, may_view_sessions: true, ..Rights::default() };
    let called = call_all(&app, &principal(&auditor, rights), &row, session).await;
    let done: Vec<_> = called.iter().filter(|(_, is_refused)| !**is_refused).map(|(name, _)| *name).collect();
    assert!(done.iter().all(|name| READS.contains(name)), "{done:?}");
    for name in READS.iter().filter(|name| !name.contains("end_permitted")) {
        assert!(!called[name], "{name} is refused");
    }
    assert_eq!(app.events().await, before, "nothing happened");
    alice.token().await.get(crate::support::SESSIONS).await.assert_status(200);
});

db_test!(administrators_do_what_the_command_line_does_and_do_not_operate_the_server, |db| async move {
    let app = server(db).await;
    let alice = app.user_with_password("alice").await;
    let session = SessionId::parse(&alice.session().await.uuid).unwrap();
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    open(&app, &session.to_string(), &wiki, "wiki.example.com").await.unwrap();
    let root = app.superuser("root").await;
    let rights = Rights { is_superuser: true, is_auditor: false, may_view_sessions: true, may_delete_sessions: true };
    let root = principal(&root, rights);
    let called = call_all(&app, &root, &row, session).await;
    for (name, is_refused) in &called {
        let operates = name.starts_with("upkeep/")
            || name.starts_with("clock.rs")
            || ["oidc/tokens.rs sweep", "oidc/notices.rs sweep", "oidc/notify.rs begin"].contains(name)
            || (name.starts_with("signing/") && *name != "signing/rotate.rs list")
            || name.starts_with("backup/")
            || name.contains("hold_")
            || name.contains("mark_policy")
            || ["import.rs run", "people/bootstrap.rs run", "sign_in/guesses.rs sweep", "tokens/keys.rs clear"].contains(name)
            || name.starts_with("sessions/retention.rs")
            || ["sessions/end_job.rs resume", "sessions/end.rs end_listed", "sessions/end.rs sweep"].contains(name)
            || *name == "sessions/end_matching.rs end_matching";
        assert!(!operates || *is_refused, "{name} is for the server and the command line");
    }
    for name in ["people/users.rs add", "people/privacy.rs export", "policies.rs set"] {
        assert!(!called[name], "{name}");
    }
    let actor = Actor::default();
    let oneself = users::find(&app.app, By::Cli, "root").await.unwrap();
    let off = users::set_active(&app.app, By::Principal(&root, &actor), &oneself, false).await;
    assert!(matches!(off, Err(ActionError::Forbidden)), "nobody locks themselves out");
});
