//! Words on pages: times, devices, places, methods and reasons.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::filters::HtmlSafe;
use uuid::Uuid;

use crate::actions::app::App;
use crate::actions::sign_in::factors::Checked;
use crate::domain::event::{EventContent, text};
use crate::domain::oidc::notice::NoticeState;
use crate::domain::user_agent::Kind;
use crate::domain::{Address, EndReason, Method, Methods, SessionId, Timestamp, UserId};
use crate::store::events::rows::EventRow;
use crate::store::sessions::user_agents::UserAgentRow;
use crate::ui::event_fields::{EventField, fields};

pub(in crate::ui) use crate::domain::event::text::{grouped, plural};

/// An instant, for people and for machines: relative, with the exact one on hover and for screen
/// readers. A script puts it into the reader's zone.
pub(in crate::ui) struct Moment {
    at: Timestamp,
    words: String,
    /// Whether it may lie ahead.
    is_deadline: bool,
}

impl Moment {
    /// The time in words, such as `in 5 minutes`.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// A time in the past. A later one was written by another node, whose clock is ahead: it is
    /// shown as now.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let ago = now.since(at);
        let words = if ago < MINUTE { "just now".into() } else { format!("{} ago", spell(ago)) };
        Self { at, words, is_deadline: false }
    }

    /// The time of an end.
    pub fn until(at: Timestamp, now: Timestamp) -> Self {
        let past = Self::new(at, now);
        let words = if at > now { format!("in {}", spell(at.since(now))) } else { past.words };
        Self { words, is_deadline: true, ..past }
    }
}

/// Less than this ago is "just now".
const MINUTE: Duration = Duration::from_secs(60);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, exact) = (self.at, exact(self.at));
        let until = if self.is_deadline { " data-until" } else { "" };
        let words = &self.words;
        write!(f, "<time datetime=\"{at}\" title=\"{exact}\"{until}>{words}<span class=\"vh\"> ({exact})</span></time>")
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

/// A name that a user chose, inside a sentence: isolated (Unicode's FSI and PDI), so that it does
/// not change the direction of the text around it. ASCII names need no isolation. For attributes
/// and titles; elements have `<bdi>`.
pub(in crate::ui) fn isolate(name: impl fmt::Display) -> String {
    let name = name.to_string();
    if name.is_ascii() { name } else { format!("\u{2068}{name}\u{2069}") }
}

/// An address as tables show it: of a long IPv6 address, its first two groups and its last.
pub(in crate::ui) fn short_address(address: impl fmt::Display) -> String {
    const LONGEST: usize = 18;
    let text = address.to_string();
    let groups: Vec<&str> = text.split(':').collect();
    match groups.as_slice() {
        [first, second, .., last] if text.len() > LONGEST => format!("{first}:{second}:…:{last}"),
        _ => text,
    }
}

/// The kind of a device, as a picture and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) struct Device(Kind);

impl Device {
    pub fn of(agent: Option<&Arc<UserAgentRow>>) -> Self {
        Self(agent.map_or(Kind::Unknown, |agent| agent.about().kind))
    }

    pub fn word(self) -> &'static str {
        self.0.word()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Phone => include_str!("../../templates/parts/phone.svg"),
            Kind::Tablet => include_str!("../../templates/parts/tablet.svg"),
            Kind::Computer => include_str!("../../templates/parts/computer.svg"),
            Kind::Television => include_str!("../../templates/parts/television.svg"),
            Kind::Console => include_str!("../../templates/parts/console.svg"),
            Kind::Watch => include_str!("../../templates/parts/watch.svg"),
            Kind::Headset => include_str!("../../templates/parts/headset.svg"),
            Kind::Bot => include_str!("../../templates/parts/bot.svg"),
            Kind::Program => include_str!("../../templates/parts/tool.svg"),
            Kind::Unknown => include_str!("../../templates/parts/unknown.svg"),
        })
    }
}

impl HtmlSafe for Device {}

/// What a session was opened with, in words: the device's model and the browser, or browser and system.
pub(in crate::ui) fn describe(agent: Option<&Arc<UserAgentRow>>) -> String {
    agent.map_or_else(|| "Unknown browser".to_owned(), |agent| agent.about().words.clone())
}

/// The place of an address: city, country and network, as far as the GeoIP files have it.
pub(in crate::ui) struct Whereabouts {
    /// `Berlin, Germany`; `Private network` for private addresses.
    pub place: String,
    /// The organisation of the network, or `""`.
    pub network: String,
}

impl Whereabouts {
    pub fn of(app: &App, ip: Address) -> Self {
        let place = app.geoip.place(ip).map(|place| place.describe()).filter(|place| !place.is_empty());
        let network = app.geoip.autonomous_system(ip).map(|it| it.organization.unwrap_or_else(|| format!("AS{}", it.number)));
        Self {
            place: place.unwrap_or_else(|| if ip.is_local() { "Private network" } else { "Unknown place" }.into()),
            network: network.unwrap_or_default(),
        }
    }
}

/// The methods of an authentication, in words.
pub(in crate::ui) fn methods(stored: Methods) -> String {
    let words = [
        ("password", stored.has(Method::Password)),
        ("one-time code", stored.has(Method::OneTimeCode)),
        ("passkey", stored.has(Method::HardwareKey) || stored.has(Method::SoftwareKey)),
    ];
    words.into_iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word).collect::<Vec<_>>().join(" and ")
}

/// Why a code of a second factor was refused.
pub(in crate::ui) fn code_refusal(checked: Checked, now: Timestamp) -> String {
    match checked {
        Checked::Right(_) => String::new(),
        Checked::Wrong => "That code is wrong, or was used before. An app shows a new one every half minute.".into(),
        Checked::Blocked(until) => format!("Too many wrong codes. The next one is checked {}.", Moment::until(until, now).words()),
    }
}

/// Where a notice is, in words.
pub(in crate::ui) fn notice_state(state: NoticeState) -> &'static str {
    match state {
        NoticeState::Waiting => "waiting",
        NoticeState::Sending => "under way",
        NoticeState::Delivered => "told",
        NoticeState::GivenUp => "given up",
        NoticeState::Dropped => "dropped",
    }
}

/// Why a session ended, as the end of a sentence, from the stored word.
pub(in crate::ui) fn end_reason(reason: &str, by: &str) -> String {
    EndReason::parse(reason).map_or_else(|| reason.replace('_', " "), |reason| text::end_reason(reason, by))
}

/// An event as pages show it.
pub(in crate::ui) struct EventLine {
    pub at: Moment,
    pub kind: String,
    pub words: String,
    /// The key of an event with parts, which have a page of their own. 0: it has none.
    pub parts: i64,
    /// The user that it is about, if that user still exists.
    pub user_id: Option<i64>,
    pub username: String,
    /// Who did it, if that was a user, who still exists.
    pub actor_id: Option<i64>,
    pub actor: String,
    /// The address of the request, if the viewer may know it.
    pub ip: String,
    pub place: String,
    pub session: Option<SessionId>,
    /// The group that it is about, if that still exists.
    pub group: Option<Uuid>,
    /// The slug of the application that it is about, if that still exists, or `""`.
    pub application: String,
    /// The identifier of the token that it is about, or `""`.
    pub token: String,
    /// What its content holds; empty for anybody but an administrator.
    pub fields: Vec<EventField>,
}

impl EventLine {
    /// For this user, who may not know the addresses of others; `None`: for an administrator.
    pub fn new(app: &App, event: &EventRow, now: Timestamp, seen_by: Option<UserId>) -> Self {
        let is_open = seen_by.is_none_or(|viewer| event.actor_uuid.is_none() || event.actor_id == Some(viewer.0));
        let ip = if is_open { event.ip.clone() } else { String::new() };
        let place = Address::parse(&ip).map(|ip| Whereabouts::of(app, ip).place);
        Self {
            at: Moment::new(event.at, now),
            kind: event.kind().to_owned(),
            words: text::text(&event.content, &isolate(&event.actor), &isolate(&event.username)),
            parts: if matches!(event.content, EventContent::SessionsEnded { .. }) { event.id } else { 0 },
            user_id: event.user_id,
            username: event.username.clone(),
            actor_id: event.actor_id,
            actor: event.actor.clone(),
            ip,
            place: place.unwrap_or_default(),
            session: event.session,
            group: event.group_uuid,
            application: event.application_uuid.map(|_| event.application.clone()).unwrap_or_default(),
            token: token_of(&event.content).unwrap_or_default().to_owned(),
            fields: if seen_by.is_none() { fields(&event.content) } else { Vec::new() },
        }
    }
}

/// The identifier of the token that an event is about, which the page of tokens finds unless it was removed.
fn token_of(content: &EventContent) -> Option<&str> {
    match content {
        EventContent::TokenAdded { token, .. }
        | EventContent::TokenChanged { token, .. }
        | EventContent::TokenKeyShown { token, .. }
        | EventContent::EndsRefused { token, .. } => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_words() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let past = |moment: i64| Moment::new(at(moment), at(100_000)).words;
        let until = |moment: i64| Moment::until(at(moment), at(100_000)).words;
        assert_eq!(past(99_999), "just now");
        assert_eq!(past(99_940), "1 minute ago");
        assert_eq!(past(100_000 - 7300), "2 hours ago");
        assert_eq!(past(100_600), "just now", "another node's clock is ahead");
        assert_eq!(until(99_999), "just now");
        assert_eq!(until(99_940), "1 minute ago");
        assert_eq!(until(100_000 + 3 * 86400), "in 3 days");
        assert_eq!(until(100_000 + 12 * 3600 - 1), "in 12 hours");
        assert_eq!(until(100_000 + 3599), "in 1 hour");
        assert_eq!(until(100_000 + 86399), "in 1 day");
        assert!(
            Moment::until(at(1), at(0)).to_string().contains(" data-until>")
                && !Moment::new(at(1), at(0)).to_string().contains("until")
        );
        assert_eq!(exact(at(0)), "1970-01-01 00:00 UTC");
    }

    #[test]
    fn names_turn_nothing_around_them() {
        assert_eq!(isolate("alice <x>"), "alice <x>");
        assert_eq!(isolate(""), "");
        for name in ["דוד", "alice\u{202e}", "zoë"] {
            assert_eq!(isolate(name), format!("\u{2068}{name}\u{2069}"));
        }
    }

    #[test]
    fn long_addresses_are_shortened() {
        for (address, short) in [
            ("203.0.113.77", "203.0.113.77"),
            ("255.255.255.255", "255.255.255.255"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:…:7348"),
            ("fe80::1319:8a2e:370:7348", "fe80::…:7348"),
            ("::ffff:203.0.113.77", "::…:203.0.113.77"),
        ] {
            assert_eq!(short_address(address), short);
        }
    }
}
