//! What several forms about users and groups offer: groups and permissions to tick, attributes to write; and rights
//! in words.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::actions::app::App;
use crate::domain::Permission;
use crate::domain::people_lists::holds_null_character;
use crate::domain::user::UserType;
use crate::http::query::Query;
use crate::store::people::groups::GroupRow;
use crate::store::{Db, StoreError};
use crate::ui::three_way::{self, Form};

/// The most groups that a form lists. With more of them it lists those that are ticked, and asks for the name of another
/// one.
const MOST_LISTED: i64 = 50;
/// The most bytes of attributes that a form holds: encoded, it stays within the bound of a form.
const MOST_ATTRIBUTES: usize = 16 * 1024;

/// A group to tick.
pub(in crate::ui) struct GroupBox {
    pub uuid: Uuid,
    pub name: String,
    pub is_on: bool,
}

/// Groups to tick in a form.
pub(in crate::ui) struct GroupBoxes {
    pub boxes: Vec<GroupBox>,
    /// Whether there are more groups than are listed, and the form asks for a name.
    pub is_more: bool,
    /// The name that was typed.
    pub typed: String,
}

impl GroupBoxes {
    /// The groups there are, but for `except`; those in `on` are ticked and always listed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(db: &Db<'_>, on: &[Uuid], except: Option<Uuid>, typed: String) -> Result<Self, StoreError> {
        let mut groups = db.list_first_groups(MOST_LISTED + 1).await?;
        let is_more = groups.len() > usize::try_from(MOST_LISTED).unwrap_or(0);
        if is_more {
            groups = db.list_groups(on).await?;
        }
        groups.retain(|group| Some(group.uuid) != except);
        let boxes = groups.into_iter().map(|group| {
            let GroupRow { uuid, name, .. } = group;
            GroupBox { uuid, name, is_on: on.contains(&uuid) }
        });
        Ok(Self { boxes: boxes.collect(), is_more, typed })
    }
}

/// The groups that a form ticks, by the name of its boxes, and the one that it names.
///
/// # Errors
/// A sentence when there is no group of that name, or a box has no group's uuid.
pub(in crate::ui) async fn read_groups(app: &App, form: &Query, boxes: &str) -> Result<Result<Vec<Uuid>, String>, StoreError> {
    let mut groups = Vec::new();
    for text in form.all(boxes) {
        match Uuid::parse_str(text) {
            Ok(uuid) => groups.push(uuid),
            Err(_) => return Ok(Err("Sorry: one of the boxes names no group. Reload the page.".to_owned())),
        }
    }
    let typed = form.last(&format!("{boxes}_name")).unwrap_or_default().trim().replace('\0', "");
    if typed.is_empty() {
        return Ok(Ok(groups));
    }
    let db = app.store.read();
    let named = match db.find_group_id(&typed).await? {
        Some(id) => db.find_group_by_id(id).await?,
        None => None,
    };
    let Some(named) = named else { return Ok(Err(format!("Sorry: there is no group named {typed:?}."))) };
    if !groups.contains(&named.uuid) {
        groups.push(named.uuid);
    }
    Ok(Ok(groups))
}

/// The words for items of forms: groups and permissions, and what a user is.
pub(in crate::ui) struct Words(HashMap<String, String>);

impl Words {
    /// With the names of these groups, and of those that a form showed in `field`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of<T: Form>(db: &Db<'_>, field: &str, given: &T, groups: [&[Uuid]; 2]) -> Result<Self, StoreError> {
        let shown = three_way::carried_by(given);
        let before = three_way::items(&shown, field).filter_map(|text| Uuid::parse_str(text).ok());
        let all: Vec<Uuid> = before.chain(groups.into_iter().flatten().copied()).collect();
        let named = db.list_groups(&all).await?.into_iter().map(|group| (group.uuid.to_string(), group.name));
        Ok(Self(named.collect()))
    }

    /// The words for an item of a field.
    pub fn item(&self, field: &str, item: &str) -> Option<String> {
        match field {
            "groups" | "parents" => Some(self.0.get(item).cloned().unwrap_or_else(|| "a group that is gone".to_owned())),
            "permissions" => Permission::parse(item).map(|it| permission_words(it).to_owned()),
            "kind" => UserType::parse(item).map(|it| type_words(it).to_owned()),
            _ => None,
        }
    }
}

/// A permission to tick.
pub(in crate::ui) struct PermissionBox {
    pub name: &'static str,
    pub words: &'static str,
    pub is_on: bool,
}

/// A permission in words.
pub(in crate::ui) fn permission_words(permission: Permission) -> &'static str {
    match permission {
        Permission::ViewSessions => "See everybody’s sessions",
        Permission::DeleteSessions => "End everybody’s sessions",
    }
}

/// All permissions; those whose names are in `on` are ticked.
pub(in crate::ui) fn permission_boxes(on: &[String]) -> Vec<PermissionBox> {
    let boxes = Permission::ALL.into_iter().map(|permission| {
        let name = permission.as_str();
        PermissionBox { name, words: permission_words(permission), is_on: on.iter().any(|it| it == name) }
    });
    boxes.collect()
}

/// The permissions that a form ticks.
pub(in crate::ui) fn read_permissions(form: &Query) -> Vec<Permission> {
    form.all("permission").filter_map(Permission::parse).collect()
}

/// Stored attributes as a form holds them; `None`: they are too long for a form.
pub(in crate::ui) fn show_attributes(stored: &str) -> Option<String> {
    let Attributes { json, .. } = Attributes::stored(stored);
    (json.len() <= MOST_ATTRIBUTES).then_some(json)
}

/// Attributes as a page shows them: all of them, as the API does.
pub(in crate::ui) struct Attributes {
    /// The first names, and how many there are beyond; `""`: there are none.
    pub names: String,
    /// The object on several lines; `""`: it is empty.
    pub json: String,
}

impl Attributes {
    /// Those of a row.
    pub fn stored(text: &str) -> Self {
        Self::of(&serde_json::from_str(text).unwrap_or_default())
    }

    /// Those of an object.
    pub fn of(object: &Map<String, Value>) -> Self {
        let first: Vec<&str> = object.keys().map(String::as_str).take(5).collect();
        let names = match object.len() {
            count if count > first.len() => format!("{} and {} more", first.join(", "), count - first.len()),
            _ => first.join(", "),
        };
        let json = if object.is_empty() { String::new() } else { serde_json::to_string_pretty(object).unwrap_or_default() };
        Self { names, json }
    }
}

/// The attributes that somebody wrote; nothing written is none.
///
/// # Errors
/// A sentence that says what is wrong.
pub(in crate::ui) fn read_attributes(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) if holds_null_character(&value) => Err("Sorry: attributes may not hold null characters.".to_owned()),
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("Sorry: attributes are a JSON object, such as {\"team\": \"red\"}.".to_owned()),
        Err(error) => Err(format!("Sorry: the attributes are not JSON: {error}.")),
    }
}

/// What a user is, in words.
pub(in crate::ui) fn type_words(kind: UserType) -> &'static str {
    match kind {
        UserType::Internal => "Person of the organisation (internal)",
        UserType::External => "Person from elsewhere (external)",
        UserType::ServiceAccount => "Program (service_account)",
        UserType::InternalServiceAccount => "Program of authentik’s own (internal_service_account)",
    }
}

/// What superusers may do.
const SUPERUSER: &str = "See and do everything";
/// What auditors may do.
const AUDITOR: &str = "See everything";

/// What a user, or a member of a group, may do beyond their own account, each with where it comes from. `groups` are all
/// groups above, not only the direct ones; `sources` are permissions with the group that gives each, or `""`.
pub(in crate::ui) fn rights_words(
    (is_superuser, is_auditor): (bool, bool),
    groups: &[GroupRow],
    sources: &[(String, String)],
) -> Vec<String> {
    let from = |own: bool, names: &[&str]| {
        let mut places: Vec<String> = if own { vec!["set here".to_owned()] } else { Vec::new() };
        places.extend(names.iter().map(|name| format!("by the group {}", crate::ui::words::isolate(name))));
        places.join(", ")
    };
    let mut words = Vec::new();
    for (own, what) in [(is_superuser, SUPERUSER), (is_auditor, AUDITOR)] {
        let gives = |group: &&GroupRow| if what == SUPERUSER { group.is_superuser } else { group.is_auditor };
        let by: Vec<&str> = groups.iter().filter(gives).map(|group| group.name.as_str()).collect();
        if own || !by.is_empty() {
            words.push(format!("{what} ({})", from(own, &by)));
        }
    }
    for permission in Permission::ALL {
        let these = || sources.iter().filter(|(name, _)| name == permission.as_str()).map(|(_, source)| source.as_str());
        let by: Vec<&str> = these().filter(|source| !source.is_empty()).collect();
        if these().next().is_some() {
            words.push(format!("{} ({})", permission_words(permission), from(these().any(str::is_empty), &by)));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, is_superuser: bool) -> GroupRow {
        GroupRow {
            id: 1,
            uuid: Uuid::nil(),
            name: name.to_owned(),
            is_superuser,
            is_auditor: !is_superuser,
            attributes: "{}".to_owned(),
        }
    }

    #[test]
    fn rights_say_where_they_come_from() {
        let see = Permission::ViewSessions.as_str().to_owned();
        let end = Permission::DeleteSessions.as_str().to_owned();
        let groups = [group("staff", false), group("ops", true)];
        let sources = [(see.clone(), String::new()), (see, "staff".to_owned()), (end, "staff".to_owned())];
        assert_eq!(
            rights_words((false, true), &groups, &sources),
            [
                "See and do everything (by the group ops)",
                "See everything (set here, by the group staff)",
                "See everybody’s sessions (set here, by the group staff)",
                "End everybody’s sessions (by the group staff)",
            ]
        );
        assert_eq!(rights_words((true, false), &[], &[]), ["See and do everything (set here)"]);
        assert!(rights_words((false, false), &[], &[]).is_empty());
    }

    #[test]
    fn attributes_are_a_json_object() {
        assert_eq!(read_attributes(" ").unwrap(), Map::new());
        assert_eq!(read_attributes("{\"a\": [1]}").unwrap()["a"], serde_json::json!([1]));
        for (text, says) in [("[1]", "JSON object"), ("{\"a\"", "line 1"), ("{\"a\": \"\\u0000\"}", "null characters")] {
            assert!(read_attributes(text).unwrap_err().contains(says), "{text}");
        }
        assert_eq!(show_attributes("{}").as_deref(), Some(""));
        assert_eq!(show_attributes(&format!("{{\"a\":\"{}\"}}", "x".repeat(MOST_ATTRIBUTES))), None);
        let shown = Attributes::stored("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7}");
        assert_eq!(shown.names, "a, b, c, d, e and 2 more");
        assert!(shown.json.contains("\n  \"g\": 7\n"), "{}", shown.json);
    }
}
