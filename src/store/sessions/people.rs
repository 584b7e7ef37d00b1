//! The users that a search of sessions finds by what they are called today: username, e-mail address and full name. They
//! come from the texts of users in memory ([`crate::store::people::texts`]), as keys.

use std::sync::Arc;

use crate::store::people::texts::UserTexts;
use crate::store::{Db, StoreError};

/// Up to this number of users with a term, a condition names them; else it looks at the texts of users.
const MOST_NAMED: usize = 100;

/// The texts of users as they were at the question, or later.
#[derive(Clone, Debug)]
pub(in crate::store) struct People {
    texts: Arc<UserTexts>,
    /// The number of the last change that is in them. What was found by texts with one number is the same.
    seq: Option<i64>,
}

impl PartialEq for People {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl People {
    /// The users of this moment.
    pub async fn of(texts: &Arc<UserTexts>, db: &Db<'_>) -> Result<Self, StoreError> {
        texts.refresh(db).await?;
        Ok(Self { texts: Arc::clone(texts), seq: texts.seq() })
    }

    /// The keys of the users with this term, in no order.
    pub fn with(&self, term: &str) -> Vec<i64> {
        self.texts.ids_of_today(term, usize::MAX).unwrap_or_default()
    }

    /// The same; `None`: there are too many to name.
    pub fn few_with(&self, term: &str) -> Option<Vec<i64>> {
        self.texts.ids_of_today(term, MOST_NAMED)
    }
}
