//! What a token may do of what its owner may. Scopes only take away.

use std::fmt;

/// A part of the API that a token may be kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read sessions and ended sessions.
    SessionsRead,
    /// End sessions.
    SessionsEnd,
    /// Read users, groups and second factors.
    UsersRead,
    /// Add, change and remove users and groups; not their passwords.
    UsersWrite,
    /// Read tokens, without keys.
    TokensRead,
    /// Read events.
    EventsRead,
    /// Read everything else.
    SystemRead,
}

impl Scope {
    /// All of them, in the order they are written.
    pub const ALL: [Self; 7] = [
        Self::SessionsRead,
        Self::SessionsEnd,
        Self::UsersRead,
        Self::UsersWrite,
        Self::TokensRead,
        Self::EventsRead,
        Self::SystemRead,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionsRead => "sessions:read",
            Self::SessionsEnd => "sessions:end",
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::TokensRead => "tokens:read",
            Self::EventsRead => "events:read",
            Self::SystemRead => "system:read",
        }
    }

    /// What it permits, in words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::SessionsRead => "read sessions",
            Self::SessionsEnd => "end sessions",
            Self::UsersRead => "read users and groups",
            Self::UsersWrite => "change users and groups",
            Self::TokensRead => "read tokens",
            Self::EventsRead => "read events",
            Self::SystemRead => "read everything else",
        }
    }

    /// The scope of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// What a request needs of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every token may do it.
    Nothing,
    /// This scope, or none at all.
    One(Scope),
    /// All that the owner may: a token without scopes.
    All,
}

/// The scopes of a token. None: it may do all that its owner may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    scopes: Vec<Scope>,
    /// Words that this version does not know: a newer node wrote them. They permit nothing here.
    has_unknown: bool,
}

impl Scopes {
    /// These, each once.
    #[must_use]
    pub fn new(mut scopes: Vec<Scope>) -> Self {
        scopes.sort_unstable();
        scopes.dedup();
        Self { scopes, has_unknown: false }
    }

    /// Reads what the `Display` form holds: words separated by blanks.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let scopes: Vec<Scope> = words.iter().filter_map(|word| Scope::parse(word)).collect();
        let has_unknown = scopes.len() < words.len();
        Self { has_unknown, ..Self::new(scopes) }
    }

    /// Whether it may do all that its owner may.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.scopes.is_empty() && !self.has_unknown
    }

    /// Whether it may do what needs this.
    #[must_use]
    pub fn permits(&self, need: Need) -> bool {
        self.is_whole()
            || match need {
                Need::Nothing => true,
                Need::One(scope) => self.scopes.contains(&scope),
                Need::All => false,
            }
    }

    /// What it permits, in words for people.
    #[must_use]
    pub fn about(&self) -> String {
        if self.is_whole() {
            return "all that its owner may".to_owned();
        }
        let unknown = self.has_unknown.then_some("what a newer version permits");
        self.scopes.iter().map(|scope| scope.about()).chain(unknown).collect::<Vec<_>>().join(", ")
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.as_str()).collect()
    }
}

impl fmt::Display for Scopes {
    /// The words, separated by blanks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_take_away() {
        let whole = Scopes::default();
        assert!(whole.is_whole() && whole.permits(Need::All) && whole.permits(Need::One(Scope::UsersWrite)));
        let reads = Scopes::new(vec![Scope::UsersRead, Scope::SessionsRead, Scope::UsersRead]);
        assert_eq!(reads.to_string(), "sessions:read users:read");
        assert_eq!(Scopes::from_stored(&reads.to_string()), reads);
        assert!(
            reads.permits(Need::One(Scope::UsersRead))
                && !reads.permits(Need::One(Scope::SessionsEnd))
                && !reads.permits(Need::All)
        );
        let newer = Scopes::from_stored("rockets:launch");
        assert!(!newer.is_whole() && !newer.permits(Need::One(Scope::UsersRead)), "an unknown word is not all");
        assert_eq!(
            (whole.about(), reads.about()),
            ("all that its owner may".into(), "read sessions, read users and groups".into())
        );
        assert_eq!(newer.about(), "what a newer version permits");
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
    }
}
