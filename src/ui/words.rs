//! What pages say in words: times, devices, places, how and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::filters::HtmlSafe;

use crate::actions::app::App;
use crate::domain::user_agent::ParsedAgent;
use crate::domain::{Address, Method, Methods, SessionId, Timestamp, UserId, country};
use crate::store::events::rows::EventRow;
use crate::store::sessions::user_agents::UserAgentRow;

/// An instant, for people and for machines: relative, with the exact one on hover and for screen
/// readers. A script puts it into the reader's zone.
pub(in crate::ui) struct Moment {
    at: Timestamp,
    words: String,
}

impl Moment {
    /// How far it is away, such as `in 5 minutes`.
    pub fn words(&self) -> &str {
        &self.words
    }

    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let words = if at > now { format!("in {}", spell(at.since(now))) } else { format!("{} ago", spell(now.since(at))) };
        let is_now = now.since(at) < Duration::from_secs(60) && at <= now;
        Self { at, words: if is_now { "just now".into() } else { words } }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, exact) = (self.at, exact(self.at));
        write!(f, "<time datetime=\"{at}\" title=\"{exact}\">{}<span class=\"vh\"> ({exact})</span></time>", self.words)
    }
}

impl HtmlSafe for Moment {}

/// To the minute: `2026-11-01 12:00 UTC`.
pub(in crate::ui) fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

/// A duration in its largest unit: `3 days`.
pub(in crate::ui) fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Rounded: twelve hours that began a second ago are still "12 hours".
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3570 => ((seconds + 30) / 60, "minute"),
        3570..84600 => ((seconds + 1800) / 3600, "hour"),
        _ => ((seconds + 43200) / 86400, "day"),
    };
    format!("{count} {unit}{}", plural(count))
}

/// The `s` of all numbers but one.
pub(in crate::ui) fn plural(count: impl fmt::Display) -> &'static str {
    if count.to_string() == "1" { "" } else { "s" }
}

/// A whole number with its thousands apart: `1,284`.
pub(in crate::ui) fn grouped(number: impl fmt::Display) -> String {
    let number = number.to_string();
    let (sign, digits) = number.strip_prefix('-').map_or(("", number.as_str()), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The kind of a device, as a picture and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Device {
    Phone,
    Tablet,
    Computer,
    Tool,
    Unknown,
}

impl Device {
    pub fn of(agent: Option<&ParsedAgent>) -> Self {
        let Some(agent) = agent else { return Self::Unknown };
        let (system, device) = (agent.system.family.as_str(), agent.device.family.as_str());
        let words = [device, &agent.device.model, &agent.browser.family].map(str::to_lowercase);
        let says = |part: &str| words.iter().any(|word| word.contains(part));
        match system {
            "iPadOS" => Self::Tablet,
            "iOS" | "Android" if says("ipad") || says("tablet") => Self::Tablet,
            "iOS" | "Android" | "Windows Phone" | "KaiOS" => Self::Phone,
            "Windows" | "Mac OS X" | "Mac OS" | "macOS" | "Linux" | "Ubuntu" | "Fedora" | "Debian" | "Chrome OS" | "FreeBSD"
            | "OpenBSD" => Self::Computer,
            _ if agent.browser.family != "Other" => Self::Tool,
            _ => Self::Unknown,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Phone => "Phone",
            Self::Tablet => "Tablet",
            Self::Computer => "Computer",
            Self::Tool => "Program",
            Self::Unknown => "Unknown device",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone => include_str!("../../templates/parts/phone.svg"),
            Self::Tablet => include_str!("../../templates/parts/tablet.svg"),
            Self::Computer => include_str!("../../templates/parts/computer.svg"),
            Self::Tool => include_str!("../../templates/parts/tool.svg"),
            Self::Unknown => include_str!("../../templates/parts/unknown.svg"),
        })
    }
}

impl HtmlSafe for Device {}

/// Browser and system in words; what nothing is known of, in its own words.
pub(in crate::ui) fn describe(agent: Option<&Arc<UserAgentRow>>) -> String {
    const LONGEST: usize = 80;
    let Some(agent) = agent else { return "Unknown browser".into() };
    let is_known = agent.parsed.browser.family != "Other" || agent.parsed.system.family != "Other";
    if is_known || agent.text.is_empty() {
        return agent.parsed.describe();
    }
    agent.text.chars().take(LONGEST).collect()
}

/// Where an address is: place and network, as far as the files know.
pub(in crate::ui) struct Whereabouts {
    /// `Berlin, Germany`; `Private network` for addresses that are nowhere in particular.
    pub place: String,
    /// Who runs the network, or `""`.
    pub network: String,
}

impl Whereabouts {
    pub fn of(app: &App, ip: Address) -> Self {
        let known = app.geoip.place(ip).map(|place| {
            let parts = [place.city.as_str(), country::name(&place.country)];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
        });
        let place = known.filter(|place| !place.is_empty());
        let network = app.geoip.autonomous_system(ip).map(|it| it.organization.unwrap_or_else(|| format!("AS{}", it.number)));
        Self {
            place: place.unwrap_or_else(|| if ip.is_local() { "Private network" } else { "Unknown place" }.into()),
            network: network.unwrap_or_default(),
        }
    }
}

/// How somebody proved who they are, from what is stored of it.
pub(in crate::ui) fn methods(stored: Methods) -> String {
    let words = [
        ("password", stored.has(Method::Password)),
        ("one-time code", stored.has(Method::OneTimeCode)),
        ("passkey", stored.has(Method::HardwareKey) || stored.has(Method::SoftwareKey)),
    ];
    words.into_iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word).collect::<Vec<_>>().join(" and ")
}

/// Why a session ended, as a sentence's end: `ended by root`.
pub(in crate::ui) fn ending(reason: &str, by: &str) -> String {
    match reason {
        "signed_out" => "signed out".into(),
        "revoked" => format!("ended by {by}"),
        "expired" => "its time was over".into(),
        "replaced" => "signed in anew in the same browser".into(),
        "password_changed" => "the password was changed".into(),
        "factors_changed" => "the second factors were changed".into(),
        "user_deactivated" => "the user was deactivated".into(),
        "user_removed" => "the user was removed".into(),
        "limit_reached" => "another sign-in took its place".into(),
        "moved" => "it was used from elsewhere".into(),
        other => other.replace('_', " "),
    }
}

/// What an event records, as a sentence.
pub(in crate::ui) fn happened(event: &EventRow) -> String {
    let (actor, user, detail) = (&event.actor, &event.username, &event.detail);
    let is_own = actor == user;
    let whose = if is_own { "their own".to_owned() } else { format!("{user}’s") };
    match event.kind.as_str() {
        "sign_in" => format!("{user} signed in"),
        "sign_in_failed" if user.is_empty() => "Somebody tried to sign in by a name that nobody has".into(),
        "sign_in_failed" if detail.starts_with("passkey: ") => {
            format!("Somebody tried to sign in as {user} by a {detail}", detail = detail.replacen(':', ", and failed:", 1))
        }
        "sign_in_failed" => format!("Somebody tried to sign in as {user}, and failed"),
        "sign_in_limited" => match detail.as_str() {
            "account" if user.is_empty() => "Too many wrong passwords for a name that nobody has: no more for a while".into(),
            "account" => format!("Too many wrong passwords or codes for {user}: no more for a while, but from known devices"),
            "known_device" => format!("Too many wrong passwords or codes for {user} from a known device: no more for a while"),
            "address" => "Too many wrong passwords or codes from one address: no more from there for a while".into(),
            "instance" => "Too many wrong passwords or codes in all: no more for a while, but from known devices".into(),
            _ => format!("Too many wrong passwords or codes for {user}: no more for a while"),
        },
        "sign_out" => format!("{user} signed out"),
        "session_revoked" if detail == "revoked" || detail.is_empty() => format!("{actor} ended {whose} session"),
        "session_revoked" => match detail.split_once(": ") {
            Some(("revoked", why)) => format!("{actor} ended {whose} session: {why}"),
            Some((reason, why)) => format!("A session of {user} ended: {} ({why})", ending(reason, actor)),
            None => format!("A session of {user} ended: {}", ending(detail, actor)),
        },
        "session_expired" => format!("A session of {user} was over"),
        "session_moved" => format!("A session of {user} was used from elsewhere: {detail}"),
        "session_named" if detail.is_empty() => format!("{actor} took the name off {whose} session"),
        "session_named" => format!("{actor} named {whose} session “{detail}”"),
        "user_added" => format!("{actor} added the user {user}"),
        "password_set" => format!("{actor} set {whose} password"),
        "recovery_link_made" => format!("{actor} made a link with which {user} sets a password"),
        "user_activated" => format!("{actor} made {user} active"),
        "user_deactivated" => format!("{actor} deactivated {user}"),
        "user_removed" => format!("{actor} removed the user {user}"),
        "user_erased" => format!("{actor} erased a user, and what was kept of them"),
        "sign_in_refused" => format!("{user} was refused: signed in as often as may be"),
        "confirmed" => format!("{user} proved once more who they are"),
        "factor_added" => format!("{actor} added the second factor “{detail}”"),
        "factor_removed" => format!("{actor} removed the second factor “{detail}”"),
        "factors_reset" => format!("{actor} removed all second factors of {user}"),
        "factor_failed" if detail.starts_with("passkey: ") => {
            format!("Somebody who knew {user}’s password tried a {detail}", detail = detail.replacen(':', ", and failed:", 1))
        }
        "factor_failed" => format!("Somebody who knew {user}’s password gave a wrong code"),
        "recovery_code_used" => format!("{user} used a recovery code; {detail} left"),
        "recovery_codes_renewed" => format!("{user} drew new recovery codes"),
        "policy_set" => format!("{actor} set a policy: {detail}"),
        "token_added" => format!("{actor} made the token {detail} for {user}"),
        "token_removed" => format!("{actor} removed the token {detail} of {user}"),
        "import" => format!("{actor} imported {detail}"),
        other => {
            let about = if user.is_empty() || is_own { String::new() } else { format!(", {user}") };
            let more = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            format!("{actor}{about}: {}{more}", other.replace('_', " "))
        }
    }
}

/// An event as pages show it.
pub(in crate::ui) struct EventLine {
    pub at: Moment,
    pub kind: String,
    pub words: String,
    pub user_id: Option<i64>,
    pub username: String,
    /// Where it was done from, if whoever looks may know.
    pub ip: String,
    pub place: String,
    pub session: Option<SessionId>,
}

impl EventLine {
    /// As seen by a user, who may not know where others are; `None`: by an administrator.
    pub fn new(app: &App, event: &EventRow, now: Timestamp, seen_by: Option<UserId>) -> Self {
        let is_open = seen_by.is_none_or(|viewer| event.actor_id.is_none_or(|actor| actor == viewer.0));
        let ip = if is_open { event.ip.clone() } else { String::new() };
        let place = Address::parse(&ip).map(|ip| Whereabouts::of(app, ip).place);
        Self {
            at: Moment::new(event.at, now),
            kind: event.kind.clone(),
            words: happened(event),
            user_id: event.user_id,
            username: event.username.clone(),
            ip,
            place: place.unwrap_or_default(),
            session: event.session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_words() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let words = |moment: i64| Moment::new(at(moment), at(100_000)).words;
        assert_eq!(words(99_999), "just now");
        assert_eq!(words(99_940), "1 minute ago");
        assert_eq!(words(100_000 - 7300), "2 hours ago");
        assert_eq!(words(100_000 + 3 * 86400), "in 3 days");
        assert_eq!(words(100_000 + 12 * 3600 - 1), "in 12 hours");
        assert_eq!(words(100_000 + 3599), "in 1 hour");
        assert_eq!(words(100_000 + 86399), "in 1 day");
        assert_eq!(exact(at(0)), "1970-01-01 00:00 UTC");
    }

    #[test]
    fn every_kind_of_event_is_a_sentence() {
        use crate::actions::events::EventKind;
        use crate::domain::caller::Actor;

        for kind in EventKind::ALL {
            let words = happened(&kind.by(&Actor::cli(), Timestamp(0)).about(UserId(1), "alice").with_detail("x"));
            assert!(words.contains(' ') && !words.contains(kind.as_str()) || *kind == EventKind::Import, "{words}");
            assert!(words.contains("alice") || words.contains("cli"), "{words}");
        }
        let mut ended = EventKind::SessionRevoked.by(&Actor::cli(), Timestamp(0)).about(UserId(1), "alice");
        for (detail, words) in [
            ("revoked", "cli ended alice’s session"),
            ("revoked: left on a train", "cli ended alice’s session: left on a train"),
            ("limit_reached", "A session of alice ended: another sign-in took its place"),
            ("moved: AS2 instead of AS1", "A session of alice ended: it was used from elsewhere (AS2 instead of AS1)"),
        ] {
            ended.detail = detail.into();
            assert_eq!(happened(&ended), words);
        }
    }

    #[test]
    fn numbers_in_groups() {
        for (number, text) in [(0, "0"), (999, "999"), (1284, "1,284"), (1_000_000, "1,000,000"), (-12345, "-12,345")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn devices_by_what_they_say() {
        let agent = |system: &str, device: &str, browser: &str| {
            let mut agent = ParsedAgent::default();
            agent.system.family = system.into();
            agent.device.family = device.into();
            agent.browser.family = browser.into();
            Device::of(Some(&agent))
        };
        assert_eq!(agent("Android", "Pixel 9", "Chrome Mobile"), Device::Phone);
        assert_eq!(agent("iOS", "iPad", "Mobile Safari"), Device::Tablet);
        assert_eq!(agent("Linux", "Other", "Firefox"), Device::Computer);
        assert_eq!(agent("Other", "Other", "curl"), Device::Tool);
        assert_eq!(agent("Other", "Other", "Other"), Device::Unknown);
    }
}
