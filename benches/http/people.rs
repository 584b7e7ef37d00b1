//! What lists of users, events and ended sessions may cost, in every order and by every filter that they offer.

use serde_json::{Value, json};

use crate::client::{Ask, Client};
use crate::operations::{Bound, Operation, bearer, encoded};
use crate::server::Server;

const USERS: &str = "/api/v3/core/users/";
const EVENTS: &str = "/api/v3/events/events/";
const ENDED: &str = "/api/v3/core/ended_sessions/";
/// How many groups the generated users are put into, each of them into two.
const GROUPS: usize = 50;
/// A key that the benchmark knows, of an administrator's session.
const KEY: &str = "key-of-an-administrator";

/// Import lines of an administrator and their session.
pub fn known_lines() -> String {
    format!(
        "{}\n{}\n",
        r#"{"kind":"user","id":2099999999,"username":"known-administrator","is_superuser":true}"#,
        json!({
            "kind": "session", "uuid": "00000000-0000-4000-8000-ffffffffffff", "session_key": KEY, "user": 2_099_999_999,
            "last_ip": "11.0.250.1", "last_user_agent": "curl/8.14.1", "last_used": "2026-10-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z",
        })
    )
}

/// Puts the `count` generated users into groups, and gives the primary key of the first of them: they follow each other.
pub fn add_groups(server: &Server, count: u32) -> i64 {
    let (mut client, bearer) = (Client::connect(&server.address), bearer());
    let first = client.get_json(&format!("{USERS}?ordering=date_joined&search=people.example&page_size=1"), &bearer);
    let first = first["results"][0]["pk"].as_i64().unwrap_or(1);
    let ids: Vec<i64> = (first..first + i64::from(count)).collect();
    for group in 0..GROUPS {
        let members: Vec<i64> = ids
            .iter()
            .copied()
            .skip(group)
            .step_by(GROUPS)
            .chain(ids.iter().copied().skip(group * 7 % GROUPS).step_by(GROUPS))
            .collect();
        let body = json!({"name": format!("group {group}"), "users": members}).to_string();
        let ask = Ask {
            method: "POST",
            path: "/api/v3/core/groups/".into(),
            head: format!("{bearer}Content-Type: application/json\r\n"),
            body,
            ..Ask::default()
        };
        assert_eq!(client.ask(&ask), 201, "{}", String::from_utf8_lossy(&client.body));
    }
    first
}

/// What there is to ask for.
pub struct History {
    usernames: Vec<String>,
    users: Vec<i64>,
    addresses: Vec<String>,
    agents: Vec<String>,
    /// Instants in the middle of the events and of the ends.
    instants: Vec<String>,
    pages_of_ended: i64,
    nexts: Vec<Ask>,
}

/// Reads pages to know what can be asked for.
pub fn samples(server: &Server) -> History {
    let (mut client, bearer) = (Client::connect(&server.address), bearer());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = History {
        usernames: Vec::new(),
        users: Vec::new(),
        addresses: Vec::new(),
        agents: Vec::new(),
        instants: Vec::new(),
        pages_of_ended: 1,
        nexts: Vec::new(),
    };
    let first = client.get_json(&format!("{ENDED}?page_size=100"), &bearer);
    found.pages_of_ended = first["pagination"]["total_pages"].as_i64().unwrap();
    for part in 0..5 {
        let page = 1 + part * (found.pages_of_ended - 1) / 4;
        let rows = client.get_json(&format!("{ENDED}?page_size=100&page={page}"), &bearer);
        for row in rows["results"].as_array().unwrap().iter().step_by(10) {
            found.usernames.push(text(&row["username"]));
            found.users.push(row["user"].as_i64().unwrap());
            found.addresses.push(text(&row["last_ip"]));
            found.agents.push(text(&row["last_user_agent"]));
            found.instants.push(text(&row["ended"]));
        }
    }
    for place in PLACES {
        found.nexts.extend(next_page(&mut client, place));
    }
    found
}

/// Searches of the page of ended sessions that find much.
const PLACES: [&str; 4] = ["", "reason:expired", "browser:Firefox", "by:system"];

fn cookie() -> String {
    format!("Cookie: rollcall_session={KEY}\r\nAccept-Encoding: identity\r\n")
}

fn page_of_ended(query: &str) -> Ask {
    Ask::get(format!("/sessions/all?state=ended&q={}", encoded(query)), &cookie())
}

/// The address of the page after the first one, as its link has it.
fn next_page(client: &mut Client, query: &str) -> Option<Ask> {
    assert_eq!(client.ask(&page_of_ended(query)), 200);
    let page = String::from_utf8_lossy(&client.body).into_owned();
    let link = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).find(|link| link.contains("after="))?;
    Some(Ask::get(link.replace("&#38;", "&").replace("&amp;", "&"), &cookie()))
}

impl History {
    /// The operations, in the order of the table.
    pub fn operations(&self) -> Vec<Operation> {
        [self.users(), self.events(), self.ended()].concat()
    }

    fn users(&self) -> Vec<Operation> {
        let search = Some(Bound(5.0, 8.0));
        let list = |(name, order): &(&'static str, &str)| {
            operation(name, vec![users(&format!("ordering={order}"))], Some(Bound(1.5, 3.0)))
        };
        let mut all: Vec<Operation> = ORDERS.iter().map(list).collect();
        let ends: Vec<String> = self.ends_of_names();
        all.extend([
            operation("search users for a rare part of a name", many(USERS, "search", &ends), search),
            operation("search users for a word that many have", vec![users("search=a")], search),
            operation("search users for two words", vec![users("search=ros%20an")], search),
            operation("search users for a word not asked before", many(USERS, "search", &words()), search),
            operation("the caller's own user", vec![Ask::get(format!("{USERS}me/"), &bearer())], Some(Bound(0.2, 0.5))),
        ]);
        all
    }

    fn events(&self) -> Vec<Operation> {
        let bound = Some(Bound(2.0, 4.0));
        let one = |query: &str| vec![Ask::get(format!("{EVENTS}?page_size=100{query}"), &bearer())];
        let about: Vec<String> = self.users.iter().map(i64::to_string).collect();
        vec![
            operation("events of 100", one(""), bound),
            operation("events of 100, page 50", one("&page=50"), bound),
            operation("events of 100, by part of the action", one("&action=login"), bound),
            operation("events of 100, by a rare action", one("&actions=user_offboarded&actions=model_deleted"), bound),
            operation("events of 100, by user name", many(EVENTS, "username", &self.usernames), bound),
            operation("events of 100, by address", many(EVENTS, "client_ip", &self.addresses), bound),
            operation("events of 100, by the user they are about", many(EVENTS, "context_model_pk", &about), bound),
            operation("events of 100, since an instant", many(EVENTS, "created__gte", &self.instants), bound),
            operation("events of 100, until an instant", many(EVENTS, "created__lte", &self.instants), bound),
            operation(
                "events of 100, by action until an instant",
                many(EVENTS, "actions=login&created__lte", &self.instants),
                bound,
            ),
            operation(
                "events of 100, by address and action",
                many(EVENTS, "actions=login_failed&client_ip", &self.addresses),
                bound,
            ),
        ]
    }

    fn ended(&self) -> Vec<Operation> {
        let page = |name, queries: Vec<String>| {
            operation(name, queries.iter().map(|query| page_of_ended(query)).collect(), Some(Bound(20.0, 30.0)))
        };
        let api = |name, asks| operation(name, asks, Some(Bound(20.0, 30.0)));
        let one = |query: &str| vec![Ask::get(format!("{ENDED}?page_size=100{query}"), &bearer())];
        let with = |key: &str, values: &[String]| -> Vec<String> { values.iter().map(|value| format!("{key}:{value}")).collect() };
        let days: Vec<String> = self.instants.iter().map(|at| at.chars().take(10).collect()).collect();
        let networks: Vec<String> = self.addresses.iter().map(|ip| network_of(ip)).collect();
        vec![
            page("ended sessions, the page", PLACES.map(str::to_owned).to_vec()),
            api("ended sessions, the next page", self.nexts.clone()),
            page("ended sessions, the page of an address", with("ip", &self.addresses)),
            page("ended sessions, the page of a network", with("ip", &networks)),
            page("ended sessions, the page of a user", with("user", &self.usernames)),
            page("ended sessions, the page of who ended them", with("by", &self.usernames)),
            page("ended sessions, the page of a day of use", with("used", &days)),
            page("ended sessions, the page of a day of ends", with("ended", &days)),
            page("ended sessions, the page of a reason and a browser", vec!["reason:replaced browser:Edge".to_owned()]),
            page("ended sessions, the page of a part of a name", self.ends_of_names()),
            page("ended sessions, the page of a part of an address", self.addresses.iter().map(|ip| part_of(ip)).collect()),
            page("ended sessions, the page of a user agent", vec!["curl".to_owned(), "iPad".to_owned()]),
            api("ended sessions of 100 by the API", one("")),
            api("ended sessions of 100 by the API, the last page", one("&page=last")),
            api("ended sessions of 100 by the API, by reason", one("&reason=expired")),
            api("ended sessions of 100 by the API, by user agent", many(ENDED, "last_user_agent", &self.agents)),
        ]
    }

    /// The last characters of names, which few others have.
    fn ends_of_names(&self) -> Vec<String> {
        let end = |name: &String| name.chars().skip(name.chars().count().saturating_sub(7)).collect();
        self.usernames.iter().map(end).collect()
    }
}

fn operation(name: &'static str, asks: Vec<Ask>, bound: Option<Bound>) -> Operation {
    Operation { name, asks, bound, beyond: None, is_disturbed: false }
}

/// More words than the server keeps the answers of, each in many names.
fn words() -> Vec<String> {
    let letters = ('a'..='z').map(String::from);
    letters
        .chain(["an", "ar", "el", "en", "er", "in", "la", "le", "ma", "on", "ra", "ri", "an a", "e ma"].map(str::to_owned))
        .collect()
}

fn users(query: &str) -> Ask {
    Ask::get(format!("{USERS}?page_size=100&{query}"), &bearer())
}

/// A list of 100 by each value of a filter; `name` may have other parameters before it.
fn many(base: &str, name: &str, values: &[String]) -> Vec<Ask> {
    let bearer = bearer();
    values.iter().map(|value| Ask::get(format!("{base}?page_size=100&{name}={}", encoded(value)), &bearer)).collect()
}

/// The orders of the list of users.
const ORDERS: [(&str, &str); 14] = [
    ("users of 100 with groups, by username", "username"),
    ("users of 100 with groups, by -pk", "-pk"),
    ("users of 100 with groups, by name", "name"),
    ("users of 100 with groups, by -name", "-name"),
    ("users of 100 with groups, by -is_active", "-is_active"),
    ("users of 100 with groups, by -last_login", "-last_login"),
    ("users of 100 with groups, by date_joined", "date_joined"),
    ("users of 100 with groups, by email", "email"),
    ("users of 100 with groups, by -path", "-path"),
    ("users of 100 with groups, by -type", "-type"),
    ("users of 100 with groups, by uuid", "uuid"),
    ("users of 100 with groups, by -password_change_date", "-password_change_date"),
    ("users of 100 with groups, by -last_updated", "-last_updated"),
    ("users of 100 with groups, by -attributes", "-attributes"),
];

fn network_of(ip: &str) -> String {
    match ip.parse().unwrap() {
        std::net::IpAddr::V4(ip) => format!("{ip}/24"),
        std::net::IpAddr::V6(ip) => format!("{ip}/48"),
    }
}

/// All of an address but its end.
fn part_of(ip: &str) -> String {
    ip.chars().take(ip.chars().count() - 2).collect()
}
