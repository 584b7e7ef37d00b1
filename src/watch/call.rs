//! Every request that Rollcall may send to a watched authentik. [`Call::request`] builds all of them, from the pairs
//! of [`PAIRS`]; nothing else names a method or a path.

use std::fmt::Write as _;

use axum::http::Method;

use crate::domain::SessionId;

/// A method and a path below `/api/v3/`. `{uuid}` takes the UUID of a session.
pub type Pair = (Method, &'static str);

const SESSIONS: Pair = (Method::GET, "core/authenticated_sessions/");
const SESSION: Pair = (Method::GET, "core/authenticated_sessions/{uuid}/");
const USERS: Pair = (Method::GET, "core/users/");
const ME: Pair = (Method::GET, "core/users/me/");
const VERSION: Pair = (Method::GET, "admin/version/");
const EVENTS: Pair = (Method::GET, "events/events/");
const END: Pair = (Method::DELETE, "core/authenticated_sessions/{uuid}/");
const END_OF_USER: Pair = (Method::DELETE, "core/authenticated_sessions/bulk_delete/");

/// All pairs. What is not a GET ends sessions; nothing else at the source is changed.
pub const PAIRS: [Pair; 8] = [SESSIONS, SESSION, USERS, ME, VERSION, EVENTS, END, END_OF_USER];

/// The largest page that is asked for: the maximum of authentik 2025.12 and later.
pub const PAGE_SIZE: u32 = 100;

/// The names of filters and orders, which changed with authentik 2025.4. A server ignores those that it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// `session__last_used`.
    #[default]
    Since2025_4,
    /// `last_used`.
    Before2025_4,
}

impl Names {
    /// Those of a version such as `2026.8.1`; for a text that is no version, those of new ones.
    #[must_use]
    pub fn of_version(version: &str) -> Self {
        let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(year)), Some(Ok(month))) if (year, month) < (2025, 4) => Self::Before2025_4,
            _ => Self::Since2025_4,
        }
    }

    /// The other ones.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Since2025_4 => Self::Before2025_4,
            Self::Before2025_4 => Self::Since2025_4,
        }
    }
}

/// The order of a list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By UUID, ascending.
    Uuid,
    /// The last used first.
    LastUsed(Names),
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A page of sessions; the first page is 1.
    Sessions {
        /// The order.
        order: Order,
        /// The page.
        page: u32,
        /// How many sessions a page has, at most [`PAGE_SIZE`].
        size: u32,
    },
    /// One session.
    Session(SessionId),
    /// A page of users, the last changed first where the version can; the first page is 1.
    Users {
        /// The page.
        page: u32,
    },
    /// The owner of the token.
    Me,
    /// The version.
    Version,
    /// The latest sign-ins.
    SignIns,
    /// The latest sign-outs.
    SignOuts,
    /// Ends one session.
    End(SessionId),
    /// Ends all sessions of a user. A call without a user may end everybody's in some version, so it cannot be made.
    EndOfUser(i64),
}

impl Call {
    /// Its pair.
    #[must_use]
    pub fn pair(&self) -> Pair {
        match self {
            Self::Sessions { .. } => SESSIONS,
            Self::Session(_) => SESSION,
            Self::Users { .. } => USERS,
            Self::Me => ME,
            Self::Version => VERSION,
            Self::SignIns | Self::SignOuts => EVENTS,
            Self::End(_) => END,
            Self::EndOfUser(_) => END_OF_USER,
        }
    }

    /// The method, and the path with its query. Only numbers, fixed words and UUIDs are put into either.
    #[must_use]
    pub fn request(&self) -> (Method, String) {
        let (method, path) = self.pair();
        let mut target = format!("/api/v3/{path}");
        match *self {
            Self::Session(uuid) | Self::End(uuid) => target = target.replace("{uuid}", &uuid.to_string()),
            Self::Sessions { order, page, size } => {
                let order = match order {
                    Order::Uuid => "uuid",
                    Order::LastUsed(Names::Since2025_4) => "-session__last_used",
                    Order::LastUsed(Names::Before2025_4) => "-last_used",
                };
                // A String takes everything.
                let _ = write!(target, "?ordering={order}&page={page}&page_size={}", size.min(PAGE_SIZE));
            }
            Self::Users { page } => {
                let rest = "include_groups=false&include_roles=false&ordering=-last_updated";
                let _ = write!(target, "?{rest}&page={page}&page_size={PAGE_SIZE}");
            }
            Self::EndOfUser(user) => {
                let _ = write!(target, "?user_pks={user}");
            }
            Self::SignIns => target.push_str("?actions=login&ordering=-created&page=1&page_size=100"),
            Self::SignOuts => target.push_str("?actions=logout&ordering=-created&page=1&page_size=100"),
            Self::Me | Self::Version => {}
        }
        (method, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_built_from_the_pairs() {
        let uuid = SessionId::parse("50499C33BD554CED8916E466275B4B73").unwrap();
        for (call, target) in [
            (
                Call::Sessions { order: Order::Uuid, page: 7, size: 500 },
                "/api/v3/core/authenticated_sessions/?ordering=uuid&page=7&page_size=100",
            ),
            (
                Call::Sessions { order: Order::LastUsed(Names::Since2025_4), page: 1, size: 20 },
                "/api/v3/core/authenticated_sessions/?ordering=-session__last_used&page=1&page_size=20",
            ),
            (
                Call::Sessions { order: Order::LastUsed(Names::Before2025_4), page: 1, size: 100 },
                "/api/v3/core/authenticated_sessions/?ordering=-last_used&page=1&page_size=100",
            ),
            (Call::Session(uuid), "/api/v3/core/authenticated_sessions/50499c33-bd55-4ced-8916-e466275b4b73/"),
            (
                Call::Users { page: 2 },
                "/api/v3/core/users/?include_groups=false&include_roles=false&ordering=-last_updated&page=2&page_size=100",
            ),
            (Call::Me, "/api/v3/core/users/me/"),
            (Call::Version, "/api/v3/admin/version/"),
            (Call::SignIns, "/api/v3/events/events/?actions=login&ordering=-created&page=1&page_size=100"),
            (Call::SignOuts, "/api/v3/events/events/?actions=logout&ordering=-created&page=1&page_size=100"),
        ] {
            assert_eq!(call.request(), (Method::GET, target.to_owned()));
            assert!(PAIRS.contains(&call.pair()));
        }
        let end = Call::End(uuid).request();
        assert_eq!(end, (Method::DELETE, "/api/v3/core/authenticated_sessions/50499c33-bd55-4ced-8916-e466275b4b73/".to_owned()));
        let all = Call::EndOfUser(7).request();
        assert_eq!(all, (Method::DELETE, "/api/v3/core/authenticated_sessions/bulk_delete/?user_pks=7".to_owned()));
    }

    #[test]
    fn names_follow_the_version() {
        for (version, names) in [
            ("2024.12.5", Names::Before2025_4),
            ("2025.2.3", Names::Before2025_4),
            ("2025.4.0", Names::Since2025_4),
            ("2026.11.0-rc2", Names::Since2025_4),
            ("", Names::Since2025_4),
            ("next", Names::Since2025_4),
        ] {
            assert_eq!(Names::of_version(version), names, "{version}");
        }
    }
}
