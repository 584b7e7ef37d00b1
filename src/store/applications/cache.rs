//! The applications in memory, parsed. They are read again when the version in the database differs, so a change holds
//! on every node from the next question on.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::domain::application::client::Client;
use crate::domain::application::host::Host;
use crate::domain::application::{Application, ClientPart, Provider};
use crate::store::applications::clients::ClientRow;
use crate::store::applications::rows::{AllRows, ProviderRow};
use crate::store::{Db, StoreError};

/// All applications at one version.
#[derive(Debug, Default)]
pub struct Applications {
    pub(in crate::store) version: i64,
    /// By slug.
    list: Vec<Arc<Application>>,
    /// Guards that no application has.
    unattached: Vec<Provider>,
    /// Clients that no application has.
    unattached_clients: Vec<ClientPart>,
    by_slug: HashMap<String, usize>,
    by_id: HashMap<i64, usize>,
    by_host: HashMap<String, usize>,
    by_client: HashMap<String, usize>,
}

impl Applications {
    pub(in crate::store) fn new(version: i64, (applications, guards, clients): AllRows) -> Self {
        let mut attached: HashMap<i64, Provider> = HashMap::new();
        let mut all = Self { version, ..Self::default() };
        for guard in guards.into_iter().map(ProviderRow::read_or_close) {
            match guard.application {
                Some(application) => drop(attached.insert(application, guard)),
                None => all.unattached.push(guard),
            }
        }
        let mut attached_clients: HashMap<i64, ClientPart> = HashMap::new();
        for part in clients.into_iter().filter_map(read_client) {
            match part.application {
                Some(application) => drop(attached_clients.insert(application, part)),
                None => all.unattached_clients.push(part),
            }
        }
        for row in applications {
            let id = row.id();
            let application = row.read_or_close(attached.remove(&id), attached_clients.remove(&id));
            let at = all.list.len();
            all.by_slug.insert(application.slug.to_ascii_lowercase(), at);
            all.by_id.insert(application.id, at);
            for host in application.guard().into_iter().flat_map(|guard| &guard.hosts) {
                all.by_host.insert(host.to_string(), at);
            }
            all.by_client.extend(application.client.as_ref().map(|part| (part.client_id.clone(), at)));
            all.list.push(Arc::new(application));
        }
        all
    }

    /// The version that they were read at, or an earlier one.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// All of them, by slug.
    #[must_use]
    pub fn all(&self) -> &[Arc<Application>] {
        &self.list
    }

    /// Guards that no application has.
    #[must_use]
    pub fn unattached_guards(&self) -> &[Provider] {
        &self.unattached
    }

    /// All guards by key, each with its application.
    #[must_use]
    pub fn guards(&self) -> Vec<(&Provider, Option<&Arc<Application>>)> {
        let attached = self.list.iter().filter_map(|application| Some((application.provider.as_ref()?, Some(application))));
        let mut guards: Vec<_> = attached.chain(self.unattached.iter().map(|guard| (guard, None))).collect();
        guards.sort_unstable_by_key(|(guard, _)| guard.id);
        guards
    }

    /// All clients by key, each with its application.
    #[must_use]
    pub fn client_parts(&self) -> Vec<(&ClientPart, Option<&Arc<Application>>)> {
        let attached = self.list.iter().filter_map(|application| Some((application.client.as_ref()?, Some(application))));
        let mut parts: Vec<_> = attached.chain(self.unattached_clients.iter().map(|part| (part, None))).collect();
        parts.sort_unstable_by_key(|(part, _)| part.id);
        parts
    }

    /// The application of this slug, in whatever case.
    #[must_use]
    pub fn by_slug(&self, slug: &str) -> Option<&Arc<Application>> {
        self.list.get(*self.by_slug.get(&slug.to_ascii_lowercase())?)
    }

    /// The application with this primary key.
    #[must_use]
    pub fn by_id(&self, id: i64) -> Option<&Arc<Application>> {
        self.list.get(*self.by_id.get(&id)?)
    }

    /// The application whose client has this `client_id`.
    #[must_use]
    pub fn by_client(&self, client_id: &str) -> Option<&Arc<Application>> {
        self.list.get(*self.by_client.get(client_id)?)
    }

    /// All clients of applications.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.list.iter().filter_map(|application| application.client.as_ref().map(|part| &part.client))
    }

    /// The application whose guard has this host: by its name, else by a pattern.
    #[must_use]
    pub fn by_host(&self, host: &Host) -> Option<&Arc<Application>> {
        let exact = self.by_host.get(host.as_str());
        let at = exact.or_else(|| self.by_host.get(&host.wildcard()?))?;
        self.list.get(*at)
    }
}

/// A client. One that cannot be read opens nothing.
fn read_client(row: ClientRow) -> Option<ClientPart> {
    match row.read() {
        Ok(part) => Some(part),
        Err(error) => {
            tracing::error!(%error, "a client cannot be read: it opens nothing");
            None
        }
    }
}

/// The applications that this process has read.
#[derive(Debug, Default)]
pub(in crate::store) struct ApplicationCache(pub(in crate::store) ArcSwapOption<Applications>);

impl Db<'_> {
    /// Reads all applications, without the cache: for transactions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read_applications(&self, version: i64) -> Result<Applications, StoreError> {
        Ok(Applications::new(version, self.list_application_rows().await?))
    }
}
