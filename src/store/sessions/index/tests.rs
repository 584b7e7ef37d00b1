//! Pages, counts and searches of the index against a model that looks at every session.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use crate::domain::listing::{Facts, SessionFilter, SessionRow, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::{Address, Method, Methods, SessionId, Timestamp, UserId};
use crate::store::sessions::index::table::KEYS;
use crate::store::sessions::index::{Agent, Changes, Effort, Entry, Names, Question, SessionIndex};

const COUNTRIES: [&str; 3] = ["", "DE", "JP"];
/// Names that users may get.
const NAMES: [&str; 6] = ["ada", "ada.b", "bob", "zoe", "Adam", "nada"];

/// The methods that sessions may be signed in with.
const METHODS: [&[Method]; 3] = [&[], &[Method::Password], &[Method::Password, Method::OneTimeCode]];

/// A session, made of one number.
fn row(id: i64, seed: u64) -> Entry {
    let part = |shift: u32, below: i64| i64::try_from(seed >> shift & 0xffff).unwrap() % below;
    Entry {
        id,
        uuid: SessionId(Uuid::from_u128(u128::from(id.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32)),
        user_id: part(0, 4),
        user_agent_id: part(4, 3),
        last_ip: Address::parse(&format!("198.51.100.{}", part(8, 200))).unwrap(),
        country: COUNTRIES[usize::try_from(part(16, 3)).unwrap()].to_owned(),
        asn: Some(part(20, 3)).filter(|asn| *asn > 0),
        // Many share an instant.
        last_used_at: Timestamp(part(24, 300)),
        expires_at: Timestamp(part(32, 40)),
        created_at: Timestamp(part(40, 5000)),
        facts: Facts::new(
            part(48, 2) > 0,
            METHODS[usize::try_from(part(4, 3)).unwrap()].iter().fold(Methods::default(), |all, method| all.with(*method)),
        ),
    }
}

/// What lists show of it.
fn listed(row: &Entry) -> SessionRow {
    SessionRow {
        uuid: row.uuid,
        user_id: UserId(row.user_id),
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
        last_ip: row.last_ip,
        user_agent_id: row.user_agent_id,
        is_remembered: row.facts.is_remembered(),
        source: None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The session with this number comes or changes.
    Put(i64, u64),
    /// All in this range that leave this rest are gone.
    Remove(i64, i64),
    /// A user gets another name.
    Rename(i64, usize),
    List(Box<SessionFilter>, Vec<Sort>, prop::sample::Index, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let sort = (prop::sample::select(KEYS.to_vec()), any::<bool>()).prop_map(|(key, is_descending)| Sort { key, is_descending });
    // Few filters and orders, so that the same are asked for again.
    let filter = prop_oneof![
        Just(SessionFilter::default()),
        Just(SessionFilter { country: Some("DE".into()), ..SessionFilter::default() }),
        Just(SessionFilter { asn: Some(2), ..SessionFilter::default() }),
        Just(SessionFilter { user: Some(UserId(2)), ..SessionFilter::default() }),
        Just(SessionFilter { methods: Some(Method::OneTimeCode), ..SessionFilter::default() }),
        Just(SessionFilter { search: vec!["ADA".into()], ..SessionFilter::default() }),
        Just(SessionFilter { last_used_gte: Some(Timestamp(150)), ..SessionFilter::default() }),
        Just(SessionFilter { last_used_gte: Some(Timestamp(50)), created_lte: Some(Timestamp(100)), ..SessionFilter::default() }),
    ];
    prop_oneof![
        3 => (0..4500_i64, any::<u64>()).prop_map(|(id, seed)| Step::Put(id, seed)),
        1 => (0..4_i64, 0..NAMES.len()).prop_map(|(user, name)| Step::Rename(user, name)),
        1 => (0..4500_i64, 1..40_i64).prop_map(|(from, step)| Step::Remove(from, step)),
        4 => (filter, prop::collection::vec(sort, 1..3), any::<prop::sample::Index>(), prop::sample::select(vec![1_i64, 20, 100]))
            .prop_map(|(filter, sorts, page, size)| Step::List(Box::new(filter), sorts, page, size)),
    ]
}

fn matches(names: &[&str], row: &Entry, filter: &SessionFilter) -> bool {
    let name = names[usize::try_from(row.user_id).unwrap()].to_uppercase();
    filter.country.as_ref().is_none_or(|country| *country == row.country)
        && filter.asn.is_none_or(|asn| row.asn == Some(asn))
        && filter.user.is_none_or(|user| user.0 == row.user_id)
        && filter.methods.is_none_or(|method| row.facts.has_method(method))
        && filter.search.iter().all(|term| name.contains(term.as_str()))
        && filter.last_used_gte.is_none_or(|from| row.last_used_at >= from)
        && filter.created_lte.is_none_or(|to| row.created_at <= to)
}

fn compare(names: &[&str], a: &Entry, b: &Entry, sorts: &[Sort]) -> Ordering {
    let name = |row: &Entry| names[usize::try_from(row.user_id).unwrap()];
    let by_sorts = sorts.iter().map(|sort| {
        let order = match sort.key {
            SortKey::Uuid => a.uuid.cmp(&b.uuid),
            SortKey::User => a.user_id.cmp(&b.user_id),
            SortKey::Username => name(a).cmp(name(b)),
            // Their texts are in the order of their numbers.
            SortKey::UserAgent => a.user_agent_id.cmp(&b.user_agent_id),
            SortKey::LastIp => a.last_ip.sort_key().cmp(&b.last_ip.sort_key()),
            SortKey::LastUsed => a.last_used_at.cmp(&b.last_used_at),
            SortKey::Expires => a.expires_at.cmp(&b.expires_at),
            SortKey::Created => a.created_at.cmp(&b.created_at),
            SortKey::Country => a.country.cmp(&b.country),
        };
        if sort.is_descending { order.reverse() } else { order }
    });
    by_sorts.fold(Ordering::Equal, Ordering::then).then_with(|| a.uuid.cmp(&b.uuid))
}

fn check(start: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut index = SessionIndex::filling(4000, None);
    let mut names = ["ada", "ada.b", "bob", "zoe"];
    let family = || "any".to_owned();
    let agent = |id| Agent { id, text: format!("agent {id}"), browser: family(), os: family(), device: family() };
    let users = (0..).zip(names).map(|(id, name)| (id, name.to_owned())).collect();
    let mut model: BTreeMap<i64, Entry> =
        (0..4000).map(|id| (id, row(id, start.wrapping_mul(id.unsigned_abs() | 1).rotate_left(17)))).collect();
    index.apply(&Changes {
        names: Names { users, agents: (0..3).map(agent).collect() },
        gone: Vec::new(),
        sessions: model.values().cloned().collect(),
    });
    index.settle();
    for step in steps {
        match step {
            Step::Put(id, seed) => {
                let row = row(*id, *seed);
                index.apply(&Changes { sessions: vec![row.clone()], ..Changes::default() });
                model.insert(*id, row);
            }
            Step::Rename(user, name) => {
                let users = vec![(*user, NAMES[*name].to_owned())];
                index.apply(&Changes { names: Names { users, agents: Vec::new() }, ..Changes::default() });
                names[usize::try_from(*user).unwrap()] = NAMES[*name];
            }
            Step::Remove(from, step) => {
                let gone: Vec<i64> = (*from..from + 500).filter(|id| id % step == 0).collect();
                model.retain(|id, _| !gone.contains(id));
                index.apply(&Changes { gone, ..Changes::default() });
            }
            Step::List(filter, sorts, page, size) => {
                let mut expected: Vec<&Entry> = model.values().filter(|row| matches(&names, row, filter)).collect();
                expected.sort_by(|a, b| compare(&names, a, b, sorts));
                let number = i64::try_from(page.index(expected.len() + 1)).unwrap() / size + 1;
                let question =
                    Question { filter: SessionFilter::clone(filter), user: filter.user, user_agent_id: None, people: None };
                let wanted = Wanted::page(number, *size);
                let first = usize::try_from((number - 1) * size).unwrap();
                let rows = expected.iter().copied().skip(first).take(usize::try_from(*size).unwrap()).map(listed).collect();
                let right = wanted.found(i64::try_from(expected.len()).unwrap(), rows);
                prop_assert_eq!(index.count(&question), right.count);
                let found = index.page(&question, sorts, wanted, Effort::Any);
                prop_assert_eq!(found.as_ref(), Some(&right), "{:?} {:?} {}", filter, sorts, number);
                if let Some(found) = index.page(&question, sorts, wanted, Effort::Little) {
                    prop_assert_eq!(&found, &right, "with little effort: {:?} {:?} {}", filter, sorts, number);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pages_are_those_of_sorting_all_that_match(start in any::<u64>(), steps in prop::collection::vec(step(), 300)) {
        check(start, &steps)?;
    }
}
