//! What is kept of one user but sessions and events, as `/account/data` shows it and an export writes it.

use std::collections::HashMap;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::policy::Policy;
use crate::domain::{Timestamp, UserId};
use crate::store::applications::app_sessions::{AppSessionFilter, AppSessionRow};
use crate::store::oidc::consents::ConsentRow;
use crate::store::people::groups::GroupRow;
use crate::store::people::policies::PolicyOwner;
use crate::store::people::profiles::UserProfile;
use crate::store::people::token_list::TokenDetail;
use crate::store::sign_in::factors::FactorRow;
use crate::store::{CountKey, Db, StoreError};

/// What is kept of one user.
#[derive(Clone, Debug)]
pub struct Known {
    /// The user's own row.
    pub profile: UserProfile,
    /// The direct groups, by name.
    pub groups: Vec<GroupRow>,
    /// The user's own permissions.
    pub permissions: Vec<String>,
    /// The user's own policy.
    pub policy: Policy,
    /// Tokens and app passwords, by identifier.
    pub tokens: Vec<TokenDetail>,
    /// Of each app password, by the token's primary key: the slugs of its applications.
    pub apps_of_tokens: HashMap<i64, Vec<String>>,
    /// Second factors, unconfirmed ones too.
    pub factors: Vec<FactorRow>,
    /// How many recovery codes are left.
    pub codes_left: i64,
    /// The browsers in which they signed in: when first, and when last.
    pub browsers: Vec<(Timestamp, Timestamp)>,
    /// The applications that are open in live sessions.
    pub apps: Vec<AppSessionRow>,
    /// What they allowed apps.
    pub consents: Vec<ConsentRow>,
}

impl Known {
    /// Reads it; `None`: there is no such user.
    pub(in crate::actions) async fn read(db: &Db<'_>, user: UserId) -> Result<Option<Self>, StoreError> {
        let Some(listed) = db.find_listed_user(user).await? else { return Ok(None) };
        let tokens = db.list_tokens_of(user).await?;
        let ids: Vec<i64> = tokens.iter().map(|token| token.id).collect();
        let filter = AppSessionFilter { user: Some(user), ..AppSessionFilter::default() };
        let browsers = db.list_known_devices(user).await?;
        Ok(Some(Self {
            permissions: db.list_permissions(user).await?,
            policy: db.find_policy(PolicyOwner::User(user)).await?,
            apps_of_tokens: db.list_applications_of_tokens(&ids).await?,
            factors: db.list_factors(user).await?,
            codes_left: db.count_recovery_codes(user).await?,
            browsers: browsers.into_iter().map(|(first, last)| (Timestamp(first), Timestamp(last))).collect(),
            apps: db.list_app_sessions(&filter, 0, i64::MAX).await?,
            consents: db.list_consents(user).await?,
            profile: listed.profile,
            groups: listed.groups,
            tokens,
        }))
    }
}

/// How much is kept of sessions and events of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Ended sessions.
    pub ended: i64,
    /// Events about them.
    pub events: i64,
}

/// What is kept of a user, and how much of sessions that ended and of events.
///
/// # Errors
/// [`ActionError::Forbidden`] for somebody else's, unless an administrator or an auditor asks; [`ActionError::NotFound`]
/// when there is no such user.
pub async fn find(app: &App, by: By<'_>, user: UserId) -> Result<(Known, Counts), ActionError> {
    by.must_own_or_inspect(user)?;
    let read = app.store.long_read(move |db| {
        Box::pin(async move {
            let Some(known) = Known::read(db, user).await? else { return Ok::<_, StoreError>(None) };
            let uuid = known.profile.user.uuid;
            let ended = db.count_sessions_of(&CountKey::EndedOfUser(uuid)).await?;
            let events = db.count_events_about(uuid).await?;
            Ok(Some((known, Counts { ended, events })))
        })
    });
    read.await?.ok_or(ActionError::NotFound)
}
