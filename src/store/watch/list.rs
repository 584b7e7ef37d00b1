//! Lists of watched sessions by SQL, and of these and Rollcall's own together. For most filters and orders it reads all of
//! them: it answers only where sessions may not be held in memory.

use crate::domain::Address;
use crate::domain::facets::{AddressCount, DAY, DAYS, Facets, KINDS, NetworkCount};
use crate::domain::listing::{SessionFilter, SessionRow, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::domain::source::{NAME, SourceId};
use crate::store::db::statements::in_list;
use crate::store::people::texts::FOLDED;
use crate::store::sessions::conditions::Conditions;
use crate::store::sessions::details::methods_sql;
use crate::store::sessions::facets::Sampled;
use crate::store::sessions::rows::SESSION_COLUMNS;
use crate::store::{Db, FromRow, Row, StoreError};

/// Whose sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Scope {
    /// Those of a source.
    Watched(SourceId),
    /// Those of a source and Rollcall's own.
    Both(SourceId),
}

impl Scope {
    /// The source.
    pub fn source(self) -> SourceId {
        match self {
            Self::Watched(source) | Self::Both(source) => source,
        }
    }

    /// Whether Rollcall's own are among them.
    pub fn has_own(self) -> bool {
        matches!(self, Self::Both(_))
    }
}

/// A session of either kind.
struct ScopedRow(SessionRow);

impl FromRow for ScopedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let session = SessionRow::from_row(row)?;
        Ok(Self(SessionRow { source: row.opt_int()?.map(SourceId), ..session }))
    }
}

/// The columns of sessions `s` and user agents `a` that a list can be ordered by.
fn column(key: SortKey) -> &'static str {
    match key {
        SortKey::Uuid => "s.uuid",
        SortKey::User => "s.user_id",
        SortKey::Username => "s.username",
        SortKey::LastIp => "s.last_ip_key",
        SortKey::UserAgent => "a.text",
        SortKey::LastUsed => "s.last_used_at",
        SortKey::Expires => "s.expires_at",
        SortKey::Created => "s.created_at",
        SortKey::Country => "s.country",
    }
}

/// The order in SQL; sessions that are equal in it come by UUID, and nothing is equal after a UUID.
fn order_sql(sorts: &[Sort]) -> String {
    let term = |sort: &Sort| format!("{}{}", column(sort.key), if sort.is_descending { " DESC" } else { "" });
    let mut terms: Vec<String> = sorts.iter().take_while(|sort| sort.key != SortKey::Uuid).map(term).collect();
    let uuid = sorts.iter().find(|sort| sort.key == SortKey::Uuid);
    terms.push(uuid.map_or_else(|| "s.uuid".to_owned(), term));
    // Rollcall may have a session under the same UUID: an import brings it along.
    terms.push("s.source_id IS NOT NULL".to_owned());
    terms.join(", ")
}

impl Db<'_> {
    /// The number of matches, and those of one page in order.
    pub(in crate::store) async fn page_in(
        &self,
        scope: Scope,
        filter: &SessionFilter,
        order: &[Sort],
        wanted: Wanted,
    ) -> Result<Found<SessionRow>, StoreError> {
        let count = self.count_in(scope, filter).await?;
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let mut conditions = self.conditions_in(filter);
        let rows = format!("{SESSION_COLUMNS}, s.source_id");
        let sql = self.query(scope, &rows, &conditions.where_clause(&[], true));
        let (limit, offset) = (conditions.bind(window.limit), conditions.bind(window.offset));
        let sql = format!("{sql} ORDER BY {} LIMIT {limit} OFFSET {offset}", order_sql(order));
        let rows: Vec<ScopedRow> = self.all(&sql, &conditions.values).await?;
        Ok(wanted.found(count, rows.into_iter().map(|row| row.0).collect()))
    }

    /// The number of matches.
    pub(in crate::store) async fn count_in(&self, scope: Scope, filter: &SessionFilter) -> Result<i64, StoreError> {
        let conditions = self.conditions_in(filter);
        let sql = self.query(scope, "count(*)", &conditions.where_clause(&[], true));
        Ok(self.one::<i64>(&sql, &conditions.values).await?.unwrap_or(0))
    }

    /// How many of the matches there are of each kind; `today` is in days since 1970.
    pub(in crate::store) async fn count_facets_in(
        &self,
        scope: Scope,
        filter: &SessionFilter,
        today: i64,
    ) -> Result<Facets, StoreError> {
        let conditions = self.conditions_in(filter);
        let (values, all) = (&conditions.values, conditions.where_clause(&[], true));
        let by = |column: &str| {
            let sql = self.query(scope, &format!("{column}, count(*)"), &all);
            format!("{sql} GROUP BY {column} ORDER BY 2 DESC, 1 LIMIT {KINDS}")
        };
        let known = conditions.where_clause(&["s.asn IS NOT NULL"], true);
        let networks = self.query(scope, "s.asn, MIN(s.last_ip), count(*)", &known);
        let networks: Vec<Sampled> =
            self.all(&format!("{networks} GROUP BY s.asn ORDER BY 3 DESC, 1 LIMIT {KINDS}"), values).await?;
        let days = self.query(scope, &format!("s.last_used_at / {DAY}, count(*)"), &all);
        let days: Vec<(i64, i64)> = self.all(&format!("{days} GROUP BY 1 ORDER BY 1 DESC LIMIT {}", DAYS * 2), values).await?;
        // A user of Rollcall and one of the source may have the same key.
        let users = "count(DISTINCT s.user_id) FILTER (WHERE s.source_id IS NULL) + \
            count(DISTINCT s.user_id) FILTER (WHERE s.source_id IS NOT NULL)";
        let sampled = networks
            .into_iter()
            .filter_map(|Sampled(asn, ip, count)| Some(NetworkCount { asn, sample: Address::parse(&ip)?, count }));
        Ok(Facets {
            users: self.one(&self.query(scope, users, &all), values).await?.unwrap_or(0),
            countries: self.all(&by("s.country"), values).await?,
            networks: sampled.collect(),
            browsers: self.all(&by("a.browser"), values).await?,
            systems: self.all(&by("a.os"), values).await?,
            days: days.into_iter().filter(|(day, _)| (today - DAYS + 1..=today).contains(day)).collect(),
        })
    }

    /// The number of matches at each address, the largest first, at most `limit` addresses.
    pub(in crate::store) async fn count_addresses_in(
        &self,
        scope: Scope,
        filter: &SessionFilter,
        limit: usize,
    ) -> Result<Vec<AddressCount>, StoreError> {
        let conditions = self.conditions_in(filter);
        let sql = self.query(scope, "s.last_ip_key, count(*)", &conditions.where_clause(&[], true));
        self.all(&format!("{sql} GROUP BY s.last_ip_key ORDER BY 2 DESC, 1 LIMIT {limit}"), &conditions.values).await
    }

    /// The keys of watched sessions that match, ascending; none for a caller who sees only their own sessions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_watched_matching(&self, filter: &SessionFilter) -> Result<Vec<i64>, StoreError> {
        if filter.is_of_rollcall() || filter.visible_to.is_some() {
            return Ok(Vec::new());
        }
        let Some(source) = self.find_source(NAME).await? else { return Ok(Vec::new()) };
        let conditions = self.conditions_in(filter);
        let sql = self.query(Scope::Watched(source.id), "s.id", &conditions.where_clause(&[], true));
        self.all(&format!("{sql} ORDER BY s.id"), &conditions.values).await
    }

    /// Those of the watched sessions with these keys that are there, by key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_watched_by_key(&self, ids: &[i64]) -> Result<Vec<SessionRow>, StoreError> {
        let (these, values) = in_list(Vec::new(), ids.iter().copied());
        let sql = format!(
            "SELECT uuid, user_pk, first_seen_at, last_used_at, expires_at, last_ip_key, user_agent_id, FALSE, source_id \
             FROM watched_sessions WHERE id IN ({these}) ORDER BY id"
        );
        let rows: Vec<ScopedRow> = self.all(&sql, &values).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// A query for these columns of sessions `s` and their user agents `a`.
    fn query(&self, scope: Scope, columns: &str, where_clause: &str) -> String {
        // Both parts of the union need one collation, that of Rollcall's own names: by code point.
        let collation = if self.is_sqlite() { "" } else { " COLLATE \"C\"" };
        let watched = format!(
            "SELECT w.id, w.uuid, w.user_pk AS user_id, w.first_seen_at AS created_at, w.last_used_at, w.expires_at, w.last_ip, \
             w.last_ip_key, w.user_agent_id, FALSE AS is_remembered, w.country{collation} AS country, w.asn, {methods} AS methods, \
             w.source_id, COALESCE(u.username, ''){collation} AS username, COALESCE(u.username_folded, ''){collation} AS username_folded \
             FROM watched_sessions w LEFT JOIN source_users u ON u.source_id = w.source_id AND u.pk = w.user_pk \
             WHERE w.source_id = {}",
            scope.source().0,
            methods = methods_sql(),
        );
        let own = if scope.has_own() {
            "SELECT o.id, o.uuid, o.user_id, o.created_at, o.last_used_at, o.expires_at, o.last_ip, o.last_ip_key, o.user_agent_id, \
             o.is_remembered, o.country, o.asn, o.methods, CAST(NULL AS BIGINT) AS source_id, u.username, u.username_folded \
             FROM sessions o JOIN users u ON u.id = o.user_id UNION ALL "
        } else {
            ""
        };
        format!("SELECT {columns} FROM ({own}{watched}) s JOIN user_agents a ON a.id = s.user_agent_id{where_clause}")
    }

    fn conditions_in(&self, filter: &SessionFilter) -> Conditions {
        let mut conditions = Conditions::default();
        let texts = [
            ("s.username", &filter.username),
            ("a.text", &filter.user_agent),
            ("s.country", &filter.country),
            ("a.browser", &filter.browser),
            ("a.os", &filter.os),
            ("a.device", &filter.device),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                conditions.compare(column, "=", text);
            }
        }
        for (column, number) in [("s.user_id", filter.user.map(|user| user.0)), ("s.asn", filter.asn)] {
            if let Some(number) = number {
                conditions.compare(column, "=", number);
            }
        }
        if let Some(ip) = filter.last_ip {
            conditions.compare("s.last_ip_key", "=", ip.sort_key());
        }
        if let Some(network) = filter.network {
            let (low, high) = network.key_range();
            conditions.compare("s.last_ip_key", ">=", low);
            conditions.compare("s.last_ip_key", "<=", high);
        }
        let times = [
            ("s.last_used_at", ">=", filter.last_used_gte),
            ("s.last_used_at", "<=", filter.last_used_lte),
            ("s.created_at", "<=", filter.created_lte),
            ("s.expires_at", ">=", filter.expires_gte),
            ("s.expires_at", "<=", filter.expires_lte),
        ];
        for (column, operator, time) in times {
            if let Some(time) = time {
                conditions.compare(column, operator, time);
            }
        }
        self.signed_in_by(&mut conditions, filter);
        if let Some(except) = filter.except {
            conditions.compare("s.uuid", "<>", except);
        }
        for term in &filter.search {
            let placeholder = conditions.bind(term);
            let holds = |text: &str| self.holds(text, &placeholder);
            let mut any = ["s.username_folded", "a.text_folded", "upper(s.last_ip)"].map(holds).to_vec();
            if filter.finds_people() {
                // Of users at the source only the usernames are searched.
                let texts = FOLDED.map(holds).join(" OR ");
                any.push(format!("s.source_id IS NULL AND EXISTS (SELECT 1 FROM users u WHERE u.id = s.user_id AND ({texts}))"));
            }
            conditions.sql.push(format!("({})", any.join(" OR ")));
        }
        conditions
    }
}
