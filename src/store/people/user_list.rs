//! Users as lists show them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::UserId;
use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::domain::people_lists::{UserFilter, UserSortKey};
use crate::domain::user::UserType;
use crate::store::db::conditions::Conditions;
use crate::store::db::statements::{any_of, in_list, one_of_few};
use crate::store::lists::Listed;
use crate::store::people::administrators::{AUDITORS, SUPERUSERS};
use crate::store::people::groups::{GROUP_COLUMNS, GroupRow};
use crate::store::people::marks::{Few, Matching};
use crate::store::people::profiles::{PROFILE_COLUMNS_WITHOUT_GROUPS, UserProfile};
use crate::store::people::texts::{FOLDED, could_be_uuid};
use crate::store::{Db, FromRow, Row, Store, StoreError, Value};
use crate::values;

/// A user of a list.
#[derive(Clone, Debug)]
pub struct ListedUser {
    /// All that is known of the user.
    pub profile: UserProfile,
    /// The direct groups, by name.
    pub groups: Vec<GroupRow>,
    /// Whether they read everything, by themselves, by a group or by an ancestor of one.
    pub is_auditor: bool,
}

/// What a list sorts by: an expression that an index has.
fn column(key: UserSortKey) -> &'static str {
    match key {
        UserSortKey::Id => "u.id",
        UserSortKey::Username => "u.username",
        UserSortKey::Name => "substr(u.name, 1, 200)",
        UserSortKey::Active => "u.is_active",
        UserSortKey::LastSignIn => "COALESCE(u.last_sign_in_at, 0)",
        UserSortKey::Created => "u.created_at",
        UserSortKey::Email => "u.email",
        UserSortKey::Path => "substr(u.path, 1, 200)",
        UserSortKey::Type => "u.type",
        UserSortKey::Uuid => "u.uuid",
        UserSortKey::PasswordChange => "COALESCE(u.password_changed_at, u.created_at)",
        UserSortKey::Updated => "COALESCE(u.updated_at, u.created_at)",
        UserSortKey::Attributes => "substr(u.attributes, 1, 200)",
    }
}

/// How many keys are read at once, at least and at most: a power of two ([`one_of_few`]).
const STEPS: (i64, i64) = (128, 4_096);

/// The order in SQL, with a last term that no two users share: the key, in the direction of the term before it, as the
/// indexes have it.
fn order_sql(order: &[Sort<UserSortKey>]) -> String {
    let by = |sort: &Sort<UserSortKey>| format!("{}{}", column(sort.key), if sort.is_descending { " DESC" } else { "" });
    let mut terms: Vec<String> = order.iter().map(by).collect();
    if order.iter().all(|sort| !matches!(sort.key, UserSortKey::Id | UserSortKey::Username | UserSortKey::Uuid)) {
        let is_descending = order.last().is_some_and(|sort| sort.is_descending);
        terms.push(if is_descending { "u.id DESC" } else { "u.id" }.to_owned());
    }
    terms.join(", ")
}

impl Listed for UserFilter {
    type Key = UserSortKey;
    type Row = ListedUser;

    async fn find(&self, store: &Store, order: &[Sort<UserSortKey>], wanted: Wanted) -> Result<Found<ListedUser>, StoreError> {
        let (mut filter, order, texts) = (self.clone(), order.to_vec(), Arc::clone(store.user_texts()));
        let read = store.long_read(move |db| {
            Box::pin(async move {
                if filter.search.is_empty() {
                    return db.page_users(&filter, &order, wanted).await;
                }
                texts.refresh(db).await?;
                let terms = std::mem::take(&mut filter.search);
                let is_by_username = matches!(order[..], [Sort { key: UserSortKey::Username, is_descending: false }, ..]);
                let end = wanted.window_at_most().map(|window| window.offset.saturating_add(window.limit));
                let first = end.filter(|end| *end <= STEPS.1 && is_by_username && filter == UserFilter::default());
                let matching = texts.matching(&terms, first.and_then(|end| usize::try_from(end).ok()).unwrap_or(0));
                db.page_users_of(&filter, &matching, &order, wanted).await
            })
        });
        read.await
    }
}

/// The first 200 characters, by which names and paths are indexed.
fn start(text: &str) -> String {
    text.chars().take(200).collect()
}

impl Conditions {
    /// The conditions on users `u`.
    fn of_users(db: &Db<'_>, filter: &UserFilter) -> Self {
        let mut it = Self::of(db);
        it.with("u.username = ?", filter.username.as_ref());
        it.with("u.email = ?", filter.email.as_ref());
        it.with("substr(u.name, 1, 200) = ?", filter.name.as_deref().map(start));
        it.with("u.name = ?", filter.name.as_ref());
        it.with("substr(u.path, 1, 200) = ?", filter.path.as_deref().map(start));
        it.with("u.path = ?", filter.path.as_ref());
        if let Some(path) = &filter.path_start {
            let first = start(path);
            it.with("substr(u.path, 1, 200) < ?", Some(format!("{first}\u{10ffff}")));
            it.with("substr(u.path, 1, 200) >= ?", Some(first));
            it.with(&format!("substr(u.path, 1, {}) = ?", path.chars().count()), Some(path));
        }
        it.with("u.uuid = ?", filter.uuid);
        it.with("u.is_active = ?", filter.active);
        if let Some(is_superuser) = filter.superuser {
            it.add(format!("u.id {}IN ({SUPERUSERS})", if is_superuser { "" } else { "NOT " }));
        }
        if let Some(is_auditor) = filter.auditor {
            it.add(format!("u.id {}IN ({AUDITORS})", if is_auditor { "" } else { "NOT " }));
        }
        it.within("u.type IN (?)", filter.types.iter().map(|kind: &UserType| kind.as_str()));
        let members = "u.id IN (SELECT m.user_id FROM groups g JOIN memberships m ON m.group_id = g.id WHERE g.";
        it.within(&format!("{members}name IN (?))"), &filter.groups);
        it.within(&format!("{members}uuid IN (?))"), filter.group_uuids.iter().copied());
        if !(filter.roles.is_empty() && filter.role_uuids.is_empty()) {
            it.add("1 = 0");
        }
        it.with_attributes("u.attributes", filter.attributes.as_ref());
        for (expression, [at, before, after]) in [
            ("u.created_at", [filter.created, filter.created_lt, filter.created_gt]),
            ("COALESCE(u.updated_at, u.created_at)", [filter.updated, filter.updated_lt, filter.updated_gt]),
            ("COALESCE(u.last_sign_in_at, 0)", [filter.last_sign_in, filter.last_sign_in_lt, filter.last_sign_in_gt]),
        ] {
            it.with(&format!("{expression} = ?"), at);
            it.with(&format!("{expression} < ?"), before);
            it.with(&format!("{expression} > ?"), after);
        }
        if [filter.last_sign_in, filter.last_sign_in_lt, filter.last_sign_in_gt].iter().any(Option::is_some) {
            it.add("u.last_sign_in_at IS NOT NULL");
        }
        if let Some(asked) = filter.removal_asked {
            it.add(format!("u.removal_asked_at IS {}NULL", if asked { "NOT " } else { "" }));
        }
        if let Some(never) = filter.never_signed_in {
            it.add(format!("u.last_sign_in_at IS {}NULL", if never { "" } else { "NOT " }));
        }
        if let Some(has) = filter.second_factor {
            let not = if has { "" } else { "NOT " };
            it.add(format!("{not}EXISTS (SELECT 1 FROM authenticators f WHERE f.user_id = u.id AND f.is_confirmed)"));
        }
        for term in &filter.search {
            it.with_term(term);
        }
        it
    }

    /// A term that must be part of one of a user's texts.
    fn with_term(&mut self, term: &str) {
        let place = self.place(term);
        let mut any: Vec<String> = FOLDED.iter().map(|text| self.contains(text, &place)).collect();
        if could_be_uuid(term) {
            let uuid = if self.is_sqlite() {
                let digits = |from: u8, count: u8| format!("substr(hex(u.uuid), {from}, {count})");
                [digits(1, 8), digits(9, 4), digits(13, 4), digits(17, 4), digits(21, 12)].join(" || '-' || ")
            } else {
                "upper(CAST(u.uuid AS text))".to_owned()
            };
            any.push(self.contains(&uuid, &place));
        }
        self.add(format!("({})", any.join(" OR ")));
    }
}

/// A group, and what it or an ancestor gives its members.
struct WithRights {
    group: i64,
    is_superuser: bool,
    is_auditor: bool,
}

impl FromRow for WithRights {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { group: row.int()?, is_superuser: row.bool()?, is_auditor: row.bool()? })
    }
}

fn has_one(groups: &[GroupRow], these: &HashSet<i64>) -> bool {
    groups.iter().any(|group| these.contains(&group.id))
}

/// A group, and one of its members.
struct GroupOf(i64, GroupRow);

impl FromRow for GroupOf {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.int()?, GroupRow::from_row(row)?))
    }
}

impl Db<'_> {
    async fn page_users(
        &self,
        filter: &UserFilter,
        order: &[Sort<UserSortKey>],
        wanted: Wanted,
    ) -> Result<Found<ListedUser>, StoreError> {
        let mut conditions = Conditions::of_users(self, filter);
        let clause = conditions.clause();
        let count = if clause.is_empty() {
            self.one::<i64>("SELECT n FROM row_counts WHERE name = 'users'", &[]).await?
        } else {
            self.one::<i64>(&format!("SELECT count(*) FROM users u{clause}"), &conditions.values).await?
        };
        let count = count.unwrap_or(0);
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let terms = order_sql(order);
        if window.offset == 0 && clause.is_empty() {
            let sql = format!("SELECT {PROFILE_COLUMNS_WITHOUT_GROUPS} FROM users u ORDER BY {terms} LIMIT {}", window.limit);
            let first = self.all(&sql, &[]).await?;
            return Ok(wanted.found(count, self.with_groups(first).await?));
        }
        // The keys first, from an index alone, and then their rows. PostgreSQL would plan one statement for both anew for
        // each page, which takes up to as long as running it.
        let pages = if window.offset == 0 {
            format!("LIMIT {}", window.limit)
        } else {
            let (limit, offset) = (conditions.place(window.limit), conditions.place(window.offset));
            format!("LIMIT {limit} OFFSET {offset}")
        };
        let sql = format!("SELECT u.id FROM users u{clause} ORDER BY {terms} {pages}");
        let ids: Vec<i64> = self.all(&sql, &conditions.values).await?;
        Ok(wanted.found(count, self.list_listed_users_in_order(&ids).await?))
    }

    /// The page of those of these users that match.
    async fn page_users_of(
        &self,
        filter: &UserFilter,
        matching: &Matching,
        order: &[Sort<UserSortKey>],
        wanted: Wanted,
    ) -> Result<Found<ListedUser>, StoreError> {
        let is_all = *filter == UserFilter::default();
        if let (Matching::Few(few), true, [Sort { key: UserSortKey::Username, is_descending }, ..]) = (matching, is_all, order) {
            return self.page_users_by_username(few, *is_descending, wanted).await;
        }
        if let Matching::Many(many) = matching
            && !many.first.is_empty()
        {
            let count = i64::try_from(matching.count()).unwrap_or(i64::MAX);
            return self.page_of_users(many.first.iter().copied(), count, wanted).await;
        }
        let is_few = matches!(matching, Matching::Few(_));
        let (mut found, mut after): (Vec<i64>, i64) = (Vec::new(), 0);
        let terms = order_sql(order);
        // Many users: the list is read in its order until the page is full. Their number is known without other filters.
        let last = wanted.window_at_most().filter(|_| is_all && !is_few).map(|window| window.offset.saturating_add(window.limit));
        let is_full = |found: &[i64]| last.is_some_and(|last| i64::try_from(found.len()).is_ok_and(|count| count >= last));
        let mut step = match (matching, last) {
            (Matching::Many(many), Some(last)) => one_of_few(many.reach(last)).clamp(STEPS.0, STEPS.1),
            _ => STEPS.1,
        };
        loop {
            let mut conditions = Conditions::of_users(self, filter);
            if let Matching::Few(Few { ids, .. }) = matching {
                let (these, values) = in_list(std::mem::take(&mut conditions.values), ids.iter().copied());
                conditions.values = values;
                conditions.add(format!("u.id IN ({these})"));
            }
            let clause = conditions.clause();
            let offset = if after == 0 { String::new() } else { format!(" OFFSET {}", conditions.place(after)) };
            let sql = format!("SELECT u.id FROM users u{clause} ORDER BY {terms} LIMIT {step}{offset}");
            let read: Vec<i64> = self.all(&sql, &conditions.values).await?;
            let is_end = i64::try_from(read.len()).unwrap_or(step) < step;
            found.extend(read.into_iter().filter(|id| matching.has(*id)));
            if is_end || is_full(&found) {
                break;
            }
            after += step;
            step = step.saturating_mul(2).min(STEPS.1);
        }
        let count = i64::try_from(if is_full(&found) { matching.count() } else { found.len() }).unwrap_or(0);
        self.page_of_users(found.into_iter(), count, wanted).await
    }

    /// The page of few users in the order of their usernames, which is known without the database.
    async fn page_users_by_username(
        &self,
        few: &Few,
        is_descending: bool,
        wanted: Wanted,
    ) -> Result<Found<ListedUser>, StoreError> {
        let (ids, count) = (few.by_username.iter().copied(), i64::try_from(few.by_username.len()).unwrap_or(0));
        if is_descending {
            self.page_of_users(ids.rev(), count, wanted).await
        } else {
            self.page_of_users(ids, count, wanted).await
        }
    }

    /// The page of these `count` users, given in their order by primary key, as far as the page reaches.
    async fn page_of_users(
        &self,
        ids: impl Iterator<Item = i64>,
        count: i64,
        wanted: Wanted,
    ) -> Result<Found<ListedUser>, StoreError> {
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let skipped = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let shown: Vec<i64> = ids.skip(skipped).take(usize::try_from(window.limit).unwrap_or(0)).collect();
        Ok(wanted.found(count, self.list_listed_users_in_order(&shown).await?))
    }

    /// The direct groups of these users, by name; a user without any is left out.
    ///
    /// # Errors
    /// When the database does not answer, as for all of these.
    pub async fn list_groups_of_users(&self, ids: &[i64]) -> Result<HashMap<i64, Vec<GroupRow>>, StoreError> {
        let mut groups = HashMap::<i64, Vec<GroupRow>>::new();
        if ids.is_empty() {
            return Ok(groups);
        }
        let (these, values) = any_of(self.is_sqlite(), "m.user_id", ids);
        let sql = format!(
            "SELECT m.user_id, {GROUP_COLUMNS} FROM memberships m JOIN groups g ON g.id = m.group_id WHERE {these} ORDER BY g.name"
        );
        for GroupOf(user, group) in self.all(&sql, &values).await? {
            groups.entry(user).or_default().push(group);
        }
        Ok(groups)
    }

    /// A user as lists show them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_listed_user(&self, id: UserId) -> Result<Option<ListedUser>, StoreError> {
        let Some(profile) = self.find_profile(id).await? else { return Ok(None) };
        let groups = self.list_groups_of_users(&[id.0]).await?.remove(&id.0).unwrap_or_default();
        let [_, of_auditors] = self.list_groups_with_rights().await?;
        Ok(Some(ListedUser { is_auditor: profile.is_auditor || has_one(&groups, &of_auditors), profile, groups }))
    }

    /// These users as lists show them, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_listed_users(&self, ids: &[i64]) -> Result<HashMap<i64, ListedUser>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let (these, values) = any_of(self.is_sqlite(), "u.id", ids);
        let sql = format!("SELECT {PROFILE_COLUMNS_WITHOUT_GROUPS} FROM users u WHERE {these}");
        let profiles: Vec<UserProfile> = self.all(&sql, &values).await?;
        let users = self.with_groups(profiles).await?;
        Ok(users.into_iter().map(|user| (user.profile.user.id.0, user)).collect())
    }

    /// These users with their groups, and with what these make of them.
    async fn with_groups(&self, profiles: Vec<UserProfile>) -> Result<Vec<ListedUser>, StoreError> {
        let ids: Vec<i64> = profiles.iter().map(|profile| profile.user.id.0).collect();
        let mut groups = self.list_groups_of_users(&ids).await?;
        let [of_superusers, of_auditors] =
            if groups.is_empty() { [HashSet::new(), HashSet::new()] } else { self.list_groups_with_rights().await? };
        let with_groups = |mut profile: UserProfile| {
            let groups = groups.remove(&profile.user.id.0).unwrap_or_default();
            profile.is_administrator |= has_one(&groups, &of_superusers);
            ListedUser { is_auditor: profile.is_auditor || has_one(&groups, &of_auditors), profile, groups }
        };
        Ok(profiles.into_iter().map(with_groups).collect())
    }

    /// The groups whose members may do everything, and those whose members read everything: by themselves, or by an
    /// ancestor. They are few.
    async fn list_groups_with_rights(&self) -> Result<[HashSet<i64>; 2], StoreError> {
        let sql = "SELECT a.group_id, g.is_superuser, g.is_auditor FROM groups g JOIN group_ancestors a ON a.ancestor_id = g.id \
            WHERE g.is_superuser OR g.is_auditor";
        let mut found = [HashSet::new(), HashSet::new()];
        let [superusers, auditors] = &mut found;
        for WithRights { group, is_superuser, is_auditor } in self.all(sql, &[]).await? {
            if is_superuser {
                superusers.insert(group);
            }
            if is_auditor {
                auditors.insert(group);
            }
        }
        Ok(found)
    }

    /// These users in this order; one that was removed after its key was read is left out.
    async fn list_listed_users_in_order(&self, ids: &[i64]) -> Result<Vec<ListedUser>, StoreError> {
        let mut users = self.list_listed_users(ids).await?;
        Ok(ids.iter().filter_map(|id| users.remove(id)).collect())
    }

    /// All groups of a user, the ancestors of the direct ones too, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_all_groups_of(&self, id: UserId) -> Result<Vec<GroupRow>, StoreError> {
        let sql = format!(
            "SELECT {GROUP_COLUMNS} FROM groups g WHERE g.id IN (SELECT a.ancestor_id FROM memberships m \
             JOIN group_ancestors a ON a.group_id = m.group_id WHERE m.user_id = $1) ORDER BY g.name"
        );
        self.all(&sql, &values![id]).await
    }

    /// The permissions of a user, and where each comes from: the name of a group, of an ancestor of one too; `""`: their
    /// own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_permission_sources(&self, id: UserId) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT p.permission, '' AS source FROM user_permissions p WHERE p.user_id = $1 UNION \
            SELECT p.permission, g.name FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id \
            JOIN group_permissions p ON p.group_id = a.ancestor_id JOIN groups g ON g.id = a.ancestor_id \
            WHERE m.user_id = $1 ORDER BY permission, source";
        self.all(sql, &values![id]).await
    }

    /// The paths of users that match, each once, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_user_paths(&self, filter: &UserFilter) -> Result<Vec<String>, StoreError> {
        let conditions = Conditions::of_users(self, filter);
        let sql = format!("SELECT DISTINCT u.path FROM users u{} ORDER BY u.path", conditions.clause());
        self.all(&sql, &conditions.values).await
    }

    /// How many sessions each of these users has; those without any are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions_by_user(&self, ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT key, CAST(SUM(n) AS BIGINT) FROM session_counts WHERE kind = 'user' AND key IN ({}) GROUP BY key",
            crate::store::db::statements::placeholders(0, ids.len())
        );
        let values: Vec<Value> = ids.iter().map(|id| id.to_string().into()).collect();
        let counts = self.all::<(String, i64)>(&sql, &values).await?;
        Ok(counts.into_iter().filter_map(|(key, count)| Some((key.parse().ok()?, count))).collect())
    }
}
