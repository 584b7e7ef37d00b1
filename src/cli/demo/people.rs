//! The made-up people of the demo, their sessions and their places.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::cli::{Failure, Outcome};
use crate::domain::user::ADMINISTRATOR;
use crate::domain::{SessionId, Timestamp, secret};

/// The group that may open the second app, and who is in it.
pub(super) const STAFF: &str = "staff";
const STAFF_MEMBERS: [&str; 3] = [ADMINISTRATOR, "amara.okafor", "grace.mbeki"];
/// Somebody who is not in it, and can sign in where there are apps.
pub(super) const GUEST: &str = "bruno.lindqvist";

/// Username, full name, how many sessions.
pub(super) const PEOPLE: &[(&str, &str, u32)] = &[
    ("akadmin", "Administrator", 4),
    ("amara.okafor", "Amara Okafor", 5),
    ("bruno.lindqvist", "Bruno Lindqvist", 3),
    ("chen.wei", "陈伟", 6),
    ("daria.kovalenko", "Дар'я Коваленко", 4),
    ("elif.yildiz", "Elif Yıldız", 3),
    ("farid.haddad", "فريد حداد", 2),
    ("grace.mbeki", "Grace Mbeki", 7),
    ("haruto.sato", "佐藤 陽翔", 4),
    ("ines.carvalho", "Inês Carvalho", 5),
    ("jonas.müller", "Jonas Müller", 2),
    ("kiri.walker", "Kiri Walker", 3),
    ("lucía.fernández", "Lucía Fernández", 4),
    ("build-bot", "Build bot", 1),
    ("zoë.o'brien", "Zoë O'Brien", 3),
];

/// Network, continent, country, city, degrees north and east, number and name of the system.
type PlaceLine = (&'static str, &'static str, &'static str, &'static str, f64, f64, u32, &'static str);
const PLACES: &[PlaceLine] = &[
    ("192.0.2.0/27", "EU", "DE", "Berlin", 52.52, 13.4, 64496, "Spreenetz Example"),
    ("192.0.2.32/27", "EU", "SE", "Gothenburg", 57.71, 11.97, 64497, "Norrlink Example"),
    ("192.0.2.64/27", "AF", "NG", "Lagos", 6.45, 3.39, 64498, "Lagoon Fibre Example"),
    ("192.0.2.128/26", "AS", "JP", "Osaka", 34.69, 135.5, 64499, "Naniwa Net Example"),
    ("198.51.100.0/26", "NA", "CA", "Halifax", 44.65, -63.58, 64500, "Harbour Mobile Example"),
    ("198.51.100.64/26", "SA", "BR", "Recife", -8.05, -34.88, 64501, "Capibaribe Telecom Example"),
    ("198.51.100.128/26", "OC", "NZ", "Wellington", -41.29, 174.78, 64502, "Southerly Example"),
    ("203.0.113.0/26", "EU", "PT", "Porto", 41.15, -8.61, 64503, "Douro Example"),
    ("203.0.113.64/26", "AS", "TR", "İzmir", 38.42, 27.14, 64504, "Ege Example"),
    ("203.0.113.128/26", "EU", "UA", "Lviv", 49.84, 24.03, 64505, "Halychyna Example"),
    ("2001:db8:10::/48", "EU", "DE", "Hamburg", 53.55, 9.99, 64496, "Spreenetz Example"),
    ("2001:db8:20::/48", "AS", "TW", "Taipei", 25.04, 121.56, 64506, "Formosa Six Example"),
    ("2001:db8:30::/48", "AF", "ZA", "Durban", -29.86, 31.02, 64507, "Indian Ocean Example"),
];

pub(super) const ADDRESSES: &[&str] = &[
    "192.0.2.7",
    "2001:db8:30::1a2b",
    "198.51.100.23",
    "203.0.113.77",
    "192.0.2.180",
    "2001:db8:20::8:1",
    "203.0.113.150",
    "198.51.100.90",
    "192.0.2.41",
    "203.0.113.12",
    "198.51.100.140",
    "192.0.2.70",
    "2001:db8:10:4::99",
    "10.20.30.40",
];

pub(super) const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "curl/8.14.1",
];

/// The demo's people and sessions as import lines, the administrator with this password hash if there is one, and the
/// guest where there are apps. Times lie within the last nine days.
pub(super) fn people_and_sessions(now: Timestamp, hash: Option<&str>, has_apps: bool) -> Result<String, Failure> {
    let mut lines = format!("{}\n", json!({"kind": "group", "name": STAFF}));
    for (id, (username, name, _)) in (1..).zip(PEOPLE) {
        let is_superuser = *username == ADMINISTRATOR;
        let hash = hash.filter(|_| is_superuser || has_apps && *username == GUEST);
        let groups: &[&str] = if STAFF_MEMBERS.contains(username) { &[STAFF] } else { &[] };
        let line = json!({
            "kind": "user", "id": id, "username": username, "name": name, "is_superuser": is_superuser, "password_hash": hash,
            "groups": groups,
        });
        writeln!(lines, "{line}")?;
    }
    let mut nth = 0_u32;
    for (id, (username, _, sessions)) in (1..).zip(PEOPLE) {
        for own in 0..*sessions {
            nth += 1;
            let pick = |list: &[&'static str], step: u32| {
                let at = usize::try_from(nth * step + own).unwrap_or(0) % list.len();
                list.get(at).copied().unwrap_or_default()
            };
            let agent = if *username == "build-bot" { "curl/8.14.1" } else { pick(AGENTS.get(..8).unwrap_or_default(), 3) };
            let age = Duration::from_secs(u64::from(nth * nth % 131) * 5900 + u64::from(own) * 61);
            let line = json!({
                "kind": "session", "uuid": SessionId::generate(now.minus(age))?.to_string(), "session_key": secret::random_alphanumeric(43)?, "user": id,
                "last_ip": pick(ADDRESSES, 5), "last_user_agent": agent, "last_used": now.minus(age),
                "expires": now.plus(Duration::from_secs(14 * 86400)).minus(age),
            });
            writeln!(lines, "{line}")?;
        }
    }
    Ok(lines)
}

/// Writes City and ASN files with the places of the demo.
pub(super) fn write_geoip_files(folder: &Path) -> Outcome {
    let mut city = mmdb_writer::Writer::new("Rollcall-Demo-City");
    let mut asn = mmdb_writer::Writer::new("Rollcall-Demo-ASN");
    for (network, continent, country, name, north, east, number, organization) in PLACES {
        let network: ipnet::IpNet = network.parse()?;
        let place = json!({
            "continent": {"code": continent}, "country": {"iso_code": country}, "city": {"names": {"en": name}},
            "location": {"latitude": north, "longitude": east},
        });
        city.insert(network, &place)?;
        let system = AsnRecord { autonomous_system_number: *number, autonomous_system_organization: organization };
        asn.insert(network, &system)?;
    }
    std::fs::write(folder.join("city.mmdb"), city.to_bytes()?)?;
    std::fs::write(folder.join("asn.mmdb"), asn.to_bytes()?)?;
    Ok(())
}

#[derive(serde::Serialize)]
struct AsnRecord<'a> {
    autonomous_system_number: u32,
    autonomous_system_organization: &'a str,
}
