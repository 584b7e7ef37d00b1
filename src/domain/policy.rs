//! Policies: the limits of sessions. The instance has one, groups and users may have one; of
//! several, the smallest limit applies.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::binding::{GeoipBinding, NetworkBinding};
use crate::domain::clock::Timestamp;
use crate::domain::session::Lifetime;

/// What happens to a sign-in above the session limit. The strictest first: of several, it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// It is refused.
    Refuse,
    /// The user is asked which session to end.
    Ask,
    /// The session that began first ends.
    EndOldest,
}

impl AtLimit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Ask, Self::EndOldest];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Ask => "ask",
            Self::EndOldest => "end_oldest",
        }
    }

    /// What it means.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Refuse => "the sign-in is refused",
            Self::Ask => "the user chooses which session ends",
            Self::EndOldest => "the oldest session ends",
        }
    }

    /// The outcome of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// The policy of the instance, a group or a user; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// A session that is not used for this long ends.
    #[serde(with = "seconds")]
    pub idle_timeout: Option<Duration>,
    /// A session ends this long after its sign-in.
    #[serde(with = "seconds")]
    pub absolute_timeout: Option<Duration>,
    /// The same with "stay signed in"; zero: not offered.
    #[serde(with = "seconds")]
    pub remember_timeout: Option<Duration>,
    /// The most sessions one user has at once.
    pub max_sessions: Option<u32>,
    /// What happens to a sign-in above that.
    pub at_limit: Option<AtLimit>,
    /// Whether signing in needs a second factor: if one policy requires it, it is required.
    pub is_factor_required: bool,
}

impl Policy {
    /// Both: of each limit the smaller.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            idle_timeout: smaller(self.idle_timeout, other.idle_timeout),
            absolute_timeout: smaller(self.absolute_timeout, other.absolute_timeout),
            remember_timeout: smaller(self.remember_timeout, other.remember_timeout),
            max_sessions: smaller(self.max_sessions, other.max_sessions),
            at_limit: smaller(self.at_limit, other.at_limit),
            is_factor_required: self.is_factor_required || other.is_factor_required,
        }
    }

    /// Whether it sets no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Policy {
    /// Its limits, in one line: for events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = |limit: Option<Duration>| limit.map(|limit| humantime::format_duration(limit).to_string());
        let parts = [
            ("idle timeout", duration(self.idle_timeout)),
            ("absolute timeout", duration(self.absolute_timeout)),
            ("remember timeout", duration(self.remember_timeout)),
            ("most sessions", self.max_sessions.map(|most| most.to_string())),
            ("at the limit", self.at_limit.map(|outcome| outcome.as_str().to_owned())),
            ("second factor", self.is_factor_required.then(|| "required".to_owned())),
        ];
        let said: Vec<String> = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
        f.write_str(if said.is_empty() { "none" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

/// The limits of the instance that are stored in its database. They hold where no setting gives them. `None`: not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredLimits {
    /// `sessions.idle_timeout`; zero: none.
    #[serde(with = "seconds")]
    pub idle_timeout: Option<Duration>,
    /// `sessions.absolute_timeout`.
    #[serde(with = "seconds")]
    pub absolute_timeout: Option<Duration>,
    /// `sessions.remember_timeout`; zero: not offered.
    #[serde(with = "seconds")]
    pub remember_timeout: Option<Duration>,
    /// `sessions.max_per_user`; zero: no limit.
    pub max_sessions: Option<u32>,
    /// `sessions.at_limit`.
    pub at_limit: Option<AtLimit>,
    /// `sessions.network_binding`.
    pub network_binding: Option<NetworkBinding>,
    /// `sessions.geoip_binding`.
    pub geoip_binding: Option<GeoipBinding>,
    /// `sign_in.known_device_lifetime`; zero: no browser is known.
    #[serde(with = "seconds")]
    pub known_device_lifetime: Option<Duration>,
}

impl StoredLimits {
    /// The settings that these would give, each with whether it is stored.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, bool); 8] {
        [
            ("sessions.idle_timeout", self.idle_timeout.is_some()),
            ("sessions.absolute_timeout", self.absolute_timeout.is_some()),
            ("sessions.remember_timeout", self.remember_timeout.is_some()),
            ("sessions.max_per_user", self.max_sessions.is_some()),
            ("sessions.at_limit", self.at_limit.is_some()),
            ("sessions.network_binding", self.network_binding.is_some()),
            ("sessions.geoip_binding", self.geoip_binding.is_some()),
            ("sign_in.known_device_lifetime", self.known_device_lifetime.is_some()),
        ]
    }
}

/// One limit of several policies together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The limit, in words.
    pub limit: &'static str,
    /// What holds; `none`: no policy has this limit.
    pub value: String,
    /// Whose policies say so.
    pub by: Vec<String>,
    /// Those with a weaker value, and that.
    pub weaker: Vec<(String, String)>,
}

/// Of each limit what holds when these policies apply together, and whose it is. Each policy comes with whose it is.
#[must_use]
pub fn holding(policies: &[(String, Policy)]) -> Vec<Holding> {
    vec![
        hold("Idle timeout", policies, |policy| policy.idle_timeout, spell),
        hold("Absolute timeout", policies, |policy| policy.absolute_timeout, spell),
        hold(
            "With “stay signed in”",
            policies,
            |policy| policy.remember_timeout,
            |limit| {
                if limit.is_zero() { "not offered".to_owned() } else { spell(limit) }
            },
        ),
        hold("Most sessions", policies, |policy| policy.max_sessions, |most| most.to_string()),
        hold("At the limit", policies, |policy| policy.at_limit, |outcome| outcome.words().to_owned()),
        // What is required comes first in the order of strictness.
        hold("Second factor", policies, |policy| policy.is_factor_required.then_some(0), |_| "required".to_owned()),
    ]
}

/// A limit as settings are written, to the second: `14d`, `1h 30m`, `0`.
#[must_use]
pub fn spell(limit: Duration) -> String {
    let mut seconds = limit.as_secs();
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)] {
        if seconds >= length {
            parts.push(format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
}

fn hold<T: Ord + Copy>(
    limit: &'static str,
    policies: &[(String, Policy)],
    of: impl Fn(&Policy) -> Option<T>,
    words: impl Fn(T) -> String,
) -> Holding {
    let values: Vec<(&String, T)> = policies.iter().filter_map(|(whose, policy)| Some((whose, of(policy)?))).collect();
    let smallest = values.iter().map(|(_, value)| *value).min();
    let (by, weaker): (Vec<_>, Vec<_>) = values.into_iter().partition(|(_, value)| Some(*value) == smallest);
    Holding {
        limit,
        value: smallest.map_or_else(|| "none".to_owned(), &words),
        by: by.into_iter().map(|(whose, _)| whose.clone()).collect(),
        weaker: weaker.into_iter().map(|(whose, value)| (whose.clone(), words(value))).collect(),
    }
}

/// Durations in JSON: whole seconds, or null.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the shape that serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The limits of one user: the instance's policy, and those of their groups and their own.
///
/// "Stay signed in" replaces the timeouts of the instance by its own; those of groups and users
/// apply nevertheless, since they were set on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The policy of the instance.
    pub instance: Policy,
    /// The policies of the user's groups and of the user, combined.
    pub own: Policy,
}

/// The properties of a living session that its limits depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Living {
    /// When it began.
    pub created_at: Timestamp,
    /// How long it may live.
    pub lifetime: Lifetime,
    /// Whether "stay signed in" holds for it.
    pub is_remembered: bool,
    /// Whether it was imported: it keeps its expiry, unless the policy of a group or the user is
    /// stricter.
    pub is_imported: bool,
}

impl Limits {
    /// All policies combined.
    #[must_use]
    pub fn effective(&self) -> Policy {
        self.instance.and(self.own)
    }

    /// Whether "stay signed in" may be asked for.
    #[must_use]
    pub fn is_remember_offered(&self) -> bool {
        self.effective().remember_timeout.is_some_and(|limit| !limit.is_zero())
    }

    /// What happens to a sign-in above the session limit.
    #[must_use]
    pub fn at_limit(&self) -> AtLimit {
        self.effective().at_limit.unwrap_or(AtLimit::EndOldest)
    }

    /// The limits of a session that begins now, with or without "stay signed in".
    #[must_use]
    pub fn begin(&self, now: Timestamp, is_remember_wished: bool) -> Living {
        let is_remembered = is_remember_wished && self.is_remember_offered();
        let (idle_timeout, absolute) = self.timeouts(is_remembered, false);
        let absolute_expires_at = now.plus(absolute.unwrap_or(Duration::MAX));
        let lifetime = Lifetime { idle_timeout, absolute_expires_at };
        Living { created_at: now, lifetime, is_remembered, is_imported: false }
    }

    /// The session under these limits, if they are stricter than its own; `None` if they are not.
    /// Limits are never extended.
    #[must_use]
    pub fn tighten(&self, session: &Living) -> Option<Living> {
        let is_remembered = session.is_remembered && self.is_remember_offered();
        let (idle, absolute) = self.timeouts(is_remembered, session.is_imported);
        let lifetime = session.lifetime;
        let end = absolute.map_or(lifetime.absolute_expires_at, |absolute| session.created_at.plus(absolute));
        let tightened = Living {
            lifetime: Lifetime {
                idle_timeout: smaller(lifetime.idle_timeout, idle),
                absolute_expires_at: end.min(lifetime.absolute_expires_at),
            },
            is_remembered,
            ..*session
        };
        (tightened != *session).then_some(tightened)
    }

    /// Idle and absolute timeout.
    fn timeouts(&self, is_remembered: bool, is_imported: bool) -> (Option<Duration>, Option<Duration>) {
        let Policy { idle_timeout, absolute_timeout, .. } = self.own;
        if is_imported {
            return (idle_timeout, absolute_timeout);
        }
        if is_remembered {
            return (idle_timeout, smaller(absolute_timeout, self.effective().remember_timeout));
        }
        let all = self.effective();
        (all.idle_timeout, all.absolute_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn of_each_limit_it_is_said_whose_holds() {
        let instance = Policy { idle_timeout: Some(12 * HOUR), absolute_timeout: Some(24 * HOUR), ..Policy::default() };
        let group = Policy { idle_timeout: Some(HOUR), is_factor_required: true, ..Policy::default() };
        let user = Policy { idle_timeout: Some(HOUR), max_sessions: Some(2), ..Policy::default() };
        let all = [("instance", instance), ("staff", group), ("alice", user)].map(|(whose, policy)| (whose.to_owned(), policy));
        let held = holding(&all);
        let line = |at: usize| (held[at].value.as_str(), held[at].by.join(" "), held[at].weaker.len());
        assert_eq!(line(0), ("1h", "staff alice".to_owned(), 1));
        assert_eq!(held[0].weaker, [("instance".to_owned(), "12h".to_owned())]);
        assert_eq!(line(1), ("1d", "instance".to_owned(), 0));
        assert_eq!((spell(Duration::from_secs(5415)).as_str(), spell(Duration::ZERO).as_str()), ("1h 30m 15s", "0"));
        assert_eq!(line(2), ("none", String::new(), 0));
        assert_eq!(line(3), ("2", "alice".to_owned(), 0));
        assert_eq!(line(5), ("required", "staff".to_owned(), 0));
        let strict = Policy { at_limit: Some(AtLimit::Refuse), remember_timeout: Some(Duration::ZERO), ..Policy::default() };
        let lax = Policy { at_limit: Some(AtLimit::EndOldest), remember_timeout: Some(HOUR), ..Policy::default() };
        let held = holding(&[("lax".to_owned(), lax), ("strict".to_owned(), strict)]);
        assert_eq!((held[2].value.as_str(), held[4].by.as_slice()), ("not offered", &["strict".to_owned()][..]));
    }

    fn limits(own: Policy) -> Limits {
        let instance = Policy {
            idle_timeout: Some(12 * HOUR),
            absolute_timeout: Some(14 * 24 * HOUR),
            remember_timeout: Some(30 * 24 * HOUR),
            ..Policy::default()
        };
        Limits { instance, own }
    }

    fn at(hours: u32) -> Timestamp {
        Timestamp(0).plus(hours * HOUR)
    }

    #[test]
    fn the_smallest_wins() {
        let a = Policy { idle_timeout: Some(HOUR), max_sessions: Some(3), at_limit: Some(AtLimit::EndOldest), ..Policy::default() };
        let b = Policy { idle_timeout: Some(2 * HOUR), at_limit: Some(AtLimit::Refuse), absolute_timeout: Some(HOUR), ..a };
        let want = Policy {
            idle_timeout: Some(HOUR),
            absolute_timeout: Some(HOUR),
            max_sessions: Some(3),
            at_limit: Some(AtLimit::Refuse),
            ..Policy::default()
        };
        assert_eq!((a.and(b), b.and(a)), (want, want));
        assert_eq!(a.and(Policy::default()), a);
        let strict = Policy { is_factor_required: true, ..Policy::default() };
        assert!(a.and(strict).is_factor_required && strict.and(a).is_factor_required, "nothing lifts it");
        assert!(!strict.is_empty() && strict.to_string() == "second factor required");
        assert_eq!(a.to_string(), "idle timeout 1h, most sessions 3, at the limit end_oldest");
        assert_eq!(Policy::default().to_string(), "none");
    }

    #[test]
    fn staying_signed_in_lifts_the_instances_timeouts_alone() {
        let remembered = limits(Policy::default()).begin(at(0), true);
        assert_eq!(remembered.lifetime, Lifetime { idle_timeout: None, absolute_expires_at: at(30 * 24) });
        let own = Policy { idle_timeout: Some(HOUR), absolute_timeout: Some(8 * HOUR), ..Policy::default() };
        let bound = limits(own).begin(at(0), true);
        assert_eq!(bound.lifetime, Lifetime { idle_timeout: Some(HOUR), absolute_expires_at: at(8) });
        let none = Policy { remember_timeout: Some(Duration::ZERO), ..Policy::default() };
        let plain = limits(none).begin(at(0), true);
        assert!(!plain.is_remembered && plain.lifetime.idle_timeout == Some(12 * HOUR));
    }

    #[test]
    fn tightening_never_extends() {
        let short = Policy { idle_timeout: Some(HOUR), absolute_timeout: Some(2 * HOUR), ..Policy::default() };
        let session = limits(Policy::default()).begin(at(0), false);
        let tight = limits(short).tighten(&session).unwrap();
        assert_eq!(tight.lifetime, Lifetime { idle_timeout: Some(HOUR), absolute_expires_at: at(2) });
        assert_eq!(limits(short).tighten(&tight), None);
        assert_eq!(limits(Policy::default()).tighten(&tight), None, "loosening gives nothing back");
        let imported =
            Living { is_imported: true, lifetime: Lifetime { idle_timeout: None, absolute_expires_at: at(9999) }, ..session };
        assert_eq!(limits(Policy::default()).tighten(&imported), None);
        assert!(limits(short).tighten(&imported).is_some());
        let remembered = limits(Policy::default()).begin(at(0), true);
        let off = Policy { remember_timeout: Some(Duration::ZERO), ..Policy::default() };
        let plain = limits(off).tighten(&remembered).unwrap();
        assert_eq!((plain.is_remembered, plain.lifetime.absolute_expires_at), (false, at(14 * 24)));
    }
}
