//! The rows of clients, of applications and of none.

use serde_json::{Map, Value as Json};

use crate::domain::application::ClientPart;
use crate::domain::application::client::{Client, SubMode};
use crate::store::applications::rows::{read_json, to_json};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// What a client is called in `providers.kind`.
const CLIENT: &str = "client";

/// A client's row.
#[derive(Clone, Debug)]
pub(in crate::store) struct ClientRow {
    id: i64,
    name: String,
    application: Option<i64>,
    client_id: String,
    settings: String,
    kept: String,
}

const CLIENT_COLUMNS: &str = "p.id, p.name, p.application_id, p.client_id, p.settings, p.kept";

impl FromRow for ClientRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (id, name, application) = (row.int()?, row.text()?, row.opt_int()?);
        let client_id = row.opt_text()?.ok_or(StoreError::Corrupt("a client without its client_id"))?;
        Ok(Self { id, name, application, client_id, settings: row.text()?, kept: row.text()? })
    }
}

impl ClientRow {
    /// The client.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when its JSON cannot be read.
    pub fn read(self) -> Result<ClientPart, StoreError> {
        let client: Client = read_json(&self.settings, "a client")?;
        let kept: Map<String, Json> = read_json(&self.kept, "what is kept of a client")?;
        let Self { id, name, application, client_id, .. } = self;
        Ok(ClientPart { id, name, application, client_id, client, kept })
    }
}

impl Db<'_> {
    /// All clients by key, as they are stored.
    pub(super) async fn list_client_rows(&self) -> Result<Vec<ClientRow>, StoreError> {
        let sql = format!("SELECT {CLIENT_COLUMNS} FROM providers p WHERE p.kind = $1 ORDER BY p.id");
        self.all(&sql, &values![CLIENT]).await
    }

    /// The client with this primary key, of an application or of none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be read; when the database does not answer.
    pub async fn find_client(&self, id: i64) -> Result<Option<ClientPart>, StoreError> {
        let sql = format!("SELECT {CLIENT_COLUMNS} FROM providers p WHERE p.id = $1 AND p.kind = $2");
        self.one::<ClientRow>(&sql, &values![id, CLIENT]).await?.map(ClientRow::read).transpose()
    }

    /// The client of an application.
    pub(super) async fn find_client_of(&self, application: i64) -> Result<Option<ClientPart>, StoreError> {
        let sql = format!("SELECT {CLIENT_COLUMNS} FROM providers p WHERE p.application_id = $1 AND p.kind = $2");
        self.one::<ClientRow>(&sql, &values![application, CLIENT]).await?.map(ClientRow::read).transpose()
    }

    /// Adds a client and gives its primary key; the one it has is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another client has the `client_id`, or the application has a client.
    pub async fn insert_client(&self, part: &ClientPart) -> Result<i64, StoreError> {
        let sql = "INSERT INTO providers (kind, name, application_id, client_id, settings, kept) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
        let (settings, kept) = (to_json(&part.client)?, to_json(&part.kept)?);
        let values = values![CLIENT, part.name.as_str(), part.application, part.client_id.as_str(), settings, kept];
        let id = self.one(sql, &values).await?.ok_or(StoreError::Corrupt("a client without a key"))?;
        self.write_back_channel(id, part).await?;
        Ok(id)
    }

    /// Notes where the app of a client is told of ends, which the trigger of the ends reads.
    async fn write_back_channel(&self, provider: i64, part: &ClientPart) -> Result<(), StoreError> {
        self.execute("DELETE FROM back_channels WHERE provider_id = $1", &values![provider]).await?;
        let Some(target) = &part.client.back_channel_uri else { return Ok(()) };
        let sql = "INSERT INTO back_channels (provider_id, uri, algorithm, names) VALUES ($1, $2, $3, $4)";
        let (algorithm, names) = (part.client.algorithm.as_str(), part.client.notice_names.as_str());
        self.execute(sql, &values![provider, target.as_str(), algorithm, names]).await.map(drop)
    }

    /// Writes a client.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another client has the `client_id`, or the application has another client.
    pub async fn update_client(&self, part: &ClientPart) -> Result<(), StoreError> {
        let sql = "UPDATE providers SET name = $2, client_id = $3, settings = $4, kept = $5, application_id = $6 WHERE id = $1";
        let (settings, kept) = (to_json(&part.client)?, to_json(&part.kept)?);
        self.execute(sql, &values![part.id, part.name.as_str(), part.client_id.as_str(), settings, kept, part.application]).await?;
        self.write_back_channel(part.id, part).await
    }

    /// Removes what a client gave that hangs on no app session: its codes, and what users agreed to. It gets another
    /// application, or none, and nothing of the one before counts there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_grants_of_client(&self, id: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM oidc_codes WHERE provider_id = $1", &values![id]).await?;
        self.execute("DELETE FROM consents WHERE provider_id = $1", &values![id]).await.map(drop)
    }

    /// How many clients there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_clients(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM providers WHERE kind = $1", &values![CLIENT]).await?.unwrap_or(0))
    }

    /// Whether an application has a client that knows users by their `uid`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when one cannot be read; when the database does not answer.
    pub async fn has_clients_by_uid(&self) -> Result<bool, StoreError> {
        let sql = format!("SELECT {CLIENT_COLUMNS} FROM providers p WHERE p.kind = $1 AND p.application_id IS NOT NULL");
        for row in self.all::<ClientRow>(&sql, &values![CLIENT]).await? {
            if row.read()?.client.sub == SubMode::HashedUserId {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a client with its secrets, codes and tokens.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_client(&self, id: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM providers WHERE id = $1 AND kind = $2", &values![id, CLIENT]).await.map(drop)
    }
}
