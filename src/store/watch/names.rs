//! The names of the users of listed sessions, whichever system these live in.

use std::collections::{BTreeSet, HashMap};

use crate::domain::listing::SessionRow;
use crate::domain::source::SourceId;
use crate::store::{Db, StoreError};

/// Names of users, by the source (`None`: Rollcall) and the primary key there.
#[derive(Clone, Debug, Default)]
pub struct SessionNames(HashMap<(Option<SourceId>, i64), String>);

impl SessionNames {
    /// The name of a session's user; `None`: the user is gone, or authentik has not told it so far.
    #[must_use]
    pub fn get(&self, row: &SessionRow) -> Option<&str> {
        self.0.get(&(row.source, row.user_id.0)).map(String::as_str).filter(|name| !name.is_empty())
    }
}

impl Db<'_> {
    /// The names of the users of these sessions: one statement for each source that they live at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_names_of<'r>(&self, rows: impl Iterator<Item = &'r SessionRow>) -> Result<SessionNames, StoreError> {
        let mut users: HashMap<Option<SourceId>, BTreeSet<i64>> = HashMap::new();
        for row in rows {
            users.entry(row.source).or_default().insert(row.user_id.0);
        }
        let mut names = SessionNames::default();
        for (source, keys) in users {
            let keys: Vec<i64> = keys.into_iter().collect();
            let found = match source {
                None => self.list_usernames(&keys).await?,
                Some(source) => self.list_source_usernames(source, &keys).await?,
            };
            names.0.extend(found.into_iter().map(|(key, name)| ((source, key), name)));
        }
        Ok(names)
    }
}
