//! Pages of events and of ended sessions: the right rows in the right order, whatever the filter, and numbers that are
//! exact up to a bound and lead on to the end beyond it.

use fastrand::Rng;
use rollcall::domain::event::{EventContent, FailedStage};
use rollcall::domain::listing::{EndedFilter, EndedSortKey, SessionFilter, Sort, SortKey};
use rollcall::domain::page::{Found, Wanted};
use rollcall::domain::session::Lifetime;
use rollcall::domain::{Address, EndReason, HashedSecret, Methods, Network, SessionId, Timestamp, UserId, UserKey};
use rollcall::store::events::query::{EventOrder, EventQuery};
use rollcall::store::events::rows::NewEvent;
use rollcall::store::sessions::history::{End, PastSession};
use rollcall::store::sessions::rows::{NewSession, Origin};
use rollcall::store::{Listed, Store, StoreError};
use uuid::Uuid;

use crate::support::{TestApp, TestDb};

const START: i64 = 1_790_000_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp(START + second * 1_000_000)
}

fn person(n: u32) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(n))
}

fn event(content: EventContent, second: i64, (actor, user): (Option<u32>, u32), ip: &str) -> NewEvent {
    NewEvent {
        at: at(second),
        content,
        actor: actor.map(|n| UserKey::Uuid(person(n))),
        actor_name: actor.map_or("anonymous".to_owned(), |n| format!("user-{n}")),
        user: Some(UserKey::Uuid(person(user))),
        username: format!("user-{user}"),
        ip: ip.to_owned(),
        request_id: String::new(),
        session: Some(SessionId(Uuid::from_u128(0x2000 + u128::from(user)))),
        parent: None,
        application: String::new(),
    }
}

async fn insert_events(store: &Store, events: Vec<NewEvent>) {
    let added: Result<(), StoreError> = store.write(move |db| Box::pin(async move { db.insert_events(&events).await })).await;
    added.unwrap();
}

/// All pages, one after the other as `next` leads, and whether the number of rows on the last one is exact and theirs.
async fn walk<Q: Listed>(store: &Store, question: &Q, order: &[Sort<Q::Key>], size: i64, id: impl Fn(&Q::Row) -> i64) -> Vec<i64> {
    let (mut all, mut number) = (Vec::new(), 1);
    loop {
        let found = store.page(question, order, Wanted::page(number, size)).await.unwrap();
        assert!(found.is_there(), "page {number}");
        all.extend(found.rows.iter().map(&id));
        if number == found.pages {
            assert!(found.is_exact, "the last page knows that it is the last");
            assert_eq!(found.count, i64::try_from(all.len()).unwrap());
            return all;
        }
        assert_eq!(found.rows.len(), usize::try_from(size).unwrap(), "page {number} is full: there is a next one");
        number += 1;
    }
}

fn numbers<R>(found: &Found<R>) -> (i64, bool, usize) {
    (found.count, found.is_exact, found.rows.len())
}

db_test!(numbers_of_events_are_exact_up_to_a_bound_and_pages_lead_to_the_end, |db| async move {
    let app = TestApp::new(db).await;
    let store = &app.app.store;
    for block in 0..15 {
        let events = (0..500).map(|n| {
            let nth = block * 500 + n;
            let content = if nth % 5 == 0 { EventContent::SignOut {} } else { EventContent::SignIn { methods: "pwd".into() } };
            event(content, nth, (Some(1), 2), "192.0.2.1")
        });
        insert_events(store, events.collect()).await;
    }
    let latest = [Sort { key: EventOrder::At, is_descending: true }];
    // An index alone has them: 5,000 beyond the page are counted.
    let of_address = EventQuery { ip: Some("192.0.2.1".into()), ..EventQuery::default() };
    let page = async |query: &EventQuery, wanted: Wanted| numbers(&store.page(query, &latest, wanted).await.unwrap());
    assert_eq!(page(&of_address, Wanted::page(1, 100)).await, (5_100, false, 100));
    assert_eq!(page(&of_address, Wanted::page(20, 100)).await, (7_000, false, 100));
    assert_eq!(page(&of_address, Wanted::page(25, 100)).await, (7_500, false, 100), "as many as are counted: there may be more");
    assert_eq!(page(&of_address, Wanted::page(26, 100)).await, (7_500, true, 100));
    assert_eq!(page(&of_address, Wanted::page(75, 100)).await, (7_500, true, 100));
    assert_eq!(page(&of_address, Wanted::page(76, 100)).await, (7_500, true, 0));
    assert_eq!(page(&of_address, Wanted::last(400)).await, (7_500, true, 300));
    assert_eq!(page(&of_address, Wanted::page_or_last(9_999, 400)).await, (7_500, true, 300));
    // Rows are read for the others: 1,000 beyond the page.
    let by_name = EventQuery { username: Some("user-1".into()), ..EventQuery::default() };
    assert_eq!(page(&by_name, Wanted::page(1, 100)).await, (1_100, false, 100));
    assert_eq!(page(&by_name, Wanted::last(100)).await, (7_500, true, 100));
    let two = EventQuery { kinds: Some(vec!["sign_out".into()]), ..of_address.clone() };
    let (count, is_exact, rows) = page(&two, Wanted::page(1, 100)).await;
    assert!((101..1_500).contains(&count) && !is_exact && rows == 100, "{count}");
    assert_eq!(page(&two, Wanted::last(100)).await, (1_500, true, 100));
    assert_eq!(page(&two, Wanted::page(16, 100)).await, (1_500, true, 0));
    // Kinds alone have counters.
    let kinds = EventQuery { kinds: Some(vec!["sign_out".into(), "sign_in".into()]), ..EventQuery::default() };
    assert_eq!(page(&kinds, Wanted::page(1, 100)).await, (7_500, true, 100));
    for query in [&of_address, &by_name, &two, &kinds] {
        let newest = walk(store, query, &latest, 1_000, |row| row.id).await;
        assert_eq!(newest.len(), if query == &two { 1_500 } else { 7_500 });
        assert!(newest.is_sorted_by(|a, b| a > b), "they happened one after the other");
    }
});

/// An event as the model has it.
struct Known {
    id: i64,
    event: NewEvent,
}

fn matches(query: &EventQuery, event: &NewEvent) -> bool {
    let kind = event.content.kind();
    let is_failed = ["sign_in_failed", "sign_in_refused", "factor_failed"].contains(&kind);
    let is_of = |name: &String| (event.actor.is_some() && event.actor_name == *name) || (is_failed && event.username == *name);
    query.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
        && query.username.as_ref().is_none_or(is_of)
        && query.actor.as_ref().is_none_or(|actor| event.actor_name == *actor)
        && query.parent.is_none_or(|parent| event.parent == Some(parent))
        && (!query.is_whole || event.parent.is_none())
        && query.ip.as_ref().is_none_or(|ip| event.ip == *ip)
        && query.user.is_none_or(|user| matches!(event.user, Some(UserKey::Uuid(uuid)) if uuid == user))
        && query.session.is_none_or(|session| event.session == Some(SessionId(session)))
        && query.from.is_none_or(|from| event.at >= from)
        && query.after.is_none_or(|after| event.at > after)
        && query.to.is_none_or(|to| event.at <= to)
        && query.before.is_none_or(|before| event.at < before)
}

db_test!(pages_of_events_are_those_of_a_plain_reading, |db| async move {
    let app = TestApp::new(db).await;
    let store = &app.app.store;
    let mut rng = Rng::with_seed(21);
    let events: Vec<NewEvent> = (0..400)
        .map(|n| {
            let content = match rng.u8(..4) {
                0 => EventContent::SignIn { methods: "pwd".into() },
                1 => EventContent::SignInFailed { stage: FailedStage::Password, why: String::new() },
                2 => EventContent::SignOut {},
                _ => EventContent::SessionExpired {},
            };
            let actor = (rng.u8(..3) > 0).then(|| rng.u32(..4));
            let ip = ["", "192.0.2.1", "192.0.2.2"][rng.usize(..3)];
            // Many at one instant, and some that were written late.
            let parent = (rng.u8(..4) == 0).then(|| rng.i64(1..4));
            event(content, n / 5 - rng.i64(0..10), (actor, rng.u32(..4)), ip).part_of(parent)
        })
        .collect();
    insert_events(store, events.clone()).await;
    let rows = store.read().list_events(0, 10_000).await.unwrap();
    let ids: Vec<(i64, i64)> = rows.iter().map(|row| (row.id, row.at.0)).collect();
    let first = ids.iter().find(|(_, at)| *at < START + 1_000_000_000).map(|(id, _)| *id).unwrap();
    let known: Vec<Known> = events.into_iter().zip(first..).map(|(event, id)| Known { id, event }).collect();
    for _ in 0..60 {
        let mut query = EventQuery { from: Some(at(-20)), to: Some(at(1_000)), ..EventQuery::default() };
        if rng.bool() {
            let all = ["sign_in", "sign_in_failed", "sign_out", "session_expired", "nothing"];
            query.kinds = Some(all.into_iter().filter(|_| rng.bool()).map(str::to_owned).collect());
        }
        query.username = (rng.u8(..3) == 0).then(|| format!("user-{}", rng.u32(..5)));
        query.ip = (rng.u8(..3) == 0).then(|| "192.0.2.1".to_owned());
        query.user = (rng.u8(..4) == 0).then(|| person(rng.u32(..5)));
        query.session = (rng.u8(..6) == 0).then(|| Uuid::from_u128(0x2000 + u128::from(rng.u32(..4))));
        query.actor = (rng.u8(..6) == 0).then(|| ["user-1", "anonymous"][rng.usize(..2)].to_owned());
        query.parent = (rng.u8(..6) == 0).then(|| rng.i64(1..4));
        query.is_whole = rng.u8(..3) == 0;
        query.after = (rng.u8(..4) == 0).then(|| at(rng.i64(0..80)));
        query.before = (rng.u8(..4) == 0).then(|| at(rng.i64(0..80)));
        let is_descending = rng.bool();
        let mut want: Vec<&Known> = known.iter().filter(|known| matches(&query, &known.event)).collect();
        let size = rng.i64(1..60);
        want.sort_by_key(|known| (known.event.at, known.id));
        if is_descending {
            want.reverse();
        }
        let want: Vec<i64> = want.iter().map(|known| known.id).collect();
        let order = [Sort { key: EventOrder::At, is_descending }];
        assert_eq!(walk(store, &query, &order, size, |row| row.id).await, want, "{query:?} {order:?}");
        let last = store.page(&query, &order, Wanted::last(size)).await.unwrap();
        let step = usize::try_from(size).unwrap();
        assert_eq!(last.rows.iter().map(|row| row.id).collect::<Vec<_>>(), want.chunks(step).last().unwrap_or_default());
        // Another order: the rows are the same.
        let order = [Sort { key: EventOrder::Ip, is_descending }];
        let mut found = walk(store, &query, &order, size, |row| row.id).await;
        found.sort_unstable();
        let mut want = want;
        want.sort_unstable();
        assert_eq!(found, want, "{query:?} {order:?}");
        // As they come, the same pass.
        let passed: Vec<i64> = rows.iter().filter(|row| query.matches(row)).map(|row| row.id).collect();
        assert_eq!(passed, want, "{query:?}");
    }
});

/// An ended session as the model has it, with the number that its user agent has.
fn past(rng: &mut Rng, users: u32, agents: &[i64], n: i64) -> PastSession {
    let (user, ended) = (rng.u32(..users), n / 6);
    let used = ended - rng.i64(0..30);
    let country = ["DE", "FR", ""][rng.usize(..3)];
    let by = rng.bool().then(|| UserKey::Uuid(person(user)));
    let session = NewSession {
        uuid: SessionId(Uuid::from_u128(0x3000 + u128::from(n.unsigned_abs()) % 390)),
        key_hash: HashedSecret([0; 32]),
        user: UserId(0),
        created_at: at(used - 100),
        last_used_at: at(used),
        lifetime: Lifetime { idle_timeout: None, absolute_expires_at: at(ended + 1_000) },
        origin: Origin {
            ip: Address::parse(&format!("192.0.{}.{}", rng.u8(..2), rng.u8(..6))).unwrap(),
            user_agent_id: agents[rng.usize(..agents.len())],
            country: country.to_owned(),
            asn: (rng.bool()).then(|| 64_500 + rng.i64(0..2)),
        },
        methods: Methods::default(),
        is_known_device: false,
        is_remembered: false,
    };
    let by_name = if by.is_some() { format!("user-{user}") } else { "system".to_owned() };
    let reason = [EndReason::Expired, EndReason::SignedOut, EndReason::Revoked][rng.usize(..3)];
    let end = End { at: at(ended), by, by_name, reason, comment: String::new() };
    PastSession { session, user_uuid: person(user), username: format!("user-{user}"), end }
}

fn matches_ended(filter: &EndedFilter, agents: &[i64], past: &PastSession) -> bool {
    let PastSession { session, username, end, .. } = past;
    let EndedFilter { session: asked, .. } = filter;
    let agent = ["curl/8.14.1", "Thing/7", "Other/9"][agents.iter().position(|id| *id == session.origin.user_agent_id).unwrap()];
    let has = |term: &String| username.to_uppercase().contains(term) || agent.to_uppercase().contains(term);
    filter.reason.is_none_or(|reason| reason == end.reason)
        && filter.ended_by.as_ref().is_none_or(|name| *name == end.by_name)
        && filter.ended_gte.is_none_or(|from| end.at >= from)
        && filter.ended_lte.is_none_or(|to| end.at <= to)
        && asked.username.as_ref().is_none_or(|name| name == username)
        && asked.country.as_ref().is_none_or(|country| *country == session.origin.country)
        && asked.asn.is_none_or(|asn| session.origin.asn == Some(asn))
        && asked.last_ip.is_none_or(|ip| ip == session.origin.ip)
        && asked.user_agent.as_ref().is_none_or(|text| text == agent)
        && asked.network.is_none_or(|network| {
            let (low, high) = network.key_range();
            (low..=high).contains(&session.origin.ip.sort_key())
        })
        && asked.last_used_gte.is_none_or(|from| session.last_used_at >= from)
        && asked.last_used_lte.is_none_or(|to| session.last_used_at <= to)
        && asked.created_lte.is_none_or(|to| session.created_at <= to)
        && asked.search.iter().all(has)
}

fn any_filter(rng: &mut Rng) -> EndedFilter {
    let used = rng.i64(0..60);
    let has_used = rng.u8(..5) == 0;
    let session = SessionFilter {
        username: (rng.u8(..5) == 0).then(|| "user-2".to_owned()),
        country: (rng.u8(..5) == 0).then(|| "DE".to_owned()),
        asn: (rng.u8(..6) == 0).then_some(64_501),
        last_ip: (rng.u8(..6) == 0).then(|| Address::parse("192.0.1.3").unwrap()),
        network: (rng.u8(..5) == 0).then(|| Network::parse("192.0.1.0/24").unwrap()),
        last_used_gte: has_used.then(|| at(used)),
        last_used_lte: (has_used && rng.bool()).then(|| at(used + 10)),
        created_lte: (rng.u8(..5) == 0).then(|| at(used - 80)),
        user_agent: (rng.u8(..6) == 0).then(|| "Thing/7".to_owned()),
        search: if rng.u8(..4) == 0 {
            vec![["R-3", "CURL", "HING", "NOBODY", "USER-"][rng.usize(..5)].to_owned()]
        } else {
            Vec::new()
        },
        ..SessionFilter::default()
    };
    EndedFilter {
        session,
        reason: (rng.u8(..4) == 0).then_some(EndReason::SignedOut),
        ended_by: (rng.u8(..5) == 0).then(|| ["system", "user-1"][rng.usize(..2)].to_owned()),
        ended_gte: (rng.u8(..4) == 0).then(|| at(rng.i64(0..60))),
        ended_lte: (rng.u8(..4) == 0).then(|| at(rng.i64(0..60))),
    }
}

db_test!(pages_of_ended_sessions_are_those_of_a_plain_reading, |db| async move {
    ended_pages_are_those_of_a_plain_reading(db, 4).await
});

// More than are looked up one by one where a word is part of all names.
db_test!(
    pages_of_ended_sessions_of_many_users_are_too,
    |db| async move { ended_pages_are_those_of_a_plain_reading(db, 150).await }
);

async fn ended_pages_are_those_of_a_plain_reading(db: TestDb, users: u32) {
    let app = TestApp::new(db).await;
    let store = &app.app.store;
    let line = |n| serde_json::json!({"kind": "user", "username": format!("user-{n}"), "uuid": person(n).to_string()});
    app.import(&(0..users).map(line).collect::<Vec<_>>()).await;
    let parser = std::sync::Arc::clone(&app.app.user_agents);
    let mut agents = Vec::new();
    for text in ["curl/8.14.1", "Thing/7", "Other/9"] {
        let parser = std::sync::Arc::clone(&parser);
        let id: Result<i64, StoreError> = store
            .write(move |db| Box::pin(async move { db.insert_user_agent(text, &parser.parse(text), &parser.fingerprint()).await }))
            .await;
        agents.push(id.unwrap());
    }
    let mut rng = Rng::with_seed(22);
    let sessions: Vec<PastSession> = (0..400).map(|n| past(&mut rng, users, &agents, n)).collect();
    let added = sessions.clone();
    let stored: Result<(), StoreError> =
        store.write(move |db| Box::pin(async move { db.insert_past_sessions(&added).await })).await;
    stored.unwrap();
    app.assert_counts().await;
    // A session may have ended twice, so rows are named by all that the list shows of them.
    let name = |uuid: SessionId, at: Timestamp| (uuid.0, at.0);
    let all = store.read().list_ended_after(0, 10_000).await.unwrap();
    let id_of = |row: &rollcall::store::sessions::history_list::EndedListRow| {
        all.iter().find(|(_, other)| name(other.end.uuid, other.end.ended_at) == name(row.end.uuid, row.end.ended_at)).unwrap().0
    };
    let key = |past: &PastSession, id: i64| (past.end.at, id);
    for _ in 0..60 {
        let (filter, size, is_descending) = (any_filter(&mut rng), rng.i64(1..70), rng.bool());
        let known = sessions.iter().zip(all.iter().map(|(id, _)| *id));
        let mut want: Vec<(&PastSession, i64)> = known.filter(|(past, _)| matches_ended(&filter, &agents, past)).collect();
        want.sort_by_key(|(past, id)| key(past, *id));
        if is_descending {
            want.reverse();
        }
        let ids: Vec<i64> = want.iter().map(|(_, id)| *id).collect();
        let order = [Sort { key: EndedSortKey::Ended, is_descending }];
        assert_eq!(walk(store, &filter, &order, size, id_of).await, ids, "{filter:?} {order:?}");
        let last = store.page(&filter, &order, Wanted::last(size)).await.unwrap();
        let step = usize::try_from(size).unwrap();
        assert_eq!(last.rows.iter().map(id_of).collect::<Vec<_>>(), ids.chunks(step).last().unwrap_or_default(), "{filter:?}");
        want.sort_by(|(one, one_id), (other, other_id)| {
            let by = |past: &PastSession, id: i64| (past.session.last_used_at, past.end.at, id);
            by(one, *one_id).cmp(&by(other, *other_id))
        });
        let order = [Sort { key: EndedSortKey::Session(SortKey::LastUsed), is_descending: false }];
        let ids: Vec<i64> = want.iter().map(|(_, id)| *id).collect();
        assert_eq!(walk(store, &filter, &order, size, id_of).await, ids, "{filter:?} {order:?}");
        // Pages that begin where the last one stopped give the same.
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.ended_page(&filter, after, size).await.unwrap();
            paged.extend(page.rows.iter().map(|(key, _)| key.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut newest: Vec<(&PastSession, i64)> = want;
        newest.sort_by_key(|(past, id)| std::cmp::Reverse(key(past, *id)));
        assert_eq!(paged, newest.iter().map(|(_, id)| *id).collect::<Vec<_>>(), "{filter:?}");
    }
}
