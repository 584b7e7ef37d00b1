//! What is kept of one person outside of their own rows: groups, the record, and what is left of it
//! when they are erased.

use uuid::Uuid;

use crate::domain::UserId;
use crate::domain::event::{EventContent, EventKind};
use crate::domain::fold::fold;
use crate::store::events::rows::{EVENT_COLUMNS, EventRow};
use crate::store::{CountKey, Db, StoreError};
use crate::values;

/// What replaces the name of a user who was erased.
pub const ERASED: &str = "erased";

/// The parts of a filter that may name a user by a text.
const NAMES: [&str; 2] = ["username", "users"];
const SEARCH: &str = "search";

impl Db<'_> {
    /// The names of a user's groups.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_groups_of(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT g.name FROM groups g JOIN memberships m ON m.group_id = g.id WHERE m.user_id = $1 ORDER BY g.name";
        self.all(sql, &values![user]).await
    }

    /// Events about a user or by them, the oldest first, after the one with the key `after`, at most
    /// `limit`. It passes over all events: for long reads.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_events_of_person(&self, user: Uuid, after: i64, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events e WHERE e.id > $2 AND (e.user_uuid = $1 OR e.actor_uuid = $1) ORDER BY e.id LIMIT $3"
        );
        self.read_events(&sql, &values![user, after, limit]).await
    }

    /// How many events there are about a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_events_about(&self, user: Uuid) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM events WHERE user_uuid = $1", &values![user]).await?.unwrap_or(0))
    }

    /// Erases the ended sessions of a user who is gone, and with a name those under it whose users are gone; gives how
    /// many. Where the user ended sessions of others, the name goes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_ended_sessions(&self, user: Option<Uuid>, name: Option<&str>) -> Result<u64, StoreError> {
        let sql = "DELETE FROM ended_sessions WHERE user_uuid = $1 OR (username = $2 AND source_id IS NULL \
            AND user_uuid NOT IN (SELECT uuid FROM users)) RETURNING user_uuid";
        let owners: Vec<Uuid> = self.all(sql, &values![user, name]).await?;
        for owner in &owners {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(*owner)], -1);
        }
        let sql = "UPDATE ended_sessions SET ended_by_uuid = NULL, ended_by_name = $3 WHERE ended_by_uuid = $1 \
            OR (ended_by_name = $2 AND ended_by_uuid IS NOT NULL AND ended_by_uuid NOT IN (SELECT uuid FROM users))";
        self.execute(sql, &values![user, name, ERASED]).await?;
        let sql = "DELETE FROM former_names WHERE (user_uuid = $1 OR username = $2) AND user_uuid NOT IN (SELECT uuid FROM users)";
        self.execute(sql, &values![user, name]).await?;
        Ok(owners.len() as u64)
    }

    /// Takes a user who is gone out of the events, and gives in how many events they were. That an event
    /// of that kind happened then stays, and the other users who did it or that it is about. Where an end of many names the
    /// user in its filter, the filter goes. With `is_by_name` those under the name whose users are gone are taken out, too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_events(&self, user: Option<Uuid>, name: &str, is_by_name: bool) -> Result<u64, StoreError> {
        const ABOUT: &str =
            "(user_uuid = $1 OR (username = $2 AND user_uuid IS NOT NULL AND user_uuid NOT IN (SELECT uuid FROM users)))";
        const BY: &str =
            "(actor_uuid = $1 OR (actor = $2 AND actor_uuid IS NOT NULL AND actor_uuid NOT IN (SELECT uuid FROM users)))";
        let named = Some(name).filter(|_| is_by_name);
        let count = format!("SELECT count(*) FROM events WHERE {ABOUT} OR {BY}");
        let erased = self.one::<i64>(&count, &values![user, named]).await?.unwrap_or(0);
        let about = format!(
            "UPDATE events SET user_uuid = NULL, username = '', session_uuid = NULL, content = '{{}}', \
             ip = CASE WHEN actor_uuid IS NULL OR actor_uuid = $1 THEN '' ELSE ip END, \
             request_id = CASE WHEN actor_uuid IS NULL OR actor_uuid = $1 THEN '' ELSE request_id END WHERE {ABOUT}"
        );
        self.execute(&about, &values![user, named]).await?;
        let by = format!("UPDATE events SET actor_uuid = NULL, actor = $3, ip = '', request_id = '' WHERE {BY}");
        self.execute(&by, &values![user, named, ERASED]).await?;
        self.erase_filters(name).await?;
        self.erase_end_jobs(name).await?;
        self.erase_asked_ends(user, ERASED).await?;
        Ok(u64::try_from(erased).unwrap_or(0))
    }

    /// Takes what a user is called out of the searches by which many were ended: they look at e-mail addresses and full
    /// names, too. A search names the user if all words of one of these texts are in it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_searches(&self, texts: &[&str]) -> Result<(), StoreError> {
        for text in texts.iter().map(|text| fold(text)) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let Some(longest) = words.iter().max_by_key(|word| word.len()) else { continue };
            let names = |search: &str| words.iter().all(|word| search.split_whitespace().any(|other| other == *word));
            self.erase_filters_with(longest, |key, value| key == SEARCH && names(value)).await?;
            self.erase_end_jobs_searching(longest, names).await?;
        }
        Ok(())
    }

    /// Takes the name out of the filters of ends of many.
    async fn erase_filters(&self, name: &str) -> Result<(), StoreError> {
        let is_name = |value: &str| value.split([' ', ',']).any(|word| word == name);
        self.erase_filters_with(name, |key, value| (key == SEARCH || NAMES.contains(&key)) && is_name(value)).await
    }

    /// Takes out of the filters of ends of many, here and at the watched authentik, what names somebody by a text that it
    /// holds: `names` is asked for the key and the value of each part of such a filter.
    async fn erase_filters_with(&self, text: &str, names: impl Fn(&str, &str) -> bool) -> Result<(), StoreError> {
        let holds = self.holds("e.content", "$2");
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.kind IN ($1, $3) AND {holds}");
        let (own, watched) = (EventKind::SessionsEnded.as_str(), EventKind::SourceSessionsEnded.as_str());
        // As JSON writes it, without the quotation marks.
        let written = serde_json::Value::from(text).to_string();
        let written = written.trim_matches('"');
        for event in self.all::<EventRow>(&sql, &values![own, written, watched]).await? {
            let mut content = event.content;
            if let EventContent::SessionsEnded { filter, .. } | EventContent::SourceSessionsEnded { filter, .. } = &mut content {
                filter.retain(|key, value| !names(key, value));
                self.update_event_content(event.id, &content).await?;
            }
        }
        self.erase_source_jobs_with(written, names).await
    }
}
