//! Answers of an authenticator made here, right ones and wrong ones.

use ciborium::Value;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

use crate::domain::webauthn::*;

const CHALLENGE: &str = "Y2hhbGxlbmdlIG9mIHRoZSB0ZXN0";
const HANDLE: &[u8] = b"a random handle";
const ID: &[u8] = b"a credential's id";

fn party() -> RelyingParty {
    RelyingParty::of_origin("https://sessions.example.com").unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn cose(fields: &[(i64, Value)]) -> Vec<u8> {
    cbor(&Value::Map(fields.iter().map(|(label, value)| (Value::from(*label), value.clone())).collect()))
}

fn es256(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let half = |from: usize| Value::Bytes(point.as_bytes()[from..from + 32].to_vec());
    cose(&[(1, 2.into()), (3, (-7).into()), (-1, 1.into()), (-2, half(1)), (-3, half(33))])
}

fn client_data(kind: &str, challenge: &str, origin: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#).into_bytes()
}

/// Present, verified.
const FLAGS: u8 = 0b101;

fn data(party: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Sha256::digest(party.as_bytes()).to_vec();
    bytes.push(flags);
    bytes.extend_from_slice(&counter.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

fn made(id: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3; 16];
    bytes.extend_from_slice(&u16::try_from(id.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(key);
    bytes
}

fn attestation(data: Vec<u8>) -> Vec<u8> {
    let field = |name: &str, value| (Value::Text(name.into()), value);
    let fields = vec![
        field("fmt", Value::Text("none".into())),
        field("attStmt", Value::Map(Vec::new())),
        field("authData", Value::Bytes(data)),
    ];
    cbor(&Value::Map(fields))
}

fn registration() -> Attestation {
    Attestation {
        credential_id: ID.to_vec(),
        client_data: client_data("webauthn.create", CHALLENGE, &party().origin, ""),
        attestation_object: attestation(data(&party().id, FLAGS | 1 << 6, 0, &made(ID, &es256(&key())))),
        transports: vec!["internal".into(), "telepathy".into()],
    }
}

fn assertion_of(client_data: Vec<u8>, authenticator_data: Vec<u8>) -> Assertion {
    let message = [authenticator_data.as_slice(), Sha256::digest(&client_data).as_slice()].concat();
    let signature: p256::ecdsa::Signature = key().sign(&message);
    Assertion {
        credential_id: ID.to_vec(),
        client_data,
        authenticator_data,
        signature: signature.to_der().as_bytes().to_vec(),
        user_handle: Some(HANDLE.to_vec()),
    }
}

fn assertion() -> Assertion {
    let client_data = client_data("webauthn.get", CHALLENGE, &party().origin, r#","crossOrigin":false,"more":[1]"#);
    assertion_of(client_data, data(&party().id, FLAGS, 9, &[]))
}

fn check_known(answer: &Assertion, public_key: &[u8], counter: u32, is_verification_required: bool) -> Result<Signed, Refusal> {
    let known = KnownKey { credential_id: ID, public_key, counter, is_backup_eligible: false, user_handle: HANDLE };
    check_assertion(answer, known, Asked { party: &party(), challenge: CHALLENGE, is_verification_required })
}

fn check(answer: &Assertion) -> Result<Signed, Refusal> {
    check_known(answer, &es256(&key()), 8, true)
}

fn register(answer: &Attestation) -> Result<NewKey, Refusal> {
    check_registration(answer, Asked { party: &party(), challenge: CHALLENGE, is_verification_required: true })
}

#[test]
fn a_key_is_made_and_proves() {
    let made = register(&registration()).unwrap();
    assert_eq!((made.credential_id.as_slice(), made.public_key.as_slice()), (ID, es256(&key()).as_slice()));
    assert_eq!((made.counter, made.model, made.transports), (0, [3; 16], vec!["internal".to_owned()]));
    assert!(made.flags.is_verified() && !made.flags.is_backup_eligible());
    assert_eq!(check(&assertion()).unwrap().counter, 9);
    let nameless = Assertion { user_handle: None, ..assertion() };
    assert!(check(&nameless).is_ok(), "a security key need not say whose it is");
}

#[test]
fn every_wrong_field_of_an_assertion_is_refused() {
    let (origin, id) = (party().origin, party().id);
    let get = "webauthn.get";
    for (refusal, client, bytes) in [
        (Refusal::Type, client_data("webauthn.create", CHALLENGE, &origin, ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Challenge, client_data(get, "b3RoZXI", &origin, ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Challenge, client_data(get, "", &origin, ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Origin, client_data(get, CHALLENGE, "https://example.com", ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Origin, client_data(get, CHALLENGE, "https://sessions.example.com.evil.example", ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Origin, client_data(get, CHALLENGE, "http://sessions.example.com", ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Origin, client_data(get, CHALLENGE, "https://sessions.example.com:8443", ""), data(&id, FLAGS, 9, &[])),
        (Refusal::Origin, client_data(get, CHALLENGE, &origin, r#","crossOrigin":true"#), data(&id, FLAGS, 9, &[])),
        (Refusal::Party, client_data(get, CHALLENGE, &origin, ""), data("example.com", FLAGS, 9, &[])),
        (Refusal::Presence, client_data(get, CHALLENGE, &origin, ""), data(&id, 0b100, 9, &[])),
        (Refusal::Verification, client_data(get, CHALLENGE, &origin, ""), data(&id, 0b001, 9, &[])),
        (Refusal::Counter, client_data(get, CHALLENGE, &origin, ""), data(&id, FLAGS, 8, &[])),
        (Refusal::Counter, client_data(get, CHALLENGE, &origin, ""), data(&id, FLAGS, 7, &[])),
        (Refusal::Counter, client_data(get, CHALLENGE, &origin, ""), data(&id, FLAGS, 0, &[])),
        (Refusal::Credential, client_data(get, CHALLENGE, &origin, ""), data(&id, FLAGS | 1 << 3, 9, &[])),
        (
            Refusal::Malformed("a copy of what cannot be copied"),
            client_data(get, CHALLENGE, &origin, ""),
            data(&id, FLAGS | 1 << 4, 9, &[]),
        ),
        (Refusal::Malformed("the authenticator's data"), client_data(get, CHALLENGE, &origin, ""), data(&id, FLAGS, 9, &[0])),
        (Refusal::Malformed("the authenticator's data"), client_data(get, CHALLENGE, &origin, ""), vec![0; 36]),
        (Refusal::Malformed("the client data"), b"{}".to_vec(), data(&id, FLAGS, 9, &[])),
    ] {
        assert_eq!(check(&assertion_of(client, bytes)), Err(refusal));
    }
    let wrong = |change: &dyn Fn(&mut Assertion)| {
        let mut answer = assertion();
        change(&mut answer);
        check(&answer)
    };
    assert_eq!(wrong(&|it| it.credential_id.push(0)), Err(Refusal::Credential));
    assert_eq!(wrong(&|it| it.user_handle = Some(b"another".to_vec())), Err(Refusal::User));
    assert_eq!(wrong(&|it| it.signature.clear()), Err(Refusal::Signature));
    let other = SigningKey::from_slice(&[8; 32]).unwrap();
    assert_eq!(check_known(&assertion(), &es256(&other), 8, true), Err(Refusal::Signature));
    let unverified = assertion_of(client_data(get, CHALLENGE, &origin, ""), data(&id, 1, 9, &[]));
    assert!(check_known(&unverified, &es256(&key()), 8, false).is_ok(), "where it is not asked for");
}

#[test]
fn a_counter_that_is_not_kept_stays_at_zero() {
    let silent = assertion_of(client_data("webauthn.get", CHALLENGE, &party().origin, ""), data(&party().id, FLAGS, 0, &[]));
    assert!(check_known(&silent, &es256(&key()), 0, true).is_ok());
    assert_eq!(check_known(&silent, &es256(&key()), 1, true), Err(Refusal::Counter));
}

#[test]
fn every_flipped_bit_is_refused() {
    let right = assertion();
    assert!(check(&right).is_ok());
    let parts: [fn(&mut Assertion) -> &mut Vec<u8>; 5] = [
        |it| &mut it.credential_id,
        |it| &mut it.client_data,
        |it| &mut it.authenticator_data,
        |it| &mut it.signature,
        |it| it.user_handle.as_mut().unwrap(),
    ];
    for part in parts {
        for bit in 0..part(&mut right.clone()).len() * 8 {
            let mut answer = right.clone();
            part(&mut answer)[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&answer).is_err(), "bit {bit} of {:?}", part(&mut answer));
        }
        for length in 0..part(&mut right.clone()).len() {
            let mut answer = right.clone();
            part(&mut answer).truncate(length);
            assert!(check(&answer).is_err(), "{length} bytes");
        }
        let mut answer = right.clone();
        part(&mut answer).push(0);
        assert!(check(&answer).is_err(), "a byte more");
    }
    let public_key = es256(&key());
    for bit in 0..public_key.len() * 8 {
        let mut changed = public_key.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(check_known(&right, &changed, 8, true).is_err(), "bit {bit} of the key");
    }
}

#[test]
fn every_wrong_field_of_a_registration_is_refused() {
    let with =
        |flags, rest: &[u8]| Attestation { attestation_object: attestation(data(&party().id, flags, 0, rest)), ..registration() };
    let at = FLAGS | 1 << 6;
    let malformed = Err(Refusal::Malformed("the authenticator's data"));
    assert_eq!(register(&with(FLAGS, &[])), Err(Refusal::Malformed("no credential")));
    assert_eq!(register(&with(at, &made(&[], &es256(&key())))), Err(Refusal::Malformed("the credential's id")));
    assert_eq!(register(&with(at, &made(&[1; 1024], &es256(&key())))), Err(Refusal::Malformed("the credential's id")));
    assert_eq!(register(&with(at, &made(b"another", &es256(&key())))), Err(Refusal::Credential));
    assert_eq!(register(&with(at & !4, &made(ID, &es256(&key())))), Err(Refusal::Verification));
    assert_eq!(register(&with(at & !1, &made(ID, &es256(&key())))), Err(Refusal::Presence));
    assert_eq!(register(&with(at, &[made(ID, &es256(&key())), vec![0]].concat())), malformed);
    assert_eq!(register(&with(at | 1 << 7, &made(ID, &es256(&key())))), malformed, "no extensions where some are announced");
    let extended = [made(ID, &es256(&key())), cbor(&Value::Map(vec![(Value::Text("credProtect".into()), 2.into())]))].concat();
    assert!(register(&with(at | 1 << 7, &extended)).is_ok());
    assert_eq!(register(&with(at, &extended)), malformed);
    let elsewhere =
        Attestation { client_data: client_data("webauthn.create", CHALLENGE, "https://evil.example", ""), ..registration() };
    assert_eq!(register(&elsewhere), Err(Refusal::Origin));
    let get = Attestation { client_data: client_data("webauthn.get", CHALLENGE, &party().origin, ""), ..registration() };
    assert_eq!(register(&get), Err(Refusal::Type));
    let whole = registration().attestation_object;
    for length in 0..whole.len() {
        let cut = Attestation { attestation_object: whole[..length].to_vec(), ..registration() };
        assert!(register(&cut).is_err(), "{length} bytes");
    }
    let deep = Attestation { attestation_object: vec![0x81; 60_000], ..registration() };
    assert_eq!(register(&deep), Err(Refusal::Malformed("the attestation")));
}

#[test]
fn only_good_keys_of_the_kinds_that_were_asked_for() {
    let bytes = |length: usize| Value::Bytes(vec![0xff; length]);
    let refused = |fields: &[(i64, Value)]| PublicKey::from_cose(&cose(fields)).err();
    let malformed = Some(Refusal::Malformed("the public key"));
    assert!(PublicKey::from_cose(&es256(&key())).is_ok());
    assert_eq!(refused(&[(1, 2.into()), (3, (-35).into())]), Some(Refusal::Algorithm), "ES384");
    assert_eq!(refused(&[(1, 3.into()), (3, (-7).into())]), Some(Refusal::Algorithm), "an RSA key for ES256");
    assert_eq!(refused(&[(1, 2.into())]), malformed);
    let es = |curve: i64, x, y| refused(&[(1, 2.into()), (3, (-7).into()), (-1, curve.into()), (-2, x), (-3, y)]);
    assert_eq!(es(1, bytes(32), bytes(32)), malformed, "not on the curve");
    assert_eq!(es(1, bytes(31), bytes(32)), malformed);
    assert_eq!(es(2, bytes(32), bytes(32)), malformed);
    let twice = [(1, 2.into()), (1, 2.into()), (3, (-7).into())];
    assert_eq!(refused(&twice), malformed, "a field that is there twice");
    let ed = |x| refused(&[(1, 1.into()), (3, (-8).into()), (-1, 6.into()), (-2, x)]);
    assert_eq!(ed(bytes(31)), malformed);
    assert_eq!(ed(Value::Bytes([&[1][..], &[0; 31]].concat())), malformed, "the neutral element: any signature would hold");
    let rsa = |n, e| refused(&[(1, 3.into()), (3, (-257).into()), (-1, n), (-2, e)]);
    let e = Value::Bytes(vec![1, 0, 1]);
    assert_eq!(rsa(bytes(128), e.clone()), malformed, "1024 bits are too few");
    assert_eq!(rsa(bytes(1024), e.clone()), malformed, "8192 bits cost too much");
    assert_eq!(rsa(bytes(256), bytes(9)), malformed);
    assert_eq!(rsa(bytes(256), e), None);
    for junk in [&b""[..], b"\xff", b"\xa0", b"\x9f", b"\xbf\x01", &[0xa1; 500]] {
        assert_eq!(PublicKey::from_cose(junk).err(), malformed);
    }
}

#[test]
fn ed25519_and_rsa_prove_too() {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let x = Value::Bytes(signing.verifying_key().to_bytes().to_vec());
    let ed = PublicKey::from_cose(&cose(&[(1, 1.into()), (3, (-8).into()), (-1, 6.into()), (-2, x)])).unwrap();
    let signature = ed25519_dalek::Signer::sign(&signing, b"message").to_bytes();
    assert!(ed.is_signature(b"message", &signature));
    // Made by `openssl dgst -sha256 -sign` with a key of 2048 bits that was thrown away.
    let hex = |text: &str| -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let n = Value::Bytes(hex(RSA_MODULUS));
    let rsa = cose(&[(1, 3.into()), (3, (-257).into()), (-1, n), (-2, Value::Bytes(vec![1, 0, 1]))]);
    let rsa = PublicKey::from_cose(&rsa).unwrap();
    let rsa_signature = hex(RSA_SIGNATURE);
    assert!(rsa.is_signature(b"message", &rsa_signature));
    for (key, signature) in [(ed, signature.to_vec()), (rsa, rsa_signature)] {
        assert!(!key.is_signature(b"massage", &signature));
        for bit in (0..signature.len() * 8).step_by(7) {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.is_signature(b"message", &changed), "bit {bit}");
        }
    }
}

#[test]
fn answers_are_read_as_browsers_write_them() {
    let text = r#"{"id":"YQ","rawId":"YQ==","type":"public-key","clientExtensionResults":{},
        "response":{"clientDataJSON":"e30","authenticatorData":"-_8","signature":"AA","userHandle":""}}"#;
    let read = Assertion::parse(text).unwrap();
    assert_eq!((read.credential_id, read.client_data, read.user_handle), (b"a".to_vec(), b"{}".to_vec(), None));
    assert_eq!(read.authenticator_data, [0xfb, 0xff]);
    for wrong in [
        "",
        "{}",
        "[]",
        r#"{"rawId":"YQ","type":"password","response":{"clientDataJSON":"","authenticatorData":"","signature":""}}"#,
        r#"{"rawId":"!","type":"public-key","response":{"clientDataJSON":"","authenticatorData":"","signature":""}}"#,
        r#"{"rawId":"YQ","type":"public-key","response":{"clientDataJSON":"+/","authenticatorData":"","signature":""}}"#,
        r#"{"rawId":"YQ","type":"public-key","response":{}}"#,
    ] {
        assert!(Assertion::parse(wrong).is_err() && Attestation::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn only_names_over_https_and_localhost_have_keys() {
    for (origin, want) in [
        ("https://Sessions.example.com", Some(("sessions.example.com", "https://sessions.example.com"))),
        ("https://sessions.example.com:443", Some(("sessions.example.com", "https://sessions.example.com"))),
        ("https://sessions.example.com:8443", Some(("sessions.example.com", "https://sessions.example.com:8443"))),
        ("http://localhost:9000", Some(("localhost", "http://localhost:9000"))),
        ("http://a.localhost", Some(("a.localhost", "http://a.localhost"))),
        ("http://sessions.example.com", None),
        ("http://127.0.0.1:9000", None),
        ("https://192.0.2.1", None),
        ("https://[2001:db8::1]:8443", None),
        ("ftp://localhost", None),
        ("https://", None),
        ("http://localhost.evil.example", None),
        ("", None),
    ] {
        let party = RelyingParty::of_origin(origin);
        assert_eq!(party.as_ref().map(|it| (it.id.as_str(), it.origin.as_str())), want, "{origin}");
    }
}

const RSA_MODULUS: &str = "
    9fc0ed29ed2d5af866e0366240221d258e6d1fcea6063490c6119b694254984177bbb4d1842fdad56a13fde7870fca77d5b1d491527730ca7b79a828
    3c7fc7b6f92073719ba8bb1b9bb3829ecb3e47d6219ac7b295e05755bdd14c68d519b6d06d553df10c0c24779e23f014a808831b9ac7f415fe0ca0e9
    07e7e9a9082d0d7041dcef4983697dccace4e2701148a3bd5e8e75cdb642b67e45dbeaeb3b83fa11ad30897c98c5912b22e1524383315783be8ff309
    84ef460aecc0354beeb57157d71e093e71a51da9169865f0741eef2a26243da4d28833a253c69a68f72bafc90ab3df14c0c64e05f7b1a030abd4afbc
    66ea047348140817caa4ad8f232d256b
";

const RSA_SIGNATURE: &str = "
    1c1cea0cc14d61f09db602b0ff7ad5fd20c73f67aceedb245cf53f47645054dc5265032376bded7668a17bc17f3194cf958c04ce61804c05c5f1001c
    6d630199b0ab042579f782473798701c0a6e3aaa33a99d95931456dd3aa7711f569cd82aac57ea5b3be7a899358a4f851ddd910b8bbe15f7e7c155a8
    8bc8cc9b7164d18ec6ef765a47819056279dd8bfefba765a2d2bbec2912f69df4193b75d607ee509e62952e23c403f5fe13030342a86cf2a5e6d88a3
    a15687df471a68325d3a5262a9c681de7851f56d7be07661332449b1f8c135f82e79e591cf172e6818ca5a516e745129d9520e47465f2354564712ec
    51bd7379de2a5278a6be382d076ac1a8
";
