//! One person's data: all of it, to hand over, and its end.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::app_sessions;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::people::known::Known;
use crate::actions::sessions::bulk_end::{move_all_of_user, settle_user};
use crate::actions::sessions::end_in;
use crate::actions::sessions::retention::{LEFTOVERS_SETTING, clear_leftovers};
use crate::actions::sign_in::proof;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::policy::Policy;
use crate::domain::user::OwnRemoval;
use crate::domain::{EndReason, SessionId, Timestamp, UserId};
use crate::store::events::rows::EventRow;
use crate::store::oidc::consents::ConsentRow;
use crate::store::people::privacy::ERASED;
use crate::store::people::users::UserRow;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// How many events are read at once.
const STEP: i64 = 1000;
/// How often the log of the database is tried to be emptied after an erasure.
const TRIES: u32 = 20;

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Sessions, ended at once and those that had ended.
    pub sessions: u64,
    /// Events, which stay without the person.
    pub events: u64,
    /// Whether what was overwritten is out of the database's log, too.
    pub is_log_empty: bool,
}

/// Everything that is kept about one person, as one object: no key and no hash, and nothing about
/// others, such as the address of an administrator or the users that the person's own acts were about.
///
/// # Errors
/// [`ActionError::Forbidden`] for somebody else's, unless an administrator or an auditor asks; when the database does not answer.
pub async fn export(app: &App, by: By<'_>, user: &UserRow) -> Result<Value, ActionError> {
    by.must_own_or_inspect(user.id)?;
    let (user, now) = (user.clone(), app.clock.now());
    let app_too = app.clone();
    settle_user(app, user.id).await?;
    // It may be much: long reads do not hold up short ones.
    Ok(app.store.long_read(move |db| Box::pin(async move { read(&app_too, db, &user, now).await })).await?)
}

async fn read(app: &App, db: &Db<'_>, user: &UserRow, now: Timestamp) -> Result<Value, StoreError> {
    let ids: Vec<SessionId> = db.list_live_ids(user.id, Timestamp(i64::MIN)).await?;
    let (live, ended) = (db.list_session_details(&ids).await?, db.list_ended_of_user(user.id, i64::MAX).await?);
    let mut opened: HashMap<SessionId, Vec<Value>> = HashMap::new();
    let open = db.list_app_sessions_of(&ids).await?;
    let tokens = db.list_opened_tokens(&open.iter().map(|row| row.id).collect::<Vec<_>>(), now).await?;
    for row in open {
        opened.entry(row.session).or_default().push(app_sessions::record(&row, &tokens, now));
    }
    let with_client = ended.iter().filter(|it| it.applications.iter().any(|open| open.client_id.is_some()));
    let notices = db.list_notices_of(&with_client.map(|it| it.uuid).collect::<Vec<_>>()).await?;
    let agent_ids = live.iter().map(|it| it.row.user_agent_id).chain(ended.iter().map(|it| it.user_agent_id));
    let agents = app.user_agents.entries(db, agent_ids).await?;
    let agent = |id: i64| agents.get(&id).map(|agent| agent.text.clone());
    let place = |ip| {
        let place = app.geoip.place(ip);
        json!({ "country": place.as_ref().map(|it| &it.country), "city": place.as_ref().map(|it| &it.city) })
    };
    let sessions: Vec<Value> = live
        .iter()
        .map(|it| {
            json!({
                "uuid": it.row.uuid, "created": it.row.created_at, "last_used": it.row.last_used_at, "expires": it.row.expires_at,
                "last_ip": it.row.last_ip, "place": place(it.row.last_ip), "user_agent": agent(it.row.user_agent_id),
                "name": it.sign_in.label, "methods": it.sign_in.methods.to_string(), "is_known_device": it.sign_in.is_known_device, "is_remembered": it.row.is_remembered,
                "applications": opened.get(&it.row.uuid).cloned().unwrap_or_default(),
            })
        })
        .collect();
    let ended_sessions: Vec<Value> = ended
        .iter()
        .map(|it| {
            json!({
                "uuid": it.uuid, "created": it.created_at, "last_used": it.last_used_at, "ended": it.ended_at,
                "last_ip": it.last_ip, "place": place(it.last_ip), "user_agent": agent(it.user_agent_id),
                "name": it.sign_in.label, "methods": it.sign_in.methods.to_string(), "is_known_device": it.sign_in.is_known_device, "reason": it.reason, "comment": it.comment,
                "applications": it.applications.iter().map(|open| app_sessions::ended_record(open, &notices, now)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let Some(known) = Known::read(db, user.id).await? else { return Err(StoreError::Failed("the user is gone".into())) };
    let mut export = own_rows(&known);
    for (name, value) in [
        ("exported", json!(now)),
        ("sessions", json!(sessions)),
        ("ended_sessions", json!(ended_sessions)),
        ("events", json!(events(db, user.uuid).await?)),
    ] {
        export.insert(name.to_owned(), value);
    }
    Ok(Value::Object(export))
}

/// What is kept of a user but sessions and events.
fn own_rows(known: &Known) -> serde_json::Map<String, Value> {
    let (profile, user) = (&known.profile, &known.profile.user);
    let tokens: Vec<Value> = known
        .tokens
        .iter()
        .map(|it| {
            json!({
                "identifier": it.identifier, "description": it.description, "intent": it.intent, "created": it.created_at,
                "expires": it.is_expiring.then_some(it.expires_at), "last_used": it.last_used_at, "scopes": it.scopes.words(),
                "apps": known.apps_of_tokens.get(&it.id),
            })
        })
        .collect();
    let authenticators: Vec<Value> = known
        .factors
        .iter()
        .map(|it| {
            json!({
                "uuid": it.uuid.0.to_string(), "kind": it.kind.as_str(), "name": it.name, "created": it.created_at,
                "last_used": it.last_used_at, "is_confirmed": it.is_confirmed,
            })
        })
        .collect();
    let browsers: Vec<Value> =
        known.browsers.iter().map(|(created, last_used)| json!({ "created": created, "last_used": last_used })).collect();
    let apps: Vec<Value> = known
        .apps
        .iter()
        .map(|it| {
            json!({
                "uuid": it.uuid.to_string(), "session": it.session, "slug": it.slug, "name": it.name, "hosts": it.hosts,
                "client_id": it.client_id, "created": it.created_at, "last_used": it.last_used_at,
            })
        })
        .collect();
    let consent = |it: &ConsentRow| json!({ "slug": it.slug, "name": it.name, "scope": it.scope, "given": it.given_at });
    let consents: Vec<Value> = known.consents.iter().map(consent).collect();
    let attributes: Value = serde_json::from_str(&profile.attributes).unwrap_or_default();
    let rows = json!({
        "user": {
            "id": user.id, "uuid": user.uuid.to_string(), "uid": user.uid, "username": user.username, "name": user.name, "email": user.email,
            "is_email_verified": profile.is_email_verified, "type": profile.kind.as_str(), "path": profile.path,
            "attributes": attributes, "is_active": user.is_active, "is_superuser": user.is_superuser,
            "is_auditor": profile.is_auditor, "has_password": user.password_hash.is_some(),
            "password_changed": user.password_hash.is_some().then_some(profile.password_changed_at),
            "created": user.created_at, "updated": profile.updated_at, "last_sign_in": user.last_sign_in_at,
            "removal_asked": profile.removal_asked_at,
            "groups": known.groups.iter().map(|group| &group.name).collect::<Vec<_>>(), "permissions": known.permissions,
        },
        "policy": policy(&known.policy),
        "tokens": tokens,
        "authenticators": authenticators,
        "recovery_codes_left": known.codes_left,
        "known_browsers": browsers,
        "apps": apps,
        "consents": consents,
    });
    match rows {
        Value::Object(rows) => rows,
        _ => serde_json::Map::new(),
    }
}

fn policy(policy: &Policy) -> Value {
    let seconds = |limit: Option<std::time::Duration>| limit.map(|limit| limit.as_secs());
    json!({
        "idle_timeout": seconds(policy.idle_timeout), "absolute_timeout": seconds(policy.absolute_timeout),
        "remember_timeout": seconds(policy.remember_timeout), "max_sessions": policy.max_sessions, "at_limit": policy.at_limit,
        "is_factor_required": policy.is_factor_required,
    })
}

async fn events(db: &Db<'_>, user: Uuid) -> Result<Vec<Value>, StoreError> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let events = db.list_events_of_person(user, after, STEP).await?;
        let Some(last) = events.last() else { return Ok(all) };
        after = last.id;
        all.extend(events.iter().map(|event| own_part(event, user)));
    }
}

/// An event as far as it is about this person.
fn own_part(event: &EventRow, user: Uuid) -> Value {
    let (is_about, is_by) = (event.user_uuid == Some(user), event.actor_uuid == Some(user));
    // An administrator did it, who may be gone. Nobody in particular tried a password, or moved.
    let is_by_other = !is_by && event.actor_uuid.is_some();
    json!({
        "at": event.at, "kind": event.kind(),
        "by": if is_by { "you" } else if is_by_other { "an administrator" } else { event.actor.as_str() },
        "about": if is_about { "you" } else if event.user_uuid.is_some() { "somebody else" } else { "" },
        "ip": (!is_by_other && !event.ip.is_empty()).then_some(&event.ip),
        "session": event.session.filter(|_| is_about),
        "content": if is_about { event.content.to_json() } else { serde_json::Map::new() },
    })
}

/// Erases a person: their sessions end at once, and they, their tokens, what is kept of their sessions,
/// and their part in the events are gone. What stays tells that something happened, not to which user. Of
/// somebody who was removed before, what is left under their name goes.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] when nothing is kept of that name;
/// [`ActionError::LastAdministrator`].
pub async fn erase(app: &App, by: By<'_>, username: &str) -> Result<Erased, ActionError> {
    by.must_administer()?;
    let (actor, now, name) = (by.actor(), app.clock.now(), username.to_owned());
    let done = app.store.write_much(move |db| {
        Box::pin(async move {
            let user = db.find_user_by_name(&name).await?;
            if let Some(user) = &user {
                end_user(db, user.id, &actor, now).await?;
                db.erase_searches(&[&user.email, &user.name]).await?;
            }
            db.erase_searches(&[&name]).await?;
            let uuid = user.as_ref().map(|user| user.uuid);
            let sessions = db.erase_ended_sessions(uuid, Some(&name)).await?;
            let events = db.erase_events(uuid, &name, true).await?;
            if user.is_none() && sessions == 0 && events == 0 {
                return Err(ActionError::NotFound);
            }
            db.update_setting(LEFTOVERS_SETTING, "yes").await?;
            db.insert_events(&[EventContent::UserErased { is_own: false }.by(&actor, now)]).await?;
            Ok(Erased { sessions, events, is_log_empty: false })
        })
    });
    clear_log(app, done.await?).await
}

/// Erases the user of a session, as [`erase`] does; of others who had the name before, nothing goes. The event does not
/// say who it was.
///
/// # Errors
/// [`ActionError::Forbidden`] unless `account.removal` is `at_once`, and without a fresh proof;
/// [`ActionError::LastAdministrator`]; [`ActionError::NotFound`] when the session ended since the request began.
pub async fn erase_own(app: &App, session: &LiveSession) -> Result<Erased, ActionError> {
    if app.config.account.removal != OwnRemoval::AtOnce {
        return Err(ActionError::Forbidden);
    }
    proof::must_be_fresh(app, session)?;
    let (holder, now) = (session.clone(), app.clock.now());
    let done = app.store.write_much(move |db| {
        Box::pin(async move {
            let actor = Actor { name: ERASED.to_owned(), ..Actor::default() };
            // As in all acts that could take an administrator away: this lock comes before the user's.
            db.lock_administrators().await?;
            let user = proof::lock_holder(db, &holder).await?;
            end_user(db, user.id, &actor, now).await?;
            let sessions = db.erase_ended_sessions(Some(user.uuid), None).await?;
            let events = db.erase_events(Some(user.uuid), &user.username, false).await?;
            db.erase_searches(&[&user.username, &user.email, &user.name]).await?;
            db.update_setting(LEFTOVERS_SETTING, "yes").await?;
            db.insert_events(&[EventContent::UserErased { is_own: true }.by(&actor, now)]).await?;
            Ok::<_, ActionError>(Erased { sessions, events, is_log_empty: false })
        })
    });
    clear_log(app, done.await?).await
}

/// Ends a user's sessions and removes the user, in a transaction.
async fn end_user(db: &Db<'_>, id: UserId, actor: &Actor, now: Timestamp) -> Result<(), ActionError> {
    let administrators = Administrators::watch(db).await?;
    db.lock_user(id).await?.ok_or(ActionError::NotFound)?;
    end_in::end_all_of_user(db, id, EndReason::UserRemoved, actor, now).await?;
    move_all_of_user(db, id).await?;
    // What is still owed is sent first, and then forgets who the user was.
    db.delete_settled_notices_of(id).await?;
    db.delete_user(id).await?;
    administrators.must_remain(db).await
}

/// Empties the log of the database after an erasure, if nobody reads from it.
async fn clear_log(app: &App, mut erased: Erased) -> Result<Erased, ActionError> {
    for _ in 0..TRIES {
        erased.is_log_empty = clear_leftovers(app, By::System).await?;
        if erased.is_log_empty {
            break;
        }
    }
    Ok(erased)
}
