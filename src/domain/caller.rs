//! Where a request comes from and in whose name it acts, as events and ended sessions record it.

use crate::domain::{Address, UserId};

/// The client of a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub ip: Address,
    /// Its user agent, cut to what is stored.
    pub user_agent: String,
}

/// Who does something, and from where: what events and ended sessions remember.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The user's key, if it is one.
    pub id: Option<UserId>,
    /// A username, `system`, `cli`, or `anonymous`.
    pub name: String,
    /// The address the request came from.
    pub ip: Option<Address>,
    /// The request's id.
    pub request_id: String,
}

impl Actor {
    /// Rollcall itself, by the clock.
    #[must_use]
    pub fn system() -> Self {
        Self { name: "system".into(), ..Self::default() }
    }

    /// Someone at the command line.
    #[must_use]
    pub fn cli() -> Self {
        Self { name: "cli".into(), ..Self::default() }
    }

    /// The same request, once it is known who makes it.
    #[must_use]
    pub fn as_user(&self, id: UserId, name: &str) -> Self {
        Self { id: Some(id), name: name.to_owned(), ..self.clone() }
    }
}
