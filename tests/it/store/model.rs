//! Lists, counts and searches against a naive model that looks at every session: whatever was written
//! just before, by this process or beside it, they agree.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::actions::import;
use rollcall::domain::Address;
use rollcall::domain::caller::Actor;
use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, geoip, seed};

const USERS: [&str; 6] = ["ada", "Ada.B", "bob-1", "bob-11", "zoë", "x.firefox"];
const ADDRESSES: [&str; 7] =
    ["198.51.100.7", "198.51.100.70", "203.0.113.9", "2001:db8::1", "2001:db8::12", "10.0.0.1", "::ffff:10.0.0.1"];
/// What the GeoIP files say of them.
const PLACES: [(&str, Option<i64>); 7] =
    [("DE", Some(64500)), ("DE", Some(64500)), ("JP", None), ("", Some(64501)), ("", Some(64501)), ("", None), ("", None)];
const AGENTS: [&str; 5] = [
    "",
    "curl/8.14.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:14.0) Gecko/20100101 Firefox/14.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
];
const TERMS: [&str; 14] =
    ["ada", "B", "bob-1", "ZOË", "firefox", "143", "1", "198.51.100.7", "2001:db8", "::", "win", "curl", "zz", "/"];
const KEYS: [&str; 9] = ["uuid", "user", "username", "last_ip", "last_user_agent", "last_used", "expires", "created", "country"];

/// A session, as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    number: u32,
    user: usize,
    address: usize,
    agent: usize,
    /// Minutes after an instant.
    used: u32,
    expires: u32,
}

impl Known {
    fn line(&self) -> Value {
        let with = json!({
            "last_ip": ADDRESSES[self.address], "last_user_agent": AGENTS[self.agent], "last_used": instant(self.used),
            "expires": instant(100_000 + self.expires),
        });
        seed::session(self.number, i64::try_from(self.user).unwrap() + 1, with)
    }

    fn holds(&self, term: &str) -> bool {
        let term = term.to_uppercase();
        [USERS[self.user], ADDRESSES[self.address], AGENTS[self.agent]].iter().any(|text| text.to_uppercase().contains(&term))
    }

    fn compare(&self, other: &Self, key: &str) -> Ordering {
        let address = |known: &Self| Address::parse(ADDRESSES[known.address]).unwrap().sort_key();
        match key {
            "uuid" => self.number.cmp(&other.number),
            "user" => self.user.cmp(&other.user),
            "username" => USERS[self.user].cmp(USERS[other.user]),
            "last_ip" => address(self).cmp(&address(other)),
            "last_user_agent" => AGENTS[self.agent].cmp(AGENTS[other.agent]),
            // An imported session began when it was last used.
            "last_used" | "created" => self.used.cmp(&other.used),
            "country" => PLACES[self.address].0.cmp(PLACES[other.address].0),
            _ => self.expires.cmp(&other.expires),
        }
    }
}

fn instant(minutes: u32) -> String {
    rollcall::domain::Timestamp::parse("2026-10-01T00:00:00Z")
        .unwrap()
        .plus(std::time::Duration::from_secs(u64::from(minutes) * 60))
        .to_string()
}

/// What is asked for. Numbers choose; the highest mean: not asked for.
#[derive(Clone, Debug)]
struct Question {
    terms: Vec<usize>,
    user: usize,
    address: usize,
    agent: usize,
    place: usize,
    network: usize,
    since: Option<u32>,
    orders: Vec<(usize, bool)>,
    size: usize,
    page: prop::sample::Index,
}

const NETWORKS: [&str; 3] = ["198.51.100.0/26", "2001:db8::/124", "10.0.0.0/8"];

impl Question {
    fn matches(&self, known: &Known) -> bool {
        let inside = |network: &str| {
            rollcall::domain::Network::parse(network).unwrap().contains(Address::parse(ADDRESSES[known.address]).unwrap())
        };
        self.terms.iter().all(|term| known.holds(TERMS[*term]))
            && (self.user >= USERS.len() || self.user == known.user)
            && (self.address >= ADDRESSES.len() || self.address == known.address)
            // The empty user agent cannot be asked for.
            && (self.agent == 0 || self.agent >= AGENTS.len() || self.agent == known.agent)
            && match self.place {
                0 => PLACES[known.address].0 == "DE",
                1 => PLACES[known.address].1 == Some(64501),
                _ => true,
            }
            && NETWORKS.get(self.network).is_none_or(|network| inside(network))
            && self.since.is_none_or(|since| known.used >= since)
    }

    fn query(&self, page: usize) -> String {
        let mut pairs = vec![("page_size", self.size.to_string()), ("page", page.to_string())];
        let terms: Vec<&str> = self.terms.iter().map(|term| TERMS[*term]).collect();
        pairs.push(("search", terms.join(" ")));
        pairs.extend(USERS.get(self.user).map(|name| ("user__username", (*name).to_owned())));
        pairs.extend(ADDRESSES.get(self.address).map(|ip| ("session__last_ip", (*ip).to_owned())));
        pairs.extend(AGENTS.get(self.agent).map(|agent| ("session__last_user_agent", (*agent).to_owned())));
        match self.place {
            0 => pairs.push(("country", "DE".into())),
            1 => pairs.push(("asn", "64501".into())),
            _ => {}
        }
        pairs.extend(NETWORKS.get(self.network).map(|network| ("network", (*network).to_owned())));
        pairs.extend(self.since.map(|since| ("last_used__gte", instant(since))));
        let orders = self.orders.iter().map(|(key, is_down)| format!("{}{}", if *is_down { "-" } else { "" }, KEYS[*key]));
        pairs.push(("ordering", orders.collect::<Vec<_>>().join(",")));
        let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        pairs.join("&")
    }

    fn sort(&self, found: &mut [Known]) {
        // Names decide where the same key is given twice: the first counts.
        let username = [(2, false)];
        let orders: &[(usize, bool)] = if self.orders.is_empty() { &username } else { &self.orders };
        found.sort_by(|a, b| {
            let by_orders = orders.iter().map(|(key, is_down)| {
                let order = a.compare(b, KEYS[*key]);
                if *is_down { order.reverse() } else { order }
            });
            by_orders.fold(Ordering::Equal, Ordering::then).then(a.number.cmp(&b.number))
        });
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<Known>),
    /// By another process, as far as this one can tell.
    AddBeside(Vec<Known>),
    End(prop::sample::Index),
    EndAllOf(usize),
    Ask(Question),
    /// What was asked before: another page of it, and others wrote meanwhile.
    AskAgain(usize, prop::sample::Index),
}

/// Filters and orders that are asked for again and again: terms, user, place, since, orders, size.
type Regular = (&'static [usize], usize, usize, Option<u32>, &'static [(usize, bool)], usize);
const REGULARS: [Regular; 6] = [
    (&[], 9, 0, None, &[(5, true)], 7),
    (&[], 9, 1, None, &[(7, false)], 1),
    (&[6], 9, 9, None, &[(8, true), (5, false)], 20),
    (&[4], 9, 9, Some(10), &[(4, false), (6, true)], 7),
    (&[2], 9, 0, None, &[(8, false)], 7),
    (&[], 3, 9, Some(5), &[(2, true), (5, true)], 1),
];

fn regular(number: usize, page: prop::sample::Index) -> Question {
    let (terms, user, place, since, orders, size) = REGULARS[number];
    let (terms, orders) = (terms.to_vec(), orders.to_vec());
    Question { terms, user, address: 9, agent: 9, place, network: 9, since, orders, size, page }
}

fn known() -> impl Strategy<Value = Known> {
    (0..USERS.len(), 0..ADDRESSES.len(), 0..AGENTS.len(), 0..50_u32, 0..50_u32)
        .prop_map(|(user, address, agent, used, expires)| Known { number: 0, user, address, agent, used, expires })
}

fn question() -> impl Strategy<Value = Question> {
    let orders = prop::collection::vec((0..KEYS.len(), any::<bool>()), 0..3);
    let filters = (0..18_usize, 0..20_usize, 0..14_usize, 0..6_usize, 0..9_usize);
    let page = (prop::sample::select(vec![1_usize, 7, 20, 100]), any::<prop::sample::Index>());
    (prop::collection::vec(0..TERMS.len(), 0..3), filters, prop::option::weighted(0.2, 0..50_u32), orders, page).prop_map(
        |(terms, (user, address, agent, place, network), since, orders, (size, page))| Question {
            terms,
            user,
            address,
            agent,
            place,
            network,
            since,
            orders,
            size,
            page,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::collection::vec(known(), 1..20).prop_map(Step::Add),
        1 => prop::collection::vec(known(), 1..20).prop_map(Step::AddBeside),
        3 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (0..USERS.len()).prop_map(Step::EndAllOf),
        9 => question().prop_map(Step::Ask),
        9 => (0..REGULARS.len(), any::<prop::sample::Index>()).prop_map(|(number, page)| Step::AskAgain(number, page)),
    ]
}

/// Takes new sessions into the model and gives their lines.
fn number(model: &mut Vec<Known>, next: &mut u32, new: &[Known]) -> Vec<Value> {
    let new: Vec<Known> = new.iter().map(|known| Known { number: std::mem::replace(next, *next + 1), ..known.clone() }).collect();
    let lines = new.iter().map(Known::line).collect();
    model.extend(new);
    lines
}

async fn ask(admin: &Caller, model: &[Known], question: &Question) {
    let mut expected: Vec<Known> = model.iter().filter(|known| question.matches(known)).cloned().collect();
    question.sort(&mut expected);
    let pages = expected.len().div_ceil(question.size).max(1);
    let page = question.page.index(pages) + 1;
    let path = format!("{SESSIONS}?{}", question.query(page));
    let answer = admin.get(&path).await.assert_status(200).json();
    assert_eq!(answer["pagination"]["count"], expected.len(), "{path}");
    let found: Vec<&str> = answer["results"].as_array().unwrap().iter().map(|row| row["uuid"].as_str().unwrap()).collect();
    let window = expected.iter().skip((page - 1) * question.size).take(question.size);
    let expected: Vec<String> = window.map(|known| seed::uuid(known.number)).collect();
    assert_eq!(found, expected, "{path}");
}

db_test!(what_is_listed_is_what_is_there, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "AS", "JP", "")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "A"), ("2001:db8::/32", 64501, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let settings = [("GEOIP__CITY", city.as_str()), ("GEOIP__ASN", &asn)];
    let app = TestApp::with(db, &settings).await;
    let mut lines: Vec<Value> = (1..).zip(USERS).map(|(id, name)| seed::user(id, name)).collect();
    let (mut model, mut next) = (Vec::new(), 1);
    let mut runner = TestRunner::deterministic();
    // Enough that the last pages lie far from the first.
    let many = prop::collection::vec(known(), 1300).new_tree(&mut runner).unwrap().current();
    lines.extend(number(&mut model, &mut next, &many));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let beside = app.restarted(&settings).await;
    let steps = prop::collection::vec(step(), 300).new_tree(&mut runner).unwrap().current();
    for step in &steps {
        match step {
            Step::Add(new) => drop(app.import(&number(&mut model, &mut next, new)).await),
            Step::AddBeside(new) => {
                let text: String = number(&mut model, &mut next, new).iter().map(|line| format!("{line}\n")).collect();
                let source = Box::new(std::io::Cursor::new(text.into_bytes()));
                import::run(&beside, source, false, Box::new(|_| {}), &Actor::cli()).await.expect("lines that can be imported");
            }
            Step::End(which) if !model.is_empty() => {
                let gone = model.remove(which.index(model.len()));
                admin.delete(&format!("{SESSIONS}{}/", seed::uuid(gone.number))).await.assert_status(204);
            }
            Step::EndAllOf(user) => {
                let before = model.len();
                // Only some of the time: else nothing is left to ask for.
                if model.iter().filter(|known| known.user == *user).count() * 8 < before {
                    model.retain(|known| known.user != *user);
                    let gone = before - model.len();
                    let key = i64::try_from(*user).unwrap() + 1;
                    // Some as very large ends do: they are moved later, or are not when this ends.
                    if gone % 2 == 0 {
                        assert_eq!(app.record_ends_of(key, 1000).await, gone);
                        continue;
                    }
                    let path = format!("{SESSIONS}bulk_delete/?user_pks={key}");
                    assert_eq!(admin.delete(&path).await.assert_status(200).json()["deleted"], gone);
                    app.move_pending().await;
                }
            }
            Step::End(_) => {}
            Step::Ask(question) => ask(&admin, &model, question).await,
            Step::AskAgain(number, page) => ask(&admin, &model, &regular(*number, *page)).await,
        }
    }
    assert!(app.app.store.is_index_filled(), "searches were answered from memory");
});
