//! Service accounts: users for programs, with an application password.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes::UserChange;
use crate::actions::people::groups::{self, Act, GroupChange};
use crate::actions::people::users;
use crate::actions::tokens;
use crate::domain::group::check_group_name;
use crate::domain::user::{TokenIntent, UserType, check_username};
use crate::domain::{PlainSecret, Timestamp, UserId, secret};
use crate::store::StoreError;
use crate::store::people::tokens::NewToken;
use crate::store::people::users::NewUser;

/// Where service accounts are sorted in.
pub const PATH: &str = "goauthentik.io/service-accounts";
/// The attribute that says whether tokens of the account expire.
const TOKEN_EXPIRES: &str = "goauthentik.io/user/token-expires";
/// What the key of an application password begins with.
const KEY_PREFIX: &str = "rcp_";
/// How long the application password is valid unless it is said.
const LIVES: Duration = Duration::from_secs(360 * 86_400);

/// A service account to add.
#[derive(Clone, Debug)]
pub struct NewServiceAccount {
    /// The username, and the name of the group.
    pub name: String,
    /// Whether it is put into a group of its own.
    pub with_group: bool,
    /// Whether the application password expires.
    pub is_expiring: bool,
    /// When; in 360 days unless it is said.
    pub expires: Option<Timestamp>,
}

/// A service account that was added.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The user's primary key.
    pub id: UserId,
    /// The key of the application password, which is shown this once.
    pub key: PlainSecret,
    /// Its group.
    pub group: Option<Uuid>,
}

/// Adds a user of the type `service_account` with an application password, and a group of the same name where that is
/// asked for.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Rule`] when the name breaks a rule;
/// [`ActionError::Exists`] when a user, a group or a token of that name exists.
pub async fn add(app: &App, by: By<'_>, account: NewServiceAccount) -> Result<ServiceAccount, ActionError> {
    by.must_administer()?;
    let name = check_username(&account.name)?;
    if account.with_group {
        check_group_name(&name)?;
    }
    let uuid = secret::random_uuid()?;
    let user = NewUser {
        id: None,
        uuid: Some(uuid),
        uid: None,
        username: name.clone(),
        name: name.clone(),
        email: String::new(),
        password_hash: None,
        is_active: true,
        is_superuser: false,
        permissions: Vec::new(),
    };
    let more = UserChange {
        kind: Some(UserType::ServiceAccount),
        path: Some(PATH.to_owned()),
        attributes: Some(Map::from_iter([(TOKEN_EXPIRES.to_owned(), Value::Bool(account.is_expiring))])),
        ..UserChange::default()
    };
    let key = PlainSecret::from_text(format!("{KEY_PREFIX}{}", PlainSecret::generate()?.expose()));
    let (act, hash) = (Act::new(app, by).await?, key.hash());
    let expires = (account.is_expiring, account.expires.unwrap_or_else(|| act.now.plus(LIVES)));
    let (named, with_group) = (name.clone(), account.with_group);
    let added = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let id = users::add_in(db, &user, &more, act.instance, &act.actor, act.now).await?;
                let identifier = format!("service-account-{}-password", slug(&name, uuid));
                let token = NewToken {
                    key_hash: hash,
                    identifier: identifier.clone(),
                    description: String::new(),
                    intent: TokenIntent::AppPassword,
                    user: id,
                    expires,
                    generation: None,
                };
                db.insert_token(&token, act.now).await?;
                let content = tokens::added(db, &identifier).await?;
                db.insert_events(&[content.by(&act.actor, act.now).about(id, &name)]).await?;
                if !with_group {
                    return Ok((id, None));
                }
                let group = GroupChange { users: Some(vec![id.0]), ..GroupChange::default() };
                Ok((id, Some(groups::add_in(db, &name, &group, &act).await?)))
            })
        })
        .await;
    match added {
        Err(ActionError::Store(StoreError::Conflict(_))) => {
            Err(ActionError::Exists(format!("a user, a group or a token for {named:?}")))
        }
        other => other.map(|(id, group)| ServiceAccount { id, key, group }),
    }
}

/// A name as a slug: ASCII letters, digits, `_` and `-`. Of a name that has none of these it is the user's uuid.
fn slug(name: &str, user: Uuid) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let plain: String = name.nfkd().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ')).collect();
    let lower = plain.to_ascii_lowercase();
    let words: Vec<&str> = lower.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    let slug = words.join("-").trim_matches(['-', '_']).to_owned();
    if slug.is_empty() { user.to_string() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slugs_as_django_makes_them() {
        let user = Uuid::from_u128(7);
        for (name, want) in [
            ("Backup Job", "backup-job"),
            ("zoë_1", "zoe_1"),
            (" a -- b ", "a-b"),
            ("a@b.c", "abc"),
            ("用户", "00000000-0000-0000-0000-000000000007"),
            ("_x_", "x"),
        ] {
            assert_eq!(slug(name, user), want, "{name}");
        }
    }
}
