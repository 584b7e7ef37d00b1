//! The rows of applications and of their guards; those of clients are in `clients`. A change runs in a
//! transaction that begins with [`Db::lock_applications`], so that changes follow each other and raise the
//! version.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::application::demand::{Demand, Party};
use crate::domain::application::guard::Guard;
use crate::domain::application::{Application, Binding, ClientPart, Provider};
use crate::store::applications::clients::ClientRow;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// The name of the counter that each change of an application raises.
const VERSION: &str = "applications.version";

/// The version of the applications as a column, for a statement whose answer is decided by with the applications in
/// memory ([`read_version`]).
macro_rules! version_column {
    () => {
        "(SELECT value FROM settings WHERE name = 'applications.version')"
    };
}
pub(in crate::store) use version_column;

/// Reads what [`version_column`] gives.
pub(in crate::store) fn read_version(row: &mut Row<'_>) -> Result<i64, StoreError> {
    row.text()?.parse().map_err(|_| StoreError::Corrupt("the version of the applications"))
}

/// What a guard is called in `providers.kind`.
const GUARD: &str = "guard";

/// The column `access`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoredAccess {
    demand: Demand,
    bindings: Vec<StoredBinding>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBinding {
    uuid: String,
    party: Party,
    order: i64,
    timeout: i64,
}

impl StoredAccess {
    fn of(application: &Application) -> Self {
        let binding = |binding: &Binding| StoredBinding {
            uuid: binding.uuid.hyphenated().to_string(),
            party: binding.party,
            order: binding.order,
            timeout: binding.timeout,
        };
        Self { demand: application.access.clone(), bindings: application.bindings.iter().map(binding).collect() }
    }

    fn bindings(&self) -> Vec<Binding> {
        let binding = |stored: &StoredBinding| {
            let StoredBinding { party, order, timeout, .. } = *stored;
            Some(Binding { uuid: Uuid::try_parse(&stored.uuid).ok()?, party, order, timeout })
        };
        self.bindings.iter().filter_map(binding).collect()
    }
}

/// An application's row. Its JSON is read by [`ApplicationRow::read`].
#[derive(Clone, Debug)]
pub(in crate::store) struct ApplicationRow {
    id: i64,
    uuid: Uuid,
    slug: String,
    name: String,
    access: String,
    display: String,
    groups_sent: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

const APPLICATION_COLUMNS: &str = "a.id, a.uuid, a.slug, a.name, a.access, a.display, a.groups_sent, a.created_at, a.updated_at";

impl FromRow for ApplicationRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: row.uuid()?,
            slug: row.text()?,
            name: row.text()?,
            access: row.text()?,
            display: row.text()?,
            groups_sent: row.text()?,
            created_at: row.timestamp()?,
            updated_at: row.timestamp()?,
        })
    }
}

impl ApplicationRow {
    /// Its primary key.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The application, with its guard and its client.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when its JSON cannot be read.
    pub fn read(self, provider: Option<Provider>, client: Option<ClientPart>) -> Result<Application, StoreError> {
        let access: StoredAccess = read_json(&self.access, "the access of an application")?;
        let display = read_json(&self.display, "what an application shows")?;
        let groups_sent = read_json(&self.groups_sent, "the groups that an application is told")?;
        let mut whole = Application::new(self.id, self.uuid, self.slug, self.name, self.created_at);
        whole.bindings = access.bindings();
        whole.access = access.demand;
        whole.display = display;
        whole.groups_sent = groups_sent;
        whole.provider = provider;
        whole.client = client;
        whole.updated_at = self.updated_at;
        Ok(whole.prepared())
    }

    /// The same for the cache: an application that cannot be read opens for nobody, and keeps no other one from opening.
    pub fn read_or_close(self, provider: Option<Provider>, client: Option<ClientPart>) -> Application {
        let closed = Application::new(self.id, self.uuid, self.slug.clone(), self.name.clone(), self.created_at);
        self.read(provider, client).unwrap_or_else(|error| {
            tracing::error!(application = %closed.slug, %error, "an application cannot be read: it opens for nobody");
            closed
        })
    }
}

/// A guard's row.
#[derive(Clone, Debug)]
pub(in crate::store) struct ProviderRow {
    id: i64,
    name: String,
    application: Option<i64>,
    settings: String,
    kept: String,
}

const PROVIDER_COLUMNS: &str = "p.id, p.name, p.application_id, p.settings, p.kept";

impl FromRow for ProviderRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, name: row.text()?, application: row.opt_int()?, settings: row.text()?, kept: row.text()? })
    }
}

impl ProviderRow {
    /// The guard.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when its JSON cannot be read.
    pub fn read(self) -> Result<Provider, StoreError> {
        let guard: Guard = read_json(&self.settings, "a guard")?;
        let kept: Map<String, Json> = read_json(&self.kept, "what is kept of a guard")?;
        Ok(Provider { id: self.id, name: self.name, application: self.application, guard, kept })
    }

    /// The same for the cache: a guard that cannot be read has no host.
    pub fn read_or_close(self) -> Provider {
        let closed = Provider {
            id: self.id,
            name: self.name.clone(),
            application: self.application,
            guard: Guard::default(),
            kept: Map::new(),
        };
        self.read().unwrap_or_else(|error| {
            tracing::error!(guard = %closed.name, %error, "a guard cannot be read: its hosts are refused");
            closed
        })
    }
}

pub(super) fn read_json<T: for<'de> Deserialize<'de>>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt("a part of an application"))
}

/// The rows of applications, of guards and of clients.
pub(in crate::store) type AllRows = (Vec<ApplicationRow>, Vec<ProviderRow>, Vec<ClientRow>);

impl Db<'_> {
    /// The version of the applications: it is raised by each change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_applications_version(&self) -> Result<i64, StoreError> {
        let text = self.find_setting(VERSION).await?;
        text.and_then(|text| text.parse().ok()).ok_or(StoreError::Corrupt("the version of the applications"))
    }

    /// Raises the version, and holds off other transactions that change applications until this one ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_applications(&self) -> Result<(), StoreError> {
        let sql = "UPDATE settings SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = $1";
        self.execute(sql, &values![VERSION]).await.map(drop)
    }

    /// All applications by slug, and all guards by key, as they are stored.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn list_application_rows(&self) -> Result<AllRows, StoreError> {
        let applications =
            self.all(&format!("SELECT {APPLICATION_COLUMNS} FROM applications a ORDER BY lower(a.slug)"), &[]).await?;
        let sql = format!("SELECT {PROVIDER_COLUMNS} FROM providers p WHERE p.kind = $1 ORDER BY p.id");
        let guards = self.all(&sql, &values![GUARD]).await?;
        Ok((applications, guards, self.list_client_rows().await?))
    }

    /// The application of this slug, in whatever case, with its guard; locked until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be read; when the database does not answer.
    pub async fn lock_application(&self, slug: &str) -> Result<Option<Application>, StoreError> {
        let lock = self.for_update();
        let sql = format!("SELECT {APPLICATION_COLUMNS} FROM applications a WHERE lower(a.slug) = lower($1){lock}");
        let Some(row) = self.one::<ApplicationRow>(&sql, &values![slug]).await? else { return Ok(None) };
        let provider = self.find_guard_of(row.id).await?;
        let client = self.find_client_of(row.id).await?;
        row.read(provider, client).map(Some)
    }

    async fn find_guard_of(&self, application: i64) -> Result<Option<Provider>, StoreError> {
        let sql = format!("SELECT {PROVIDER_COLUMNS} FROM providers p WHERE p.application_id = $1 AND p.kind = $2");
        self.one::<ProviderRow>(&sql, &values![application, GUARD]).await?.map(ProviderRow::read).transpose()
    }

    /// The guard with this primary key, of an application or of none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be read; when the database does not answer.
    pub async fn find_guard(&self, id: i64) -> Result<Option<Provider>, StoreError> {
        let sql = format!("SELECT {PROVIDER_COLUMNS} FROM providers p WHERE p.id = $1 AND p.kind = $2");
        self.one::<ProviderRow>(&sql, &values![id, GUARD]).await?.map(ProviderRow::read).transpose()
    }

    /// The slug of the application with this primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_application_slug(&self, id: i64) -> Result<Option<String>, StoreError> {
        self.one("SELECT slug FROM applications WHERE id = $1", &values![id]).await
    }

    /// The primary key of the application of this slug, in whatever case.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_application_id(&self, slug: &str) -> Result<Option<i64>, StoreError> {
        self.one("SELECT id FROM applications WHERE lower(slug) = lower($1)", &values![slug]).await
    }

    /// Removes all applications and all guards. Their app sessions have ended before.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of them has an app session.
    pub async fn delete_applications(&self) -> Result<(), StoreError> {
        self.lock_applications().await?;
        self.execute("DELETE FROM providers", &[]).await?;
        self.execute("DELETE FROM applications", &[]).await.map(drop)
    }

    /// Adds an application without a guard and gives its primary key; the one it has is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the slug is taken.
    pub async fn insert_application(&self, application: &Application) -> Result<i64, StoreError> {
        let sql = "INSERT INTO applications (uuid, slug, name, access, display, groups_sent, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
        let Application { uuid, slug, name, display, groups_sent, created_at, updated_at, .. } = application;
        let (display, groups_sent) = (to_json(display)?, to_json(groups_sent)?);
        let access = to_json(&StoredAccess::of(application))?;
        let values = values![*uuid, slug, name, access, display, groups_sent, *created_at, *updated_at];
        self.one(sql, &values).await?.ok_or(StoreError::Corrupt("an application without a key"))
    }

    /// Writes an application's own columns; its guard is written by [`Db::update_guard`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the slug is taken.
    pub async fn update_application(&self, application: &Application) -> Result<(), StoreError> {
        let sql = "UPDATE applications SET slug = $2, name = $3, access = $4, display = $5, groups_sent = $6, updated_at = $7 \
            WHERE id = $1";
        let Application { id, slug, name, display, groups_sent, updated_at, .. } = application;
        let (display, groups_sent) = (to_json(display)?, to_json(groups_sent)?);
        let access = to_json(&StoredAccess::of(application))?;
        self.execute(sql, &values![*id, slug, name, access, display, groups_sent, *updated_at]).await.map(drop)
    }

    /// Removes an application. Its app sessions have ended before; its guard and its client stay, without an application.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has app sessions.
    pub async fn delete_application(&self, id: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM applications WHERE id = $1", &values![id]).await.map(drop)
    }

    /// How many applications there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_applications(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM applications", &[]).await?.unwrap_or(0))
    }

    /// How many guards there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_guards(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM providers WHERE kind = $1", &values![GUARD]).await?.unwrap_or(0))
    }

    /// Adds a guard with its hosts and gives its primary key; the one it has is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another guard has one of the hosts, or the application has a guard.
    pub async fn insert_guard(&self, provider: &Provider) -> Result<i64, StoreError> {
        let sql = "INSERT INTO providers (kind, name, application_id, settings, kept) VALUES ($1, $2, $3, $4, $5) RETURNING id";
        let Provider { name, application, guard, kept, .. } = provider;
        let (settings, kept) = (to_json(guard)?, to_json(kept)?);
        let id = self.one(sql, &values![GUARD, name, *application, settings, kept]).await?;
        let id = id.ok_or(StoreError::Corrupt("a guard without a key"))?;
        self.insert_hosts(id, guard).await?;
        Ok(id)
    }

    /// Writes a guard with its hosts.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another guard has one of the hosts, or the application has another guard.
    pub async fn update_guard(&self, provider: &Provider) -> Result<(), StoreError> {
        let sql = "UPDATE providers SET name = $2, application_id = $3, settings = $4, kept = $5 WHERE id = $1";
        let Provider { id, name, application, guard, kept } = provider;
        let (settings, kept) = (to_json(guard)?, to_json(kept)?);
        self.execute(sql, &values![*id, name, *application, settings, kept]).await?;
        self.execute("DELETE FROM app_hosts WHERE provider_id = $1", &values![*id]).await?;
        self.insert_hosts(*id, guard).await
    }

    async fn insert_hosts(&self, provider: i64, guard: &Guard) -> Result<(), StoreError> {
        let rows = guard.hosts.iter().map(|host| values![host.to_string(), provider].to_vec()).collect();
        self.insert_rows("INSERT INTO app_hosts (host, provider_id) VALUES ", rows, "").await
    }

    /// Removes a guard with its hosts.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_guard(&self, id: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM providers WHERE id = $1", &values![id]).await.map(drop)
    }
}
