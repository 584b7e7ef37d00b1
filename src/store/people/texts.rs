//! The texts of all users in memory, for searches: username, e-mail address, full name and uuid, and the former
//! names that ended sessions have. A search passes over one block of memory, not over the table.
//!
//! It holds nothing that the database does not hold. Before each question it reads the number of the last
//! change, and then the users that changed since, whichever process changed them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use memchr::memmem::Finder;
use uuid::Uuid;

use crate::store::people::letters::Letters;
use crate::store::people::marks::{Asked, FEW, Few, Many, Marks, Matching, Places};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How many texts that are no longer true are kept, as a part of all texts, before the block is made anew.
const MOST_GARBAGE: usize = 4;

/// Up to this number of users that match, the first by username are found here: the database would read as many users as
/// it takes to come by them.
const MOST_SORTED: usize = 20_000;

/// A further term is looked for user by user where at most this part of all users is left.
const FEW_PART: usize = 8;

/// The texts of users that this process holds.
#[derive(Debug, Default)]
pub struct UserTexts {
    known: RwLock<Known>,
    /// Held while the texts catch up on PostgreSQL, so that many questions at once do not all read them. A read on SQLite may
    /// wait for nothing but the database.
    catching_up: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// The number of the last change that is in it; `None`: not filled.
    seq: Option<i64>,
    /// All texts, each with a zero byte after it.
    block: Vec<u8>,
    /// The users, in the order of the block.
    entries: Vec<Entry>,
    /// The letters of each entry.
    letters: Letters,
    /// The uuid of each entry as text, with a zero byte after it.
    uuids: Vec<u8>,
    /// The username of each entry as it is written.
    usernames: Vec<u8>,
    /// Where the entry of a user is.
    places: HashMap<Uuid, usize>,
    /// How many entries are no longer true.
    garbage: usize,
    /// What was found for the terms asked last.
    asked: Asked,
}

/// A user in the block.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    /// Where the former names begin, which a search of users does not find.
    former: usize,
    end: usize,
    /// Where the username begins and ends among the usernames.
    username: (usize, usize),
    uuid: Uuid,
    /// The primary key; 0: the user is gone.
    id: i64,
    is_true: bool,
}

impl Entry {
    /// Whether it is a user of today.
    fn is_user(&self) -> bool {
        self.is_true && self.id != 0
    }
}

/// A user as read.
struct TextRow {
    uuid: Uuid,
    id: i64,
    username: String,
    texts: [String; 3],
}

impl FromRow for TextRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { uuid: row.uuid()?, id: row.int()?, username: row.text()?, texts: [row.text()?, row.text()?, row.text()?] })
    }
}

/// A former name.
struct FormerRow(Uuid, String);

impl FromRow for FormerRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.uuid()?, row.text()?))
    }
}

/// The length of a uuid's text, with the zero byte.
const UUID_LENGTH: usize = 37;

/// What a search looks at of users `u`, as SQL: username, e-mail address and full name, folded.
pub(in crate::store) static FOLDED: [&str; 3] = ["u.username_folded", "u.email_folded", "COALESCE(u.name_folded, upper(u.name))"];

/// The columns of a [`TextRow`], of users `u`.
fn columns() -> String {
    format!("u.username, {}", FOLDED.join(", "))
}

impl UserTexts {
    /// Reads what changed since the last question.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn refresh(&self, db: &Db<'_>) -> Result<(), StoreError> {
        let newest = db.one::<i64>("SELECT n FROM row_counts WHERE name = 'user_changes'", &[]).await?.unwrap_or(0);
        if self.seq().is_some_and(|seq| seq >= newest) {
            return Ok(());
        }
        let _turn = if db.is_sqlite() { None } else { Some(self.catching_up.lock().await) };
        while !self.catch_up(db, newest).await? {}
        Ok(())
    }

    /// Reads what changed up to `newest`. Returns whether that is known then: not if another question caught up in between,
    /// whose texts must not be mixed with these.
    async fn catch_up(&self, db: &Db<'_>, newest: i64) -> Result<bool, StoreError> {
        let Some(seq) = self.seq() else {
            let users: Vec<TextRow> = db.all(&format!("SELECT u.uuid, u.id, {} FROM users u", columns()), &[]).await?;
            let former: Vec<FormerRow> = db.all("SELECT user_uuid, username_folded FROM former_names", &[]).await?;
            let mut read = Known { seq: Some(newest), ..Known::default() };
            read.replace(users, former);
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.seq.is_some() {
                return Ok(false);
            }
            *known = read;
            return Ok(true);
        };
        if seq >= newest {
            return Ok(true);
        }
        let changed = "FROM user_changes c JOIN";
        let since = "WHERE c.seq > $1";
        let all: Vec<Uuid> = db.all(&format!("SELECT c.user_uuid FROM user_changes c {since}"), &values![seq]).await?;
        let sql = format!("SELECT u.uuid, u.id, {} {changed} users u ON u.uuid = c.user_uuid {since}", columns());
        let users: Vec<TextRow> = db.all(&sql, &values![seq]).await?;
        let sql = format!("SELECT f.user_uuid, f.username_folded {changed} former_names f ON f.user_uuid = c.user_uuid {since}");
        let former: Vec<FormerRow> = db.all(&sql, &values![seq]).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.seq != Some(seq) {
            return Ok(false);
        }
        for uuid in all {
            known.remove(uuid);
        }
        known.replace(users, former);
        known.seq = Some(newest);
        known.tidy();
        known.asked.clear();
        Ok(true)
    }

    /// The number of the last change that is in it; `None`: it is not filled.
    pub(in crate::store) fn seq(&self) -> Option<i64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).seq
    }

    /// The users with each term in one of their texts. `wanted`: how many of them are asked for in the order of usernames.
    /// Call [`UserTexts::refresh`] first.
    #[must_use]
    pub(in crate::store) fn matching(&self, terms: &[String], wanted: usize) -> Matching {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut terms: Vec<&String> = terms.iter().collect();
        // A long term is rare: the others are looked for in what it leaves.
        terms.sort_by_key(|term| std::cmp::Reverse(term.len()));
        let Some((first, others)) = terms.split_first() else { return Matching::Few(Few::default()) };
        let marks = others.iter().fold(known.kept_marks_of(first), |marks, term| known.marks_of_both(&marks, term));
        let count = marks.count();
        if count > FEW {
            let is_sorted = wanted > 0 && count <= MOST_SORTED;
            let first = if is_sorted { known.first_by_username(&marks, wanted) } else { Vec::new() };
            let mut many = Many::new(count, marks, known.asked.places(|| known.places_of_users()));
            many.first = first;
            return Matching::Many(many);
        }
        known.few(&marks)
    }

    /// The users, also removed ones, with the term in a name or an e-mail address, now or before; at
    /// most `limit`. Call [`UserTexts::refresh`] first.
    #[must_use]
    pub(in crate::store) fn uuids_with(&self, term: &str, limit: usize) -> Vec<Uuid> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        known.each_with(term, |_, entry, _| {
            if entry.is_true {
                found.push(entry.uuid);
            }
            found.len() < limit
        });
        found
    }

    /// The users with the term in their name or e-mail address of today; `None`: more than `limit`. Call
    /// [`UserTexts::refresh`] first.
    #[must_use]
    pub(in crate::store) fn uuids_of_today(&self, term: &str, limit: usize) -> Option<Vec<Uuid>> {
        self.of_today(term, limit, |entry| entry.uuid)
    }

    /// The same by primary key.
    #[must_use]
    pub(in crate::store) fn ids_of_today(&self, term: &str, limit: usize) -> Option<Vec<i64>> {
        self.of_today(term, limit, |entry| entry.id)
    }

    fn of_today<T>(&self, term: &str, limit: usize, give: impl Fn(&Entry) -> T) -> Option<Vec<T>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        known.each_with(term, |_, entry, hit| {
            if entry.is_user() && hit < entry.former {
                found.push(give(entry));
            }
            found.len() <= limit
        });
        (found.len() <= limit).then_some(found)
    }
}

/// Whether a term could be part of a text: an empty one is in none, and a zero byte lies between two texts.
fn could_be_text(term: &str) -> bool {
    !term.is_empty() && !term.contains('\0')
}

/// Whether a folded term could be part of a uuid's text.
pub(super) fn could_be_uuid(term: &str) -> bool {
    !term.is_empty() && term.len() < UUID_LENGTH && term.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

impl Known {
    /// Adds users, with their former names.
    fn replace(&mut self, users: Vec<TextRow>, former: Vec<FormerRow>) {
        let mut names: HashMap<Uuid, Vec<String>> = HashMap::new();
        for FormerRow(uuid, name) in former {
            names.entry(uuid).or_default().push(name);
        }
        for TextRow { uuid, id, username, texts } in users {
            let former = names.remove(&uuid).unwrap_or_default();
            self.add((uuid, id), &username, &texts, &former);
        }
        for (uuid, former) in names {
            self.add((uuid, 0), "", &[], &former);
        }
    }

    fn add(&mut self, (uuid, id): (Uuid, i64), username: &str, texts: &[String], former: &[String]) {
        self.remove(uuid);
        let start = self.block.len();
        let mut push = |texts: &[String]| {
            for text in texts {
                self.block.extend_from_slice(text.as_bytes());
                self.block.push(0);
            }
            self.block.len()
        };
        let before = push(texts);
        let end = push(former);
        if id == 0 {
            self.letters.push_nobody();
        } else {
            self.letters.push_user(self.block.get(start..before).unwrap_or_default(), uuid);
        }
        self.places.insert(uuid, self.entries.len());
        let from = self.usernames.len();
        self.usernames.extend_from_slice(username.as_bytes());
        let username = (from, self.usernames.len());
        self.entries.push(Entry { start, former: before, end, username, uuid, id, is_true: true });
        self.push_uuid(uuid);
    }

    fn push_uuid(&mut self, uuid: Uuid) {
        self.uuids.extend_from_slice(uuid.hyphenated().encode_upper(&mut Uuid::encode_buffer()).as_bytes());
        self.uuids.push(0);
    }

    fn remove(&mut self, uuid: Uuid) {
        let Some(place) = self.places.remove(&uuid) else { return };
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.is_true = false;
        self.letters.clear(place);
        self.garbage += 1;
        // What was erased is gone from the memory too.
        if let Some(texts) = self.block.get_mut(entry.start..entry.end) {
            texts.fill(0);
        }
        if let Some(username) = self.usernames.get_mut(entry.username.0..entry.username.1) {
            username.fill(0);
        }
    }

    /// Makes the block anew when much of it is no longer true.
    fn tidy(&mut self) {
        if self.garbage * MOST_GARBAGE <= self.entries.len() {
            return;
        }
        let (mut block, mut entries) = (Vec::with_capacity(self.block.len()), Vec::with_capacity(self.entries.len()));
        let (mut usernames, mut letters) = (Vec::with_capacity(self.usernames.len()), Letters::default());
        for (place, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.is_true) {
            letters.move_from(&self.letters, place);
            let start = block.len();
            block.extend_from_slice(self.block.get(entry.start..entry.end).unwrap_or_default());
            let from = usernames.len();
            usernames.extend_from_slice(self.username_of(entry));
            let (former, username) = (start + (entry.former - entry.start), (from, usernames.len()));
            entries.push(Entry { start, former, end: block.len(), username, ..*entry });
        }
        self.places = entries.iter().enumerate().map(|(at, entry)| (entry.uuid, at)).collect();
        (self.block, self.usernames, self.letters, self.garbage) = (block, usernames, letters, 0);
        self.uuids.clear();
        for entry in &entries {
            self.push_uuid(entry.uuid);
        }
        self.entries = entries;
    }

    fn username_of(&self, entry: &Entry) -> &[u8] {
        self.usernames.get(entry.username.0..entry.username.1).unwrap_or_default()
    }

    /// The first `count` marked users by username.
    fn first_by_username(&self, marks: &Marks, count: usize) -> Vec<i64> {
        let mut entries: Vec<&Entry> = marks.places().filter_map(|place| self.entries.get(place)).collect();
        let by_username = |one: &&Entry, other: &&Entry| self.username_of(one).cmp(self.username_of(other));
        if count < entries.len() {
            entries.select_nth_unstable_by(count, by_username);
            entries.truncate(count);
        }
        entries.sort_unstable_by(by_username);
        entries.iter().map(|entry| entry.id).collect()
    }

    /// The marked users, who are few.
    fn few(&self, marks: &Marks) -> Matching {
        let mut entries: Vec<&Entry> = marks.places().filter_map(|place| self.entries.get(place)).collect();
        entries.sort_unstable_by_key(|entry| self.username_of(entry));
        let by_username: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let mut ids = by_username.clone();
        ids.sort_unstable();
        Matching::Few(Few { ids, by_username })
    }

    /// The users of today, by primary key.
    fn places_of_users(&self) -> Places {
        let users = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_user());
        Places::new(users.map(|(place, entry)| (entry.id, place)).collect())
    }

    /// The marks of a term, as kept from an earlier search or made and kept now.
    fn kept_marks_of(&self, term: &str) -> Arc<Marks> {
        self.asked.marks(term).unwrap_or_else(|| {
            let marks = Arc::new(self.marks_of(term));
            self.asked.keep(term, &marks);
            marks
        })
    }

    /// Those of the marks that the term has too. In few users the term is looked for one by one.
    fn marks_of_both(&self, marks: &Marks, term: &str) -> Arc<Marks> {
        let is_few = marks.count() * FEW_PART <= self.entries.len();
        Arc::new(match self.asked.marks(term) {
            Some(kept) => marks.and(&kept),
            None if is_few => self.marks_with(marks, term),
            None => marks.and(&self.kept_marks_of(term)),
        })
    }

    /// For each entry: whether it is a user with the term in one of their texts of today, or in the uuid.
    fn marks_of(&self, term: &str) -> Marks {
        if let Some(marks) = self.letters.marks(term) {
            return marks;
        }
        let mut marks = Marks::none(self.entries.len());
        self.each_with(term, |place, entry, hit| {
            if entry.is_user() && hit < entry.former {
                marks.set(place);
            }
            true
        });
        if !could_be_uuid(term) {
            return marks;
        }
        // Where most users have the term in a text, few uuids are left to look at.
        if marks.count() * 2 > self.entries.len() {
            let finder = Finder::new(term.as_bytes());
            for (place, (entry, uuid)) in self.entries.iter().zip(self.uuids.chunks(UUID_LENGTH)).enumerate() {
                if !marks.has(place) && entry.is_user() && finder.find(uuid).is_some() {
                    marks.set(place);
                }
            }
        } else {
            self.each_with_uuid(term, |place, entry| {
                if entry.is_user() {
                    marks.set(place);
                }
            });
        }
        marks
    }

    /// The marked entries that have the term.
    fn marks_with(&self, marks: &Marks, term: &str) -> Marks {
        let finder = Finder::new(term.as_bytes());
        let (could_be_text, could_be_uuid) = (could_be_text(term), could_be_uuid(term));
        let mut found = Marks::none(self.entries.len());
        for place in marks.places() {
            let Some(entry) = self.entries.get(place) else { break };
            let texts = || self.block.get(entry.start..entry.former).unwrap_or_default();
            let uuid = || self.uuids.get(place * UUID_LENGTH..(place + 1) * UUID_LENGTH).unwrap_or_default();
            if (could_be_text && finder.find(texts()).is_some()) || (could_be_uuid && finder.find(uuid()).is_some()) {
                found.set(place);
            }
        }
        found
    }

    /// The place of the entry that this byte of the block belongs to, which is not before `from`. Where many entries have
    /// a term, the next one is near: the distance doubles until the entry is passed, and a binary search finds it there.
    fn place_of(&self, byte: usize, from: usize) -> usize {
        let (mut low, mut step) = (from, 1);
        while self.entries.get(low + step - 1).is_some_and(|entry| entry.end <= byte) {
            low += step;
            step *= 2;
        }
        let near = self.entries.get(low..(low + step).min(self.entries.len())).unwrap_or_default();
        low + near.partition_point(|entry| entry.end <= byte)
    }

    /// Calls `found` with each entry whose uuid holds the term.
    fn each_with_uuid(&self, term: &str, mut found: impl FnMut(usize, &Entry)) {
        let (finder, mut from) = (Finder::new(term.as_bytes()), 0);
        while let Some(at) = self.uuids.get(from..).and_then(|rest| finder.find(rest)) {
            let nth = (from + at) / UUID_LENGTH;
            if let Some(entry) = self.entries.get(nth) {
                found(nth, entry);
            }
            from = (nth + 1) * UUID_LENGTH;
        }
    }

    /// Calls `found` with each entry that holds the term, and where, until it returns false. An entry is given once, at
    /// the first place.
    fn each_with(&self, term: &str, mut found: impl FnMut(usize, &Entry, usize) -> bool) {
        if !could_be_text(term) {
            return;
        }
        if let [byte] = term.as_bytes() {
            // Most entries have it: each is looked at by itself.
            for (nth, entry) in self.entries.iter().enumerate() {
                let text = self.block.get(entry.start..entry.end).unwrap_or_default();
                if let Some(at) = memchr::memchr(*byte, text)
                    && !found(nth, entry, entry.start + at)
                {
                    return;
                }
            }
            return;
        }
        let (finder, mut from, mut nth) = (Finder::new(term.as_bytes()), 0, 0);
        while let Some(at) = self.block.get(from..).and_then(|rest| finder.find(rest)) {
            let hit = from + at;
            nth = self.place_of(hit, nth);
            let Some(entry) = self.entries.get(nth) else { return };
            if !found(nth, entry, hit) {
                return;
            }
            from = entry.end;
        }
    }
}
