//! Sessions in memory, in columns: an index for searches, far pages, every filter but a user's or an
//! address's, and counts by kind. It does not depend on the database: its caller feeds it sessions,
//! users and user agents, and a question names the users whose texts it looks at.

mod bits;
pub(in crate::store) mod both;
mod cache;
mod columns;
mod dictionary;
mod entries;
mod facets;
mod merge;
mod names;
mod order;
mod pages;
mod places;
mod plan;
mod select;
mod table;
#[cfg(test)]
mod tests;

use crate::domain::facets::{AddressCount, Facets};
use crate::domain::listing::{SessionRow, Sort};
use crate::domain::page::{Found, Wanted};
use crate::domain::source::SourceId;
use crate::store::sessions::index::both::Ordered;
use crate::store::sessions::index::cache::Cache;
use crate::store::sessions::index::plan::Page;
use crate::store::sessions::index::table::Table;

pub(in crate::store) use entries::{Agent, Entry};
pub(in crate::store) use plan::Effort;
pub(in crate::store) use select::Question;

/// Names of users and user agents.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Names {
    /// Users: primary key and name. One that the index knows by another name is renamed.
    pub users: Vec<(i64, String)>,
    /// User agents. One that the index knows stays as it is.
    pub agents: Vec<Agent>,
}

/// What changed. Names are applied first, then what is gone, then sessions.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Changes {
    /// Names of users that changed, and of users and user agents that the sessions need.
    pub names: Names,
    /// Primary keys of sessions that ended.
    pub gone: Vec<i64>,
    /// Sessions that are new or changed.
    pub sessions: Vec<Entry>,
}

/// The index.
#[derive(Default)]
pub(in crate::store) struct SessionIndex {
    table: Table,
    cache: Cache,
}

impl SessionIndex {
    /// An empty index with room for `count` sessions of this source; `None`: of Rollcall. Sessions are added by
    /// [`apply`](Self::apply); then it is [settled](Self::settle).
    pub fn filling(count: usize, source: Option<SourceId>) -> Self {
        Self { table: Table::filling(count, source), cache: Cache::default() }
    }

    /// The source of its sessions; `None`: Rollcall.
    pub fn source(&self) -> Option<SourceId> {
        self.table.source()
    }

    /// Builds the orders that are requested most, on as many threads as there are processors. No
    /// question may be asked before.
    pub fn settle(&mut self) {
        self.table.settle();
    }

    /// Applies changes.
    pub fn apply(&mut self, changes: &Changes) {
        for (id, name) in &changes.names.users {
            self.table.put_user(*id, name);
        }
        for agent in &changes.names.agents {
            self.table.add_agent(agent);
        }
        for id in &changes.gone {
            self.table.remove(*id);
        }
        for session in &changes.sessions {
            self.table.put(session);
        }
        self.cache.outdate();
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.table.count()
    }

    /// Whether it has enough unused entries that a new index would take much less memory.
    pub fn is_worn(&self) -> bool {
        self.table.is_worn()
    }

    /// Whether it knows a user's name.
    pub fn has_user(&self, id: i64) -> bool {
        self.table.has_user(id)
    }

    /// Whether it knows a user agent.
    pub fn has_agent(&self, id: i64) -> bool {
        self.table.has_agent(id)
    }

    /// How many sessions match, and those of one page in order. `None`: that takes more than this effort.
    pub fn page(&self, question: &Question, sorts: &[Sort], wanted: Wanted, effort: Effort) -> Option<Found<SessionRow>> {
        self.cache.page(&self.table, question, sorts, wanted, effort)
    }

    /// How many sessions match.
    pub fn count(&self, question: &Question) -> i64 {
        self.cache.count(&self.table, question)
    }

    /// The matches of a part of their order, each with what orders go by: whatever effort it takes.
    pub fn ordered(&self, question: &Question, sorts: &[Sort], page: Page) -> Vec<Ordered<'_>> {
        self.cache.slots(&self.table, question, sorts, page).into_iter().map(|slot| self.table.ordered(slot)).collect()
    }

    /// Counts of all kinds of the matches, not only of the most frequent ones.
    pub fn all_facets(&self, question: &Question, today: i64) -> Facets {
        self.table.facets(&self.cache.matches(&self.table, question), today, usize::MAX)
    }

    /// How many of the matches there are of each kind; `today` is in days since 1970.
    pub fn facets(&self, question: &Question, today: i64) -> Facets {
        self.cache.facets(&self.table, question, today)
    }

    /// How many of the matches there are at each address, the most first, at most `limit` addresses.
    pub fn addresses(&self, question: &Question, limit: usize) -> Vec<AddressCount> {
        self.cache.addresses(&self.table, question, limit)
    }

    /// How often an answer was in the cache, and how often not, since the last call.
    pub fn take_cache_uses(&self) -> (usize, usize) {
        self.cache.take_uses()
    }
}
