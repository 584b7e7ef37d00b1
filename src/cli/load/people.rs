//! Made-up people.

use fastrand::Rng;
use uuid::Builder;

use crate::store::people::users::NewUser;

const FIRST: &[&str] = &[
    "Amara", "Bruno", "Chiara", "Daria", "Elif", "Farid", "Grace", "Haruto", "Inês", "Jonas", "Kiri", "Lucía", "Mateo", "Nadia",
    "Olu", "Priya", "Quentin", "Rosa", "Stefan", "Tomás", "Uma", "Viktor", "Wanjiru", "Xenia", "Yusuf", "Zoë", "Anders", "Beatriz",
    "Casper", "Dilara", "Emeka", "Freya", "Giorgos", "Hanna", "Ivo", "Jaana", "Kofi", "Leila", "Marek", "Noor",
];

const LAST: &[&str] = &[
    "Abebe",
    "Bergström",
    "Carvalho",
    "Dvořák",
    "Eriksen",
    "Fontaine",
    "García",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Mbeki",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quispe",
    "Rossi",
    "Sato",
    "Tanaka",
    "Usman",
    "Varga",
    "Walker",
    "Xu",
    "Yıldız",
    "Zielińska",
    "Almeida",
    "Brandt",
    "Castillo",
    "Dubois",
    "Esposito",
    "Farrell",
    "Gruber",
    "Horváth",
    "Iqbal",
    "Jovanović",
    "Kaya",
    "Laine",
    "Moreau",
    "Novák",
];

/// The n-th user of a seed. Names do not repeat: each ends in its number, and in the seed unless
/// that is 1.
pub(super) fn user(rng: &mut Rng, nth: u32, seed: u64) -> NewUser {
    let pick = |rng: &mut Rng, names: &[&'static str]| names.get(rng.usize(..names.len())).copied().unwrap_or_default();
    let (first, last) = (pick(rng, FIRST), pick(rng, LAST));
    let of_seed = if seed == 1 { String::new() } else { format!("-{seed}") };
    let username = format!("{}.{}{}{of_seed}", first.to_lowercase(), last.to_lowercase(), nth + 1);
    NewUser {
        id: None,
        uuid: Some(Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid()),
        uid: Some(format!("{:032x}{:032x}", rng.u128(..), rng.u128(..))),
        email: format!("{username}@people.example"),
        name: format!("{first} {last}"),
        username,
        password_hash: None,
        is_active: rng.u8(..100) < 97,
        is_superuser: false,
        permissions: Vec::new(),
    }
}
