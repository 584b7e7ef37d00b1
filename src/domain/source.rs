//! A watched authentik: the state of what is known of its sessions.

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use uuid::Uuid;

use crate::domain::factor::Method;
use crate::domain::{Methods, UserId};

/// The name of the one source of this version.
pub const NAME: &str = "authentik";

/// Which sessions a list is of, by where they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Rollcall's own.
    Rollcall,
    /// Those of the watched authentik, as they were last copied.
    Authentik,
    /// Both.
    All,
}

impl Origin {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Rollcall, Self::Authentik, Self::All];

    /// Its word in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollcall => "rollcall",
            Self::Authentik => NAME,
            Self::All => "all",
        }
    }

    /// The origin of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }

    /// The word for where a session lives: of the watched source of this key, or, without one, of Rollcall.
    #[must_use]
    pub fn of(source: Option<SourceId>) -> Self {
        if source.is_some() { Self::Authentik } else { Self::Rollcall }
    }
}

/// The key of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub i64);

impl SourceId {
    /// The UUID by which the history names a user of this source: made from the key of the source, the number of the
    /// instance that it is, and the primary key of the user there (RFC 9562, version 5), so it is no UUID of a user of
    /// Rollcall. Another instance has other people behind the same primary keys.
    #[must_use]
    pub fn user_uuid(self, instance: i64, pk: i64) -> Uuid {
        let instance = if instance == 0 { String::new() } else { format!(" instance {instance}") };
        let digest = Sha1::digest(format!("rollcall source {}{instance} user {pk}", self.0).as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(place, byte)| *place = byte);
        uuid::Builder::from_sha1_bytes(bytes).into_uuid()
    }

    /// The number by which the bound on ends of a token ([`crate::domain::burst`]) counts a user of this source: below
    /// zero, so it is no key of a user of Rollcall.
    #[must_use]
    pub fn burst_key(self, pk: i64) -> UserId {
        UserId((-1_i64).wrapping_sub(pk.saturating_abs()))
    }
}

/// The state of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// The first walk through all sessions has not ended yet.
    Copying,
    /// It agrees with the source as of the last poll.
    Fresh,
    /// The source cannot be reached, or fails.
    Away,
    /// The source refuses the token, the token is not to be used, or its owner lacks a right.
    Refused,
    /// The source answers with something else than its API.
    Unreadable,
    /// Sessions seem to be gone, and it is not certain that they are. Nothing is counted as ended.
    InDoubt,
}

impl CopyState {
    const ALL: [Self; 6] = [Self::Copying, Self::Fresh, Self::Away, Self::Refused, Self::Unreadable, Self::InDoubt];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Fresh => "fresh",
            Self::Away => "away",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::InDoubt => "in_doubt",
        }
    }

    /// The state of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The state of an end of a session of a source that somebody asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedState {
    /// The request is under way, or the process that sent it is gone.
    Sent,
    /// There was no answer that says what became of it. It is looked into until the source says.
    Unknown,
    /// The session ended.
    Ended,
    /// The session was still there afterwards.
    StillThere,
    /// It is one of many, and its turn has not come.
    Waiting,
    /// It is one of many, and the session had ended before its turn came.
    Gone,
    /// Another authentik was taken in the place of the one that knows what became of it.
    Lost,
}

impl AskedState {
    const ALL: [Self; 7] = [Self::Sent, Self::Unknown, Self::Ended, Self::StillThere, Self::Waiting, Self::Gone, Self::Lost];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
            Self::StillThere => "still_there",
            Self::Waiting => "waiting",
            Self::Gone => "gone",
            Self::Lost => "lost",
        }
    }

    /// The state of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more is to be found out about it.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Ended | Self::StillThere | Self::Gone | Self::Lost)
    }
}

/// The state of an end of many sessions of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It goes on.
    Running,
    /// Somebody told it to stop, and it has not stopped so far.
    Stopping,
    /// It is through.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// An error stopped it.
    Failed,
}

impl JobState {
    const ALL: [Self; 5] = [Self::Running, Self::Stopping, Self::Done, Self::Stopped, Self::Failed];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// The state of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What an end at a source does not reach, as a sentence.
pub const NOT_REACHED: &str = "Not reached: tokens that apps keep (up to the longest access token validity of authentik's providers), refresh tokens, and \
    apps that do not ask authentik.";

/// What is to be said of ends at this version of authentik, as sentences; `""`: they hold. CVE-2025-29928: before 2024.12.4
/// and 2025.2.3, authentik with `SESSION_STORAGE=db` went on to accept the cookie of a session that was ended.
#[must_use]
pub fn ends_doubted(version: &str) -> &'static str {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(patch))) = (parts.next(), parts.next(), parts.next()) else {
        return "The version of authentik is not known, so Rollcall does not promise that an ended session is refused there.";
    };
    if (year, month, patch) < (2024, 12, 4) || (year, month) == (2025, 2) && patch < 3 {
        return "This version of authentik has the flaw CVE-2025-29928: with SESSION_STORAGE=db it goes on to accept the cookie of \
            a session that was ended. Rollcall cannot see which storage it has, so it does not promise that the session is \
            refused. Update authentik.";
    }
    ""
}

/// What is said when another authentik seems to answer, and what an operator can do about it.
pub const ANOTHER_ONE: &str = "the token or the instance is another one, and none of the sessions that were copied is visible to it. \
    If another authentik is to be watched from now on, `rollcall watch accept` begins the copy anew: the copied sessions are \
    forgotten, and none of them counts as ended";

/// The words of authentik for how somebody signed in that say something in Rollcall's.
pub const METHOD_WORDS: [&str; 2] = ["password", "auth_mfa"];

/// What a word of authentik for how somebody signed in says in Rollcall's; nothing for those that do not say it, such as
/// that of a passkey, which may be a key of hardware or of software.
#[must_use]
pub fn methods_of(word: &str) -> Methods {
    match word {
        "password" => Methods::password(),
        "auth_mfa" => Methods::password().with(Method::SeveralFactors),
        _ => Methods::default(),
    }
}

/// How many sessions may be gone at once, at most, before their end is doubted: this many.
const FEW: usize = 20;

/// Whether this number of sessions of a copy, gone at once, is doubted: at least 20, and more than a fifth.
#[must_use]
pub fn are_many(gone: usize, of: usize) -> bool {
    gone >= FEW && gone.saturating_mul(5) > of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_all_is_many_from_twenty_on() {
        for (gone, of, many) in [(19, 19, false), (20, 20, true), (20, 99, true), (20, 100, false), (21, 100, true), (0, 0, false)]
        {
            assert_eq!(are_many(gone, of), many, "{gone} of {of}");
        }
    }

    #[test]
    fn versions_that_accept_ended_sessions_are_known() {
        for (version, is_sure) in [
            ("2024.10.5", false),
            ("2024.12.3", false),
            ("2024.12.4", true),
            ("2025.2.0-rc1", false),
            ("2025.2.2", false),
            ("2025.2.3", true),
            ("2025.4.0", true),
            ("2026.11.0-rc2", true),
            ("", false),
            ("next", false),
        ] {
            assert_eq!(ends_doubted(version).is_empty(), is_sure, "{version}");
        }
        assert!(ends_doubted("2025.2.1").contains("CVE-2025-29928") && ends_doubted("").contains("not known"));
    }

    #[test]
    fn an_origin_is_read_as_it_is_written() {
        for origin in Origin::ALL {
            assert_eq!(Origin::parse(origin.as_str()), Some(origin));
            assert_eq!(serde_json::to_string(&origin).unwrap(), format!("{:?}", origin.as_str()));
        }
        assert_eq!((Origin::of(None), Origin::of(Some(SourceId(1)))), (Origin::Rollcall, Origin::Authentik));
    }

    #[test]
    fn users_of_a_source_have_uuids_of_their_own() {
        let uuid = SourceId(1).user_uuid(0, 7);
        assert_eq!((uuid, uuid.get_version_num()), (SourceId(1).user_uuid(0, 7), 5));
        assert_ne!(uuid, SourceId(2).user_uuid(0, 7));
        assert_ne!(uuid, SourceId(1).user_uuid(0, 8));
        assert_ne!(uuid, SourceId(1).user_uuid(1, 7), "another instance has other people");
        assert_eq!(uuid.to_string(), "4c49f7ef-6637-5124-b65e-439e7058fb86", "histories that were written before have it");
        for state in CopyState::ALL {
            assert_eq!(CopyState::parse(state.as_str()), Some(state));
        }
        for state in AskedState::ALL {
            assert_eq!(AskedState::parse(state.as_str()), Some(state));
        }
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
    }
}
