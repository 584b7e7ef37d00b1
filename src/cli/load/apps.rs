//! Made-up app sessions. Those of every tenth user come first, each session with all of a few applications: so a session of a
//! load has all of them or none.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use uuid::Builder;

use crate::actions::app::App;
use crate::actions::applications::clients::ClientWish;
use crate::actions::applications::{ApplicationChange, add};
use crate::actions::by::By;
use crate::cli::load::{GenerateError, Maker, Plan, people, rng};
use crate::domain::application::client::Client;
use crate::domain::application::demand::{Allow, Demand};
use crate::domain::application::values::Identity;
use crate::domain::application::{Application, ClientPart};
use crate::domain::oidc::grant::{Grant, Proof};
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::secret::hex;
use crate::domain::{HashedSecret, Methods, UserId};
use crate::store::oidc::load::{NewAppSession, OpenSession};
use crate::store::{Db, StoreError};

/// How many applications there are: the most app sessions of one session.
const APPLICATIONS: u32 = 3;
/// Of how many users the sessions are read at once.
const USERS: usize = 512;
/// In how many turns users come: the first one and every tenth after it, then the second one and every tenth, and so on.
const TURNS: usize = 10;
/// What each app was granted.
const SCOPE: &str = "openid profile email";

/// The applications, and how far they were opened.
pub(super) struct Apps {
    applications: Vec<Arc<Application>>,
    /// Whose turn it is, and of how many of these users the sessions were read.
    turn: usize,
    read: usize,
    /// The sessions that were read, the next one last.
    sessions: Vec<OpenSession>,
    /// How many of the applications the next session has.
    opened: usize,
}

impl Apps {
    /// Applications to open.
    pub fn new(applications: Vec<Arc<Application>>) -> Self {
        Self { applications, turn: 0, read: 0, sessions: Vec::new(), opened: 0 }
    }
}

/// The applications of a plan: `load-1` and so on, which are made where they are not there. None for a plan without app
/// sessions.
pub(super) async fn applications(app: &App, plan: Plan) -> Result<Vec<Arc<Application>>, GenerateError> {
    if plan.app_sessions == 0 {
        return Ok(Vec::new());
    }
    let most = plan.sessions.saturating_mul(APPLICATIONS);
    if plan.app_sessions > most {
        return Err(GenerateError::ManyAppSessions(most));
    }
    let mut all = Vec::new();
    for nth in 1..=APPLICATIONS {
        let slug = format!("load-{nth}");
        let known = app.store.applications().await?.by_slug(&slug).cloned();
        let application = match known {
            Some(known) => known,
            None => Arc::new(add(app, By::Cli, wanted(&slug)).await?),
        };
        if application.client.is_none() {
            return Err(GenerateError::NoClient(slug));
        }
        all.push(application);
    }
    Ok(all)
}

/// An application that everybody may open, with a client that nobody has a secret of.
fn wanted(slug: &str) -> ApplicationChange {
    let redirect_uris = RedirectUri::parse(&format!("https://{slug}.example/callback"), &[]).into_iter().collect();
    ApplicationChange {
        slug: Some(slug.to_owned()),
        name: Some(format!("Load data {slug}")),
        access: Some(Demand { allow: Allow::SignedIn, ..Demand::default() }),
        client: Some(Some(ClientWish { client_id: None, client: Client { redirect_uris, ..Client::default() } })),
        ..ApplicationChange::default()
    }
}

impl Maker {
    /// Adds app sessions of these numbers.
    pub(super) async fn add_app_sessions(&mut self, db: &Db<'_>, numbers: Range<u32>) -> Result<(), GenerateError> {
        // Nobody gets these secrets: they are drawn as hashes.
        let mut secrets = vec![[[0_u8; 32]; 3]; numbers.len()];
        getrandom::fill(secrets.as_flattened_mut().as_flattened_mut())?;
        let mut made = Vec::with_capacity(numbers.len());
        for (nth, secrets) in numbers.zip(secrets) {
            let (session, application) = self.next_place(db).await?.ok_or(GenerateError::SessionsEnded)?;
            made.push(self.app_session(nth, session, application, secrets)?);
        }
        Ok(db.insert_app_sessions(&made).await?)
    }

    /// The session and the application of the next app session; `None`: all sessions have all applications.
    async fn next_place(&mut self, db: &Db<'_>) -> Result<Option<(OpenSession, Arc<Application>)>, StoreError> {
        while self.apps.sessions.is_empty() {
            if self.apps.turn >= TURNS {
                return Ok(None);
            }
            let whose = self.users.iter().copied().skip(self.apps.turn).step_by(TURNS);
            let these: Vec<UserId> = whose.skip(self.apps.read).take(USERS).collect();
            if these.is_empty() {
                (self.apps.turn, self.apps.read) = (self.apps.turn + 1, 0);
                continue;
            }
            self.apps.read += these.len();
            self.apps.sessions = db.list_sessions_of_users(&these).await?;
        }
        let application = self.apps.applications.get(self.apps.opened).cloned();
        let place = self.apps.sessions.last().copied().zip(application);
        self.apps.opened += 1;
        if self.apps.opened >= self.apps.applications.len() {
            self.apps.sessions.pop();
            self.apps.opened = 0;
        }
        Ok(place)
    }

    fn app_session(
        &self,
        nth: u32,
        session: OpenSession,
        application: Arc<Application>,
        [code, refresh, family]: [[u8; 32]; 3],
    ) -> Result<NewAppSession, StoreError> {
        let mut rng = rng(self.seed, 7, nth);
        let part = application.client.as_ref().ok_or(StoreError::Corrupt("an application without its client"))?;
        let lived = u64::try_from(session.last_used_at.since(session.created_at).as_micros()).unwrap_or(0);
        let created_at = session.created_at.plus(Duration::from_micros(rng.u64(..=lived)));
        let challenge = [rng.u128(..).to_le_bytes(), rng.u128(..).to_le_bytes()].concat();
        let grant = Grant {
            redirect_uri: part.client.redirect_uris.first().map(ToString::to_string).unwrap_or_default(),
            challenge: Some(hex(&challenge)),
            nonce: Some(hex(&rng.u128(..).to_le_bytes())),
            scope: SCOPE.to_owned(),
            proof: Proof::of(Methods::default(), session.created_at, &[]),
        };
        Ok(NewAppSession {
            uuid: Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid(),
            session,
            sub: self.sub_of(part, session),
            created_at,
            grant,
            code: HashedSecret(code),
            refresh: HashedSecret(refresh),
            family: HashedSecret(family),
            application,
        })
    }

    /// Who a client takes the user of a session for: what is known of made-up users is made up again.
    fn sub_of(&self, part: &ClientPart, session: OpenSession) -> String {
        let nth = self.users.binary_search_by_key(&session.user.0, |user| user.0).unwrap_or(0);
        let nth = u32::try_from(nth).unwrap_or(0);
        let user = people::user(&mut rng(self.seed, 1, nth), nth, self.seed);
        let identity = Identity {
            username: user.username,
            name: user.name,
            email: user.email,
            uid: user.uid.unwrap_or_default(),
            uuid: user.uuid.unwrap_or_default(),
            ..Identity::default()
        };
        part.client.sub_of(&identity, session.user.0).unwrap_or_default()
    }
}
