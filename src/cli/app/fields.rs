//! What can be said of an application, and of a demand.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::actions::app::App;
use crate::actions::applications::ApplicationChange;
use crate::cli::group::find_group;
use crate::cli::{Failure, misused, user};
use crate::config::parse_duration;
use crate::domain::Network;
use crate::domain::application::demand::{Allow, Demand, DemandChange, Level, Party};
use crate::domain::application::guard::{Encoding, Guard, Headers, Preflight, SameSite, Uses};
use crate::domain::application::host::HostPattern;
use crate::domain::application::values::{GroupsSent, Source};
use crate::domain::application::{Application, Display};

/// What must hold before something opens.
#[derive(Args, Clone, Default)]
pub(in crate::cli) struct DemandArgs {
    /// Who may: group:NAME, user:NAME, signed_in, nobody, and in rules anyone; may be repeated
    #[arg(long, value_name = "WHO")]
    allow: Vec<String>,
    /// How well they must have proved who they are
    #[arg(long, value_parser = PossibleValuesParser::new(Level::ALL.map(Level::as_str)))]
    factor: Option<String>,
    /// The longest time since they proved it, such as 2h; 0: any
    #[arg(long, value_parser = age, value_name = "DURATION")]
    max_age: Option<Duration>,
    /// A network that their address must be in; may be repeated; any: all networks
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,
    /// A country that their address must be in; may be repeated; any: all countries
    #[arg(long = "country", value_name = "COUNTRY")]
    countries: Vec<String>,
    /// Whether app passwords are accepted, without --factor and --max-age
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    app_passwords: Option<bool>,
}

pub(super) fn age(text: &str) -> Result<Duration, &'static str> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).ok_or("this is no duration such as 30m, 12h or 1d")
}

impl DemandArgs {
    /// The demand in the words of the command line.
    ///
    /// # Errors
    /// Wrong usage for what is no network; when a user or group is not there.
    pub async fn change(&self, app: &App) -> Result<DemandChange, Failure> {
        let networks = match self.networks.as_slice() {
            [] => None,
            [any] if any == "any" => Some(Vec::new()),
            named => Some(named.iter().map(|text| network(text)).collect::<Result<_, _>>()?),
        };
        let countries = match self.countries.as_slice() {
            [] => None,
            [any] if any == "any" => Some(Vec::new()),
            named => Some(named.to_vec()),
        };
        Ok(DemandChange {
            allow: self.allow(app).await?,
            factor: self.factor.as_deref().and_then(Level::parse),
            max_age: self.max_age,
            networks,
            countries,
            app_passwords: self.app_passwords,
        }
        .check()?)
    }

    async fn allow(&self, app: &App) -> Result<Option<Allow>, Failure> {
        if let [word] = self.allow.as_slice()
            && let Some(allow) = Allow::parse_word(word)
        {
            return Ok(Some(allow));
        }
        let mut parties = Vec::new();
        for who in &self.allow {
            parties.push(match who.split_once(':') {
                Some(("group", name)) => Party::Group(find_group(app, name).await?.uuid),
                Some(("user", name)) => Party::User(user::find(app, name).await?.uuid),
                _ if Allow::parse_word(who).is_some() => return Err(misused(format!("--allow {who} goes with no other --allow"))),
                _ => return Err(misused(format!("--allow {who}: write group:NAME, user:NAME, signed_in, nobody or anyone"))),
            });
        }
        Ok(Some(Allow::those(parties)).filter(|allow| *allow != Allow::Nobody))
    }
}

/// A network as it is written at the command line.
///
/// # Errors
/// Wrong usage for what is none.
pub(super) fn network(text: &str) -> Result<Network, Failure> {
    Network::parse(text).ok_or_else(|| misused(format!("{text} is not a network such as 10.0.0.0/8")))
}

/// What can be said of an application, its demand aside.
#[derive(Args)]
pub(in crate::cli) struct FieldArgs {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// How it is shown: group, launch_url, icon, description, publisher, open_in_new_tab, is_hidden; may be repeated
    #[arg(long = "display", value_name = "KEY=VALUE")]
    display: Vec<String>,
    /// A group whose name its headers carry; may end in *; may be repeated; all: every group
    #[arg(long = "groups-sent", value_name = "NAME")]
    groups_sent: Vec<String>,
    /// A host that its guard has, such as app.example.com or *.example.com; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Its identity headers: default, remote, authentik, or NAME=SOURCE; NAME=SOURCE may be repeated
    #[arg(long = "headers", value_name = "FAMILY|NAME=SOURCE")]
    headers: Vec<String>,
    /// How values that are not ASCII are sent
    #[arg(long, value_parser = PossibleValuesParser::new(words(Encoding::ALL, Encoding::as_str)))]
    encoding: Option<String>,
    /// Whether programs without credentials are asked for a name and an app password
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    basic: Option<bool>,
    /// What happens to CORS preflights
    #[arg(long, value_parser = PossibleValuesParser::new(words(Preflight::ALL, Preflight::as_str)))]
    preflight: Option<String>,
    /// The SameSite attribute of its cookie
    #[arg(long, value_parser = PossibleValuesParser::new(words(SameSite::ALL, SameSite::as_str)))]
    same_site: Option<String>,
    /// Whether the app is sent a signed identity, too (X-Rollcall-Jwt)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    jwt: Option<bool>,
    /// Which allowed requests are uses of the session
    #[arg(long, value_parser = PossibleValuesParser::new(words(Uses::ALL, Uses::as_str)))]
    uses: Option<String>,
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|it| word(*it)).collect()
}

impl FieldArgs {
    /// The change of an application, or the parts of a new one.
    ///
    /// # Errors
    /// Wrong usage for what cannot be read; when a user or group is not there; an option of the guard without one.
    pub async fn change(&self, app: &App, before: Option<&Application>, demand: &DemandArgs) -> Result<ApplicationChange, Failure> {
        let demand = demand.change(app).await?;
        let access = (!demand.is_empty()).then(|| before.map_or_else(Demand::default, |app| app.access.clone()).with(&demand));
        let groups_sent = match self.groups_sent.as_slice() {
            [] => None,
            [all] if all == "all" => Some(GroupsSent::All),
            names => Some(GroupsSent::Only(names.to_vec())),
        };
        Ok(ApplicationChange {
            name: self.name.clone(),
            access,
            display: self.display(before.map(|app| app.display.clone()).unwrap_or_default())?,
            groups_sent,
            guard: self.guard(before.and_then(Application::guard).cloned())?.map(Some),
            ..ApplicationChange::default()
        })
    }

    fn display(&self, mut display: Display) -> Result<Option<Display>, Failure> {
        for item in &self.display {
            let wrong = || misused(format!("--display {item}: write KEY=VALUE, with one of the keys {}", Display::KEYS.join(", ")));
            let (key, value) = item.split_once('=').ok_or_else(wrong)?;
            let flag = || value.parse::<bool>().map_err(|_| misused(format!("--display {item}: write {key}=true or {key}=false")));
            match key {
                "group" => value.clone_into(&mut display.group),
                "launch_url" => value.clone_into(&mut display.launch_url),
                "icon" => value.clone_into(&mut display.icon),
                "description" => value.clone_into(&mut display.description),
                "publisher" => value.clone_into(&mut display.publisher),
                "open_in_new_tab" => display.open_in_new_tab = flag()?,
                "is_hidden" => display.is_hidden = flag()?,
                _ => return Err(wrong()),
            }
        }
        Ok((!self.display.is_empty()).then_some(display))
    }

    fn guard(&self, before: Option<Guard>) -> Result<Option<Guard>, Failure> {
        let has_option = !self.headers.is_empty()
            || self.basic.is_some()
            || self.jwt.is_some()
            || [&self.encoding, &self.preflight, &self.same_site, &self.uses].iter().any(|option| option.is_some());
        if self.hosts.is_empty() && !has_option {
            return Ok(None);
        }
        let mut guard = match before {
            Some(guard) => guard,
            None if self.hosts.is_empty() => return Err(misused("the application has no guard: give it one by --host")),
            None => Guard::default(),
        };
        if !self.hosts.is_empty() {
            guard.hosts = self.hosts.iter().map(|host| HostPattern::parse(host)).collect::<Result<_, _>>()?;
        }
        if let Some(headers) = self.headers()? {
            guard.headers = headers;
        }
        guard.basic = self.basic.unwrap_or(guard.basic);
        guard.jwt = self.jwt.unwrap_or(guard.jwt);
        guard.encoding = self.encoding.as_deref().and_then(Encoding::parse).unwrap_or(guard.encoding);
        guard.preflight = self.preflight.as_deref().and_then(Preflight::parse).unwrap_or(guard.preflight);
        guard.same_site = self.same_site.as_deref().and_then(SameSite::parse).unwrap_or(guard.same_site);
        guard.uses = self.uses.as_deref().and_then(Uses::parse).unwrap_or(guard.uses);
        Ok(Some(guard))
    }

    fn headers(&self) -> Result<Option<Headers>, Failure> {
        if let [word] = self.headers.as_slice()
            && let Some(headers) = Headers::parse_word(word)
        {
            return Ok(Some(headers));
        }
        let mut table = BTreeMap::new();
        for item in &self.headers {
            let (name, source) = item
                .split_once('=')
                .ok_or_else(|| misused(format!("--headers {item}: write default, remote or authentik alone, or NAME=SOURCE")))?;
            table.insert(name.to_owned(), Source::parse(source)?);
        }
        Ok((!table.is_empty()).then_some(Headers::Own(table)))
    }
}
