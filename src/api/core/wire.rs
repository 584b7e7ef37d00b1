//! Sessions in authentik's words: what the answers of `authenticated_sessions` are made of, and how
//! the schema describes them (`docs/compat.md` 7 and 8.2).

mod used_by;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use uuid::fmt::Hyphenated;

pub use used_by::{UsedBy, UsedByActionEnum};

use crate::actions::app::App;
use crate::api::core::applications::opened::SessionApplication;
use crate::api::list::{Empty, Pagination};
use crate::domain::source::{Origin, methods_of};
use crate::domain::user_agent::ParsedAgent;
use crate::domain::{Address, Methods, SessionId, Timestamp, address::AddressText, clock::TimestampText};
use crate::enrich::geoip::{AutonomousSystem, Place};
use crate::store::sessions::user_agents::{SaidAgent, UserAgentRow};
use crate::store::sessions::{details::SignInRow, rows::SessionRow};
use crate::store::watch::sessions::WatchedSignIn;

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedAuthenticatedSessionList)]
pub struct Page<'a> {
    /// The number of the page and those of its neighbours.
    pub pagination: Pagination,
    /// The sessions of this page.
    pub results: Vec<AuthenticatedSession<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// A page of ended sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedEndedSessionList)]
pub struct EndedPage<'a> {
    /// The number of the page and those of its neighbours.
    pub pagination: Pagination,
    /// The ended sessions of this page.
    pub results: Vec<EndedSession<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// A session, and what authentik's lists have no room for.
#[derive(Serialize, ToSchema)]
pub struct DetailedSession<'a> {
    /// As in the list.
    #[serde(flatten)]
    pub session: AuthenticatedSession<'a>,
    /// The user's name.
    pub username: &'a str,
    /// How it was signed in to.
    #[serde(flatten)]
    pub sign_in: SignIn<'a>,
    /// When Rollcall first saw it at authentik; null for a session of Rollcall.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub first_seen: Option<Timestamp>,
    /// When the copy of authentik's sessions last agreed with authentik; null when it never did, and for a session of
    /// Rollcall.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// What it opened; what a session of authentik opened is not known.
    pub applications: Vec<SessionApplication>,
}

/// How a session was signed in to, and what it is called.
#[derive(Serialize, ToSchema)]
pub struct SignIn<'a> {
    /// When; null for a session of authentik of which its event log does not tell it.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    created: Option<Timestamp>,
    /// How its user proved who they are, in the words of RFC 8176: `pwd` a password, `otp` a code that is used
    /// once, `hwk` a key that does not leave its device, `swk` one that software keeps, `user` somebody
    /// touched it, `mfa` several factors. None: the session was imported.
    #[schema(value_type = Vec<String>)]
    methods: Methods,
    /// Whether the browser was one that this user had signed in with before; null: not known.
    #[schema(required)]
    known_device: Option<bool>,
    /// Whether its user asked to stay signed in; null: not known.
    #[schema(required)]
    remembered: Option<bool>,
    /// What its owner calls it, or `""`.
    label: &'a str,
}

/// An ended session: what it was, and how it ended.
#[derive(Serialize, ToSchema)]
pub struct EndedSession<'a> {
    /// As a session; `current` is false.
    #[serde(flatten)]
    pub session: AuthenticatedSession<'a>,
    /// The user's name when it ended. When that user is no more, `user` is 0.
    pub username: &'a str,
    /// How it was signed in to.
    #[serde(flatten)]
    pub sign_in: SignIn<'a>,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// Who ended it: a username, `system` for Rollcall itself, `cli` for someone at the command line.
    pub ended_by: &'a str,
    /// Why: `signed_out`, `revoked`, `expired`, `replaced` and so on.
    pub reason: &'a str,
    /// The comment of the person who ended it, or `""`.
    pub comment: &'a str,
    /// What it had opened.
    pub applications: Vec<SessionApplication>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSession<'a> {
    /// What names the session. It is not its key.
    #[schema(value_type = String, format = Uuid)]
    uuid: SessionId,
    /// Whether the request's own cookie is this session.
    current: bool,
    #[schema(value_type = AuthenticatedSessionUserAgent)]
    user_agent: &'a RawValue,
    /// Null when no City file knows the address.
    #[schema(required, value_type = Option<AuthenticatedSessionGeoIp>)]
    geo_ip: Said,
    /// Null when no ASN file knows the address.
    #[schema(required, value_type = Option<AuthenticatedSessionAsn>)]
    asn: Said,
    /// The user's primary key.
    user: i64,
    /// The address it was last used from, in its shortest form.
    #[schema(value_type = String)]
    last_ip: Address,
    /// The user agent it was last used with, as received.
    #[schema(value_type = String)]
    last_user_agent: &'a RawValue,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    /// When it ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Where it lives: `rollcall`, or `authentik`, whose user `user` then is. Lists have it only when `source` is asked
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    source: Option<&'static str>,
}

/// A UUID in its form with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dashed(pub uuid::Uuid);

impl Serialize for Dashed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]))
    }
}

/// A JSON object that is stored as text.
#[must_use]
pub fn json_object(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// JSON that other answers have, too.
struct Said(Arc<RawValue>);

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What the user agent says. Parts that are not known are `""`.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgent<'a> {
    string: &'a str,
    user_agent: AuthenticatedSessionUserAgentUserAgent<'a>,
    os: AuthenticatedSessionUserAgentOs<'a>,
    device: AuthenticatedSessionUserAgentDevice<'a>,
}

/// The browser.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentUserAgent<'a> {
    family: &'a str,
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
}

/// The operating system.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentOs<'a> {
    family: &'a str,
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
    patch_minor: &'a str,
}

/// The device.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentDevice<'a> {
    family: &'a str,
    brand: &'a str,
    model: &'a str,
}

/// Where the address is.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionGeoIp {
    /// Continent code, or `""`.
    continent: String,
    /// ISO country code, or `""`.
    country: String,
    /// Degrees north, or null.
    #[schema(required)]
    lat: Option<f64>,
    /// Degrees east, or null.
    #[schema(required)]
    long: Option<f64>,
    /// English name, or `""`.
    city: String,
}

/// The network the address belongs to.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionAsn {
    /// Autonomous system number.
    asn: i64,
    /// Who runs it, or null.
    #[schema(required)]
    as_org: Option<String>,
    /// CIDR.
    network: String,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub struct BulkDeleteSessionResponse {
    /// Sessions only, not what goes with them.
    pub deleted: u64,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub struct RevokeSessionsResponse {
    /// All that matched.
    pub ended: u64,
}

/// There are more or fewer sessions than expected; nothing was ended.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what ApiError::Changed writes")]
pub struct RevokeSessionsConflict {
    detail: String,
    /// How many match now.
    count: u64,
}

/// What was done before it stopped. Both numbers are missing when nothing was begun.
#[derive(Serialize, ToSchema)]
pub struct RevokeSessionsStopped {
    /// What went wrong, and how to go on.
    pub detail: String,
    /// How many sessions were ended.
    #[schema(required = false)]
    pub ended: u64,
    /// How many are left: the `expected_count` of a request that goes on.
    #[schema(required = false)]
    pub remaining: u64,
}

/// A link that is shown once.
#[derive(Serialize, ToSchema)]
pub struct Link {
    /// The whole address.
    pub link: String,
}

impl Page<'_> {
    /// The same JSON as serde writes, piece by piece: names and numbers need no escaping, and what does is kept
    /// escaped. A list is a hundred rows of the same names.
    ///
    /// # Errors
    /// Never, as far as is known; they would be serde's.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(256 + self.results.len() * 1024);
        out.extend_from_slice(br#"{"pagination":"#);
        serde_json::to_writer(&mut out, &self.pagination)?;
        out.extend_from_slice(br#","results":["#);
        for (n, session) in self.results.iter().enumerate() {
            out.extend_from_slice(if n == 0 { b"" } else { b"," });
            session.write(&mut out);
        }
        out.extend_from_slice(br#"],"autocomplete":{}}"#);
        Ok(out)
    }
}

impl<'a> SignIn<'a> {
    /// What is stored of it, of the session and of its sign-in.
    #[must_use]
    pub fn new(session: &SessionRow, sign_in: &'a SignInRow) -> Self {
        Self {
            created: Some(session.created_at),
            methods: sign_in.methods,
            known_device: Some(sign_in.is_known_device),
            remembered: Some(session.is_remembered),
            label: &sign_in.label,
        }
    }

    /// That of a session at authentik, as far as its event log told; `None`: it did not.
    #[must_use]
    pub fn watched(sign_in: Option<&WatchedSignIn>) -> Self {
        Self {
            created: sign_in.map(|sign_in| sign_in.at),
            methods: sign_in.map(|sign_in| methods_of(&sign_in.method)).unwrap_or_default(),
            known_device: sign_in.and_then(|sign_in| sign_in.is_known_device),
            remembered: None,
            label: "",
        }
    }
}

impl<'a> AuthenticatedSession<'a> {
    /// A row in authentik's words, its address looked up in the files of this moment. `agents` must
    /// hold its user agent; `current` is the session of the request's cookie.
    #[must_use]
    pub fn new(app: &App, row: &SessionRow, agents: &'a HashMap<i64, Arc<UserAgentRow>>, current: Option<SessionId>) -> Self {
        static UNKNOWN: LazyLock<SaidAgent> = LazyLock::new(|| say_agent("", None));
        let agent = agents.get(&row.user_agent_id);
        let said = agent.map_or(&*UNKNOWN, |agent| agent.said.get_or_init(|| say_agent(&agent.text, Some(&agent.parsed))));
        Self {
            uuid: row.uuid,
            current: current == Some(row.uuid),
            user_agent: &said.parts,
            geo_ip: Said(app.geoip.said_place(row.last_ip, say_place)),
            asn: Said(app.geoip.said_autonomous_system(row.last_ip, say_autonomous_system)),
            user: row.user_id.0,
            last_ip: row.last_ip,
            last_user_agent: &said.text,
            last_used: row.last_used_at,
            expires: row.expires_at,
            source: row.source.map(|source| Origin::of(Some(source)).as_str()),
        }
    }

    /// The same, saying where it lives.
    #[must_use]
    pub fn with_source(self) -> Self {
        Self { source: self.source.or(Some(Origin::Rollcall.as_str())), ..self }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (uuid, current) = (&mut [0; Hyphenated::LENGTH], if self.current { "true" } else { "false" });
        let (ip, user) = (&mut AddressText::default(), &mut itoa::Buffer::new());
        let (last_used, expires) = (&mut TimestampText::default(), &mut TimestampText::default());
        let pieces = [
            r#"{"uuid":""#,
            self.uuid.0.as_hyphenated().encode_lower(uuid),
            r#"","current":"#,
            current,
            r#","user_agent":"#,
            self.user_agent.get(),
            r#","geo_ip":"#,
            self.geo_ip.0.get(),
            r#","asn":"#,
            self.asn.0.get(),
            r#","user":"#,
            user.format(self.user),
            r#","last_ip":""#,
            ip.of(self.last_ip),
            r#"","last_user_agent":"#,
            self.last_user_agent.get(),
            r#","last_used":""#,
            last_used.of(self.last_used),
            r#"","expires":""#,
            expires.of(self.expires),
            r#"""#,
        ];
        for piece in pieces {
            out.extend_from_slice(piece.as_bytes());
        }
        if let Some(source) = self.source {
            for piece in [r#","source":""#, source, r#"""#] {
                out.extend_from_slice(piece.as_bytes());
            }
        }
        out.push(b'}');
    }
}

fn say_agent(text: &str, parsed: Option<&ParsedAgent>) -> SaidAgent {
    SaidAgent { text: say(text), parts: say(&parts_of_agent(text, parsed)) }
}

fn say_place(place: Place) -> Box<RawValue> {
    say(&AuthenticatedSessionGeoIp {
        continent: place.continent,
        country: place.country,
        lat: place.latitude,
        long: place.longitude,
        city: place.city,
    })
}

fn say_autonomous_system(network: AutonomousSystem) -> Box<RawValue> {
    say(&AuthenticatedSessionAsn { asn: network.number, as_org: network.organization, network: network.network })
}

/// Texts and numbers: there is nothing in them that cannot be JSON.
fn say(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn parts_of_agent<'a>(string: &'a str, parsed: Option<&'a ParsedAgent>) -> AuthenticatedSessionUserAgent<'a> {
    let (browser, system, device) = (parsed.map(|it| &it.browser), parsed.map(|it| &it.system), parsed.map(|it| &it.device));
    AuthenticatedSessionUserAgent {
        string,
        user_agent: AuthenticatedSessionUserAgentUserAgent {
            family: browser.map_or("Other", |it| &it.family),
            major: browser.map_or("", |it| &it.major),
            minor: browser.map_or("", |it| &it.minor),
            patch: browser.map_or("", |it| &it.patch),
        },
        os: AuthenticatedSessionUserAgentOs {
            family: system.map_or("Other", |it| &it.family),
            major: system.map_or("", |it| &it.major),
            minor: system.map_or("", |it| &it.minor),
            patch: system.map_or("", |it| &it.patch),
            patch_minor: system.map_or("", |it| &it.patch_minor),
        },
        device: AuthenticatedSessionUserAgentDevice {
            family: device.map_or("Other", |it| &it.family),
            brand: device.map_or("", |it| &it.brand),
            model: device.map_or("", |it| &it.model),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::page::Wanted;

    #[test]
    fn pages_are_written_as_serde_writes_them() {
        let agents = ["", "curl/8", "a \"quoted\" \\ one\u{1f600}\n"].map(|text| say_agent(text, None));
        let place =
            say_place(Place { city: "Linköping \"x\"".into(), country: "SE".into(), latitude: Some(58.4), ..Place::default() });
        let addresses = ["192.0.2.10", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1.2.3.4", "::ffff:10.0.0.1", "::"];
        let times = [0, 1, -1, 1_790_000_000_000_000, 1_790_000_000_123_450, i64::MIN];
        let results =
            addresses.iter().zip(agents.iter().cycle()).zip(times.iter().cycle()).enumerate().map(|(n, ((ip, agent), at))| {
                AuthenticatedSession {
                    uuid: SessionId(Uuid::from_u128(u128::MAX / 7 * (n as u128))),
                    current: n % 2 == 0,
                    user_agent: &agent.parts,
                    geo_ip: Said(Arc::from(if n % 2 == 0 { place.clone() } else { RawValue::NULL.to_owned() })),
                    asn: Said(Arc::from(RawValue::NULL.to_owned())),
                    user: if n == 1 { i64::MIN } else { 7 },
                    last_ip: Address::parse(ip).unwrap(),
                    last_user_agent: &agent.text,
                    last_used: Timestamp(*at),
                    expires: Timestamp(at.saturating_add(1_000_000)),
                    source: [None, Some("rollcall"), Some("authentik")][n % 3],
                }
            });
        let mut page = Page {
            pagination: Pagination::of(&Wanted::page(2, 20).found(90, vec![(); 7])).unwrap(),
            results: results.collect(),
            autocomplete: Empty {},
        };
        while !page.results.is_empty() {
            assert_eq!(String::from_utf8(page.to_json().unwrap()).unwrap(), serde_json::to_string(&page).unwrap());
            page.results.pop();
        }
        assert_eq!(page.to_json().unwrap(), serde_json::to_vec(&page).unwrap());
    }
}
