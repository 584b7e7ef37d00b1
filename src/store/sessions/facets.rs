//! How many of the sessions that match a filter there are of each kind: by country, network, browser,
//! system, day and address. From memory where sessions are held there, else counted by SQL.

use crate::domain::listing::SessionFilter;
use crate::domain::{Address, Timestamp};
use crate::store::sessions::conditions::{Conditions, Keys};
use crate::store::{Db, FromRow, Row, StoreError};

/// How many kinds of each are given.
pub const KINDS: usize = 8;
/// How many days back are counted one by one.
pub const DAYS: i64 = 14;
/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// Counts, the largest first; those of days by day, the latest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facets {
    /// How many users they are of.
    pub users: i64,
    /// ISO codes, `""` for none known.
    pub countries: Vec<(String, i64)>,
    /// Autonomous systems, each with an address in it; none known is left out.
    pub networks: Vec<NetworkCount>,
    /// Families.
    pub browsers: Vec<(String, i64)>,
    /// Families.
    pub systems: Vec<(String, i64)>,
    /// Last used on this day, in days since 1970, back to [`DAYS`] ago.
    pub days: Vec<(i64, i64)>,
}

/// How many sessions are in an autonomous system.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkCount {
    /// Its number.
    pub asn: i64,
    /// An address in it.
    pub sample: Address,
    /// How many.
    pub count: i64,
}

/// How many sessions were last used from an address.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressCount {
    /// Which.
    pub address: Address,
    /// How many.
    pub count: i64,
}

/// The day of an instant, in days since 1970.
#[must_use]
pub fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY)
}

struct Sampled(i64, String, i64);

impl FromRow for Sampled {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.int()?, row.text()?, row.int()?))
    }
}

impl FromRow for AddressCount {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { address: row.address()?, count: row.int()? })
    }
}

impl Db<'_> {
    /// How many sessions match, of each kind. The work may be much: for a long read.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_facets(&self, filter: &SessionFilter, now: Timestamp) -> Result<Facets, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Facets::default()) };
        let today = day_of(now);
        if !self.is_small(keys).await?
            && let Some(facets) = self.facets_in_index(keys.question(filter), today).await?
        {
            return Ok(facets);
        }
        self.count_facets_by_sql(filter, keys, today).await
    }

    async fn count_facets_by_sql(&self, filter: &SessionFilter, keys: Keys, today: i64) -> Result<Facets, StoreError> {
        let conditions = self.conditions(filter, keys);
        let families = |column: &str| {
            let where_clause = conditions.where_clause(&["a.id = s.user_agent_id"], true);
            format!(
                "SELECT a.{column}, count(*) FROM sessions s, user_agents a{where_clause} GROUP BY a.{column} ORDER BY 2 DESC, 1 LIMIT {KINDS}"
            )
        };
        let all = conditions.where_clause(&[], true);
        let countries =
            format!("SELECT s.country, count(*) FROM sessions s{all} GROUP BY s.country ORDER BY 2 DESC, 1 LIMIT {KINDS}");
        let known = conditions.where_clause(&["s.asn IS NOT NULL"], true);
        let networks = format!(
            "SELECT s.asn, MIN(s.last_ip), count(*) FROM sessions s{known} GROUP BY s.asn ORDER BY 3 DESC, 1 LIMIT {KINDS}"
        );
        // No use is before 1970, nor in the future but by a clock that went back.
        let days =
            format!("SELECT s.last_used_at / {DAY}, count(*) FROM sessions s{all} GROUP BY 1 ORDER BY 1 DESC LIMIT {}", DAYS * 2);
        let users = format!("SELECT count(DISTINCT s.user_id) FROM sessions s{all}");
        let values = &conditions.values;
        let networks: Vec<Sampled> = self.all(&networks, values).await?;
        let days: Vec<(i64, i64)> = self.all(&days, values).await?;
        let sampled = networks
            .into_iter()
            .filter_map(|Sampled(asn, ip, count)| Some(NetworkCount { asn, sample: Address::parse(&ip)?, count }));
        Ok(Facets {
            users: self.one(&users, values).await?.unwrap_or(0),
            countries: self.all(&countries, values).await?,
            networks: sampled.collect(),
            browsers: self.all(&families("browser"), values).await?,
            systems: self.all(&families("os"), values).await?,
            days: days.into_iter().filter(|(day, _)| (today - DAYS + 1..=today).contains(day)).collect(),
        })
    }

    /// How many sessions match at each address, the most first, at most `limit` addresses. The work
    /// may be much: for a long read.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_addresses(&self, filter: &SessionFilter, limit: usize) -> Result<Vec<AddressCount>, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Vec::new()) };
        if !self.is_small(keys).await?
            && let Some(counts) = self.addresses_in_index(keys.question(filter), limit).await?
        {
            return Ok(counts);
        }
        let conditions: Conditions = self.conditions(filter, keys);
        let sql = format!(
            "SELECT s.last_ip_key, count(*) FROM sessions s{} GROUP BY s.last_ip_key ORDER BY 2 DESC, 1 LIMIT {limit}",
            conditions.where_clause(&[], true)
        );
        self.all(&sql, &conditions.values).await
    }

    /// The family as the dictionary of user agents spells it, given in any letter case; `None` when
    /// it has none such.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_family(&self, kind: Family, text: &str) -> Result<Option<String>, StoreError> {
        let column = match kind {
            Family::Browser => "browser",
            Family::System => "os",
            Family::Device => "device",
        };
        let exact = format!("SELECT {column} FROM user_agents WHERE {column} = $1 LIMIT 1");
        if let Some(family) = self.one(&exact, &crate::values![text]).await? {
            return Ok(Some(family));
        }
        let any_case = format!("SELECT {column} FROM user_agents WHERE lower({column}) = $1 ORDER BY {column} LIMIT 1");
        self.one(&any_case, &crate::values![text.to_lowercase()]).await
    }
}

/// Which of the three families of a user agent.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// The browser's.
    Browser,
    /// The system's.
    System,
    /// The device's.
    Device,
}
