//! Adds the users of a CSV file, all or nothing; before that, it says what would be added, or every line that is wrong.

use std::collections::HashMap;

use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes::{UserChange, check_attributes};
use crate::actions::people::users;
use crate::actions::policies;
use crate::domain::csv_users::{self, Fault, UserRecord};
use crate::domain::event::EventContent;
use crate::store::people::users::NewUser;
use crate::store::{Db, StoreError};

/// What a file would add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The users that can be added, in order.
    pub users: Vec<UserRecord>,
    /// What is wrong, by line. While there is anything, nothing is added.
    pub faults: Vec<Fault>,
}

/// Reads a file and looks at what is stored. It changes nothing.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator asks; when the database does not answer.
pub async fn preview(app: &App, by: By<'_>, file: Vec<u8>) -> Result<Preview, ActionError> {
    by.must_administer()?;
    Ok(app.store.long_read(move |db| Box::pin(async move { Ok::<_, StoreError>(plan(db, &file).await?.0) })).await?)
}

/// Adds the users of a file. Gives what was added; with a fault, nothing was.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; when the database does not answer.
pub async fn add_all(app: &App, by: By<'_>, file: Vec<u8>) -> Result<Preview, ActionError> {
    by.must_administer()?;
    let (actor, now, instance) = (by.actor(), app.clock.now(), policies::instance(app).await?);
    app.store
        .write_much(move |db| {
            Box::pin(async move {
                db.lock_names().await?;
                let (preview, groups) = plan(db, &file).await?;
                if !preview.faults.is_empty() {
                    return Ok(preview);
                }
                for record in &preview.users {
                    let (user, more) = new_user(record, &groups);
                    users::add_in(db, &user, &more, instance, &actor, now).await?;
                }
                let users = preview.users.len() as u64;
                let content =
                    EventContent::Import { users, groups: 0, tokens: 0, sessions: 0, applications: 0, is_generated: false };
                db.insert_events(&[content.by(&actor, now)]).await?;
                Ok(preview)
            })
        })
        .await
}

fn new_user(record: &UserRecord, groups: &HashMap<String, Uuid>) -> (NewUser, UserChange) {
    let user = NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: record.username.clone(),
        name: record.name.clone(),
        email: record.email.clone(),
        password_hash: None,
        is_active: record.is_active,
        is_superuser: record.is_superuser,
        permissions: Vec::new(),
    };
    let uuids: Vec<Uuid> = record.groups.iter().filter_map(|name| groups.get(name)).copied().collect();
    let more = UserChange {
        is_auditor: record.is_auditor.then_some(true),
        attributes: record.attributes.clone(),
        path: record.path.clone(),
        kind: record.kind,
        groups: Some(uuids).filter(|uuids| !uuids.is_empty()),
        ..UserChange::default()
    };
    (user, more)
}

/// What a file would add to what is stored, and the groups that it names.
async fn plan(db: &Db<'_>, file: &[u8]) -> Result<(Preview, HashMap<String, Uuid>), StoreError> {
    let (records, mut faults) = csv_users::read(file);
    let (mut users, mut groups) = (Vec::with_capacity(records.len()), HashMap::<String, Uuid>::new());
    let mut unknown = Vec::<String>::new();
    for record in records {
        let before = faults.len();
        let mut wrong = |why: String| faults.push(Fault { line: record.line, why });
        if db.is_username_taken(&record.username).await? {
            wrong(format!("there is a user named {:?} already", record.username));
        }
        if let Some(Err(rule)) = record.attributes.as_ref().map(check_attributes) {
            wrong(rule.to_string());
        }
        for name in &record.groups {
            if !groups.contains_key(name) && !unknown.contains(name) {
                match find_group(db, name).await? {
                    Some(uuid) => drop(groups.insert(name.clone(), uuid)),
                    None => unknown.push(name.clone()),
                }
            }
            if unknown.contains(name) {
                wrong(format!("there is no group named {name:?}"));
            }
        }
        if faults.len() == before {
            users.push(record);
        }
    }
    faults.sort_by_key(|fault| fault.line);
    Ok((Preview { users, faults }, groups))
}

async fn find_group(db: &Db<'_>, name: &str) -> Result<Option<Uuid>, StoreError> {
    // PostgreSQL has no such texts.
    if name.contains('\0') {
        return Ok(None);
    }
    let Some(id) = db.find_group_id(name).await? else { return Ok(None) };
    Ok(db.find_group_by_id(id).await?.map(|group| group.uuid))
}
