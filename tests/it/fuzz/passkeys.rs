//! What authenticators answer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall::domain::webauthn::{
    Asked, Assertion, Attestation, KnownKey, NewKey, RelyingParty, check_assertion, check_registration, decode,
};
use serde_json::{Value, json};

use super::{Fuzz, outline};
use crate::support::passkey::Passkey;

const ORIGIN: &str = "http://localhost:9000";
const CHALLENGE: &str = "c29tZSBjaGFsbGVuZ2U";
const HANDLE: &[u8] = b"somebody";
/// Separates the parts of an input: base64 in an answer is mutated as the bytes that it encodes.
const BETWEEN: &[u8] = b"----";

/// The bytes that an answer holds in base64.
fn part(answer: &Value, name: &str) -> Vec<u8> {
    decode(answer["response"][name].as_str().unwrap()).unwrap()
}

fn parts(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}

fn asked(party: &RelyingParty) -> Asked<'_> {
    Asked { party, challenge: CHALLENGE, is_verification_required: true }
}

#[test]
fn passkeys_made() {
    let party = RelyingParty::of_origin(ORIGIN).unwrap();
    let options = json!({ "challenge": CHALLENGE, "rp": { "id": "localhost" }, "user": { "id": URL_SAFE_NO_PAD.encode(HANDLE) } });
    let whole = Passkey::new(1, ORIGIN).create(&options);
    let answer: Value = serde_json::from_str(&whole).unwrap();
    let seed = [part(&answer, "clientDataJSON"), part(&answer, "attestationObject")].join(BETWEEN);
    let words: [&[u8]; 9] =
        [b"\"type\"", b"webauthn.get", b"cross", b"authData", b"\xa0", b"\x9f", b"\xbf", b"\xff", b"\x5b\xff\xff\xff\xff"];
    let mut fuzz = Fuzz::new("passkeys_made", &words, [seed, whole.into_bytes()]);
    while let Some(input) = fuzz.next() {
        let split = parts(&input);
        let mut said = answer.clone();
        let text = if let [client, object] = split.as_slice() {
            said["response"]["clientDataJSON"] = json!(URL_SAFE_NO_PAD.encode(client));
            said["response"]["attestationObject"] = json!(URL_SAFE_NO_PAD.encode(object));
            said.to_string()
        } else {
            String::from_utf8_lossy(&input).into_owned()
        };
        let made = Attestation::parse(&text).and_then(|answer| check_registration(&answer, asked(&party)));
        if let Ok(key) = &made {
            assert!(!key.credential_id.is_empty() && key.credential_id.len() <= 1023 && key.flags.is_verified(), "{text}");
        }
        fuzz.answered(made.map_or_else(|refusal| outline(&refusal.to_string()), |_: NewKey| "made".to_owned()));
    }
}

#[test]
fn passkeys_used() {
    let party = RelyingParty::of_origin(ORIGIN).unwrap();
    let options = json!({ "challenge": CHALLENGE, "rp": { "id": "localhost" }, "user": { "id": URL_SAFE_NO_PAD.encode(HANDLE) } });
    let mut passkey = Passkey::new(1, ORIGIN);
    let made = Attestation::parse(&passkey.create(&options)).and_then(|answer| check_registration(&answer, asked(&party)));
    let made = made.unwrap();
    let known = KnownKey {
        credential_id: &made.credential_id,
        public_key: &made.public_key,
        counter: made.counter,
        is_backup_eligible: made.flags.is_backup_eligible(),
        user_handle: HANDLE,
    };
    let answer = passkey.get(&json!({ "challenge": CHALLENGE, "rpId": "localhost" }));
    let signed = [part(&answer, "clientDataJSON"), part(&answer, "authenticatorData")];
    let seed = [signed[0].clone(), signed[1].clone(), part(&answer, "signature")].join(BETWEEN);
    let words: [&[u8]; 6] = [b"webauthn.create", b"\"origin\"", b"localhost", b"\x30\x00", b"\x02\x01\x00", b"\x80"];
    let mut fuzz = Fuzz::new("passkeys_used", &words, [seed, answer.to_string().into_bytes()]);
    while let Some(input) = fuzz.next() {
        let split = parts(&input);
        let mut said = answer.clone();
        let text = if let [client, data, signature] = split.as_slice() {
            for (name, part) in [("clientDataJSON", client), ("authenticatorData", data), ("signature", signature)] {
                said["response"][name] = json!(URL_SAFE_NO_PAD.encode(part));
            }
            said.to_string()
        } else {
            String::from_utf8_lossy(&input).into_owned()
        };
        let used = Assertion::parse(&text).and_then(|answer| check_assertion(&answer, known, asked(&party)));
        if used.is_ok() {
            let said: Value = serde_json::from_str(&text).unwrap();
            let same = [part(&said, "clientDataJSON"), part(&said, "authenticatorData")] == signed;
            assert!(same, "something that the key did not sign: {text}");
        }
        fuzz.answered(used.map_or_else(|refusal| outline(&refusal.to_string()), |_| "used".to_owned()));
    }
}
