//! What events are about, as it is now: the applications and groups that they name, and which of these still exist.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::event::EventContent;
use crate::store::db::statements::{any_of, in_list};
use crate::store::events::rows::EventRow;
use crate::store::{Db, StoreError};

/// How many are looked up at once.
const AT_ONCE: usize = 512;

/// The group that an event is about: its uuid, where the content has it, and its name.
fn group_of(content: &EventContent) -> Option<(Option<Uuid>, &str)> {
    match content {
        EventContent::GroupAdded { group, group_uuid, .. }
        | EventContent::GroupChanged { group, group_uuid, .. }
        | EventContent::GroupRemoved { group, group_uuid, .. } => Some((Uuid::try_parse(group_uuid).ok(), group)),
        EventContent::PolicySet { group: Some(group), .. } => Some((None, group)),
        _ => None,
    }
}

impl Db<'_> {
    /// The applications that have these slugs now, by the slug in small letters: the uuid, and when each was added.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_application_keys(
        &self,
        slugs: impl IntoIterator<Item = &str>,
    ) -> Result<HashMap<String, (Uuid, Timestamp)>, StoreError> {
        let slugs: BTreeSet<String> = slugs.into_iter().map(str::to_ascii_lowercase).collect();
        let slugs: Vec<String> = slugs.into_iter().collect();
        let mut known = HashMap::new();
        for slugs in slugs.chunks(AT_ONCE) {
            let (list, values) = in_list([], slugs);
            let sql = format!("SELECT lower(slug), uuid, created_at FROM applications WHERE lower(slug) IN ({list})");
            let read: Vec<(String, Uuid, i64)> = self.all(&sql, &values).await?;
            known.extend(read.into_iter().map(|(slug, uuid, at)| (slug, (uuid, Timestamp(at)))));
        }
        Ok(known)
    }

    /// Notes in events which applications and groups that they name exist now. A slug that another application has taken
    /// since is not this one.
    pub(super) async fn note_objects(&self, events: &mut [EventRow]) -> Result<(), StoreError> {
        let slugs = events.iter().map(|event| event.application.as_str()).filter(|slug| !slug.is_empty());
        let applications = self.list_application_keys(slugs).await?;
        let groups: Vec<_> = events.iter().filter_map(|event| group_of(&event.content)).collect();
        let uuids: BTreeSet<Uuid> = groups.iter().filter_map(|(uuid, _)| *uuid).collect();
        let names: BTreeSet<&str> = groups.iter().filter(|(uuid, _)| uuid.is_none()).map(|(_, name)| *name).collect();
        let (uuids, names): (Vec<Uuid>, Vec<&str>) = (uuids.into_iter().collect(), names.into_iter().collect());
        let (mut known, mut by_name) = (HashSet::new(), HashMap::new());
        for uuids in uuids.chunks(AT_ONCE) {
            let (these, values) = any_of(self.is_sqlite(), "uuid", uuids);
            known.extend(self.all::<Uuid>(&format!("SELECT uuid FROM groups WHERE {these}"), &values).await?);
        }
        for names in names.chunks(AT_ONCE) {
            let (list, values) = in_list([], names.iter().copied());
            let sql = format!("SELECT name, uuid FROM groups WHERE name IN ({list})");
            by_name.extend(self.all::<(String, Uuid)>(&sql, &values).await?);
        }
        for event in events {
            let application = applications.get(&event.application.to_ascii_lowercase());
            event.application_uuid = application.filter(|(_, added)| *added <= event.at).map(|(uuid, _)| *uuid);
            event.group_uuid = match group_of(&event.content) {
                Some((Some(uuid), _)) => known.get(&uuid).copied(),
                Some((None, name)) => by_name.get(name).copied(),
                None => None,
            };
        }
        Ok(())
    }
}
