//! Whether a demand is met: the one function that all doors ask.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::application::demand::{Allow, Demand, Level, Party};
use crate::domain::{Address, Methods, Timestamp};

/// A user, as far as access goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    uuid: Uuid,
    /// Sorted.
    groups: Vec<Uuid>,
}

impl Person {
    /// The user with this uuid, who is in these groups: the direct ones and all their ancestors, in any order.
    #[must_use]
    pub fn new(uuid: Uuid, mut groups: Vec<Uuid>) -> Self {
        groups.sort_unstable();
        Self { uuid, groups }
    }

    /// The user's uuid.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Whether this party is the user or a group of theirs.
    #[must_use]
    pub fn is(&self, party: Party) -> bool {
        match party {
            Party::User(uuid) => uuid == self.uuid,
            Party::Group(uuid) => self.groups.binary_search(&uuid).is_ok(),
        }
    }
}

/// What a session proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How its user proved who they are.
    pub methods: Methods,
    /// When they last did; the instant 0: never here (an imported session).
    pub proved_at: Timestamp,
}

/// Which door asks, and so which parts of a demand count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A browser with a session: the guard's check with a cookie, `/guard/go`, authorize, device approval. All parts.
    Session(Proof),
    /// A client that redeems a code or refreshes a token: `allow` and `factor`.
    Exchange(Methods),
    /// A program with an app password: `allow`, networks and countries, where app passwords are accepted.
    AppPassword,
    /// A question without a request, such as `check_access/`, the list of applications and My apps: `allow`.
    Question,
}

/// A question to a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Who asks; `None`: nobody is signed in.
    pub person: Option<&'a Person>,
    /// Through which door.
    pub door: Door,
    /// The client's address; `None`: not known, and in no network.
    pub address: Option<Address>,
    /// The ISO code of the address's country; `""`: not known, and in no country.
    pub country: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What a demand asks for and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Nobody may.
    Nobody,
    /// The address is in none of the networks.
    Network,
    /// The address is in none of the countries.
    Country,
    /// App passwords are not accepted.
    AppPasswords,
    /// Nobody is signed in.
    SignIn,
    /// The user is not named, and is in none of the groups.
    Named,
    /// The proof is too weak for this level.
    Factor(Level),
    /// The proof is older than this.
    Age(Duration),
}

impl Missing {
    /// The word that events and answers have.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Network => "network",
            Self::Country => "country",
            Self::AppPasswords => "app_passwords",
            Self::SignIn => "sign_in",
            Self::Named => "not_allowed",
            Self::Factor(_) => "factor",
            Self::Age(_) => "max_age",
        }
    }

    /// Whether the user can add it: by a sign-in or a better proof.
    #[must_use]
    pub fn can_be_proved(self) -> bool {
        matches!(self, Self::SignIn | Self::Factor(_) | Self::Age(_))
    }
}

impl fmt::Display for Missing {
    /// A sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody may open it"),
            Self::Network => f.write_str("the address is in none of the networks from which it opens"),
            Self::Country => f.write_str("the address is in none of the countries from which it opens"),
            Self::AppPasswords => f.write_str("app passwords are not accepted"),
            Self::SignIn => f.write_str("nobody is signed in"),
            Self::Named => f.write_str("the user is not allowed, and is in no group that is"),
            Self::Factor(level) => write!(f, "the session was not proved by {}", level.words()),
            Self::Age(age) => write!(f, "the last proof is older than {}", humantime::format_duration(*age)),
        }
    }
}

/// The answer to one demand or to several that add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is missing, the hardest to get first, each once. Empty: it opens.
    missing: Vec<Missing>,
    /// Whether it opened for anyone: no identity is sent then.
    is_anonymous: bool,
}

impl Decision {
    /// Whether everything is there.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether a demand was met because it lets anyone in; no identity may be sent then.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// What is missing, the hardest to get first.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether only proofs are missing: the user may sign in or prove more, and then it opens.
    #[must_use]
    pub fn can_be_proved(&self) -> bool {
        !self.is_met() && self.missing.iter().all(|missing| missing.can_be_proved())
    }

    /// The highest level that is missing.
    #[must_use]
    pub fn missing_level(&self) -> Option<Level> {
        let level = |missing: &Missing| if let Missing::Factor(level) = missing { Some(*level) } else { None };
        self.missing.iter().filter_map(level).max()
    }

    /// The shortest age that the proof is older than.
    #[must_use]
    pub fn missing_age(&self) -> Option<Duration> {
        let age = |missing: &Missing| if let Missing::Age(age) = missing { Some(*age) } else { None };
        self.missing.iter().filter_map(age).min()
    }

    /// The answer to both demands together. It is anonymous if one of them is: then no identity is sent.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.is_anonymous |= other.is_anonymous;
        self.missing.extend(other.missing);
        self.missing.sort_unstable();
        self.missing.dedup();
        self
    }
}

/// Decides a demand. Every door asks this function, so that they cannot differ.
#[must_use]
pub fn decide(demand: &Demand, ask: &Ask<'_>) -> Decision {
    let mut missing = Vec::new();
    if matches!(ask.door, Door::Session(_) | Door::AppPassword) {
        let is_within = || ask.address.is_some_and(|address| demand.networks.iter().any(|network| network.contains(address)));
        if !demand.networks.is_empty() && !is_within() {
            missing.push(Missing::Network);
        }
        let is_in = |country: &String| !ask.country.is_empty() && country == ask.country;
        if !demand.countries.is_empty() && !demand.countries.iter().any(is_in) {
            missing.push(Missing::Country);
        }
    }
    if demand.allow == Allow::Anyone {
        return Decision { is_anonymous: missing.is_empty(), missing };
    }
    if ask.door == Door::AppPassword && !demand.app_passwords {
        missing.push(Missing::AppPasswords);
    }
    match (&demand.allow, ask.person) {
        (Allow::Nobody, _) => missing.push(Missing::Nobody),
        (_, None) => missing.push(Missing::SignIn),
        (Allow::Those(parties), Some(person)) if !parties.iter().any(|party| person.is(*party)) => missing.push(Missing::Named),
        _ => {}
    }
    if ask.person.is_some() {
        proof(demand, ask, &mut missing);
    }
    missing.sort_unstable();
    Decision { missing, is_anonymous: false }
}

/// What the proof of a session lacks.
fn proof(demand: &Demand, ask: &Ask<'_>, missing: &mut Vec<Missing>) {
    let methods = match ask.door {
        Door::Session(proof) => proof.methods,
        Door::Exchange(methods) => methods,
        Door::AppPassword | Door::Question => return,
    };
    if Level::of(methods) < demand.factor {
        missing.push(Missing::Factor(demand.factor));
    }
    if let (Door::Session(proof), Some(age)) = (ask.door, demand.max_age) {
        // A proof from the future was noted under a wrong clock, and counts as none.
        let is_fresh = proof.proved_at.0 > 0 && !proof.proved_at.is_ahead(ask.now) && ask.now.since(proof.proved_at) <= age;
        if !is_fresh {
            missing.push(Missing::Age(age));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Network;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
    const ALICE: Uuid = Uuid::from_u128(1);
    const STAFF: Uuid = Uuid::from_u128(90);

    fn ago(seconds: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(seconds))
    }

    fn session(methods: &str, seconds: u64) -> Door {
        Door::Session(Proof { methods: Methods::parse(methods), proved_at: ago(seconds) })
    }

    fn missing(demand: &Demand, door: Door, from: Option<(&str, &str)>, groups: &[Uuid]) -> Vec<Missing> {
        let person = Person::new(ALICE, groups.to_vec());
        let (address, country) = from.unwrap_or(("192.0.2.1", ""));
        let ask = Ask { person: Some(&person), door, address: Address::parse(address), country, now: NOW };
        let decision = decide(demand, &ask);
        assert_eq!(decision.is_met(), decision.missing().is_empty());
        decision.missing().to_vec()
    }

    /// A demand that asks for everything.
    fn strict() -> Demand {
        Demand {
            allow: Allow::those([Party::Group(STAFF)]),
            factor: Level::Mfa,
            max_age: Some(Duration::from_secs(60)),
            networks: vec![Network::parse("10.0.0.0/8").unwrap()],
            countries: vec!["DE".into()],
            app_passwords: false,
        }
    }

    #[test]
    fn each_door_asks_for_its_parts() {
        let (age, factor) = (Missing::Age(Duration::from_secs(60)), Missing::Factor(Level::Mfa));
        let weak = Methods::password();
        assert_eq!(
            missing(&strict(), session("pwd", 61), None, &[]),
            [Missing::Network, Missing::Country, Missing::Named, factor, age]
        );
        assert_eq!(missing(&strict(), Door::Exchange(weak), None, &[]), [Missing::Named, factor]);
        assert_eq!(
            missing(&strict(), Door::AppPassword, None, &[]),
            [Missing::Network, Missing::Country, Missing::AppPasswords, Missing::Named]
        );
        assert_eq!(missing(&strict(), Door::Question, None, &[]), [Missing::Named]);
        let near = Some(("10.1.1.1", "DE"));
        assert_eq!(missing(&strict(), session("pwd otp mfa", 60), near, &[Uuid::from_u128(95), STAFF]), []);
        let programs = Demand { app_passwords: true, ..strict() };
        assert_eq!(missing(&programs, Door::AppPassword, near, &[STAFF]), []);
    }

    #[test]
    fn a_user_is_allowed_by_uuid_or_by_a_group() {
        let demand = |allow| Demand { allow, ..Demand::default() };
        let ask = |allow, groups: &[Uuid]| missing(&demand(allow), session("pwd", 0), None, groups);
        assert_eq!(ask(Allow::Nobody, &[STAFF]), [Missing::Nobody]);
        assert_eq!(ask(Allow::SignedIn, &[]), []);
        assert_eq!(ask(Allow::those([Party::User(ALICE)]), &[]), []);
        assert_eq!(ask(Allow::those([Party::User(STAFF)]), &[STAFF]), [Missing::Named], "a group's uuid is no user's");
        assert_eq!(ask(Allow::those([Party::Group(ALICE)]), &[STAFF]), [Missing::Named], "a user's uuid is no group's");
    }

    #[test]
    fn a_proof_that_was_never_made_here_is_too_old() {
        let demand = Demand { allow: Allow::SignedIn, max_age: Some(Duration::from_secs(3600)), ..Demand::default() };
        let at = |proved_at| missing(&demand, Door::Session(Proof { methods: Methods::default(), proved_at }), None, &[]);
        let old = [Missing::Age(Duration::from_secs(3600))];
        assert_eq!(at(Timestamp(0)), old);
        assert_eq!(at(ago(3600)), []);
        assert_eq!(at(ago(3601)), old);
        assert_eq!(at(NOW.plus(Duration::from_secs(24 * 3600))), old, "a proof from the future");
    }

    #[test]
    fn unknown_addresses_and_countries_are_in_none() {
        let person = Person::new(ALICE, Vec::new());
        let demand = Demand { allow: Allow::SignedIn, ..strict() };
        let ask = Ask { person: Some(&person), door: session("pwd otp mfa", 0), address: None, country: "", now: NOW };
        assert_eq!(decide(&demand, &ask).missing(), [Missing::Network, Missing::Country]);
    }

    #[test]
    fn anyone_needs_no_sign_in_but_the_network() {
        let demand = Demand { allow: Allow::Anyone, ..strict() };
        let ask = |address: &str, country| Ask {
            person: None,
            door: session("", 0),
            address: Address::parse(address),
            country,
            now: NOW,
        };
        let open = decide(&demand, &ask("10.1.1.1", "DE"));
        assert!(open.is_met() && open.is_anonymous());
        let closed = decide(&demand, &ask("192.0.2.1", "DE"));
        assert_eq!((closed.missing(), closed.is_anonymous()), (&[Missing::Network][..], false));
        let nobody = decide(&Demand { allow: Allow::SignedIn, ..Demand::default() }, &ask("10.1.1.1", ""));
        assert_eq!(nobody.missing(), [Missing::SignIn]);
        assert!(nobody.can_be_proved() && !closed.can_be_proved());
    }

    #[test]
    fn demands_add_up() {
        let person = Person::new(ALICE, Vec::new());
        let ask = Ask { person: Some(&person), door: session("pwd", 100), address: None, country: "", now: NOW };
        let anyone = decide(&Demand { allow: Allow::Anyone, ..Demand::default() }, &ask);
        let of = |factor, age| {
            let demand = Demand { allow: Allow::SignedIn, factor, max_age: Some(Duration::from_secs(age)), ..Demand::default() };
            decide(&demand, &ask)
        };
        let both = of(Level::Mfa, 90).and(of(Level::Hardware, 50)).and(of(Level::Mfa, 90)).and(anyone);
        assert_eq!(both.missing().len(), 4);
        assert_eq!((both.missing_level(), both.missing_age()), (Some(Level::Hardware), Some(Duration::from_secs(50))));
        assert!(both.is_anonymous() && both.can_be_proved() && !both.is_met());
    }
}
