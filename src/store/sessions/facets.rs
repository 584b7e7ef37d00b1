//! Counts of sessions by country, network, browser, system, day and address, by SQL.

use crate::domain::Address;
use crate::domain::facets::{AddressCount, DAY, DAYS, Facets, KINDS, NetworkCount};
use crate::domain::listing::SessionFilter;
use crate::store::sessions::conditions::Keys;
use crate::store::{Db, FromRow, Row, StoreError};

/// An autonomous system, an address in it, and how many sessions are there.
pub(in crate::store) struct Sampled(pub i64, pub String, pub i64);

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
    /// How many of the sessions that match there are of each kind; `today` is in days since 1970.
    pub(in crate::store) async fn count_facets_by_sql(
        &self,
        filter: &SessionFilter,
        keys: &Keys,
        today: i64,
    ) -> Result<Facets, StoreError> {
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
        // Only a wrong clock makes a use before 1970 or in the future.
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

    /// The number of matching sessions at each address, the largest first, at most `limit`
    /// addresses.
    pub(in crate::store) async fn count_addresses_by_sql(
        &self,
        filter: &SessionFilter,
        keys: &Keys,
        limit: usize,
    ) -> Result<Vec<AddressCount>, StoreError> {
        let conditions = self.conditions(filter, keys);
        let sql = format!(
            "SELECT s.last_ip_key, count(*) FROM sessions s{} GROUP BY s.last_ip_key ORDER BY 2 DESC, 1 LIMIT {limit}",
            conditions.where_clause(&[], true)
        );
        self.all(&sql, &conditions.values).await
    }

    /// The family in the letter case of the dictionary of user agents; `None` when it has no such
    /// family.
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
