//! The list of watched sessions. It reads the whole copy for most filters and orders: sources are far smaller than what
//! the index in memory is for.

use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::domain::source::SourceId;
use crate::store::lists::Listed;
use crate::store::sessions::conditions::Conditions;
use crate::store::watch::sessions::{ROWS, WatchedRow};
use crate::store::{Db, Store, StoreError};

/// Which sessions of a source. `user` and `username` of the filter are those of the source. Nothing matches for a caller
/// who sees only their own sessions, and for a method: authentik does not say how somebody signed in.
#[derive(Clone, Debug)]
pub struct WatchedFilter {
    /// The source.
    pub source: SourceId,
    /// The filter.
    pub filter: SessionFilter,
}

/// The tables of [`ROWS`], to count.
const COUNT: &str = "SELECT count(*) FROM watched_sessions w JOIN user_agents a ON a.id = w.user_agent_id \
    LEFT JOIN source_users u ON u.source_id = w.source_id AND u.pk = w.user_pk";

fn column(key: SortKey) -> &'static str {
    match key {
        SortKey::Uuid => "w.uuid",
        SortKey::User => "w.user_pk",
        SortKey::Username => "COALESCE(u.username, '')",
        SortKey::LastIp => "w.last_ip_key",
        SortKey::UserAgent => "a.text",
        SortKey::LastUsed => "w.last_used_at",
        SortKey::Expires => "w.expires_at",
        // The time of the sign-in is not known.
        SortKey::Created => "w.first_seen_at",
        SortKey::Country => "w.country",
    }
}

/// The order in SQL; sessions that are equal in it come by UUID, and nothing is equal after a UUID.
fn order_sql(sorts: &[Sort]) -> String {
    let term = |column: &str, is_descending: bool| format!("{column}{}", if is_descending { " DESC" } else { "" });
    let before = sorts.iter().take_while(|sort| sort.key != SortKey::Uuid);
    let mut terms: Vec<String> = before.map(|sort| term(column(sort.key), sort.is_descending)).collect();
    let uuid = sorts.iter().find(|sort| sort.key == SortKey::Uuid);
    terms.push(term("w.uuid", uuid.is_some_and(|sort| sort.is_descending)));
    terms.join(", ")
}

impl Listed for WatchedFilter {
    type Key = SortKey;
    type Row = WatchedRow;

    async fn find(&self, store: &Store, order: &[Sort], wanted: Wanted) -> Result<Found<WatchedRow>, StoreError> {
        let (these, order) = (self.clone(), order.to_vec());
        store.long_read(move |db| Box::pin(async move { db.page_watched(&these, &order, wanted).await })).await
    }
}

impl Db<'_> {
    async fn page_watched(&self, these: &WatchedFilter, order: &[Sort], wanted: Wanted) -> Result<Found<WatchedRow>, StoreError> {
        if these.filter.visible_to.is_some() || these.filter.methods.is_some() {
            return Ok(wanted.none());
        }
        let mut conditions = self.watched_conditions(these);
        let clause = conditions.where_clause(&[], true);
        let count = self.one::<i64>(&format!("{COUNT}{clause}"), &conditions.values).await?.unwrap_or(0);
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let (limit, offset) = (conditions.bind(window.limit), conditions.bind(window.offset));
        let sql = format!("{ROWS}{clause} ORDER BY {} LIMIT {limit} OFFSET {offset}", order_sql(order));
        Ok(wanted.found(count, self.all(&sql, &conditions.values).await?))
    }

    fn watched_conditions(&self, WatchedFilter { source, filter }: &WatchedFilter) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.compare("w.source_id", "=", source.0);
        let texts = [
            ("u.username", &filter.username),
            ("a.text", &filter.user_agent),
            ("w.country", &filter.country),
            ("a.browser", &filter.browser),
            ("a.os", &filter.os),
            ("a.device", &filter.device),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                conditions.compare(column, "=", text);
            }
        }
        for (column, number) in [("w.user_pk", filter.user.map(|user| user.0)), ("w.asn", filter.asn)] {
            if let Some(number) = number {
                conditions.compare(column, "=", number);
            }
        }
        if let Some(ip) = filter.last_ip {
            conditions.compare("w.last_ip_key", "=", ip.sort_key());
        }
        if let Some(network) = filter.network {
            let (low, high) = network.key_range();
            conditions.compare("w.last_ip_key", ">=", low);
            conditions.compare("w.last_ip_key", "<=", high);
        }
        let times = [
            ("w.last_used_at", ">=", filter.last_used_gte),
            ("w.last_used_at", "<=", filter.last_used_lte),
            ("w.expires_at", ">=", filter.expires_gte),
            ("w.expires_at", "<=", filter.expires_lte),
        ];
        for (column, operator, time) in times {
            if let Some(time) = time {
                conditions.compare(column, operator, time);
            }
        }
        if let Some(except) = filter.except {
            conditions.compare("w.uuid", "<>", except);
        }
        let function = if self.is_sqlite() { "instr" } else { "strpos" };
        for term in &filter.search {
            let placeholder = conditions.bind(term);
            let holds = |text: &str| format!("{function}({text}, {placeholder}) > 0");
            let texts = ["COALESCE(u.username_folded, '')", "a.text_folded", "upper(w.last_ip)"].map(holds);
            conditions.sql.push(format!("({})", texts.join(" OR ")));
        }
        conditions
    }
}
