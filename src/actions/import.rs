//! Import: users, groups, applications, tokens and sessions as JSON lines, all or nothing.
//!
//! One object a line; `kind` tells which. Users come before what refers to them. A session's key is
//! stored hashed and serves both Rollcall's cookie and authentik's. A user keeps the `uuid` and the `uid` that
//! the line brings: history of that uuid is theirs. Without them both are random. An imported session keeps its
//! own `expires` and has no idle timeout.

mod lines;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read};

use serde_json::json;
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::import::{LineFault, add_line};
use crate::actions::by::By;
use crate::actions::import::lines::{GroupLine, Line, SessionLine, TokenLine, UserLine};
use crate::actions::people::administrators::Administrators;
use crate::actions::people::changes::{self, check_attributes};
use crate::actions::people::passwords;
use crate::actions::sessions::bulk_end::end_everything_in;
use crate::actions::sessions::retention::ADDRESSES_SETTING;
use crate::actions::tokens::APP_PASSWORD_PREFIX;
use crate::core::agents::Agents;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::group::{GroupRule, MAX_LEVELS, check_group_name};
use crate::domain::names;
use crate::domain::session::Lifetime;
use crate::domain::user::{TokenIntent, UserRule, UserType, check_email, check_path, check_username};
use crate::domain::{Address, EndReason, Methods, Permission, PlainSecret, SessionId, Timestamp, UserId, secret, user_agent};
use crate::enrich::geoip::GeoIp;
use crate::store::people::groups::GroupRow;
use crate::store::people::profiles::ProfileUpdate;
use crate::store::people::tokens::NewToken;
use crate::store::people::users::NewUser;
use crate::store::sessions::history::End;
use crate::store::sessions::rows::{NewSession, Origin};
use crate::store::{Db, StoreError};

/// The longest `uid` of a user, in bytes.
const MAX_UID: usize = 255;
/// The longest line, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// The setting that says which GeoIP files the stored countries and networks came from.
pub const PLACES_SETTING: &str = "places";

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Tokens.
    pub tokens: u64,
    /// Sessions.
    pub sessions: u64,
    /// Applications.
    pub applications: u64,
    /// App passwords whose key does not begin with `rcp_`: they open nothing.
    pub powerless: u64,
    /// Users without a `uid`, where apps know users by it: each app takes them for somebody new.
    pub strangers: u64,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// There was an administrator who could sign in, and there would be none.
    #[error("no administrator who can sign in would be left")]
    LastAdministrator,
    /// A caller of the server may not import.
    #[error("not permitted")]
    Forbidden,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    fn of(error: ActionError) -> Self {
        match error {
            ActionError::Store(error) => Self::Store(error),
            ActionError::LastAdministrator => Self::LastAdministrator,
            _ => Self::Forbidden,
        }
    }
}

/// What an import reads from.
pub type Source = Box<dyn BufRead + Send>;
/// Told how many more bytes were read.
pub type Progress = Box<dyn Fn(u64) + Send + Sync>;

/// What happens to the users, groups, tokens and sessions that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// They stay.
    Stays,
    /// They go first, in the same transaction. Where an administrator could sign in, one must be among the new users.
    Goes,
    /// They go first, and with them maybe the last administrator who can sign in.
    GoesWithAdministrators,
}

/// Imports what `source` holds.
///
/// # Errors
/// [`ImportError::Line`] with the first line that is wrong, and why; [`ImportError::LastAdministrator`]; then nothing was
/// stored.
pub async fn run(app: &App, by: By<'_>, source: Source, stored: Stored, progress: Progress) -> Result<Summary, ImportError> {
    by.must_operate().map_err(|_| ImportError::Forbidden)?;
    crate::actions::policies::mark_policy_applied_if_empty(app, by).await.map_err(ImportError::of)?;
    let is_replacing = stored != Stored::Stays;
    let mut import = Import {
        user_agents: std::sync::Arc::clone(&app.user_agents),
        geoip: std::sync::Arc::clone(&app.geoip),
        now: app.clock.now(),
        known_users: HashSet::new(),
        new_users: HashSet::new(),
        known_agents: HashMap::new(),
        are_keys_behind: false,
        is_replacing,
        app: app.clone(),
        done: Summary::default(),
    };
    let actor = by.actor();
    app.store
        .write_much(move |db| {
            Box::pin(async move {
                let administrators = if stored == Stored::Goes { Some(Administrators::watch(db).await?) } else { None };
                if is_replacing {
                    end_everything_in(db, &End::by(&actor, import.now, EndReason::UserRemoved), &actor).await?;
                    db.delete_people().await?;
                }
                import.read(db, source, &progress).await?;
                if let Some(administrators) = administrators {
                    administrators.must_remain(db).await.map_err(ImportError::of)?;
                }
                let mut done = import.done;
                if !db.has_clients_by_uid().await? {
                    done.strangers = 0;
                }
                db.advance_user_keys().await?;
                // Another process's files may differ: the server then looks all places up again.
                let places = db.find_setting(PLACES_SETTING).await?;
                if places.as_deref() != Some(&import.geoip.fingerprint()) {
                    db.update_setting(PLACES_SETTING, "mixed").await?;
                }
                // They may be older than those that have lost their addresses.
                db.update_setting(ADDRESSES_SETTING, "").await?;
                import.record(db, done, &actor).await?;
                Ok(done)
            })
        })
        .await
}

struct Import {
    user_agents: std::sync::Arc<Agents>,
    geoip: std::sync::Arc<GeoIp>,
    now: Timestamp,
    known_users: HashSet<i64>,
    new_users: HashSet<i64>,
    known_agents: HashMap<String, i64>,
    /// Whether users brought keys that the database's own do not know of yet.
    are_keys_behind: bool,
    /// Whether what is stored goes first.
    is_replacing: bool,
    app: App,
    done: Summary,
}

/// Why a line cannot be imported: its own fault, or the database's.
enum Fault {
    Line(String),
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(why) => Self::Line(format!("one like it exists already ({why})")),
            other => Self::Store(other),
        }
    }
}

impl From<LineFault> for Fault {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::Line(why) => Self::Line(why),
            LineFault::Store(error) => error.into(),
        }
    }
}

impl<T: std::fmt::Display> From<Wrong<T>> for Fault {
    fn from(wrong: Wrong<T>) -> Self {
        Self::Line(wrong.0.to_string())
    }
}

/// A message on its way to a [`Fault`].
struct Wrong<T>(T);

impl Import {
    /// Writes the event, and as its parts those of the users who are administrators.
    async fn record(&self, db: &Db<'_>, done: Summary, actor: &Actor) -> Result<(), StoreError> {
        let Summary { users, groups, tokens, sessions, applications, .. } = done;
        let content = EventContent::Import { users, groups, tokens, sessions, applications, is_generated: false };
        let parent = db.insert_parent_event(&content.by(actor, self.now)).await?;
        for id in db.list_superusers().await? {
            if !self.new_users.contains(&id) {
                continue;
            }
            let Some(profile) = db.find_profile(UserId(id)).await? else { continue };
            let event = changes::added(db, &profile).await?.by(actor, self.now).part_of(Some(parent));
            db.insert_events(&[event.about(profile.user.id, &profile.user.username)]).await?;
        }
        Ok(())
    }

    async fn read(&mut self, db: &Db<'_>, mut source: Source, progress: &Progress) -> Result<(), ImportError> {
        let mut bytes = Vec::new();
        let mut number = 0;
        loop {
            bytes.clear();
            let read = source.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            progress(u64::try_from(read).unwrap_or(0));
            let failed = |why: String| ImportError::Line { line: number, why };
            if bytes.len() as u64 > MAX_LINE {
                return Err(failed(format!("longer than {MAX_LINE} bytes")));
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| failed("not UTF-8".into()))?;
            // Editors put a byte order mark at the start of a file.
            let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
            if text.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(text).map_err(|error| failed(error.to_string()))?;
            self.line(db, line).await.map_err(|fault| match fault {
                Fault::Line(why) => failed(why),
                Fault::Store(error) => ImportError::Store(error),
            })?;
        }
    }

    async fn line(&mut self, db: &Db<'_>, line: Line) -> Result<(), Fault> {
        match line {
            Line::Group(line) => self.group(db, line).await?,
            Line::User(line) => self.user(db, line).await?,
            Line::Application(line) => {
                // Applications that are stored go only where the file brings others.
                if self.is_replacing && self.done.applications == 0 {
                    db.delete_applications().await?;
                }
                add_line(db, &self.app, line).await?;
                self.done.applications += 1;
            }
            Line::Token(line) => self.token(db, line).await?,
            Line::Session(line) => self.session(db, line).await?,
        }
        Ok(())
    }

    async fn group(&mut self, db: &Db<'_>, line: GroupLine) -> Result<(), Fault> {
        let name = check_group_name(&line.name).map_err(Wrong)?;
        let uuid = line.uuid.as_deref().map(uuid_of).transpose()?;
        line.attributes.as_ref().map_or(Ok(()), check_attributes).map_err(Wrong)?;
        let id = db.insert_group(&name, line.is_superuser, &permissions(&line.permissions)?).await?;
        if let Some(uuid) = uuid {
            db.update_group_uuid(id, uuid).await?;
        }
        let Some(row) = db.find_group_by_id(id).await? else { return Err(Fault::Line("the group is gone".into())) };
        let attributes = line.attributes.map_or_else(|| row.attributes.clone(), |attributes| json!(attributes).to_string());
        db.update_group(&GroupRow { is_auditor: line.is_auditor, attributes, ..row }).await?;
        let mut parents = Vec::new();
        for parent in &line.parents {
            let found = db.find_group_id(parent).await?.filter(|parent| *parent != id);
            parents.push(found.ok_or_else(|| Fault::Line(format!("there is no group {parent:?} before this line")))?);
        }
        if !parents.is_empty() {
            db.replace_parents(id, &parents).await?;
            if db.count_levels(id, MAX_LEVELS + 1).await? > MAX_LEVELS {
                return Err(Wrong(GroupRule::Depth).into());
            }
        }
        self.done.groups += 1;
        Ok(())
    }

    async fn user(&mut self, db: &Db<'_>, line: UserLine) -> Result<(), Fault> {
        // Names that are the same are kept, as an instance of authentik may have them.
        let username = check_username(&line.username).map_err(Wrong)?;
        let email = check_email(&line.email).map_err(Wrong)?;
        let name = names::tidy(&line.name).map_err(|rule| Wrong(UserRule::Name(rule)))?;
        if line.id.is_some_and(|id| id < 1) {
            return Err(Fault::Line("a user's id starts at 1".into()));
        }
        if let Some(hash) = &line.password_hash
            && !passwords::is_usable_hash(hash)
        {
            return Err(Fault::Line("password_hash must be an Argon2 hash in PHC form of at most 128 MiB, 16 passes and 16 lanes, and 512 MiB times passes".into()));
        }
        let uuid = line.uuid.as_deref().map(uuid_of).transpose()?;
        let profile = profile(&line)?;
        if line.uid.as_ref().is_some_and(|uid| uid.is_empty() || uid.len() > MAX_UID || !uid.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(Fault::Line(format!("a uid is 1 to {MAX_UID} visible ASCII characters")));
        }
        self.done.strangers += u64::from(line.uid.is_none());
        let user = NewUser {
            id: line.id.map(UserId),
            uuid,
            uid: line.uid,
            username,
            name,
            email,
            password_hash: line.password_hash,
            is_active: line.is_active,
            is_superuser: line.is_superuser,
            permissions: permissions(&line.permissions)?,
        };
        if user.id.is_some() {
            self.are_keys_behind = true;
        } else if std::mem::take(&mut self.are_keys_behind) {
            db.advance_user_keys().await?;
        }
        let id = db.insert_user(&user, self.now).await?;
        if let Some(profile) = profile {
            db.update_profile(id, &profile, self.now).await?;
        }
        for group in &line.groups {
            if !db.insert_membership(id, group).await? {
                return Err(Fault::Line(format!("there is no group {group:?}")));
            }
        }
        self.known_users.insert(id.0);
        self.new_users.insert(id.0);
        self.done.users += 1;
        Ok(())
    }

    async fn token(&mut self, db: &Db<'_>, line: TokenLine) -> Result<(), Fault> {
        let intents = TokenIntent::ALL.map(TokenIntent::as_str).join(", ");
        let intent = TokenIntent::parse(&line.intent)
            .ok_or_else(|| Fault::Line(format!("intent {:?} is none of {intents}", line.intent)))?;
        self.require_user(db, line.user).await?;
        secret::check_token_key(&line.key).map_err(|rule| Fault::Line(rule.to_string()))?;
        if line.description.contains('\0') || line.identifier.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Fault::Line("identifier and description may not hold NUL".into()));
        }
        // A link is good while its user's credentials stay as they are now.
        let owner = if intent == TokenIntent::Recovery { db.find_user(UserId(line.user)).await? } else { None };
        let made_up = secret::random_alphanumeric(10).map_err(|error| Fault::Line(error.to_string()))?;
        let is_app_password = intent == TokenIntent::AppPassword;
        if !line.applications.is_empty() && !is_app_password {
            return Err(Fault::Line("applications are for the intent app_password".into()));
        }
        self.done.powerless += u64::from(is_app_password && !line.key.starts_with(APP_PASSWORD_PREFIX));
        let token = NewToken {
            key_hash: PlainSecret::from_text(line.key).hash(),
            identifier: line.identifier.unwrap_or_else(|| format!("imported-{made_up}")),
            description: line.description,
            intent,
            user: UserId(line.user),
            expires: (line.expiring, instant("expires", &line.expires)?),
            generation: owner.map(|user| user.generation()),
        };
        let uuid = db.insert_token(&token, self.now).await?;
        let mut applications = Vec::with_capacity(line.applications.len());
        for slug in &line.applications {
            let id = db.find_application_id(slug).await?;
            applications.push(id.ok_or_else(|| Fault::Line(format!("there is no application {slug:?}")))?);
        }
        db.insert_token_applications(uuid, &applications).await?;
        self.done.tokens += 1;
        Ok(())
    }

    async fn session(&mut self, db: &Db<'_>, line: SessionLine) -> Result<(), Fault> {
        let uuid = SessionId::parse(&line.uuid).ok_or_else(|| Fault::Line(format!("uuid {:?} is none", line.uuid)))?;
        let ip = Address::parse(&line.last_ip)
            .ok_or_else(|| Fault::Line(format!("last_ip {:?} is no IPv4 or IPv6 address", line.last_ip)))?;
        self.require_user(db, line.user).await?;
        if line.session_key.is_empty() {
            return Err(Fault::Line("session_key is empty".into()));
        }
        let user_agent_id = self.user_agent(db, &user_agent::storable(&line.last_user_agent)).await?;
        let (country, asn) = self.geoip.country_and_asn(ip);
        let last_used_at = instant("last_used", &line.last_used)?;
        let session = NewSession {
            uuid,
            key_hash: PlainSecret::from_text(line.session_key).hash(),
            user: UserId(line.user),
            created_at: last_used_at,
            last_used_at,
            lifetime: Lifetime { idle_timeout: None, absolute_expires_at: instant("expires", &line.expires)? },
            origin: Origin { ip, user_agent_id, country, asn },
            methods: Methods::default(),
            is_known_device: false,
            is_remembered: false,
        };
        db.insert_session(&session).await?;
        self.done.sessions += 1;
        Ok(())
    }

    async fn require_user(&mut self, db: &Db<'_>, id: i64) -> Result<(), Fault> {
        if self.known_users.contains(&id) {
            return Ok(());
        }
        if db.find_user(UserId(id)).await?.is_none() {
            return Err(Fault::Line(format!("there is no user with the id {id}")));
        }
        self.known_users.insert(id);
        Ok(())
    }

    async fn user_agent(&mut self, db: &Db<'_>, text: &str) -> Result<i64, Fault> {
        if let Some(id) = self.known_agents.get(text) {
            return Ok(*id);
        }
        let id = match db.find_user_agent_id(text).await? {
            Some(id) => id,
            None => db.insert_user_agent(text, &self.user_agents.parse(text), &self.user_agents.fingerprint()).await?,
        };
        self.known_agents.insert(text.to_owned(), id);
        Ok(id)
    }
}

/// The uuid that a line brings.
fn uuid_of(text: &str) -> Result<Uuid, Fault> {
    let uuid = Uuid::parse_str(text).map_err(|_| Fault::Line(format!("uuid {text:?} is none")))?;
    if uuid.is_nil() { Err(Fault::Line("a uuid may not be the nil UUID".into())) } else { Ok(uuid) }
}

/// What a user's line says beyond a [`NewUser`]; `None`: nothing.
fn profile(line: &UserLine) -> Result<Option<ProfileUpdate>, Fault> {
    let types = UserType::ALL.map(UserType::as_str).join(", ");
    let kind = line
        .kind
        .as_deref()
        .map(|word| UserType::parse(word).ok_or_else(|| Fault::Line(format!("type {word:?} is none of {types}"))));
    line.attributes.as_ref().map_or(Ok(()), check_attributes).map_err(Wrong)?;
    let update = ProfileUpdate {
        is_email_verified: line.email_verified.then_some(true),
        is_auditor: line.is_auditor.then_some(true),
        attributes: line.attributes.as_ref().map(|attributes| json!(attributes).to_string()),
        path: line.path.as_deref().map(check_path).transpose().map_err(Wrong)?,
        kind: kind.transpose()?,
        ..ProfileUpdate::default()
    };
    let says = update.is_email_verified.or(update.is_auditor).is_some() || update.attributes.is_some();
    Ok((says || update.path.is_some() || update.kind.is_some()).then_some(update))
}

fn permissions(names: &[String]) -> Result<Vec<Permission>, Fault> {
    let parse = |name: &String| {
        let known = Permission::ALL.map(Permission::as_str).join(", ");
        Permission::parse(name).ok_or_else(|| Fault::Line(format!("permission {name:?} is none of {known}")))
    };
    names.iter().map(parse).collect()
}

fn instant(field: &str, text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse(text).ok_or_else(|| Fault::Line(format!("{field} {text:?} is no ISO 8601 date and time")))
}
