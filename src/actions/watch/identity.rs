//! Who answers: whether it is the authentik that the copy is of, and what becomes of an empty copy where it is another one.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::accept::{RECOGNIZED_BY, replace};
use crate::actions::watch::error::{OWNER, PollError, SESSION};
use crate::actions::watch::poller::{LEASE, Poller};
use crate::domain::caller::Actor;
use crate::domain::source::ANOTHER_ONE;
use crate::domain::{SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::end_job::Lease;
use crate::store::watch::instances::NewInstance;
use crate::watch::answer::SeenOwner;
use crate::watch::call::Names;
use crate::watch::{Client, SourceError};

/// For how long another owner or instance must answer before an empty copy, which cannot recognize it, becomes its own.
const TAKEN_AFTER: Duration = Duration::from_secs(600);

impl Poller {
    /// Asks who the token's owner is, and whether this is the instance that the copy is of.
    ///
    /// # Errors
    /// [`PollError::Superuser`]; [`PollError::Doubt`] for another instance.
    pub(super) async fn identify(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let owner = self.ask(app, client, OWNER, client.owner()).await?;
        if owner.is_superuser && !client.source().allow_superuser {
            return Err(PollError::Superuser);
        }
        let status = &self.source()?.status;
        let is_known = (status.owner_pk, status.owner_uid.as_str()) == (owner.pk, owner.uid.as_str());
        let is_first = status.owner_uid.is_empty();
        if is_known {
            self.stranger = None;
        }
        if is_known && self.has_version {
            return Ok(());
        }
        let is_to_be_taken = !is_known && !is_first && self.is_to_be_taken(app, client, &owner).await?;
        // Where the version is not told, the order of the rows shows the names.
        let version = self.ask(app, client, "the version", client.version()).await.unwrap_or_default();
        (self.names, self.has_version) = (Names::of_version(&version), true);
        if is_to_be_taken {
            return self.take(app, client, owner, version).await;
        }
        let status = &mut self.source()?.status;
        (status.owner_pk, status.owner_uid, status.version) = (owner.pk, owner.uid, version);
        self.write_status(app).await?;
        self.note_address(app, client).await
    }

    /// Notes the address of the settings, where the source is the one that the copy is of.
    async fn note_address(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let (source, url) = (self.source()?, client.source().url.origin().to_owned());
        if source.url == url {
            return Ok(());
        }
        source.url.clone_from(&url);
        let source = source.clone();
        let written: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { db.update_source_url(&source, &url).await })).await;
        Ok(written?)
    }

    /// Whether the owner of another token is to be taken as that of another instance: where the copy has no session to
    /// recognize it by. `false`: the source shows a session of the copy that is not the owner's own. Its UUID is 128 random
    /// bits, so that the source is the one that the copy is of. The owner is asked for once more between two looks at the
    /// session: the instances may change places while they are asked.
    ///
    /// # Errors
    /// As for requests; [`PollError::Doubt`] when the source shows none, and as for [`Poller::must_wait`].
    async fn is_to_be_taken(&mut self, app: &App, client: &Client, owner: &SeenOwner) -> Result<bool, PollError> {
        let id = self.source()?.id;
        let known = app.store.read().list_latest_watched(id, owner.pk, RECOGNIZED_BY).await?;
        if known.is_empty() {
            self.must_wait(owner, app.clock.now())?;
            return if self.is_still(app, client, owner).await? { Ok(true) } else { Err(another_one()) };
        }
        for uuid in known {
            if self.shows(app, client, uuid).await? {
                let is_the_same = self.is_still(app, client, owner).await? && self.shows(app, client, uuid).await?;
                return if is_the_same { Ok(false) } else { Err(another_one()) };
            }
        }
        Err(another_one())
    }

    /// Makes the source, whose copy is empty, another instance, and goes on with that one. Whether the users are the same
    /// people cannot be known, so the history takes them for others.
    async fn take(&mut self, app: &App, client: &Client, owner: SeenOwner, version: String) -> Result<(), PollError> {
        let (source, url) = (self.source()?.clone(), client.source().url.origin().to_owned());
        let new = NewInstance { url, version, owner_pk: owner.pk, owner_uid: owner.uid };
        let lease = Lease { holder: self.holder.clone(), until: app.clock.now().plus(LEASE) };
        replace(app, &Actor::system(), &source, new, Some(lease)).await?;
        // What was in memory is of the one before.
        drop(self.begin_anew());
        self.has_version = true;
        self.hold(app, client).await
    }

    /// Whether this owner answers still.
    async fn is_still(&mut self, app: &App, client: &Client, owner: &SeenOwner) -> Result<bool, PollError> {
        Ok(self.ask(app, client, OWNER, client.owner()).await? == *owner)
    }

    /// Whether the source shows a session.
    pub(super) async fn shows(&mut self, app: &App, client: &Client, uuid: SessionId) -> Result<bool, PollError> {
        match self.ask(app, client, SESSION, client.session(uuid)).await {
            Ok(_) => Ok(true),
            Err(PollError::Source { error: SourceError::Missing, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets an empty copy become that of another owner or instance, which answers at `now`, when it has for some time.
    ///
    /// # Errors
    /// [`PollError::Doubt`] until it has answered for [`TAKEN_AFTER`].
    fn must_wait(&mut self, owner: &SeenOwner, now: Timestamp) -> Result<(), PollError> {
        let since = match &self.stranger {
            Some((stranger, since)) if stranger == owner => *since,
            _ => now,
        };
        self.stranger = Some((owner.clone(), since));
        if now.since(since) >= TAKEN_AFTER {
            return Ok(());
        }
        Err(PollError::Doubt(
            "the token or the instance is another one, and the copy has no session to recognize it by; it is taken when it \
             still answers ten minutes later, or by `rollcall watch accept`"
                .into(),
        ))
    }
}

/// The doubt that another instance raises.
fn another_one() -> PollError {
    PollError::Doubt(ANOTHER_ONE.into())
}
