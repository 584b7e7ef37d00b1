//! The dictionary of user agents: one row for each distinct text, with its parsed parts. Rows that
//! nothing refers to are deleted; ids are never reused, so they can be cached.

use std::sync::OnceLock;

use serde_json::value::RawValue;

use crate::domain::fold::fold;
use crate::domain::user_agent::{About, ParsedAgent};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// Holds for an entry that nothing refers to.
const UNUSED: &str = "NOT EXISTS (SELECT 1 FROM session_rows s WHERE s.user_agent_id = user_agents.id) \
    AND NOT EXISTS (SELECT 1 FROM ended_sessions e WHERE e.user_agent_id = user_agents.id) \
    AND NOT EXISTS (SELECT 1 FROM watched_sessions w WHERE w.user_agent_id = user_agents.id)";

/// An entry of the dictionary.
#[derive(Clone, Debug)]
pub struct UserAgentRow {
    /// Primary key.
    pub id: i64,
    /// The text as received.
    pub text: String,
    /// What the rules read from it.
    pub parsed: ParsedAgent,
    /// Its JSON in answers, made at its first use.
    pub said: OnceLock<SaidAgent>,
    about: OnceLock<About>,
}

impl UserAgentRow {
    /// The kind of the device and its description, worked out once.
    pub fn about(&self) -> &About {
        self.about.get_or_init(|| self.parsed.about(&self.text))
    }
}

/// A user agent in JSON: the same in every answer, and most of a list's bytes.
#[derive(Clone, Debug)]
pub struct SaidAgent {
    /// Its text.
    pub text: Box<RawValue>,
    /// Its parts.
    pub parts: Box<RawValue>,
}

impl FromRow for UserAgentRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (id, text, parsed) = (row.int()?, row.text()?, row.text()?);
        let parsed = serde_json::from_str(&parsed).map_err(|_| StoreError::Corrupt("a parsed user agent"))?;
        Ok(Self { id, text, parsed, said: OnceLock::new(), about: OnceLock::new() })
    }
}

impl Db<'_> {
    /// The id of a text; `None` when the dictionary does not have it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_agent_id(&self, text: &str) -> Result<Option<i64>, StoreError> {
        self.one("SELECT id FROM user_agents WHERE text = $1", &values![text]).await
    }

    /// These entries, in no order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_user_agents(&self, ids: &[i64]) -> Result<Vec<UserAgentRow>, StoreError> {
        let mut entries = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(100) {
            let sql = format!(
                "SELECT id, text, parsed FROM user_agents WHERE id IN ({})",
                crate::store::db::statements::placeholders(0, chunk.len())
            );
            let values: Vec<_> = chunk.iter().map(|id| (*id).into()).collect();
            entries.extend(self.all::<UserAgentRow>(&sql, &values).await?);
        }
        Ok(entries)
    }

    /// Adds a text with its parts, unless it is there, and gives its id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_user_agent(&self, text: &str, parsed: &ParsedAgent, rules: &str) -> Result<i64, StoreError> {
        let json = serde_json::to_string(parsed).map_err(|error| StoreError::Failed(error.to_string()))?;
        let sql = "INSERT INTO user_agents (text, text_folded, browser, os, device, parsed, rules) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (text) DO NOTHING RETURNING id";
        let families = [&parsed.browser.family, &parsed.system.family, &parsed.device.family];
        let [browser, os, device] = families.map(String::as_str);
        if let Some(id) = self.one(sql, &values![text, fold(text), browser, os, device, json, rules]).await? {
            return Ok(id);
        }
        self.find_user_agent_id(text).await?.ok_or(StoreError::Corrupt("a user agent without a key"))
    }

    /// Some entries that were parsed by other rules than `rules`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_user_agents_of_other_rules(&self, rules: &str, limit: i64) -> Result<Vec<UserAgentRow>, StoreError> {
        let sql = "SELECT id, text, parsed FROM user_agents WHERE rules < $1 OR rules > $1 LIMIT $2";
        self.all(sql, &values![rules, limit]).await
    }

    /// Entries that no session refers to, and none that ended and is kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_unused_user_agents(&self) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT user_agents.id FROM user_agents WHERE {UNUSED} ORDER BY user_agents.id LIMIT 100000");
        self.all(&sql, &[]).await
    }

    /// Removes those of these entries that nothing refers to, and gives how many there were.
    ///
    /// # Errors
    /// When the database does not answer, or one is referred to just now.
    pub async fn delete_unused_user_agents(&self, ids: &[i64]) -> Result<u64, StoreError> {
        let sql = format!(
            "DELETE FROM user_agents WHERE id IN ({}) AND {UNUSED}",
            crate::store::db::statements::placeholders(0, ids.len())
        );
        let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        self.execute(&sql, &values).await
    }

    /// Writes what newer rules read from an entry.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_user_agent(&self, id: i64, parsed: &ParsedAgent, rules: &str) -> Result<(), StoreError> {
        let json = serde_json::to_string(parsed).map_err(|error| StoreError::Failed(error.to_string()))?;
        let sql = "UPDATE user_agents SET browser = $2, os = $3, device = $4, parsed = $5, rules = $6 WHERE id = $1";
        let families = [&parsed.browser.family, &parsed.system.family, &parsed.device.family];
        let [browser, os, device] = families.map(String::as_str);
        self.execute(sql, &values![id, browser, os, device, json, rules]).await.map(drop)
    }
}
