//! What happens to the sessions of the model, and what is asked of them: drawn at random.

use proptest::prelude::*;

use super::{ADDRESSES, AGENTS, CALLED, KEYS, Known, NAMES, Question, SOURCES, TERMS, USERS};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Add(Vec<Known>),
    /// By another process, as far as this one can tell.
    AddOnSecond(Vec<Known>),
    End(prop::sample::Index),
    EndAllOf(usize),
    /// A user gets this name, if nobody has it.
    Rename(usize, usize),
    /// A user gets this e-mail address and full name, by another process.
    Call(usize, usize),
    /// A user is removed.
    Remove(usize),
    /// An import brings another user with the key of one who was removed.
    Heir(usize, usize),
    Ask(Question),
    /// Sessions begin at authentik, or end there.
    Watch(Vec<Known>),
    Vanish(prop::sample::Index),
    /// A user of authentik gets a name, which others may have.
    RenameThere(usize, usize),
    /// A repeated question: another page of it, after other writes.
    AskAgain(usize, prop::sample::Index),
}

/// Filters and orders that are asked for again and again: terms, user, place, since, orders, size, source.
type Regular = (&'static [usize], usize, usize, Option<u32>, &'static [(usize, bool)], usize, usize);
const REGULARS: [Regular; 9] = [
    (&[], 19, 0, None, &[(5, true)], 7, 0),
    (&[], 19, 1, None, &[(7, false)], 1, 1),
    (&[6], 19, 9, None, &[(8, true), (5, false)], 20, 0),
    (&[4], 19, 9, Some(10), &[(4, false), (6, true)], 7, 0),
    (&[2], 19, 0, None, &[(8, false)], 7, 0),
    (&[], 3, 9, Some(5), &[(2, true), (5, true)], 1, 0),
    (&[], 19, 9, None, &[(5, true)], 7, 3),
    (&[4], 19, 9, None, &[(8, false), (1, true)], 20, 3),
    (&[], 19, 0, None, &[(2, false)], 7, 2),
];

pub(super) fn regular(number: usize, page: prop::sample::Index) -> Question {
    let (terms, user, place, since, orders, size, source) = REGULARS[number];
    let (terms, orders) = (terms.to_vec(), orders.to_vec());
    let finds_people = number.is_multiple_of(2);
    Question { terms, finds_people, user, address: 9, agent: 9, place, network: 9, since, source, orders, size, page }
}

pub(super) fn known() -> impl Strategy<Value = Known> {
    (0..USERS, 0..ADDRESSES.len(), 0..AGENTS.len(), 0..50_u32, 0..50_u32).prop_map(|(user, address, agent, used, expires)| Known {
        number: 0,
        user,
        address,
        agent,
        used,
        expires,
        is_watched: false,
    })
}

fn question() -> impl Strategy<Value = Question> {
    let orders = prop::collection::vec((0..KEYS.len(), any::<bool>()), 0..3);
    let filters = (0..18_usize, 0..20_usize, 0..14_usize, 0..6_usize, 0..9_usize);
    let page = (prop::sample::select(vec![1_usize, 7, 20, 100]), any::<prop::sample::Index>());
    let since = (prop::option::weighted(0.2, 0..50_u32), 0..SOURCES.len());
    let terms = (prop::collection::vec(0..TERMS.len(), 0..3), any::<bool>());
    (terms, filters, since, orders, page).prop_map(
        |((terms, finds_people), (user, address, agent, place, network), (since, source), orders, (size, page))| Question {
            terms,
            finds_people,
            user,
            address,
            agent,
            place,
            network,
            since,
            source,
            orders,
            size,
            page,
        },
    )
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::collection::vec(known(), 1..20).prop_map(Step::Add),
        1 => prop::collection::vec(known(), 1..20).prop_map(Step::AddOnSecond),
        3 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (0..USERS).prop_map(Step::EndAllOf),
        2 => (0..USERS, 0..NAMES.len()).prop_map(|(user, name)| Step::Rename(user, name)),
        2 => (0..USERS, 0..CALLED.len()).prop_map(|(user, called)| Step::Call(user, called)),
        1 => (0..USERS).prop_map(Step::Remove),
        3 => (0..USERS, 0..NAMES.len()).prop_map(|(user, name)| Step::Heir(user, name)),
        2 => prop::collection::vec(known(), 1..20).prop_map(Step::Watch),
        3 => any::<prop::sample::Index>().prop_map(Step::Vanish),
        2 => (0..USERS, 0..NAMES.len()).prop_map(|(user, name)| Step::RenameThere(user, name)),
        9 => question().prop_map(Step::Ask),
        9 => (0..REGULARS.len(), any::<prop::sample::Index>()).prop_map(|(number, page)| Step::AskAgain(number, page)),
    ]
}
