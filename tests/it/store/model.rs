//! Lists, counts and searches against a model that looks at every session: whatever was written just
//! before, by this process or another, they agree. Sessions begin and end; users are renamed, removed, and
//! followed by others with the same key. A watched authentik has sessions, too, and users under the same keys. Each
//! question is asked twice: of the index in memory, and of a process that reads the tables.

mod steps;

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::import;
use rollcall::actions::people::changes::{self, UserChange};
use rollcall::actions::people::users;
use rollcall::domain::filters::FilterSet as _;
use rollcall::domain::listing::{SessionFilter, Sort};
use rollcall::domain::page::Wanted;
use rollcall::domain::search::folded_terms;
use rollcall::domain::{Address, SessionId, Timestamp, UserId};
use rollcall::store::StoreError;
use rollcall::store::watch::sessions::WatchedSession;
use serde_json::{Value, json};

use self::steps::{Step, known, regular, step};
use super::copy::{assert_counts, begin, end, name};
use crate::support::{Caller, SESSIONS, TestApp, geoip, seed};

/// How many users there are at most: their keys are 1 to 6.
const USERS: usize = 6;
/// What they may be called; at first the first six are.
const NAMES: [&str; 9] = ["ada", "Ada.B", "bob-1", "bob-11", "zoë", "x.firefox", "Bob-1", "adam", "0win"];
/// E-mail addresses and full names that users get: a search that looks at people finds them.
const CALLED: [(&str, &str); 5] =
    [("", ""), ("ada@corp.example", "Ada Zebra"), ("b@corp.example", ""), ("", "Zoë Curl 143"), ("198@x.example", "Bob-1 Firefox")];
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
const TERMS: [&str; 18] = [
    "ada",
    "B",
    "bob-1",
    "ZOË",
    "firefox",
    "143",
    "1",
    "198.51.100.7",
    "2001:db8",
    "::",
    "win",
    "curl",
    "zz",
    "/",
    "zebra",
    "@corp",
    "ë curl",
    "198",
];
const KEYS: [&str; 9] = ["uuid", "user", "username", "last_ip", "last_user_agent", "last_used", "expires", "created", "country"];

/// What the model knows.
struct World {
    /// The names of users; `None`: removed.
    names: [Option<&'static str>; USERS],
    /// The names of the users at authentik; several may have one, and `""` is not known.
    watched_names: [&'static str; USERS],
    /// The e-mail addresses and the full names of users.
    called: [(&'static str, &'static str); USERS],
    sessions: Vec<Known>,
    /// The number of the next session.
    next: u32,
}

impl World {
    fn name(&self, known: &Known) -> &'static str {
        if known.is_watched { self.watched_names[known.user] } else { self.names[known.user].unwrap_or_default() }
    }

    fn is_free(&self, name: &str) -> bool {
        !self.names.contains(&Some(name))
    }

    /// Adds new sessions of users who are there, and gives their lines.
    fn add(&mut self, new: &[Known]) -> Vec<Value> {
        let new = new.iter().filter(|known| self.names[known.user].is_some());
        let new: Vec<Known> = new.zip(self.next..).map(|(known, number)| Known { number, ..known.clone() }).collect();
        self.next += u32::try_from(new.len()).unwrap();
        let lines = new.iter().map(Known::line).collect();
        self.sessions.extend(new);
        lines
    }

    /// Adds new sessions at authentik, and gives them.
    fn watch(&mut self, new: &[Known]) -> Vec<WatchedSession> {
        let new = new.iter().zip(self.next..).map(|(known, number)| Known { number, is_watched: true, ..known.clone() });
        let new: Vec<Known> = new.collect();
        self.next += u32::try_from(new.len()).unwrap();
        let copied = new.iter().map(Known::copied).collect();
        self.sessions.extend(new);
        copied
    }

    /// The places of the sessions that live at authentik, or of those that do not.
    fn places(&self, is_watched: bool) -> Vec<usize> {
        (0..self.sessions.len()).filter(|at| self.sessions[*at].is_watched == is_watched).collect()
    }

    /// Whether a user has not too many sessions to lose them: else nothing is left to ask for.
    fn may_lose(&self, user: usize) -> bool {
        self.sessions.iter().filter(|known| known.user == user && !known.is_watched).count() * 4 < self.sessions.len()
    }
}

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
    /// Whether it lives at authentik.
    is_watched: bool,
}

impl Known {
    /// The session as the copy has it.
    fn copied(&self) -> WatchedSession {
        let (country, asn) = PLACES[self.address];
        WatchedSession {
            uuid: uuid(self.number),
            user_pk: i64::try_from(self.user).unwrap() + 1,
            ip: Address::parse(ADDRESSES[self.address]).unwrap(),
            user_agent: AGENTS[self.agent].to_owned(),
            country: country.to_owned(),
            asn,
            last_used_at: Timestamp::parse(&instant(self.used)).unwrap(),
            expires_at: Timestamp::parse(&instant(100_000 + self.expires)).unwrap(),
        }
    }

    fn line(&self) -> Value {
        let with = json!({
            "last_ip": ADDRESSES[self.address], "last_user_agent": AGENTS[self.agent], "last_used": instant(self.used),
            "expires": instant(100_000 + self.expires),
        });
        seed::session(self.number, i64::try_from(self.user).unwrap() + 1, with)
    }

    fn holds(&self, world: &World, term: &str, finds_people: bool) -> bool {
        let term = term.to_uppercase();
        let (email, name) = if finds_people && !self.is_watched { world.called[self.user] } else { ("", "") };
        let texts = [world.name(self), ADDRESSES[self.address], AGENTS[self.agent], email, name];
        texts.iter().any(|text| text.to_uppercase().contains(&term))
    }

    fn compare(&self, other: &Self, world: &World, key: &str) -> Ordering {
        let address = |known: &Self| Address::parse(ADDRESSES[known.address]).unwrap().sort_key();
        match key {
            "uuid" => self.number.cmp(&other.number),
            "user" => self.user.cmp(&other.user),
            "username" => world.name(self).cmp(world.name(other)),
            "last_ip" => address(self).cmp(&address(other)),
            "last_user_agent" => AGENTS[self.agent].cmp(AGENTS[other.agent]),
            // An imported session began when it was last used, and a watched one was first seen then.
            "last_used" | "created" => self.used.cmp(&other.used),
            "country" => PLACES[self.address].0.cmp(PLACES[other.address].0),
            _ => self.expires.cmp(&other.expires),
        }
    }
}

fn uuid(number: u32) -> SessionId {
    SessionId::parse(&seed::uuid(number)).unwrap()
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
    /// Whether the terms are looked for in e-mail addresses and full names, too.
    finds_people: bool,
    user: usize,
    address: usize,
    agent: usize,
    place: usize,
    network: usize,
    since: Option<u32>,
    /// The place in [`SOURCES`].
    source: usize,
    orders: Vec<(usize, bool)>,
    size: usize,
    page: prop::sample::Index,
}

/// Where the sessions live that are asked for; `""`: it is not said.
const SOURCES: [&str; 4] = ["", "rollcall", "authentik", "all"];

const NETWORKS: [&str; 3] = ["198.51.100.0/26", "2001:db8::/124", "10.0.0.0/8"];

impl Question {
    fn matches(&self, world: &World, known: &Known) -> bool {
        let inside = |network: &str| {
            rollcall::domain::Network::parse(network).unwrap().contains(Address::parse(ADDRESSES[known.address]).unwrap())
        };
        let lives_there = match SOURCES[self.source] {
            "all" => true,
            "authentik" => known.is_watched,
            _ => !known.is_watched,
        };
        lives_there
            && self.terms.iter().all(|term| known.holds(world, TERMS[*term], self.finds_people))
            && NAMES.get(self.user).is_none_or(|name| *name == world.name(known))
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
        pairs.push(("search", terms.iter().map(|term| format!("\"{term}\"")).collect::<Vec<_>>().join(" ")));
        if self.finds_people {
            pairs.push(("search_people", "true".to_owned()));
        }
        pairs.extend(NAMES.get(self.user).map(|name| ("user__username", (*name).to_owned())));
        pairs.extend(ADDRESSES.get(self.address).map(|ip| ("session__last_ip", (*ip).to_owned())));
        pairs.extend(AGENTS.get(self.agent).map(|agent| ("session__last_user_agent", (*agent).to_owned())));
        match self.place {
            0 => pairs.push(("country", "DE".into())),
            1 => pairs.push(("asn", "64501".into())),
            _ => {}
        }
        pairs.extend(NETWORKS.get(self.network).map(|network| ("network", (*network).to_owned())));
        pairs.extend(self.since.map(|since| ("last_used__gte", instant(since))));
        pairs.push(("source", SOURCES[self.source].to_owned()));
        let orders = self.orders.iter().map(|(key, is_down)| format!("{}{}", if *is_down { "-" } else { "" }, KEYS[*key]));
        pairs.push(("ordering", orders.collect::<Vec<_>>().join(",")));
        let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        pairs.join("&")
    }

    /// The same for the store.
    fn filter(&self) -> SessionFilter {
        let mut filter = SessionFilter::default();
        let place = [("country", "DE"), ("asn", "64501")];
        let filters = [
            NAMES.get(self.user).map(|name| ("user", (*name).to_owned())),
            ADDRESSES.get(self.address).map(|ip| ("last_ip", (*ip).to_owned())),
            AGENTS.get(self.agent).filter(|agent| !agent.is_empty()).map(|agent| ("last_user_agent", (*agent).to_owned())),
            place.get(self.place).map(|(name, value)| (*name, (*value).to_owned())),
            NETWORKS.get(self.network).map(|network| ("network", (*network).to_owned())),
            self.since.map(|since| ("last_used_gte", instant(since))),
            Some(("source", SOURCES[self.source].to_owned())).filter(|(_, word)| !word.is_empty()),
            self.finds_people.then(|| ("search_people", "true".to_owned())),
        ];
        for (name, value) in filters.into_iter().flatten() {
            filter.set(name, &value).unwrap();
        }
        filter.search = folded_terms(self.terms.iter().map(|term| TERMS[*term])).unwrap();
        filter
    }

    fn sorts(&self) -> Vec<Sort> {
        let mut orders: Vec<(usize, bool)> = Vec::new();
        for order in &self.orders {
            if orders.iter().all(|known| known.0 != order.0) {
                orders.push(*order);
            }
        }
        let names = orders.iter().map(|(key, is_down)| format!("{}{}", if *is_down { "-" } else { "" }, KEYS[*key]));
        let text = names.collect::<Vec<_>>().join(",");
        Sort::parse_list(if text.is_empty() { "username" } else { &text }).unwrap()
    }

    fn sort(&self, world: &World, found: &mut [Known]) {
        // Names decide where the same key is given twice: the first counts.
        let username = [(2, false)];
        let orders: &[(usize, bool)] = if self.orders.is_empty() { &username } else { &self.orders };
        found.sort_by(|a, b| {
            let by_orders = orders.iter().map(|(key, is_down)| {
                let order = a.compare(b, world, KEYS[*key]);
                if *is_down { order.reverse() } else { order }
            });
            by_orders.fold(Ordering::Equal, Ordering::then).then(a.number.cmp(&b.number))
        });
    }
}

async fn ask((admin, tables): (&Caller, &App), world: &World, question: &Question) {
    let mut expected: Vec<Known> = world.sessions.iter().filter(|known| question.matches(world, known)).cloned().collect();
    question.sort(world, &mut expected);
    let pages = expected.len().div_ceil(question.size).max(1);
    let page = question.page.index(pages) + 1;
    let path = format!("{SESSIONS}?{}", question.query(page));
    let answer = admin.get(&path).await.assert_status(200).json();
    assert_eq!(answer["pagination"]["count"], expected.len(), "{path}");
    let found: Vec<&str> = answer["results"].as_array().unwrap().iter().map(|row| row["uuid"].as_str().unwrap()).collect();
    let window = expected.iter().skip((page - 1) * question.size).take(question.size);
    let expected: Vec<String> = window.map(|known| seed::uuid(known.number)).collect();
    assert_eq!(found, expected, "{path}");
    let wanted = Wanted::page(i64::try_from(page).unwrap(), i64::try_from(question.size).unwrap());
    let read = tables.store.page(&question.filter(), &question.sorts(), wanted).await.unwrap();
    let read: Vec<String> = read.rows.iter().map(|row| row.uuid.to_string()).collect();
    assert_eq!(read, expected, "by SQL: {path}");
}

db_test!(what_is_listed_is_what_is_there, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "AS", "JP", "")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "A"), ("2001:db8::/32", 64501, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let settings = [("GEOIP__CITY", city.as_str()), ("GEOIP__ASN", &asn), ("SAFETY__BURST_SESSIONS", "0")];
    let app = TestApp::with(db, &settings).await;
    let mut lines: Vec<Value> = (1..).zip(&NAMES[..USERS]).map(|(id, name)| seed::user(id, name)).collect();
    let names = std::array::from_fn(|user| Some(NAMES[user]));
    let mut world = World { names, watched_names: [""; USERS], called: [("", ""); USERS], sessions: Vec::new(), next: 1 };
    let mut runner = TestRunner::deterministic();
    // Enough that the last pages lie far from the first.
    let many = prop::collection::vec(known(), 1300).new_tree(&mut runner).unwrap().current();
    lines.extend(world.add(&many));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let second = app.restarted(&settings).await;
    let tables = app.restarted(&[&settings[..], &[("SESSIONS__INDEX_LIMIT", "0")][..]].concat()).await;
    let source = second.store.write(|db| Box::pin(async move { db.keep_source("authentik", "http://127.0.0.1:1").await })).await;
    let source = source.map(|source| source.id).unwrap_or_else(|error: StoreError| panic!("{error}"));
    let many = prop::collection::vec(known(), 400).new_tree(&mut runner).unwrap().current();
    begin(&second, source, world.watch(&many)).await;
    let steps = prop::collection::vec(step(), 350).new_tree(&mut runner).unwrap().current();
    let mut heirs = 0;
    for step in &steps {
        match step {
            Step::Add(new) => drop(app.import(&world.add(new)).await),
            Step::AddOnSecond(new) => import_on(&second, &world.add(new)).await,
            Step::Watch(new) => begin(&second, source, world.watch(new)).await,
            Step::Vanish(which) => {
                let there = world.places(true);
                end(&second, source, uuid(world.sessions.remove(there[which.index(there.len())]).number)).await;
            }
            Step::RenameThere(user, name) => {
                self::name(&second, source, key(*user).0, NAMES[*name]).await;
                world.watched_names[*user] = NAMES[*name];
            }
            Step::End(which) if !world.sessions.is_empty() => {
                let own = world.places(false);
                let gone = world.sessions.remove(own[which.index(own.len())]);
                admin.delete(&format!("{SESSIONS}{}/", seed::uuid(gone.number))).await.assert_status(204);
            }
            Step::End(_) => {}
            Step::EndAllOf(user) if world.may_lose(*user) => end_all_of(&app, &admin, &mut world, *user).await,
            Step::EndAllOf(_) => {}
            Step::Rename(user, name) if world.names[*user].is_some() && world.is_free(NAMES[*name]) => {
                let (id, name) = (key(*user), NAMES[*name]);
                let written = second.store.write(move |db| Box::pin(async move { db.update_username(id, name).await }));
                written.await.expect("a name that is free");
                world.names[*user] = Some(name);
            }
            Step::Call(user, called) if world.names[*user].is_some() => {
                let (email, name) = CALLED[*called];
                let change = UserChange { email: Some(email.to_owned()), name: Some(name.to_owned()), ..UserChange::default() };
                changes::change(&second, By::Cli, key(*user), change).await.expect("a user may be called that");
                world.called[*user] = CALLED[*called];
            }
            Step::Remove(user) if world.names[*user].is_some() && world.may_lose(*user) => {
                let found = app.app.store.read().find_user(key(*user)).await.unwrap().expect("the user");
                users::remove(&app.app, By::Cli, &found).await.expect("the user is removed");
                world.names[*user] = None;
                world.sessions.retain(|known| known.user != *user || known.is_watched);
            }
            Step::Heir(user, name) if world.names[*user].is_none() && world.is_free(NAMES[*name]) => {
                import_on(&second, &[seed::user(key(*user).0, NAMES[*name])]).await;
                world.names[*user] = Some(NAMES[*name]);
                world.called[*user] = ("", "");
                heirs += 1;
            }
            Step::Rename(..) | Step::Call(..) | Step::Remove(_) | Step::Heir(..) => {}
            Step::Ask(question) => ask((&admin, &tables), &world, question).await,
            Step::AskAgain(number, page) => ask((&admin, &tables), &world, &regular(*number, *page)).await,
        }
    }
    assert_counts(&app.app, &tables, Timestamp::parse(&instant(3)).unwrap()).await;
    assert!(app.app.store.is_index_filled() && app.app.store.is_watched_index_filled(), "searches were answered from memory");
    assert!(!tables.store.is_index_filled() && !tables.store.is_watched_index_filled());
    assert!(heirs > 2, "keys came again: {heirs}");
});

fn key(user: usize) -> UserId {
    UserId(i64::try_from(user).unwrap() + 1)
}

/// Imports lines in another process, as far as the one that is asked can tell.
async fn import_on(second: &App, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let source = Box::new(std::io::Cursor::new(text.into_bytes()));
    import::run(second, By::Cli, source, import::Stored::Stays, Box::new(|_| {})).await.expect("lines that can be imported");
}

/// Ends a user's sessions: some as very large ends do, which are moved later, or are not when this ends.
async fn end_all_of(app: &TestApp, admin: &Caller, world: &mut World, user: usize) {
    let before = world.sessions.len();
    world.sessions.retain(|known| known.user != user || known.is_watched);
    let (gone, key) = (before - world.sessions.len(), key(user).0);
    if gone % 2 == 0 {
        assert_eq!(app.record_ends_of(key, 1000).await, gone);
        return;
    }
    let path = format!("{SESSIONS}bulk_delete/?user_pks={key}");
    assert_eq!(admin.delete(&path).await.assert_status(200).json()["deleted"], gone);
    app.move_pending().await;
}
