//! Binding: which moves a session may make, and what happens when it makes another. The words are
//! authentik's.

use crate::domain::Address;

/// How much of the network a session stays with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkBinding {
    /// It may move freely.
    #[default]
    None,
    /// The autonomous system.
    Asn,
    /// And the network in it, as the ASN file knows networks.
    AsnNetwork,
    /// And the address.
    AsnNetworkIp,
}

impl NetworkBinding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Asn, Self::AsnNetwork, Self::AsnNetworkIp];

    /// The word of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "no_binding",
            Self::Asn => "bind_asn",
            Self::AsnNetwork => "bind_asn_network",
            Self::AsnNetworkIp => "bind_asn_network_ip",
        }
    }

    /// The binding of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.as_str() == word)
    }
}

/// How much of the place a session stays with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum GeoipBinding {
    /// It may move freely.
    #[default]
    None,
    /// The continent.
    Continent,
    /// And the country.
    Country,
    /// And the city.
    City,
}

impl GeoipBinding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Continent, Self::Country, Self::City];

    /// The word of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "no_binding",
            Self::Continent => "bind_continent",
            Self::Country => "bind_continent_country",
            Self::City => "bind_continent_country_city",
        }
    }

    /// The binding of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.as_str() == word)
    }
}

/// What happens when a session breaks its binding. The strictest last: of two, it wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MoveAction {
    /// An event, and nothing else.
    Log,
    /// It opens nothing from there until its user proved once more who they are.
    Confirm,
    /// It ends.
    End,
}

impl MoveAction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Log, Self::Confirm, Self::End];

    /// The word of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Confirm => "confirm",
            Self::End => "end",
        }
    }

    /// The action of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// What sessions are bound to, and what happens when they break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// To the network.
    pub network: NetworkBinding,
    /// When it is another network.
    pub network_action: MoveAction,
    /// To the place.
    pub geoip: GeoipBinding,
    /// When it is another place.
    pub geoip_action: MoveAction,
}

/// What is known of an address. A text that is not known is `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The address.
    pub ip: Address,
    /// Autonomous system number.
    pub asn: Option<i64>,
    /// The network, in CIDR notation.
    pub network: String,
    /// Continent code.
    pub continent: String,
    /// Country code.
    pub country: String,
    /// City.
    pub city: String,
}

impl Spot {
    /// Whether a session can be bound to it: neither this machine nor a private network, and a file
    /// knows something of it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.ip.is_local() && (self.asn.is_some() || !self.continent.is_empty() || !self.country.is_empty())
    }
}

/// A move that breaks a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What happens.
    pub action: MoveAction,
    /// What differs, in words. It names no address: it is kept for longer than they are.
    pub what: String,
}

impl Bindings {
    /// Whether there is anything to look at.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.network != NetworkBinding::None || self.geoip != GeoipBinding::None
    }

    /// Whether a session that was proved at `from` breaks its binding at `to`. What is not known of
    /// one of them breaks nothing.
    #[must_use]
    pub fn judge(self, from: &Spot, to: &Spot) -> Option<Move> {
        if !from.is_known() || !to.is_known() || from.ip == to.ip {
            return None;
        }
        let network = self.judge_network(from, to).map(|what| (self.network_action, what));
        let place = self.judge_place(from, to).map(|what| (self.geoip_action, what));
        let broken: Vec<_> = network.into_iter().chain(place).collect();
        let action = broken.iter().map(|(action, _)| *action).max()?;
        let what: Vec<_> = broken.into_iter().map(|(_, what)| what).collect();
        Some(Move { action, what: what.join("; ") })
    }

    fn judge_network(self, from: &Spot, to: &Spot) -> Option<String> {
        // All of these bind to the system, and where it is not known there is nothing to compare.
        let (old, new) = (from.asn?, to.asn?);
        if self.network >= NetworkBinding::Asn && old != new {
            return Some(format!("AS{new} instead of AS{old}"));
        }
        // One host has a network in each family, and browsers take now one and now the other: across
        // families it is the same network when the system is the same.
        let is_same_family = from.ip.0.is_ipv4() == to.ip.0.is_ipv4();
        if self.network >= NetworkBinding::AsnNetwork && is_same_family && from.network != to.network {
            return Some(format!("another network of AS{new}"));
        }
        // One address is one address: the other family's is another. What was cut is compared as cut.
        let to_ip = if from.ip == from.ip.cut() { to.ip.cut() } else { to.ip };
        if self.network >= NetworkBinding::AsnNetworkIp && from.ip != to_ip {
            return Some(format!("another address of AS{new}"));
        }
        None
    }

    fn judge_place(self, from: &Spot, to: &Spot) -> Option<String> {
        let levels = [
            (GeoipBinding::Continent, &from.continent, &to.continent),
            (GeoipBinding::Country, &from.country, &to.country),
            (GeoipBinding::City, &from.city, &to.city),
        ];
        let differs = |(level, old, new): &(GeoipBinding, &String, &String)| {
            self.geoip >= *level && !old.is_empty() && !new.is_empty() && old != new
        };
        levels.into_iter().find(differs).map(|(_, old, new)| format!("{new} instead of {old}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(ip: &str, asn: i64, network: &str, place: (&str, &str, &str)) -> Spot {
        let (continent, country, city) = (place.0.to_owned(), place.1.to_owned(), place.2.to_owned());
        let asn = (asn != 0).then_some(asn);
        Spot { ip: Address::parse(ip).unwrap(), asn, network: network.to_owned(), continent, country, city }
    }

    fn network(network: NetworkBinding) -> Bindings {
        Bindings { network, network_action: MoveAction::Log, geoip: GeoipBinding::None, geoip_action: MoveAction::Log }
    }

    const BERLIN: (&str, &str, &str) = ("EU", "DE", "Berlin");

    #[test]
    fn words_read_back() {
        assert!(NetworkBinding::ALL.iter().all(|it| NetworkBinding::parse(it.as_str()) == Some(*it)));
        assert!(GeoipBinding::ALL.iter().all(|it| GeoipBinding::parse(it.as_str()) == Some(*it)));
        assert!(MoveAction::ALL.iter().all(|it| MoveAction::parse(it.as_str()) == Some(*it)));
        assert_eq!((NetworkBinding::parse(""), GeoipBinding::parse("bind_asn")), (None, None));
    }

    #[test]
    fn the_strictest_action_wins_and_both_are_told() {
        let home = spot("81.2.69.1", 1, "81.2.0.0/16", BERLIN);
        let away = spot("5.5.5.5", 2, "5.5.0.0/16", ("NA", "US", "Boston"));
        let bindings = Bindings {
            network: NetworkBinding::Asn,
            network_action: MoveAction::End,
            geoip: GeoipBinding::City,
            geoip_action: MoveAction::Log,
        };
        let what = "AS2 instead of AS1; NA instead of EU".to_owned();
        assert_eq!(bindings.judge(&home, &away), Some(Move { action: MoveAction::End, what }));
        assert_eq!(bindings.judge(&home, &home), None);
    }

    #[test]
    fn a_cut_address_is_compared_as_cut() {
        let ip = network(NetworkBinding::AsnNetworkIp);
        let cut = spot("81.2.69.0", 1, "81.2.0.0/16", BERLIN);
        assert_eq!(ip.judge(&cut, &spot("81.2.69.77", 1, "81.2.0.0/16", BERLIN)), None);
        assert!(ip.judge(&cut, &spot("81.2.70.77", 1, "81.2.0.0/16", BERLIN)).is_some());
        let whole = spot("81.2.69.5", 1, "81.2.0.0/16", BERLIN);
        assert!(ip.judge(&whole, &spot("81.2.69.77", 1, "81.2.0.0/16", BERLIN)).is_some());
    }

    #[test]
    fn what_is_not_known_breaks_nothing() {
        let bindings = Bindings { geoip: GeoipBinding::City, ..network(NetworkBinding::AsnNetworkIp) };
        let home = spot("81.2.69.1", 1, "81.2.0.0/16", BERLIN);
        for other in [
            spot("10.0.0.1", 2, "10.0.0.0/8", ("NA", "US", "Boston")),
            spot("100.64.1.1", 2, "100.64.0.0/10", ("NA", "US", "Boston")),
            spot("fd00::1", 2, "fd00::/8", ("NA", "US", "Boston")),
            spot("5.5.5.5", 0, "", ("", "", "")),
            spot("5.5.5.5", 0, "", ("EU", "DE", "")),
        ] {
            assert_eq!(bindings.judge(&home, &other), None, "{other:?}");
            assert_eq!(bindings.judge(&other, &home), None, "{other:?}");
        }
    }
}
