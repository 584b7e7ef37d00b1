//! The text of an event: one sentence, made from its content and the names of the time.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::domain::application::session::AppEndReason;
use crate::domain::event::{Changes, ConfirmedBy, EventContent, FailedStage, FilterTerms, GuessLimit, SourceAlert};
use crate::domain::policy::spell;
use crate::domain::session::EndReason;

/// The plural's `s`: none for one.
#[must_use]
pub fn plural(count: impl fmt::Display) -> &'static str {
    if count.to_string() == "1" { "" } else { "s" }
}

/// A whole number with separated thousands: `1,284`.
#[must_use]
pub fn grouped(number: impl fmt::Display) -> String {
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

/// Why a session ended, as the end of a sentence: `ended by root`.
#[must_use]
pub fn end_reason(reason: EndReason, by: &str) -> String {
    match reason {
        EndReason::SignedOut => "signed out".into(),
        EndReason::Revoked => format!("ended by {by}"),
        EndReason::Expired => "expired".into(),
        EndReason::Replaced => "a new sign-in in the same browser".into(),
        EndReason::PasswordChanged => "the password was changed".into(),
        EndReason::FactorsChanged => "the second factors were changed".into(),
        EndReason::UserDeactivated => "the user was deactivated".into(),
        EndReason::UserRemoved => "the user was removed".into(),
        EndReason::LimitReached => "another sign-in took its place".into(),
        EndReason::Moved => "it was used from elsewhere".into(),
        EndReason::Restored => "a backup was restored".into(),
        EndReason::Gone => "ended at authentik, the reason is not known".into(),
    }
}

/// What an event records, as a sentence: `root ended alice’s session: left on a train`. `actor` did it, and it is about
/// `user`, or `""`.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
pub fn text(content: &EventContent, actor: &str, user: &str) -> String {
    let is_own = actor == user;
    let whose = if is_own { "their own".to_owned() } else { format!("{user}’s") };
    match content {
        EventContent::SignIn { .. } => format!("{user} signed in"),
        EventContent::SignInFailed { .. } if user.is_empty() => "Somebody tried to sign in with an unknown name".into(),
        EventContent::SignInFailed { stage: FailedStage::Passkey, why } => {
            format!("Somebody tried to sign in as {user} by a passkey, and failed: {why}")
        }
        EventContent::SignInFailed { .. } => format!("Somebody tried to sign in as {user}, and failed"),
        EventContent::SignInLimited { limit } => limited(*limit, user),
        EventContent::SignOut {} => format!("{user} signed out"),
        EventContent::SessionEnded { reason: EndReason::Revoked, comment } => {
            format!("{actor} ended {whose} session{}", after_colon(comment))
        }
        EventContent::SessionEnded { reason, comment } => {
            let why = if comment.is_empty() { String::new() } else { format!(" ({comment})") };
            format!("A session of {user} ended: {}{why}", end_reason(*reason, actor))
        }
        EventContent::SessionsEnded { filter, expected, count, users, reason, comment } => {
            let comment = after_colon(comment);
            let of = if filter.is_empty() { String::new() } else { format!(" ({})", terms(filter)) };
            let Some(count) = *count else {
                return format!("{actor} began to end {} session{}{of}{comment}", grouped(expected), plural(expected));
            };
            let users = users.map(|users| format!(" of {} user{}", grouped(users), plural(users))).unwrap_or_default();
            let sessions = format!("{} session{}{users}", grouped(count), plural(count));
            match reason {
                EndReason::Revoked => format!("{actor} ended {sessions}{of}{comment}"),
                EndReason::Expired => format!("{sessions} expired"),
                EndReason::UserRemoved => format!("{actor} ended {sessions}: the users were removed{comment}"),
                other => format!("{sessions} ended{of}: {}{comment}", end_reason(*other, actor)),
            }
        }
        EventContent::Restored { made_at, version, users, sessions, .. } => format!(
            "{actor} restored the backup of {made_at} (version {version}): {} user{}, {} session{}",
            grouped(users),
            plural(users),
            grouped(sessions),
            plural(sessions)
        ),
        EventContent::SourceSessionEnded { source, comment } => {
            format!("{actor} ended a session of {user} at {source}{}", after_colon(comment))
        }
        EventContent::SourceSessionsEnded { source, filter, expected, count, comment } => {
            let of = if filter.is_empty() { String::new() } else { format!(" ({})", terms(filter)) };
            let (verb, count) = count.map_or(("began to end", *expected), |count| ("ended", count));
            let sessions = format!("{} session{}", grouped(count), plural(count));
            format!("{actor} {verb} {sessions} at {source}{of}{}", after_colon(comment))
        }
        EventContent::SourceEndFailed { source, why } => {
            format!("{actor} wanted to end a session of {user} at {source}, and it is still there: {why}")
        }
        EventContent::SourceReplaced { source, url, sessions, ends } => {
            let mut text = format!("{actor} took another {source}, at {url}, in the place of the one before");
            if *sessions > 0 {
                let said = format!("; {} session{} of that one are forgotten", grouped(sessions), plural(sessions));
                text.push_str(&said);
            }
            if *ends > 0 {
                let said = format!("; what became of {} end{} there is not known", grouped(ends), plural(ends));
                text.push_str(&said);
            }
            text
        }
        EventContent::SourceAlert { source, alert, detail } => match alert {
            SourceAlert::NewCountry => format!("{user} has a session at {source} from a new country: {detail}"),
            SourceAlert::NewNetwork => format!("{user} has a session at {source} from a new network: {detail}"),
            SourceAlert::TooFar => format!("{user} has sessions at {source} too far apart: {detail}"),
            SourceAlert::NewDevice => format!("{user}, a superuser at {source}, has a session there on a new device: {detail}"),
            SourceAlert::ManySessions => format!("{user} has many sessions at {source}: {detail}"),
            SourceAlert::ManyNew | SourceAlert::ManyGone => format!("At {source}, {detail}"),
            SourceAlert::OldCopy => format!("Of {source}, {detail}"),
        },
        EventContent::SessionExpired {} => format!("A session of {user} expired"),
        EventContent::SessionMoved { what } => format!("A session of {user} was used from elsewhere: {what}"),
        EventContent::SessionNamed { name } if name.is_empty() => format!("{actor} took the name off {whose} session"),
        EventContent::SessionNamed { name } => format!("{actor} named {whose} session “{name}”"),
        EventContent::UserAdded { changes } => format!("{actor} added the user {user}{}", standing(changes)),
        EventContent::PasswordSet {} => format!("{actor} set {whose} password"),
        EventContent::RecoveryLinkMade {} => format!("{actor} made a recovery link for {user}"),
        EventContent::UserActivated {} => format!("{actor} made {user} active"),
        EventContent::UserDeactivated {} => format!("{actor} deactivated {user}"),
        EventContent::UserChanged { changes } if is_own => {
            format!("{actor} changed their own account{}{}", names_of(changes), standing(changes))
        }
        EventContent::UserChanged { changes } => {
            format!("{actor} changed {user}{}{}", names_of(changes), standing(changes))
        }
        EventContent::GroupAdded { group, members, changes, .. } => {
            format!("{actor} added the group {group}{}{}", with_members(*members), standing_of_members(changes))
        }
        EventContent::GroupChanged { group, changes, added, removed, .. } => {
            group_changed(actor, user, group, changes, [added.len(), removed.len()])
        }
        EventContent::GroupRemoved { group, members, .. } => {
            format!("{actor} removed the group {group}{}", with_members(*members))
        }
        EventContent::UserRemoved { .. } => format!("{actor} removed the user {user}"),
        EventContent::UserErased { is_own: true } => "A user erased their own account, and what was kept of them".into(),
        EventContent::RemovalAsked {} => format!("{user} asked to be removed"),
        EventContent::RemovalWithdrawn {} => format!("{user} took back that they asked to be removed"),
        EventContent::RemovalDeclined {} => format!("{actor} declined to remove {user}, who had asked for it"),
        EventContent::UserErased { is_own: false } => format!("{actor} erased a user, and what was kept of them"),
        EventContent::SignInRefused { .. } => format!("{user} was refused: session limit reached"),
        EventContent::Confirmed { by: ConfirmedBy::Password } => format!("{user} authenticated again"),
        EventContent::Confirmed { by: ConfirmedBy::Passkey } => format!("{user} authenticated again by a passkey"),
        EventContent::FactorAdded { name } => format!("{actor} added the second factor “{name}”"),
        EventContent::FactorRemoved { name } => format!("{actor} removed the second factor “{name}”"),
        EventContent::FactorsReset { .. } => format!("{actor} removed all second factors of {user}"),
        EventContent::FactorFailed { why } if why.is_empty() => format!("Somebody who knew {user}’s password gave a wrong code"),
        EventContent::FactorFailed { why } => format!("Somebody who knew {user}’s password tried a passkey, and failed: {why}"),
        EventContent::RecoveryCodeUsed { left } => format!("{user} used a recovery code; {left} left"),
        EventContent::RecoveryCodesRenewed {} => format!("{user} made new recovery codes"),
        EventContent::PolicySet { group, before, policy } => {
            let whose = group.as_ref().map_or_else(|| user.to_owned(), |group| format!("the group {group}"));
            let before = before.map(|before| format!(" (before: {before})")).unwrap_or_default();
            format!("{actor} set the policy of {whose}: {policy}{before}")
        }
        EventContent::InstancePolicySet { policy, network_binding, geoip_binding, known_device_lifetime, .. } => {
            let parts = [
                network_binding.map(|network| format!(", network binding {}", network.as_str())),
                geoip_binding.map(|place| format!(", place binding {}", place.as_str())),
                known_device_lifetime.map(|seconds| format!(", known devices {}", spell(Duration::from_secs(seconds)))),
            ];
            format!("{actor} set the policy of the instance: {policy}{}", parts.into_iter().flatten().collect::<String>())
        }
        EventContent::TokenAdded { token, .. } => format!("{actor} made the token {token} for {user}"),
        EventContent::TokenRemoved { token, .. } => format!("{actor} removed the token {token} of {user}"),
        EventContent::TokenChanged { token, fields, .. } => format!("{actor} changed the token {token} of {user}: {fields}"),
        EventContent::TokenKeyShown { token, .. } => format!("{actor} was shown the key of the token {token} of {user}"),
        EventContent::EndsRefused { token, sessions, users } => format!(
            "The token {token} of {user} was kept from ending more sessions one by one: it had ended {} session{} of {} user{}",
            grouped(sessions),
            plural(sessions),
            grouped(users),
            plural(users)
        ),
        EventContent::ApplicationAdded { application, .. } => format!("{actor} added the application {application}"),
        EventContent::ApplicationChanged { application, fields, .. } => {
            let fields: Vec<String> = fields.iter().map(|name| name.replace('_', " ")).collect();
            let of = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
            format!("{actor} changed the application {application}{of}")
        }
        EventContent::ApplicationRemoved { application, .. } => format!("{actor} removed the application {application}"),
        EventContent::GuardChanged { guard, act } => {
            format!("{actor} {} the guard {guard}", if act.is_empty() { "changed" } else { act })
        }
        EventContent::ClientChanged { client, act } => {
            format!("{actor} {} the client {client}", if act.is_empty() { "changed" } else { act })
        }
        EventContent::ApplicationOpened { application, host: Some(host), .. } => {
            format!("{user} opened {application} at {host}")
        }
        EventContent::ApplicationOpened { application, .. } => format!("{user} opened {application}"),
        EventContent::AccessRefused { application, rule, reason } => {
            let rule = rule.map(|rule| format!(" by rule {rule}")).unwrap_or_default();
            format!("{user} was kept from {application}{rule}: {}", reason.replace('_', " "))
        }
        EventContent::IdentityTooLarge { application, groups, bytes } => format!(
            "{user} was kept from {application}: the names of {} groups fill {} bytes, more than identity headers may",
            grouped(groups),
            grouped(bytes)
        ),
        EventContent::AppSessionEnded { application, reason, count } => {
            app_session_ended(actor, &whose, application, *reason, *count)
        }
        EventContent::ClientSecretAdded { application } => format!("{actor} added a secret of {}", client_of(application)),
        EventContent::ClientSecretRemoved { application } => format!("{actor} removed a secret of {}", client_of(application)),
        EventContent::ConsentGiven { application, scope } => format!("{actor} allowed {application}: {scope}"),
        EventContent::ConsentWithdrawn { application, scope } => {
            format!("{actor} withdrew what {user} allowed {application}: {scope}")
        }
        EventContent::TokenReused { application, kind } => {
            let what = if kind == "code" { "A code" } else { "A refresh token" };
            format!("{what} of {user} for {application} was used a second time: what it gave has ended")
        }
        EventContent::NoticeGivenUp { application, tries: 0, error, count } => {
            format!("{application} was not told of {} end{}, since it was not reached: {error}", grouped(*count), plural(*count))
        }
        EventContent::NoticeGivenUp { application, tries, error, .. } => {
            format!(
                "{application} was not told that a session ended, in {} tr{}: {error}",
                grouped(*tries),
                if *tries == 1 { "y" } else { "ies" }
            )
        }
        EventContent::KeysRotated { kid, algorithm, signs_at } => {
            let from = if signs_at.is_empty() { String::new() } else { format!(", which signs from {signs_at} on") };
            format!("{actor} made the {algorithm} key {kid}{from}")
        }
        EventContent::Import { users, groups, tokens, sessions, applications, is_generated } => {
            let did = if *is_generated { "generated" } else { "imported" };
            let tokens = if *is_generated { String::new() } else { format!("{} token{}, ", grouped(tokens), plural(tokens)) };
            let mut users = format!("{} user{}, ", grouped(users), plural(users));
            if *groups > 0 {
                let _ = write!(users, "{} group{}, ", grouped(groups), plural(groups));
            }
            let apps = match applications {
                0 => String::new(),
                _ => format!(", {} application{}", grouped(applications), plural(applications)),
            };
            format!("{actor} {did} {users}{tokens}{} session{}{apps}", grouped(sessions), plural(sessions))
        }
        EventContent::Other { kind, .. } => {
            let about = if user.is_empty() || is_own { String::new() } else { format!(", {user}") };
            format!("{actor}{about}: {}", kind.replace('_', " "))
        }
    }
}

/// The client of an application, or one that has none.
fn client_of(application: &str) -> String {
    if application.is_empty() { "a client".to_owned() } else { format!("the client of {application}") }
}

fn app_session_ended(actor: &str, whose: &str, application: &str, reason: AppEndReason, count: u64) -> String {
    match reason {
        AppEndReason::Revoked => format!("{actor} ended {whose} access to {application} in one session"),
        AppEndReason::ApplicationRemoved => {
            format!("{actor} removed {application}: {} app session{} ended", grouped(count), plural(count))
        }
        AppEndReason::Reused => format!("{whose} access to {application} ended: a token was used in two places"),
        AppEndReason::ConsentWithdrawn => {
            format!(
                "{actor} ended {} app session{} of {application}: what it was allowed was withdrawn",
                grouped(count),
                plural(count)
            )
        }
        AppEndReason::AccessChanged => {
            format!("{actor} ended {} app session{} of {application} that may not go on", grouped(count), plural(count))
        }
    }
}

/// What changed, as the end of a sentence: `: email, is_active`.
fn names_of(changes: &Changes) -> String {
    let names: Vec<String> = changes.keys().map(|name| name.replace('_', " ")).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

/// What a change of flags makes of a user, as the end of a sentence: `; now an administrator`.
fn standing(changes: &Changes) -> String {
    let flags = [("is_superuser", "an administrator"), ("is_auditor", "an auditor")];
    let said = flags.map(|(flag, what)| match flag_of(changes, flag) {
        (None, Some(true)) => format!(", {what}"),
        (Some(false), Some(true)) => format!("; now {what}"),
        (Some(true), Some(false)) => format!("; no longer {what}"),
        _ => String::new(),
    });
    said.concat()
}

/// The same of a group.
fn standing_of_members(changes: &Changes) -> String {
    let flags = [("is_superuser", "administrators"), ("is_auditor", "auditors")];
    let said = flags.map(|(flag, what)| match flag_of(changes, flag) {
        (_, Some(true)) => format!("; its members are {what}"),
        (Some(true), Some(false)) => format!("; its members are no longer {what} by it"),
        _ => String::new(),
    });
    said.concat()
}

/// A flag before and after; `None`: it is not told.
fn flag_of(changes: &Changes, flag: &str) -> (Option<bool>, Option<bool>) {
    changes.get(flag).map_or((None, None), |change| (change.before.as_bool(), change.after.as_bool()))
}

/// How many members a group has, as a part of a sentence; of none, nothing.
fn with_members(members: u64) -> String {
    if members == 0 { String::new() } else { format!(" with {} member{}", grouped(members), plural(members)) }
}

/// `members` are how many joined, and how many left. With `user`, it is the one who did.
fn group_changed(actor: &str, user: &str, group: &str, changes: &Changes, members: [usize; 2]) -> String {
    match members {
        [1, 0] if changes.is_empty() && !user.is_empty() => return format!("{actor} put {user} into the group {group}"),
        [0, 1] if changes.is_empty() && !user.is_empty() => return format!("{actor} took {user} out of the group {group}"),
        _ => {}
    }
    let mut text = format!("{actor} changed the group {group}{}{}", names_of(changes), standing_of_members(changes));
    let [added, removed] = members;
    for (count, did) in [(added, "joined"), (removed, "left")] {
        if count > 0 {
            let _ = write!(text, "; {} member{} {did}", grouped(count), plural(count));
        }
    }
    text
}

fn limited(limit: GuessLimit, user: &str) -> String {
    match limit {
        GuessLimit::Account if user.is_empty() => "Too many wrong passwords for an unknown name: no more for a while".into(),
        GuessLimit::Account => {
            format!("Too many wrong passwords or codes for {user}: no more for a while, but from known devices")
        }
        GuessLimit::KnownDevice => {
            format!("Too many wrong passwords or codes for {user} from a known device: no more for a while")
        }
        GuessLimit::Address => "Too many wrong passwords or codes from one address: no more from there for a while".into(),
        GuessLimit::Instance => "Too many wrong passwords or codes in all: no more for a while, but from known devices".into(),
    }
}

fn after_colon(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(": {comment}") }
}

/// A filter in words: `browser: Firefox, country: DE`.
fn terms(filter: &FilterTerms) -> String {
    let terms: Vec<String> = filter.iter().map(|(name, value)| format!("{}: {value}", name.replace('_', " "))).collect();
    terms.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;

    #[test]
    fn every_kind_has_a_sentence() {
        for kind in EventKind::ALL {
            let words = text(&EventContent::read(kind.as_str(), "{}"), "cli", "alice");
            assert!(words.contains(' ') && !words.contains('_'), "{words}");
            // An app that is told of the ends of many people is all that one is about.
            let is_of_app = kind.as_str() == "notice_given_up";
            assert!(is_of_app || words.contains("alice") || words.contains("cli"), "{words}");
        }
    }

    #[test]
    fn an_ended_session_tells_why() {
        let ended =
            |reason, comment: &str| text(&EventContent::SessionEnded { reason, comment: comment.to_owned() }, "cli", "alice");
        assert_eq!(ended(EndReason::Revoked, ""), "cli ended alice’s session");
        assert_eq!(ended(EndReason::Revoked, "left on a train"), "cli ended alice’s session: left on a train");
        assert_eq!(ended(EndReason::LimitReached, ""), "A session of alice ended: another sign-in took its place");
        let moved = "A session of alice ended: it was used from elsewhere (AS2 instead of AS1)";
        assert_eq!(ended(EndReason::Moved, "AS2 instead of AS1"), moved);
    }

    #[test]
    fn an_end_of_many_tells_how_many_and_which() {
        let ended = |count: Option<u64>, reason, filter: &[(&str, &str)]| {
            let filter = filter.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let users = Some(7_200).filter(|_| count.is_some());
            let comment = "old".to_owned();
            text(&EventContent::SessionsEnded { filter, expected: 18_535, count, users, reason, comment }, "root", "")
        };
        let firefox = [("browser", "Firefox"), ("country", "DE")];
        assert_eq!(
            ended(Some(18_535), EndReason::Revoked, &firefox),
            "root ended 18,535 sessions of 7,200 users (browser: Firefox, country: DE): old"
        );
        assert_eq!(ended(None, EndReason::Revoked, &[]), "root began to end 18,535 sessions: old");
        let removed = "root ended 1 session of 7,200 users: the users were removed: old";
        assert_eq!(ended(Some(1), EndReason::UserRemoved, &[]), removed);
    }

    #[test]
    fn who_became_an_administrator_is_said() {
        let flag = |before: Option<bool>, after: bool| -> Changes {
            let change = crate::domain::event::Change { before: before.into(), after: after.into() };
            [("is_superuser".to_owned(), change)].into()
        };
        let added = text(&EventContent::UserAdded { changes: flag(None, true) }, "cli", "alice");
        assert_eq!(added, "cli added the user alice, an administrator");
        assert_eq!(text(&EventContent::UserAdded { changes: flag(None, false) }, "cli", "alice"), "cli added the user alice");
        let changed = |before, after| text(&EventContent::UserChanged { changes: flag(before, after) }, "cli", "alice");
        assert_eq!(changed(Some(false), true), "cli changed alice: is superuser; now an administrator");
        assert_eq!(changed(Some(true), false), "cli changed alice: is superuser; no longer an administrator");
    }

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1284, "1,284"), (1_000_000, "1,000,000"), (-12345, "-12,345")] {
            assert_eq!(grouped(number), text);
        }
    }
}
