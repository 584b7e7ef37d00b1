//! The addresses of OpenID Connect, and the keys that sign.

mod acceptance;
pub mod app;
mod apps;
pub mod consent;
mod devices;
mod ended;
mod flow;
mod identity;
mod imports;
mod keys;
mod notices;
mod providers;
mod requests;
mod security;
mod token_api;
mod tree;

use serde_json::Value;

use crate::guard::world::{Browser, HOME};
use crate::support::Answer;

/// The published keys of an application, as an app fetches them.
async fn published(browser: &Browser<'_>, slug: &str) -> Answer {
    browser.send("GET", HOME, &format!("/application/o/{slug}/jwks/"), &[]).await
}

/// The names of published keys, in order.
fn kids(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let mut kids: Vec<String> =
        json["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
    kids.sort();
    kids
}

/// The claims of a token that one of these keys signed by its algorithm, and its header.
fn verified(token: &str, keys: &Value) -> (jsonwebtoken::Header, Value) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let kid = header.kid.clone().unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap_or_else(|| panic!("{kid}"));
    let public = jsonwebtoken::DecodingKey::from_jwk(&serde_json::from_value(key.clone()).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(serde_json::from_value(key["alg"].clone()).unwrap());
    // The clock of the test is not the machine's.
    rules.validate_exp = false;
    rules.validate_aud = false;
    let read = jsonwebtoken::decode::<Value>(token, &public, &rules).unwrap();
    (header, read.claims)
}
