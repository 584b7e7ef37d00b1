//! Made-up history: sessions that ended in the last 90 days, and events of the last year, in the order of time.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use uuid::Uuid;

use crate::cli::load::{DAY, GenerateError, Maker, people, rng};
use crate::domain::event::{Changes, EventContent, FailedStage};
use crate::domain::{EndReason, SessionId, Timestamp, UserKey};
use crate::store::Db;
use crate::store::events::rows::NewEvent;
use crate::store::sessions::history::{End, PastSession};

/// Over how many days the ends and the events are spread.
const DAYS_OF_ENDS: u32 = 90;
const DAYS_OF_EVENTS: u32 = 365;

/// Who a row is about.
struct Person {
    uuid: Uuid,
    username: String,
}

impl Maker {
    /// Adds ended sessions of these numbers, of `all`.
    pub(super) async fn add_ended(&mut self, db: &Db<'_>, numbers: Range<u32>, all: u32) -> Result<(), GenerateError> {
        let mut sessions = Vec::with_capacity(numbers.len());
        for nth in numbers {
            let mut rng = rng(self.seed, 5, nth);
            let at = self.instant(nth, all, DAYS_OF_ENDS);
            let mut session = self.session(db, &mut rng, crate::domain::HashedSecret([0; 32])).await?;
            let person = self.person(&mut rng);
            let used = at.minus(Duration::from_secs(rng.u64(..7 * 86_400)));
            (session.created_at, session.last_used_at) = (used.minus(Duration::from_secs(rng.u64(..86_400))), used);
            session.lifetime.absolute_expires_at = at.plus(DAY);
            let (reason, by) = match rng.u8(..100) {
                0..=54 => (EndReason::Expired, None),
                55..=96 => (EndReason::SignedOut, Some(&person)),
                97 | 98 => (EndReason::Replaced, Some(&person)),
                _ => (EndReason::Revoked, None),
            };
            let by_name = match (by, reason) {
                (Some(person), _) => person.username.clone(),
                (None, EndReason::Revoked) => "cli".to_owned(),
                (None, _) => "system".to_owned(),
            };
            let by = by.map(|person| UserKey::Uuid(person.uuid));
            let end = End { at, by, by_name, reason, comment: String::new() };
            sessions.push(PastSession { session, user_uuid: person.uuid, username: person.username, end });
        }
        Ok(db.insert_past_sessions(&sessions).await?)
    }

    /// Adds events of these numbers, of `all`.
    pub(super) async fn add_events(&mut self, db: &Db<'_>, numbers: Range<u32>, all: u32) -> Result<(), GenerateError> {
        let events: Vec<NewEvent> = numbers.map(|nth| self.event(&mut rng(self.seed, 6, nth), nth, all)).collect();
        Ok(db.insert_events(&events).await?)
    }

    fn event(&self, rng: &mut Rng, nth: u32, all: u32) -> NewEvent {
        let at = self.instant(nth, all, DAYS_OF_EVENTS);
        let person = self.person(rng);
        let methods = || "pwd".to_owned();
        let (content, is_own, has_session) = match rng.u16(..10_000) {
            0..=3_999 => (EventContent::SignIn { methods: methods() }, true, true),
            4_000..=5_999 => (EventContent::SessionExpired {}, false, true),
            6_000..=7_499 => (EventContent::SignOut {}, true, true),
            7_500..=9_299 => (EventContent::SignInFailed { stage: FailedStage::Password, why: String::new() }, false, false),
            9_300..=9_599 => (EventContent::FactorFailed { why: String::new() }, false, false),
            9_600..=9_899 => (EventContent::UserChanged { changes: Changes::new() }, false, false),
            9_900..=9_998 => (EventContent::SessionEnded { reason: EndReason::Revoked, comment: String::new() }, true, true),
            _ => (EventContent::UserRemoved { changes: Changes::new() }, false, false),
        };
        let is_failure = matches!(content, EventContent::SignInFailed { .. } | EventContent::FactorFailed { .. });
        let actor_name = match (is_own, is_failure) {
            (true, _) => person.username.clone(),
            (false, true) => "anonymous".to_owned(),
            (false, false) => "system".to_owned(),
        };
        let ip = self.places.address(rng, rng.clone().u32(..));
        let [random @ .., _, _, _, _, _, _] = rng.u128(..).to_le_bytes();
        NewEvent {
            at,
            content,
            actor: is_own.then_some(UserKey::Uuid(person.uuid)),
            actor_name,
            user: Some(UserKey::Uuid(person.uuid)),
            username: person.username,
            ip: if is_own || is_failure { ip.to_string() } else { String::new() },
            request_id: String::new(),
            session: has_session.then(|| SessionId::from_parts(at, random)),
            parent: None,
            application: String::new(),
        }
    }

    /// The instant of the n-th of `all`: they are spread evenly up to the last midnight.
    fn instant(&self, nth: u32, all: u32, days: u32) -> Timestamp {
        let span = u64::try_from((DAY * days).as_micros()).unwrap_or(0);
        let left = u128::from(span) * u128::from(all.saturating_sub(nth)) / u128::from(all.max(1));
        self.midnight.minus(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
    }

    /// Somebody; a few are met much more often than most.
    fn person(&self, rng: &mut Rng) -> Person {
        let count = u32::try_from(self.users.len()).unwrap_or(u32::MAX).max(1);
        let nth = if rng.u8(..100) < 5 { rng.u32(..count.min(20)) } else { rng.u32(..count) };
        let user = people::user(&mut super::rng(self.seed, 1, nth), nth, self.seed);
        Person { uuid: user.uuid.unwrap_or_default(), username: user.username }
    }
}
