//! `rollcall app test`: may they, and why. It asks the function that the guard's check asks.

use std::time::Duration;

use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::guard::identity as guard_identity;
use crate::domain::application::decide::{Ask, Door, Missing, Proof};
use crate::domain::application::host::Host;
use crate::domain::application::judge::{Judgement, Reading, judge};
use crate::domain::application::{Application, ApplicationRule};
use crate::domain::guard::identity::{self, SentTo};
use crate::domain::guard::places::{self, Words};
use crate::domain::guard::readings;
use crate::domain::signing::identity::{LIVES, Proved};
use crate::domain::{Address, Methods, SessionId, UserId};

/// A request that nobody made.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks; `None`: nobody is signed in.
    pub user: Option<UserId>,
    /// The address: scheme, host and path. A query is not looked at.
    pub url: String,
    /// The method.
    pub method: String,
    /// The client's address; `None`: not known.
    pub from: Option<Address>,
    /// How the session was proved.
    pub methods: Methods,
    /// How long ago; `None`: never here, as in an imported session.
    pub age: Option<Duration>,
}

/// What the check would say.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The application that the host belongs to.
    pub application: std::sync::Arc<Application>,
    /// In how many ways the path is read; each is judged.
    pub readings: Vec<String>,
    /// The judgement.
    pub judgement: Judgement,
    /// The identity headers that the app would get; none unless it opens for a known user.
    pub headers: Vec<(String, String)>,
    /// The header with the signed identity that it would get, too. None is made for a question.
    pub signed: Option<&'static str>,
    /// Whether it opens: everything is there, and the headers fit.
    pub is_open: bool,
    /// What else keeps it closed, in a sentence; `""`: nothing.
    pub obstacle: &'static str,
}

/// Splits an address into host and path.
fn split(url: &str) -> Option<(Host, String)> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Some((Host::typed(host)?, if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
}

/// Answers whether a user would be let in, by which rules, and what is missing.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or auditor asks; [`ApplicationRule::Url`] for what is no address;
/// [`ApplicationRule::NoGuardedHost`] when no guard has the host; [`ActionError::NotFound`] without such a user.
pub async fn test(app: &App, by: By<'_>, question: &Question) -> Result<Answer, ActionError> {
    by.must_inspect()?;
    let (host, path) = split(&question.url).ok_or_else(|| ApplicationRule::Url(question.url.clone()))?;
    let all = app.store.applications().await?;
    let application = all.by_host(&host).ok_or_else(|| ApplicationRule::NoGuardedHost(host.to_string()))?;
    let subject = match question.user {
        Some(user) => Some(app.store.read().find_subject(user).await?.ok_or(ActionError::NotFound)?),
        None => None,
    };
    let now = app.clock.now();
    let proved_at = question.age.map(|age| now.minus(age)).unwrap_or_default();
    let (country, _) = question.from.map(|from| app.geoip.country_and_asn(from)).unwrap_or_default();
    let signed_in = subject.as_ref().filter(|subject| subject.is_active);
    let ask = Ask {
        person: signed_in.map(|subject| &subject.person),
        door: Door::Session(Proof { methods: question.methods, proved_at }),
        address: question.from,
        country: &country,
        now,
    };
    let read = readings::of(&path);
    let method = question.method.to_ascii_uppercase();
    let judgement = judge(application, read.as_deref().unwrap_or_default(), &[&method], &ask);
    let (mut headers, mut signed, mut obstacle) = (Some(Vec::new()), None, "");
    if let (Some(subject), Some(provider)) = (signed_in, &application.provider)
        && judgement.decision.is_met()
        && !judgement.decision.is_anonymous()
    {
        let (groups, slug) = (&application.groups_sent, application.slug.as_str());
        let words = Words::Own;
        let keys = &guard_identity::told_keys(app, application, words);
        let to = SentTo { guard: &provider.guard, groups, slug, provider: &provider.name, words, keys };
        let proved = Proved { session: SessionId(Uuid::nil()), methods: question.methods, at: proved_at };
        let signature = guard_identity::as_long_as_signed(app, application, &subject.identity, proved);
        headers = identity::headers(&subject.identity, signature.as_deref(), to);
        if let (Some(headers), Some(_)) = (&mut headers, signature) {
            signed = headers.pop().map(|_| to.signed_name());
        }
    }
    if read.iter().flatten().any(|reading| places::is_ours(&reading.path)) {
        obstacle = "the address is one of Rollcall's own on this host, and never leads to the app";
    } else if read.is_none() {
        obstacle = "the path can be read in too many ways, or has a control character";
    } else if headers.is_none() {
        obstacle = "the identity headers are too large";
    } else if subject.as_ref().is_some_and(|subject| !subject.is_active) && !judgement.decision.is_anonymous() {
        obstacle = "the user is not active";
    }
    let is_open = judgement.decision.is_met() && obstacle.is_empty();
    let shown = |reading: &Reading<'_>| reading.path.to_string();
    let mut readings: Vec<String> = read.unwrap_or_default().iter().map(shown).collect();
    readings.sort_unstable();
    readings.dedup();
    Ok(Answer {
        application: std::sync::Arc::clone(application),
        readings,
        judgement,
        headers: headers.filter(|_| is_open).unwrap_or_default(),
        signed: signed.filter(|_| is_open),
        is_open,
        obstacle,
    })
}

impl Answer {
    /// The headers as they are shown: what a signed identity holds is in words.
    #[must_use]
    pub fn shown_headers(&self) -> Vec<(String, String)> {
        let signed = self.signed.map(|name| (name.to_owned(), format!("the same, signed, for {} seconds", LIVES.as_secs())));
        self.headers.iter().cloned().chain(signed).collect()
    }

    /// What is missing, as sentences.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = self.judgement.decision.missing().iter().map(Missing::to_string);
        missing.chain((!self.is_open && !self.obstacle.is_empty()).then(|| self.obstacle.to_owned())).collect()
    }

    /// Which rules decided, as people count them: from 1; `access`: the application's own demand.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        let name = |rule: &Option<usize>| rule.map_or("access".to_owned(), |rule| format!("rule {}", rule + 1));
        self.judgement.rules.iter().map(name).collect()
    }
}
