//! `/account/data`: all that is known about a user, as a page. What it lists in part is whole in the file of `/my-data`.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::known;
use crate::actions::people::known::{Counts, Known};
use crate::actions::policies;
use crate::domain::factor::FactorKind;
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::{SessionId, UserId};
use crate::store::StoreError;
use crate::ui::account::devices::{Ended, ended};
use crate::ui::admin::choices;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Device, Moment, Whereabouts, describe};
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/account/data";
/// How many sessions, ended sessions, apps, tokens and browsers are listed.
const LISTED: usize = 25;

#[derive(Template)]
#[template(path = "pages/account_data.html")]
struct DataPage {
    frame: Frame,
    known: Known,
    counts: Counts,
    kind: &'static str,
    rights: Vec<String>,
    /// The groups that the direct ones are within.
    inherited: Vec<String>,
    /// What the policies of the instance, the groups and the user together allow.
    limits: String,
    added: Moment,
    changed: Moment,
    last_sign_in: Option<Moment>,
    password_set: Option<Moment>,
    asked: Option<Moment>,
    attributes: String,
    live: i64,
    sessions: Vec<Line>,
    ended: Vec<(Ended, String)>,
    factors: Vec<FactorLine>,
    tokens: Vec<TokenLine>,
    browsers: Vec<(Moment, Moment)>,
    apps: Vec<AppLine>,
    listed: usize,
}

/// A live session.
struct Line {
    id: SessionId,
    agent: String,
    device: Device,
    place: String,
    ip: String,
    signed_in: Moment,
    used: Moment,
}

struct FactorLine {
    name: String,
    kind: &'static str,
    added: Moment,
    used: Option<Moment>,
    is_confirmed: bool,
}

struct TokenLine {
    identifier: String,
    description: String,
    /// What it opens, in words.
    opens: String,
    made: Moment,
    used: Option<Moment>,
    expires: Option<Moment>,
}

/// An app that a live session opened.
struct AppLine {
    name: String,
    hosts: String,
    session: SessionId,
    opened: Moment,
    used: Moment,
}

/// The page. It needs a re-authentication, as the file does.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.confirmed(&app, PATH)?;
    let who = visitor.principal(PATH)?;
    let (known, counts) = known::find(&app, By::Principal(&who, &visitor.actor()), who.user_id).await?;
    let (now, db, id) = (app.clock.now(), app.store.read(), who.user_id);
    let (profile, user) = (&known.profile, &known.profile.user);
    let all = db.list_all_groups_of(id).await?;
    let sources = db.list_permission_sources(id).await?;
    let inherited = all.iter().filter(|group| known.groups.iter().all(|direct| direct.id != group.id));
    let (live, sessions) = sessions(&app, id).await?;
    let expires = |at, is_expiring: bool| is_expiring.then(|| Moment::until(at, now));
    let tokens = known.tokens.iter().take(LISTED).map(|token| TokenLine {
        identifier: token.identifier.clone(),
        description: token.description.clone(),
        opens: match (token.intent.as_str(), known.apps_of_tokens.get(&token.id)) {
            ("app_password", Some(apps)) => apps.join(", "),
            ("app_password", None) => "nothing".to_owned(),
            ("recovery", _) => "sets your password, once".to_owned(),
            ("api", _) => token.scopes.about(),
            (other, _) => other.to_owned(),
        },
        made: Moment::new(token.created_at, now),
        used: token.last_used_at.map(|at| Moment::new(at, now)),
        expires: expires(token.expires_at, token.is_expiring),
    });
    let factors = known.factors.iter().map(|factor| FactorLine {
        name: factor.name.clone(),
        kind: match factor.kind {
            FactorKind::Totp => "Authenticator app",
            FactorKind::WebAuthn => "Passkey or security key",
        },
        added: Moment::new(factor.created_at, now),
        used: factor.last_used_at.map(|at| Moment::new(at, now)),
        is_confirmed: factor.is_confirmed,
    });
    let apps = known.apps.iter().take(LISTED).map(|row| AppLine {
        name: row.name.clone(),
        hosts: row.hosts.iter().chain(&row.client_id).cloned().collect::<Vec<_>>().join(", "),
        session: row.session,
        opened: Moment::new(row.created_at, now),
        used: Moment::new(row.last_used_at, now),
    });
    let browsers = known.browsers.iter().rev().take(LISTED);
    let shown = DataPage {
        frame: visitor.frame(&app, Section::Account),
        kind: choices::type_words(profile.kind),
        rights: choices::rights_words((user.is_superuser, profile.is_auditor), &all, &sources),
        inherited: inherited.map(|group| group.name.clone()).collect(),
        limits: policies::limits(&app, id).await?.effective().to_string(),
        added: Moment::new(user.created_at, now),
        changed: Moment::new(profile.updated_at, now),
        last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
        password_set: user.password_hash.as_ref().map(|_| Moment::new(profile.password_changed_at, now)),
        asked: profile.removal_asked_at.map(|at| Moment::new(at, now)),
        attributes: pretty(&profile.attributes),
        live,
        sessions,
        ended: ended_lines(&app, id).await?,
        factors: factors.collect(),
        tokens: tokens.collect(),
        browsers: browsers.map(|(first, last)| (Moment::new(*first, now), Moment::new(*last, now))).collect(),
        apps: apps.collect(),
        listed: LISTED,
        counts,
        known,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// Stored attributes as people read them; `""`: there are none.
fn pretty(stored: &str) -> String {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(stored) {
        Ok(object) if !object.is_empty() => serde_json::to_string_pretty(&object).unwrap_or_default(),
        _ => String::new(),
    }
}

/// How many live sessions a user has, and the first of them, the last used first.
async fn sessions(app: &App, user: UserId) -> Result<(i64, Vec<Line>), StoreError> {
    let (now, order) = (app.clock.now(), [Sort { key: SortKey::LastUsed, is_descending: true }]);
    let filter = SessionFilter { visible_to: Some(user), ..SessionFilter::default() };
    let found = app.store.page(&filter, &order, Wanted::first(i64::try_from(LISTED).unwrap_or(0))).await?;
    let agents = app.user_agents.entries(&app.store.read(), found.rows.iter().map(|row| row.user_agent_id)).await?;
    let lines = found.rows.iter().map(|row| {
        let agent = agents.get(&row.user_agent_id);
        Line {
            id: row.uuid,
            agent: describe(agent),
            device: Device::of(agent),
            place: Whereabouts::of(app, row.last_ip).place,
            ip: row.last_ip.to_string(),
            signed_in: Moment::new(row.created_at, now),
            used: Moment::new(row.last_used_at, now),
        }
    });
    Ok((found.count, lines.collect()))
}

/// The last sessions of a user that ended, each with the names of its apps.
async fn ended_lines(app: &App, user: UserId) -> Result<Vec<(Ended, String)>, StoreError> {
    let (now, db) = (app.clock.now(), app.store.read());
    let rows = db.list_ended_of_user(user, i64::try_from(LISTED).unwrap_or(0)).await?;
    let agents = app.user_agents.entries(&db, rows.iter().map(|row| row.user_agent_id)).await?;
    let lines = rows.iter().map(|row| {
        let agent = agents.get(&row.user_agent_id);
        let apps: Vec<&str> = row.applications.iter().map(|app| app.name.as_str()).collect();
        (ended(app, row, describe(agent), Device::of(agent), now), apps.join(", "))
    });
    Ok(lines.collect())
}
