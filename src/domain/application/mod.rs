//! Applications: what people open through Rollcall. An application has a demand ([`demand`]) that must hold before it
//! opens, and a guard ([`guard`]) for the reverse proxy in front of it. [`decide::decide`] decides a demand for all
//! doors, and [`judge::judge`] a request to a guarded host.

pub mod client;
pub mod decide;
pub mod demand;
pub mod guard;
pub mod header;
pub mod host;
pub mod judge;
pub mod path;
pub mod rule;
pub mod session;
pub mod values;

pub use crate::domain::application::rule::{ApplicationRule, MAX_APPLICATIONS, MAX_NAME_LENGTH, MAX_SLUG_LENGTH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::application::client::Client;
use crate::domain::application::demand::{Demand, Party};
use crate::domain::application::guard::Guard;
use crate::domain::application::rule::MAX_SHOWN;
use crate::domain::application::values::GroupsSent;
use crate::domain::names;
use crate::domain::secret::hex;

/// The slug as it is stored.
///
/// # Errors
/// [`ApplicationRule::Slug`].
pub fn check_slug(slug: &str) -> Result<String, ApplicationRule> {
    let is_plain = slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_right = is_plain && (1..=MAX_SLUG_LENGTH).contains(&slug.len()) && slug != "-";
    if is_right { Ok(slug.to_owned()) } else { Err(ApplicationRule::Slug) }
}

/// The name as it is stored: [tidy](names::tidy), 1 to 150 characters.
///
/// # Errors
/// The rule it breaks.
pub fn check_name(name: &str) -> Result<String, ApplicationRule> {
    let name = names::tidy(name)?;
    if (1..=MAX_NAME_LENGTH).contains(&name.chars().count()) { Ok(name) } else { Err(ApplicationRule::NameLength) }
}

/// How an application is shown. It decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Display {
    /// The heading that it is listed under, or `""`.
    pub group: String,
    /// Where it is opened; `""`: at the guard's first host.
    pub launch_url: String,
    /// The address of its icon, or `""`.
    pub icon: String,
    /// What it is, or `""`.
    pub description: String,
    /// Who makes it, or `""`.
    pub publisher: String,
    /// Whether it is opened in a new tab.
    pub open_in_new_tab: bool,
    /// Whether My apps leaves it out.
    pub is_hidden: bool,
}

impl Display {
    /// The names of its values.
    pub const KEYS: [&'static str; 7] = ["group", "launch_url", "icon", "description", "publisher", "open_in_new_tab", "is_hidden"];

    /// What is shown, as it is stored.
    ///
    /// # Errors
    /// A text that is too long or has control characters, an address that is none.
    pub fn check(self) -> Result<Self, ApplicationRule> {
        let texts = [
            ("group", &self.group),
            ("launch_url", &self.launch_url),
            ("icon", &self.icon),
            ("publisher", &self.publisher),
            ("description", &self.description),
        ];
        for (name, text) in texts {
            let is_control = |c: char| c.is_control() && !(name == "description" && matches!(c, '\n' | '\r' | '\t'));
            if text.chars().count() > MAX_SHOWN || text.chars().any(is_control) {
                return Err(ApplicationRule::Shown(name));
            }
        }
        if !self.launch_url.is_empty() && !is_page(&self.launch_url) {
            return Err(ApplicationRule::Address("launch_url"));
        }
        // authentik also has icons of a font (`fa://…`) and files of its own (a path).
        let is_scheme = self.icon.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
        if is_scheme && !is_page(&self.icon) && !self.icon.starts_with("fa://") {
            return Err(ApplicationRule::Address("icon"));
        }
        Ok(self)
    }
}

/// Whether a text is an http or https address with a host.
fn is_page(text: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|start| {
        let (begin, rest) = text.split_at_checked(start.len())?;
        begin.eq_ignore_ascii_case(start).then_some(rest)
    });
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '[')) && !text.chars().any(char::is_whitespace)
}

/// An entry of `allow` as authentik's API shows it: a binding of a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What names it.
    pub uuid: Uuid,
    /// The user or group that it allows.
    pub party: Party,
    /// authentik's order; kept, and without effect.
    pub order: i64,
    /// authentik's timeout; kept, and without effect.
    pub timeout: i64,
}

/// The timeout of a binding that was not given one.
pub const BINDING_TIMEOUT: i64 = 30;

/// The guard of an application, or one that no application has.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Primary key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The application, by primary key; `None`: none, and it opens nothing.
    pub application: Option<i64>,
    /// The guard.
    pub guard: Guard,
    /// What authentik's API stores and gives back, and has no effect.
    pub kept: Map<String, Value>,
}

/// The client of an application, or one that no application has.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPart {
    /// Primary key, among those of guards.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The application, by primary key; `None`: none, and it opens nothing.
    pub application: Option<i64>,
    /// What names it to Rollcall.
    pub client_id: String,
    /// The client.
    pub client: Client,
    /// What authentik's API stores and gives back, and has no effect.
    pub kept: Map<String, Value>,
}

/// An application.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Primary key.
    pub id: i64,
    /// What names it for ever.
    pub uuid: Uuid,
    /// What names it in addresses.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What must hold before it opens.
    pub access: Demand,
    /// The entries of `access.allow`, as bindings.
    pub bindings: Vec<Binding>,
    /// How it is shown.
    pub display: Display,
    /// Which names of groups its headers carry.
    pub groups_sent: GroupsSent,
    /// Its guard.
    pub provider: Option<Provider>,
    /// Its client.
    pub client: Option<ClientPart>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The demands of the guard's rules.
    demands: Vec<Demand>,
}

impl Application {
    /// An application with these parts, which were checked; it opens for nobody so far.
    #[must_use]
    pub fn new(id: i64, uuid: Uuid, slug: String, name: String, now: Timestamp) -> Self {
        Self {
            id,
            uuid,
            slug,
            name,
            access: Demand::default(),
            bindings: Vec::new(),
            display: Display::default(),
            groups_sent: GroupsSent::All,
            provider: None,
            client: None,
            created_at: now,
            updated_at: now,
            demands: Vec::new(),
        }
    }

    /// The same with the demands of its rules worked out; to be called after `access` or the guard was set.
    #[must_use]
    pub fn prepared(mut self) -> Self {
        self.demands = self.guard().map(|guard| guard.demands(&self.access)).unwrap_or_default();
        self
    }

    /// Its guard.
    #[must_use]
    pub fn guard(&self) -> Option<&Guard> {
        self.provider.as_ref().map(|provider| &provider.guard)
    }

    /// What the application is now, hashed: forms carry it, so that a change of somebody else is not overwritten unseen.
    #[must_use]
    pub fn version(&self) -> String {
        let client = self.client.as_ref().map(|part| (&part.client_id, &part.client));
        let parts = (&self.slug, &self.name, &self.access, &self.display, &self.groups_sent, self.guard(), client);
        let text = serde_json::to_string(&parts).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// The demand of a rule by its place, or the application's own.
    #[must_use]
    pub fn demand(&self, rule: Option<usize>) -> &Demand {
        rule.and_then(|rule| self.demands.get(rule)).unwrap_or(&self.access)
    }

    /// Whether its guard accepts app passwords, on some of its paths at least.
    #[must_use]
    pub fn accepts_app_passwords(&self) -> bool {
        self.provider.is_some() && (self.access.app_passwords || self.demands.iter().any(|demand| demand.app_passwords))
    }

    /// The one of its parts that authentik's API shows as its provider, by primary key: the client, else the guard.
    #[must_use]
    pub fn shown_provider(&self) -> Option<i64> {
        let client = self.client.as_ref().map(|part| part.id);
        client.or_else(|| self.provider.as_ref().map(|provider| provider.id))
    }

    /// Where it is opened: the address that is set, else the guard's first host.
    #[must_use]
    pub fn launch_url(&self) -> Option<String> {
        if !self.display.launch_url.is_empty() {
            return Some(self.display.launch_url.clone());
        }
        Some(format!("https://{}/", self.guard()?.first_host()?))
    }

    /// Makes the bindings those of `access.allow`, in its order: bindings of others go, new ones are named by `uuid`.
    ///
    /// # Errors
    /// Those of `uuid`.
    pub fn settle_bindings<E>(&mut self, mut uuid: impl FnMut() -> Result<Uuid, E>) -> Result<(), E> {
        let mut settled = Vec::new();
        for party in self.access.allow.parties() {
            settled.push(match self.bindings.iter().find(|binding| binding.party == *party) {
                Some(binding) => binding.clone(),
                None => {
                    let order = i64::try_from(settled.len()).unwrap_or(0);
                    Binding { uuid: uuid()?, party: *party, order, timeout: BINDING_TIMEOUT }
                }
            });
        }
        self.bindings = settled;
        Ok(())
    }

    /// An application for tests of rules.
    #[cfg(test)]
    pub(crate) fn for_test(slug: &str, access: Demand, guard: Option<Guard>) -> Self {
        let provider = guard.map(|guard| Provider { id: 1, name: slug.to_owned(), application: Some(1), guard, kept: Map::new() });
        let whole = Self::new(1, Uuid::from_u128(1), slug.to_owned(), slug.to_owned(), Timestamp(0));
        Self { access, provider, ..whole }.prepared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::demand::Allow;

    #[test]
    fn slugs_are_short_and_plain() {
        for good in ["wiki", "Grafana", "a", "my-app_2", "--", "_", &"x".repeat(50)] {
            assert_eq!(check_slug(good).as_deref(), Ok(good));
        }
        for bad in ["", "-", "a b", "a/b", "ä", "a.b", "a%2f", &"x".repeat(51)] {
            assert_eq!(check_slug(bad), Err(ApplicationRule::Slug), "{bad}");
        }
    }

    #[test]
    fn an_address_that_runs_a_script_is_refused() {
        let launch = |url: &str| Display { launch_url: url.into(), ..Display::default() }.check().is_ok();
        let icon = |url: &str| Display { icon: url.into(), ..Display::default() }.check().is_ok();
        for good in ["", "https://app.example/", "HTTP://app.example:8080/a?b=c", "https://[::1]/"] {
            assert!(launch(good), "{good}");
        }
        for bad in ["javascript:alert(1)", "data:text/html,x", "/path", "app.example", "https://", "https:///x", "https://a b"] {
            assert!(!launch(bad), "{bad}");
        }
        for good in ["", "fa://fa-check", "https://app.example/icon.png", "/media/icon.png", "icons/a:b.png"] {
            assert!(icon(good), "{good}");
        }
        assert!(!icon("javascript:alert(1)") && !icon("data:image/png;base64,AA"));
    }

    #[test]
    fn an_application_accepts_app_passwords_by_itself_or_on_a_path() {
        let programs = Demand { app_passwords: true, ..Demand::default() };
        let guard = |json| serde_json::from_value::<Guard>(json).unwrap();
        let plain = || guard(serde_json::json!({"hosts": ["app.example.com"]}));
        let on_a_path = guard(serde_json::json!({
            "hosts": ["app.example.com"], "rules": [{"paths": ["/api/**"], "app_passwords": true}],
        }));
        let accepts = |demand: &Demand, guard| Application::for_test("app", demand.clone(), guard).accepts_app_passwords();
        assert!(!accepts(&Demand::default(), Some(plain())) && accepts(&programs, Some(plain())));
        assert!(accepts(&Demand::default(), Some(on_a_path)));
        assert!(!accepts(&programs, None), "nothing asks for one");
    }

    #[test]
    fn bindings_follow_the_users_and_groups_that_are_allowed() {
        let [one, two, three] = [1, 2, 3].map(|n| Party::User(Uuid::from_u128(n)));
        let mut app = Application::for_test("app", Demand::default(), None);
        let mut next = 100;
        let mut settle = |app: &mut Application| {
            app.settle_bindings(|| {
                next += 1;
                Ok::<_, ()>(Uuid::from_u128(next))
            })
            .unwrap();
            app.bindings.iter().map(|binding| (binding.uuid.as_u128(), binding.party)).collect::<Vec<_>>()
        };
        app.access.allow = Allow::those([one, two]);
        assert_eq!(settle(&mut app), [(101, one), (102, two)]);
        app.access.allow = Allow::those([two, three]);
        assert_eq!(settle(&mut app), [(102, two), (103, three)]);
        app.access.allow = Allow::SignedIn;
        assert_eq!(settle(&mut app), []);
    }
}
