//! Bindings of sessions to a network or a place: which change of address breaks one, and what
//! happens then. The values of the settings are authentik's.

use serde::{Deserialize, Serialize};

use crate::domain::Address;

/// How closely a session is bound to its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NetworkBinding {
    /// Not bound.
    #[default]
    #[serde(rename = "no_binding")]
    None,
    /// To the autonomous system.
    #[serde(rename = "bind_asn")]
    Asn,
    /// Also to the network in it, as the ASN file divides it.
    #[serde(rename = "bind_asn_network")]
    AsnNetwork,
    /// Also to the address.
    #[serde(rename = "bind_asn_network_ip")]
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

/// How closely a session is bound to its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GeoipBinding {
    /// Not bound.
    #[default]
    #[serde(rename = "no_binding")]
    None,
    /// To the continent.
    #[serde(rename = "bind_continent")]
    Continent,
    /// Also to the country.
    #[serde(rename = "bind_continent_country")]
    Country,
    /// Also to the city.
    #[serde(rename = "bind_continent_country_city")]
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

/// What happens when a session breaks its binding. In order of strictness: of two, the stricter is
/// done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MoveAction {
    /// An event is written.
    Log,
    /// The session is refused at the new address until its user re-authenticates.
    Confirm,
    /// The session ends.
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

/// What the GeoIP files say of an address. An unknown text is `""`.
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
    /// Whether a session can be bound to it: the address is public, and a file has a record of it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.ip.is_local()
            && !self.ip.is_unknown()
            && (self.asn.is_some() || !self.continent.is_empty() || !self.country.is_empty())
    }
}

/// A move that breaks a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What happens.
    pub action: MoveAction,
    /// What differs, in words. It names no address, since it is kept for longer than addresses are.
    pub what: String,
}

impl Bindings {
    /// Whether any binding is set.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.network != NetworkBinding::None || self.geoip != GeoipBinding::None
    }

    /// Whether a session whose user authenticated at `from` breaks its binding at `to`, and how.
    /// What is unknown of either of them breaks nothing.
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
        // Every network binding includes the system; where that is unknown, nothing is compared.
        let (old, new) = (from.asn?, to.asn?);
        if self.network >= NetworkBinding::Asn && old != new {
            return Some(format!("AS{new} instead of AS{old}"));
        }
        // A host has one network in each family, and browsers alternate between them: across
        // families, networks of the same system count as one.
        let is_same_family = from.ip.0.is_ipv4() == to.ip.0.is_ipv4();
        if self.network >= NetworkBinding::AsnNetwork && is_same_family && from.network != to.network {
            return Some(format!("another network of AS{new}"));
        }
        // An address that was cut for privacy is compared with the other one cut likewise.
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
