//! Reads the source's list: the latest sessions at each poll, all of them from time to time, and, where few have ended,
//! only the pages that show which.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::actions::app::App;
use crate::actions::watch::error::{PollError, SESSIONS};
use crate::actions::watch::poller::Poller;
use crate::actions::watch::search::{Next, first_difference};
use crate::domain::source::SourceId;
use crate::domain::{SessionId, Timestamp};
use crate::watch::answer::SeenSession;
use crate::watch::call::{Order, PAGE_SIZE};
use crate::watch::{Client, SourceError};

/// Up to this many sessions, each poll reads all of them.
const SMALL: i64 = 1_000;
/// How often all sessions of a larger source are read.
const WHOLE: Duration = Duration::from_secs(1_800);
/// More ends than this at once are found by a walk through all sessions.
const FEW: i64 = 32;
/// How far before the latest use that was seen the next read begins: uses may be saved out of order.
const OVERLAP: Duration = Duration::from_secs(2);
/// How many pages of the latest sessions are read at most; where more changed, all sessions are read.
const LATEST_PAGES: u32 = 20;

/// A walk through all sessions in the order of UUIDs. It goes on after a failure where it stopped.
pub(super) struct Walk {
    began: Timestamp,
    /// The page to read next; the first is 1.
    page: u32,
    seen: HashSet<SessionId>,
}

impl Walk {
    fn new(began: Timestamp) -> Self {
        Self { began, page: 1, seen: HashSet::new() }
    }
}

/// A page, and whether there is one behind it.
struct Read {
    sessions: Vec<SeenSession>,
    count: i64,
    is_last: bool,
}

impl Poller {
    async fn page(&mut self, app: &App, client: &Client, order: Order, page: u32) -> Result<Read, PollError> {
        match self.ask(app, client, SESSIONS, client.sessions(order, page, PAGE_SIZE)).await {
            Ok(answer) => Ok(Read {
                is_last: answer.results.is_empty() || page >= answer.pagination.total_pages,
                count: i64::from(answer.pagination.count),
                sessions: answer.results,
            }),
            // Sessions ended since the last page was read, and there is no such page any more.
            Err(PollError::Source { error: SourceError::NoPage, .. }) if page > 1 => {
                Ok(Read { sessions: Vec::new(), count: 0, is_last: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what began or was used since the last poll, writes it, and gives the number of all sessions.
    pub(super) async fn read_latest(&mut self, app: &App, client: &Client) -> Result<i64, PollError> {
        self.latest_at = Some(Instant::now());
        let since = self.source()?.status.newest_used_at.minus(OVERLAP);
        let is_first = self.source()?.status.swept_at == Timestamp(0);
        let (mut total, mut page, mut has_other_names, mut newest) = (0, 1, false, since);
        loop {
            let read = self.page(app, client, Order::LastUsed(self.names), page).await?;
            if !read.sessions.is_sorted_by_key(|session| std::cmp::Reverse(session.last_used)) {
                if has_other_names {
                    return Err(unordered());
                }
                // A server ignores an order by a name that it does not know.
                (self.names, has_other_names, page) = (self.names.other(), true, 1);
                continue;
            }
            total = if page == 1 { read.count } else { total };
            let is_enough = read.sessions.last().is_none_or(|session| session.last_used < since);
            newest = read.sessions.first().map_or(newest, |session| newest.max(session.last_used));
            self.merge(app, client, read.sessions).await?;
            let is_whole = read.is_last || is_enough;
            if is_whole || is_first || page >= LATEST_PAGES {
                let status = &mut self.source()?.status;
                (status.total, status.newest_used_at) = (total, status.newest_used_at.max(newest));
                if !is_whole && self.walk.is_none() {
                    self.walk = Some(Walk::new(app.clock.now()));
                }
                return Ok(total);
            }
            page += 1;
        }
    }

    /// Sessions of the copy that the source does not show any more. Some of them may live: their page shifted while it
    /// was read.
    pub(super) async fn find_missing(&mut self, app: &App, client: &Client, total: i64) -> Result<Vec<SessionId>, PollError> {
        let (id, swept_at) = (self.source()?.id, self.source()?.status.swept_at);
        let copied = app.store.read().count_watched(id).await?;
        let now = app.clock.now();
        let is_due = swept_at == Timestamp(0) || now.since(swept_at) >= WHOLE;
        if total <= self.small.unwrap_or(SMALL) || is_due || copied < total || copied - total > FEW || self.walk.is_some() {
            return self.walk_all(app, client).await;
        }
        if copied == total {
            return Ok(Vec::new());
        }
        match self.search(app, client, id, total).await? {
            Some(missing) => Ok(missing),
            None => self.walk_all(app, client).await,
        }
    }

    /// Walks through all sessions, and gives those of the copy that were not there.
    async fn walk_all(&mut self, app: &App, client: &Client) -> Result<Vec<SessionId>, PollError> {
        if self.walk.is_none() {
            self.walk = Some(Walk::new(app.clock.now()));
        }
        loop {
            let page = self.walk.as_ref().map_or(1, |walk| walk.page);
            let read = self.page(app, client, Order::Uuid, page).await?;
            if !read.sessions.is_sorted_by_key(|session| session.uuid) {
                return Err(unordered());
            }
            let uuids: Vec<SessionId> = read.sessions.iter().map(|session| session.uuid).collect();
            self.merge(app, client, read.sessions).await?;
            if let Some(walk) = &mut self.walk {
                walk.seen.extend(uuids);
                walk.page += 1;
            }
            if read.is_last {
                break;
            }
            if self.latest_at.is_none_or(|at| at.elapsed() >= client.source().every) {
                let (total, id) = (self.read_latest(app, client).await?, self.source()?.id);
                if app.store.read().count_watched(id).await? == total {
                    self.source()?.status.seen_at = app.clock.now();
                }
                self.write_status(app).await?;
            }
        }
        let Some(walk) = self.walk.take() else { return Ok(Vec::new()) };
        // It counts when what it found is settled.
        self.walked = Some(walk.began);
        let copied = app.store.read().list_watched_uuids(self.source()?.id).await?;
        // What was written since the walk began was seen alive.
        let missing = copied.into_iter().filter(|(uuid, seen_at)| *seen_at < walk.began && !walk.seen.contains(uuid));
        Ok(missing.map(|(uuid, _)| uuid).collect())
    }

    /// Searches for the few sessions that ended; `None`: a walk through all sessions is needed.
    async fn search(&mut self, app: &App, client: &Client, id: SourceId, total: i64) -> Result<Option<Vec<SessionId>>, PollError> {
        let copied = app.store.read().list_watched_uuids(id).await?;
        let mut copy: Vec<SessionId> = copied.into_iter().map(|(uuid, _)| uuid).collect();
        let count = usize::try_from(total).unwrap_or(0);
        let (mut pages, mut missing, mut size) = (HashMap::new(), Vec::new(), usize::try_from(PAGE_SIZE).unwrap_or(100));
        while copy.len() > count {
            match first_difference(&copy, &pages, size, count) {
                Next::Read(page) => {
                    let read = self.page(app, client, Order::Uuid, u32::try_from(page).unwrap_or(u32::MAX)).await?;
                    if !read.sessions.is_sorted_by_key(|session| session.uuid) {
                        return Err(unordered());
                    }
                    if !read.is_last && read.sessions.len() < size {
                        // The source has smaller pages: the pages that were read have other places.
                        size = read.sessions.len();
                        pages.clear();
                    }
                    pages.insert(page, read.sessions.iter().map(|session| session.uuid).collect());
                }
                Next::Missing(at) => missing.push(copy.remove(at)),
                Next::Unknown => return Ok(None),
                Next::Same => break,
            }
        }
        Ok((!missing.is_empty()).then_some(missing))
    }
}

fn unordered() -> PollError {
    let error = SourceError::Unreadable("the list is not in the order that was asked for".into());
    PollError::Source { what: SESSIONS, error }
}
