//! What is asked, and what it may cost.

use std::fmt::Write as _;

use serde_json::Value;

use crate::client::{Ask, Client};
use crate::guard::Beyond;
use crate::server::{Place, Server, TOKEN};

pub const SESSIONS: &str = "/api/v3/core/authenticated_sessions/";
/// The row of the check that every request with a cookie makes.
pub const CHECK: &str = "check a cookie (and redirect)";
/// The number of sessions whose keys are known; their users have ten each.
pub const KNOWN: u32 = 2000;
/// The people whose password is known, for sign-ins. Their hash is cheap: hashing is not what is measured.
pub const VISITORS: u32 = 64;
pub const PASSWORD: &str = "correct horse battery staple";
const CHEAP_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$YmVuY2hiZW5jaA$";

/// The upper bound of an operation's cost, in milliseconds of processor time: of the server on
/// SQLite, of the server and the database on PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub f64, pub f64);

/// One row of the table.
#[derive(Clone)]
pub struct Operation {
    pub name: &'static str,
    pub asks: Vec<Ask>,
    pub bound: Option<Bound>,
    /// The bound of what it costs beyond a fixed body, for checks of the guard.
    pub beyond: Option<Beyond>,
    /// Whether sessions begin and end during the measurement, so that no answer can be cached.
    pub is_disturbed: bool,
}

/// Samples of the generated sessions.
pub struct Samples {
    uuids: Vec<String>,
    usernames: Vec<String>,
    users: Vec<i64>,
    addresses: Vec<String>,
    agents: Vec<String>,
    /// Each with the number of its page of 20 in the middle.
    countries: Vec<(String, i64)>,
    networks: Vec<i64>,
    /// How many sessions there are.
    pub count: i64,
}

/// Import lines of users and sessions with keys that the benchmark knows, in addition to the
/// generated ones.
pub fn known_lines() -> String {
    let mut lines = String::new();
    for n in 0..KNOWN / 10 {
        writeln!(lines, r#"{{"kind":"user","id":{},"username":"known-{n}"}}"#, 2_000_000_000 + n).unwrap();
    }
    let hash = cheap_hash();
    for n in 0..VISITORS {
        let id = 2_100_000_000 + n;
        writeln!(lines, r#"{{"kind":"user","id":{id},"username":"visitor-{n}","password_hash":"{hash}"}}"#).unwrap();
    }
    lines += &crate::guard::lines();
    for n in 0..KNOWN {
        let (user, last) = (2_000_000_000 + n / 10, n % 250);
        let agent =
            if n % 3 == 0 { "curl/8.14.1" } else { "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0" };
        writeln!(
            lines,
            r#"{{"kind":"session","uuid":"00000000-0000-4000-8000-{n:012x}","session_key":"key-{n}","user":{user},"last_ip":"11.0.{}.{last}","last_user_agent":"{agent}","last_used":"2026-10-01T00:00:{:02}Z","expires":"2099-01-01T00:00:00Z"}}"#,
            n / 250,
            n % 60
        )
        .unwrap();
    }
    lines
}

fn cheap_hash() -> String {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"benchbench").unwrap().to_string();
    assert!(hash.starts_with(CHEAP_HASH), "{hash}");
    hash
}

pub fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// Reads pages here and there to know what can be asked for.
pub fn samples(server: &Server) -> Samples {
    let (mut client, bearer) = (Client::connect(&server.address), bearer());
    let first = client.get_json(&format!("{SESSIONS}?page_size=100&ordering=uuid"), &bearer);
    let count = first["pagination"]["count"].as_i64().unwrap();
    let pages = first["pagination"]["total_pages"].as_i64().unwrap();
    let mut found = Samples {
        uuids: Vec::new(),
        usernames: Vec::new(),
        users: Vec::new(),
        addresses: Vec::new(),
        agents: Vec::new(),
        countries: Vec::new(),
        networks: Vec::new(),
        count,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut countries = Vec::new();
    for part in 0..10 {
        let page = client.get_json(&format!("{SESSIONS}?page_size=100&ordering=uuid&page={}", 1 + part * (pages - 1) / 9), &bearer);
        for row in page["results"].as_array().unwrap() {
            found.uuids.push(text(&row["uuid"]));
            found.users.push(row["user"].as_i64().unwrap());
            found.addresses.push(text(&row["last_ip"]));
            found.agents.push(text(&row["last_user_agent"]));
            countries.push(text(&row["geo_ip"]["country"]));
            found.networks.extend(row["asn"]["asn"].as_i64());
        }
    }
    countries.retain(|country| !country.is_empty());
    for list in [&mut countries, &mut found.agents, &mut found.addresses] {
        list.sort_unstable();
        list.dedup();
    }
    found.networks.sort_unstable();
    found.networks.dedup();
    for country in countries {
        let page = client.get_json(&format!("{SESSIONS}?country={country}"), &bearer);
        found.countries.push((country, (page["pagination"]["total_pages"].as_i64().unwrap() + 1) / 2));
    }
    found
}

impl Samples {
    /// Takes the names of users from an export.
    pub fn learn_names(&mut self, place: &Place) {
        let output = place.rollcall().args(["export", "--users"]).output().unwrap();
        let wanted: std::collections::HashSet<i64> = self.users.iter().copied().collect();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let user: Value = serde_json::from_str(line).unwrap();
            if user["id"].as_i64().is_some_and(|id| wanted.contains(&id)) {
                self.usernames.push(user["username"].as_str().unwrap().to_owned());
            }
        }
        assert!(!self.usernames.is_empty(), "the export names users");
    }

    /// The read operations, in the order of the table.
    pub fn operations(&self) -> Vec<Operation> {
        let bearer = bearer();
        let list = |more: &str| vec![Ask::get(format!("{SESSIONS}?page_size=100{more}"), &bearer)];
        let each = |values: &mut dyn Iterator<Item = String>, name: &str| -> Vec<Ask> {
            values.map(|value| Ask::get(format!("{SESSIONS}?{name}={}", encoded(&value)), &bearer)).collect()
        };
        let cookies = |path: &str| -> Vec<Ask> {
            (0..KNOWN)
                .map(|n| Ask::get(path.replace("{n}", &n.to_string()), &format!("Cookie: rollcall_session=key-{n}\r\n")))
                .collect()
        };
        let hundred = format!("{SESSIONS}?page_size=100");
        let coded = |name: &str| format!("{bearer}Accept-Encoding: {name}\r\n");
        let quick = Some(Bound(0.4, 1.2));
        let page = Some(Bound(0.9, 2.5));
        let far = Some(Bound(5.0, 10.0));
        let middle = self.count / 200;
        let rare: Vec<String> =
            self.usernames.iter().map(|name| name.chars().rev().take(7).collect::<Vec<_>>().into_iter().rev().collect()).collect();
        let letters: Vec<String> = ('a'..='z').chain('0'..='9').map(String::from).collect();
        let pairs = letters.iter().flat_map(|a| letters.iter().map(move |b| format!("{a}{b}")));
        let short: Vec<String> = letters.iter().cloned().chain(pairs).collect();
        let operation = |name, asks, bound| Operation { name, asks, bound, is_disturbed: false, beyond: None };
        let disturbed = |name, asks, bound| Operation { name, asks, bound, is_disturbed: true, beyond: None };
        vec![
            operation("list of 100, by username", list(""), page),
            operation("list of 100, by -user", list("&ordering=-user"), page),
            operation("list of 100, by uuid", list("&ordering=uuid"), page),
            operation("list of 100, by last_ip", list("&ordering=last_ip"), page),
            operation("list of 100, by -last_ip", list("&ordering=-last_ip"), page),
            operation("list of 100, by last_user_agent", list("&ordering=last_user_agent"), page),
            operation("list of 100, by -last_user_agent", list("&ordering=-last_user_agent"), page),
            operation("list of 100, by -last_used", list("&ordering=-last_used"), page),
            operation("list of 100, by -expires", list("&ordering=-expires"), page),
            operation("list of 100, by username, as zstd", vec![Ask::get(hundred.as_str(), &coded("zstd"))], None),
            operation("list of 100, by username, as gzip", vec![Ask::get(hundred.as_str(), &coded("gzip"))], None),
            operation("list of 20, by username", vec![Ask::get(SESSIONS, &bearer)], quick),
            operation("list of one's own", cookies(SESSIONS), quick),
            operation("filter by username", each(&mut self.usernames.iter().cloned(), "user__username"), quick),
            operation("filter by user", each(&mut self.users.iter().map(i64::to_string), "user"), quick),
            operation("filter by address", each(&mut self.addresses.iter().cloned(), "session__last_ip"), quick),
            operation("filter by user agent", each(&mut self.agents.iter().cloned(), "session__last_user_agent"), quick),
            operation("filter by country", each(&mut self.countries.iter().map(|(country, _)| country.clone()), "country"), quick),
            operation("filter by autonomous system", each(&mut self.networks.iter().map(i64::to_string), "asn"), quick),
            operation("filter by network", each(&mut self.addresses.iter().map(|ip| network_of(ip)), "network"), quick),
            disturbed("search a rare part of a name", each(&mut rare.iter().cloned(), "search"), Some(Bound(3.0, 6.0))),
            disturbed("search a rare user agent", each(&mut self.rare_words().into_iter(), "search"), Some(Bound(3.0, 6.0))),
            disturbed("search a rare address", each(&mut self.addresses.iter().cloned(), "search"), Some(Bound(3.0, 6.0))),
            disturbed("search a word a fifth match", each(&mut ["firefox".into()].into_iter(), "search"), Some(Bound(20.0, 30.0))),
            disturbed("search one or two characters", each(&mut short.into_iter(), "search"), Some(Bound(20.0, 30.0))),
            operation("the middle page, by username", list(&format!("&page={middle}")), far),
            operation("the middle page, by -last_used", list(&format!("&ordering=-last_used&page={middle}")), far),
            operation("the middle page, by last_user_agent", list(&format!("&ordering=last_user_agent&page={middle}")), far),
            operation("the last page, by last_ip", list("&ordering=last_ip&page=last"), far),
            operation("the last page, by -expires", list("&ordering=-expires&page=last"), far),
            disturbed("the middle page of a country, by -last_used", self.middle_of_countries(), far),
            disturbed("the last page of a search, by last_used", list("&search=firefox&ordering=last_used&page=last"), far),
            operation(
                "retrieve one with a token",
                self.uuids.iter().map(|uuid| Ask::get(format!("{SESSIONS}{uuid}/"), &bearer)).collect(),
                Some(Bound(f64::INFINITY, 0.4)),
            ),
            operation(CHECK, cookies("/sign-in"), None),
        ]
    }

    fn middle_of_countries(&self) -> Vec<Ask> {
        let bearer = bearer();
        let each = self
            .countries
            .iter()
            .map(|(country, middle)| Ask::get(format!("{SESSIONS}?country={country}&ordering=-last_used&page={middle}"), &bearer));
        each.collect()
    }

    /// Words of user agents that one sampled user agent has.
    fn rare_words(&self) -> Vec<String> {
        let mut seen: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
        for word in self.agents.iter().flat_map(|agent| agent.split([' ', ';', '(', ')', ','])).filter(|word| word.len() > 5) {
            *seen.entry(word).or_default() += 1;
        }
        let mut rare: Vec<String> = seen.into_iter().filter(|(_, count)| *count == 1).map(|(word, _)| word.to_owned()).collect();
        rare.sort_unstable();
        rare
    }
}

/// The /16 or /40 around an address.
fn network_of(ip: &str) -> String {
    match ip.parse().unwrap() {
        std::net::IpAddr::V4(ip) => format!("{ip}/24"),
        std::net::IpAddr::V6(ip) => format!("{ip}/48"),
    }
}

pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
