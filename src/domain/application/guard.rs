//! The guard of an application: its hosts, the rules of its paths, and its options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::application::demand::{Allow, Demand, DemandChange, Level};
use crate::domain::application::header;
use crate::domain::application::host::{Host, HostPattern};
use crate::domain::application::path::PathPattern;
use crate::domain::application::rule::{ApplicationRule, MAX_PARTS};
use crate::domain::application::values::Source;
use crate::domain::{Address, Network};

/// A rule of paths. The first one that fits decides; without one the application's own demand does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathRule {
    /// The paths; one of them must fit.
    pub paths: Vec<PathPattern>,
    /// The methods, in capitals; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The rule fits only for addresses in one of these networks; empty: for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub if_network: Vec<Network>,
    /// What it asks for; what it leaves out comes from the application. Its fields are in the rule's own object.
    #[serde(flatten)]
    pub demand: DemandChange,
}

/// Which identity headers an app gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// `remote` at `/guard/…`, `authentik` at authentik's addresses.
    #[default]
    ByAddress,
    /// `Remote-User`, `Remote-Groups`, `Remote-Name`, `Remote-Email`.
    Remote,
    /// `X-authentik-username` and so on.
    Authentik,
    /// A table of names to sources; the names as they were written.
    Own(BTreeMap<String, Source>),
}

/// Options that are one of a few words.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[$case_meta:meta])+ $case:ident = $word:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$case_meta])+ #[serde(rename = $word)] $case,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The word that is stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $word,)+
                }
            }

            /// The one of that word; `None` when there is none.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}

pub(in crate::domain) use words;

words! {
    /// How values of headers that are not visible ASCII are sent.
    Encoding {
        /// Percent-encoded UTF-8.
        #[default]
        Percent = "percent",
        /// As UTF-8 bytes.
        Utf8 = "utf8",
    }
}
words! {
    /// What happens to a CORS preflight, which never carries a cookie.
    Preflight {
        /// It is refused.
        #[default]
        Refuse = "refuse",
        /// It is passed to the app, without identity.
        App = "app",
    }
}
words! {
    /// The `SameSite` attribute of the app's cookie.
    SameSite {
        /// `Lax`.
        #[default]
        Lax = "lax",
        /// `None`, for an app that other sites embed or call.
        None = "none",
    }
}
words! {
    /// Which allowed requests are uses of the session.
    Uses {
        /// All.
        #[default]
        All = "all",
        /// Navigations only, for an app that polls.
        Navigations = "navigations",
    }
}

/// The guard of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Its hosts, in the order they were given. The first one without `*` is where the application is opened.
    pub hosts: Vec<HostPattern>,
    /// The rules of its paths, in the order in which they are tried.
    pub rules: Vec<PathRule>,
    /// The identity headers.
    pub headers: Headers,
    /// How their values are encoded.
    pub encoding: Encoding,
    /// Whether a program without credentials is asked for a name and password (`WWW-Authenticate: Basic`).
    pub basic: bool,
    /// What happens to preflights.
    pub preflight: Preflight,
    /// The `SameSite` attribute of the app's cookie.
    pub same_site: SameSite,
    /// What counts as a use.
    pub uses: Uses,
    /// Whether the app is sent a signed identity, too. It is stored only where it is on: nodes before it do not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub jwt: bool,
}

impl PathRule {
    /// Whether the rule fits one reading of a path ([`PathPattern::fits`]), a method in capitals, and the client's
    /// address. An unknown address is in no network.
    #[must_use]
    pub fn fits(&self, path: &str, is_folded: bool, method: &str, address: Option<Address>) -> bool {
        let has_method = self.methods.is_empty() || self.methods.iter().any(|named| named == method);
        let is_near = || address.is_some_and(|address| self.if_network.iter().any(|network| network.contains(address)));
        has_method && self.paths.iter().any(|pattern| pattern.fits(path, is_folded)) && (self.if_network.is_empty() || is_near())
    }

    /// The rule as it is stored: methods in capitals.
    ///
    /// # Errors
    /// The rule of rules that it breaks.
    pub fn check(mut self) -> Result<Self, ApplicationRule> {
        if self.paths.is_empty() || self.paths.len() > MAX_PARTS {
            return Err(ApplicationRule::RulePaths);
        }
        if self.methods.len() > MAX_PARTS || self.if_network.len() > MAX_PARTS {
            return Err(ApplicationRule::RuleParts);
        }
        for method in &mut self.methods {
            if !is_method(method) {
                return Err(ApplicationRule::Method(method.clone()));
            }
            method.make_ascii_uppercase();
        }
        self.methods.sort_unstable();
        self.methods.dedup();
        self.demand = self.demand.check()?;
        Ok(self)
    }
}

/// Whether a text can be a method (a token of letters and dashes, at most 32).
fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

impl Guard {
    /// The guard as it is stored.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn check(mut self) -> Result<Self, ApplicationRule> {
        let mut hosts: Vec<HostPattern> = Vec::new();
        for host in self.hosts {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        if hosts.is_empty() || hosts.len() > MAX_PARTS {
            return Err(ApplicationRule::Hosts);
        }
        if self.rules.len() > MAX_PARTS {
            return Err(ApplicationRule::ManyRules);
        }
        self.hosts = hosts;
        self.rules = self.rules.into_iter().map(PathRule::check).collect::<Result<_, _>>()?;
        if let Headers::Own(table) = &self.headers {
            if table.is_empty() || table.len() > MAX_PARTS {
                return Err(ApplicationRule::Headers);
            }
            for name in table.keys() {
                header::check(name)?;
            }
            let mut names: Vec<String> = table.keys().map(|name| name.to_ascii_lowercase()).collect();
            names.sort_unstable();
            if let Some([name, _]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
                return Err(ApplicationRule::HeaderTwice(name.clone()));
            }
        }
        Ok(self)
    }

    /// Which rule decides about one reading of a path: its place, counted from 0. `None`: none fits, and the
    /// application's own demand decides.
    #[must_use]
    pub fn rule_for(&self, path: &str, is_folded: bool, method: &str, address: Option<Address>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.fits(path, is_folded, method, address))
    }

    /// The methods that matter for a request whose method is not known: each that a rule names, and `""` for all others.
    #[must_use]
    pub fn all_methods(&self) -> Vec<&str> {
        let mut methods: Vec<&str> = self.rules.iter().flat_map(|rule| rule.methods.iter().map(String::as_str)).collect();
        methods.push("");
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    /// Whether one of its hosts fits this one.
    #[must_use]
    pub fn has_host(&self, host: &Host) -> bool {
        self.hosts.iter().any(|pattern| pattern.fits(host))
    }

    /// The first host that is no pattern: where the application is opened.
    #[must_use]
    pub fn first_host(&self) -> Option<&Host> {
        self.hosts.iter().find(|pattern| !pattern.is_wildcard()).map(HostPattern::host)
    }

    /// The demands of its rules over this one of the application, in their order.
    #[must_use]
    pub fn demands(&self, own: &Demand) -> Vec<Demand> {
        self.rules.iter().map(|rule| own.with(&rule.demand)).collect()
    }

    /// Whether a rule lets anyone in.
    #[must_use]
    pub fn lets_anyone_in(&self) -> bool {
        self.rules.iter().any(|rule| rule.demand.allow == Some(Allow::Anyone))
    }

    /// The highest level that a rule asks for.
    #[must_use]
    pub fn highest_level(&self) -> Level {
        self.rules.iter().filter_map(|rule| rule.demand.factor).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn guard(json: Value) -> Result<Guard, ApplicationRule> {
        serde_json::from_value::<Guard>(json).unwrap().check()
    }

    #[test]
    fn a_guard_reads_back_equal() {
        let stored = json!({
            "hosts": ["app.example", "*.example:8443"],
            "rules": [
                {"paths": ["/admin/**"], "methods": ["POST"], "if_network": ["10.0.0.0/8"], "factor": "mfa", "max_age": 3600},
                {"paths": ["/health"], "allow": "anyone"},
            ],
            "headers": {"X-User": "username"},
            "encoding": "utf8", "basic": true, "preflight": "app", "same_site": "none", "uses": "navigations", "jwt": true,
        });
        let read = guard(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
        assert!(read.lets_anyone_in());
        assert_eq!((read.highest_level(), read.first_host().map(Host::as_str)), (Level::Mfa, Some("app.example")));
        assert!(read.has_host(&Host::parse("x.example:8443").unwrap()));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        for bad in [
            json!({"hosts": ["a"], "jws": true}),
            json!({"hosts": ["a"], "rules": [{"paths": ["/a"], "network": []}]}),
            json!({"hosts": ["a"], "rules": [{"paths": ["/a"], "allow": "nobdoy"}]}),
            json!({"hosts": ["a"], "headers": "x"}),
            json!({"hosts": ["a"], "headers": {"X": "password"}}),
        ] {
            assert!(serde_json::from_value::<Guard>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_guard_keeps_its_rules() {
        assert_eq!(guard(json!({"hosts": []})), Err(ApplicationRule::Hosts));
        assert_eq!(guard(json!({"hosts": ["a"], "rules": [{"allow": "anyone"}]})), Err(ApplicationRule::RulePaths));
        assert_eq!(guard(json!({"hosts": ["a"], "rules": vec![json!({"paths": ["/a"]}); 65]})), Err(ApplicationRule::ManyRules));
        let method = |method: &str| guard(json!({"hosts": ["a"], "rules": [{"paths": ["/a"], "methods": [method]}]}));
        assert_eq!(method("post").unwrap().rules.first().map(|rule| rule.methods.clone()), Some(vec!["POST".to_owned()]));
        assert_eq!(method("P,ST"), Err(ApplicationRule::Method("P,ST".into())));
        let headers = guard(json!({"hosts": ["a"], "headers": {"X-User": "username", "x-user": "uid"}}));
        assert_eq!(headers, Err(ApplicationRule::HeaderTwice("x-user".into())));
        assert_eq!(guard(json!({"hosts": ["A", "a:443", "a."]})).unwrap().hosts.len(), 1);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let guard = guard(json!({"hosts": ["a"], "rules": [
            {"paths": ["/api/**"], "methods": ["POST"], "factor": "mfa"},
            {"paths": ["/api/**"], "if_network": ["10.0.0.0/8"], "allow": "anyone"},
            {"paths": ["/API/**", "/x"], "factor": "hardware"},
        ]}))
        .unwrap();
        let home = Address::parse("10.1.2.3");
        let away = Address::parse("192.0.2.1");
        assert_eq!(guard.rule_for("/api/a", false, "POST", home), Some(0));
        assert_eq!(guard.rule_for("/api/a", false, "GET", home), Some(1));
        assert_eq!(guard.rule_for("/api/a", false, "GET", away), None);
        assert_eq!(guard.rule_for("/api/a", false, "GET", None), None, "an unknown address is in no network");
        assert_eq!(guard.rule_for("/api/a", true, "GET", away), Some(2));
        assert_eq!(guard.rule_for("/y", false, "POST", home), None);
        assert_eq!(guard.all_methods(), ["", "POST"]);
    }
}
