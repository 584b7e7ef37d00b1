//! Demands as pages write and read them.

use std::collections::HashMap;

use crate::actions::app::App;
use crate::domain::application::Application;
use crate::domain::application::demand::{Allow, DemandChange, Party};
use crate::domain::application::host::HostPattern;
use crate::store::StoreError;
use crate::ui::applications::PATH;

/// The names of users and groups.
pub(super) struct Names(HashMap<Party, String>);

impl Names {
    /// Those that an application and its rules allow.
    pub async fn of(app: &App, application: &Application) -> Result<Self, StoreError> {
        let mut parties = application.access.allow.parties().to_vec();
        for rule in application.guard().into_iter().flat_map(|guard| &guard.rules) {
            parties.extend(rule.demand.allow.iter().flat_map(Allow::parties));
        }
        Ok(Self(app.store.read().list_party_names(&parties).await?.into_iter().collect()))
    }
}

/// What is said where somebody else changed the application while a form was open.
const OUTDATED: &str = "Somebody else changed this application since you opened the form. Nothing was stored.";

/// What is wrong with a form, in a sentence, and the field that it is about; `""`: the form as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The field's name.
    pub field: &'static str,
    /// The sentence; `""`: nothing is wrong.
    pub text: String,
    /// What somebody else stored while the form was open, in sentences; none: nobody did.
    pub changed: Option<Vec<String>>,
}

impl Wrong {
    /// With a sentence about a field.
    pub fn new(field: &'static str, text: String) -> Self {
        Self { field, text, changed: None }
    }

    /// Somebody else changed the application: what of it the form shows, in sentences.
    pub fn outdated(lines: Vec<String>) -> Self {
        Self { field: "", text: OUTDATED.to_owned(), changed: Some(lines) }
    }

    /// About a rule that the field breaks.
    pub fn sorry(field: &'static str, rule: impl std::fmt::Display) -> Self {
        Self::new(field, format!("Sorry: {rule}."))
    }

    /// Whether it is about this field.
    pub fn is_at(&self, field: &str) -> bool {
        !self.text.is_empty() && self.field == field
    }
}

/// The address of a form of an application; `form` is its last part with a `/`, or `""`.
pub(super) fn form_path(slug: impl std::fmt::Display, form: &str) -> String {
    format!("{PATH}/{slug}{form}")
}

/// A host as it is stored, and its A-labels as letters.
pub(super) struct HostLine {
    /// As it is stored.
    pub text: String,
    /// In letters, where that differs, or `""`.
    pub letters: String,
}

impl HostLine {
    /// Of hosts as they are written.
    pub fn all<T: ToString>(hosts: &[T]) -> Vec<Self> {
        let line = |host: &T| {
            let text = host.to_string();
            let letters = HostPattern::parse(&text).ok().and_then(|host| host.unicode()).unwrap_or_default();
            Self { text, letters }
        };
        hosts.iter().map(line).collect()
    }
}

/// The lines of a field that are not empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// What a field lists, separated by blanks, commas or lines.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t', '\r', '\n']).filter(|item| !item.is_empty())
}

/// Who may, one item each: a word, or `group:NAME` and `user:NAME`.
pub(super) fn allowed(allow: &Allow, names: &Names) -> Vec<String> {
    if let Some(word) = allow.word() {
        return vec![word.to_owned()];
    }
    let name = |party: &Party| match (party, names.0.get(party)) {
        (Party::User(_), Some(name)) => format!("user:{name}"),
        (Party::Group(_), Some(name)) => format!("group:{name}"),
        (gone, None) => format!("{gone} (removed)"),
    };
    allow.parties().iter().map(name).collect()
}

/// What a rule asks for, in words.
pub(super) fn asked(demand: &DemandChange, names: &Names) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(allow) = &demand.allow {
        words.push(format!("allow {}", allowed(allow, names).join(", ")));
    }
    if let Some(factor) = demand.factor {
        words.push(format!("factor {}", factor.as_str()));
    }
    if let Some(age) = demand.max_age {
        words.push(format!("max age {}", humantime::format_duration(age)));
    }
    if let Some(networks) = &demand.networks {
        words.push(format!("networks {}", networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    if let Some(countries) = &demand.countries {
        words.push(format!("countries {}", countries.join(", ")));
    }
    if let Some(accepted) = demand.app_passwords {
        words.push(format!("app passwords {}", if accepted { "accepted" } else { "refused" }));
    }
    words
}

/// Reads who may, one in each line: `signed_in`, `nobody`, `group:NAME`, `user:NAME`. Nothing: nobody. The inner error is
/// what is wrong, in a sentence.
pub(super) async fn allow_of(app: &App, text: &str) -> Result<Result<Allow, String>, StoreError> {
    let lines: Vec<&str> = lines(text).collect();
    if let [word] = lines.as_slice()
        && let Some(allow) = Allow::parse_word(word)
    {
        return Ok(Ok(allow));
    }
    let (db, mut parties) = (app.store.read(), Vec::new());
    for line in lines {
        let missing = |what: &str, name: &str| format!("Sorry: there is no {what} named {name}.");
        match line.split_once(':') {
            Some(("group", name)) => {
                let found = match db.find_group_id(name).await? {
                    Some(id) => db.find_group_by_id(id).await?,
                    None => None,
                };
                match found {
                    Some(group) => parties.push(Party::Group(group.uuid)),
                    None => return Ok(Err(missing("group", name))),
                }
            }
            Some(("user", name)) => match db.find_user_by_name(name).await? {
                Some(user) => parties.push(Party::User(user.uuid)),
                None => return Ok(Err(missing("user", name))),
            },
            _ => {
                return Ok(Err(format!("Sorry: {line} is not group:NAME or user:NAME, and signed_in and nobody go alone.")));
            }
        }
    }
    Ok(Ok(Allow::those(parties)))
}
