//! An authenticator made of software: a key on P-256, a counter, and what a browser adds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The model that it says it is.
pub const MODEL: [u8; 16] = *b"a model of a key";
/// Present and verified, as [`Passkey::flags`] counts.
pub const VERIFIED: u8 = 0b101;
/// Present, and no more.
pub const PRESENT: u8 = 0b001;
/// The key may be copied, and was.
pub const SYNCED: u8 = 0b11000;

/// A key in somebody's hand.
#[derive(Clone)]
pub struct Passkey {
    pub key: SigningKey,
    pub id: Vec<u8>,
    /// How often it signed; 0: it keeps no count.
    pub counter: u32,
    /// What it says of each moment.
    pub flags: u8,
    /// Where its browser thinks it is.
    pub origin: String,
    /// Whose it is, as it was told.
    pub user_handle: Option<Vec<u8>>,
}

impl Passkey {
    /// A new one, in a browser on this origin.
    pub fn new(seed: u8, origin: &str) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).expect("a key"),
            id: vec![seed; 16],
            counter: 1,
            flags: VERIFIED,
            origin: origin.to_owned(),
            user_handle: None,
        }
    }

    /// Its id, as it is sent.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.id)
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let data = json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        data.to_string().into_bytes()
    }

    fn data(&self, party: &Value, flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Sha256::digest(party.as_str().expect("a relying party")).to_vec();
        bytes.push(flags);
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// Makes its key, and answers as `navigator.credentials.create` does.
    pub fn create(&mut self, options: &Value) -> String {
        let handle = options["user"]["id"].as_str().expect("a user handle");
        self.user_handle = Some(URL_SAFE_NO_PAD.decode(handle).expect("base64"));
        let point = self.key.verifying_key().to_sec1_point(false);
        let half = |from: usize| Cbor::Bytes(point.as_bytes()[from..from + 32].to_vec());
        let fields: [(i64, Cbor); 5] = [(1, 2.into()), (3, (-7).into()), (-1, 1.into()), (-2, half(1)), (-3, half(33))];
        let cose = Cbor::Map(fields.into_iter().map(|(label, value)| (label.into(), value)).collect());
        let mut made = MODEL.to_vec();
        made.extend_from_slice(&u16::try_from(self.id.len()).expect("a short id").to_be_bytes());
        made.extend_from_slice(&self.id);
        ciborium::into_writer(&cose, &mut made).expect("CBOR");
        let data = self.data(&options["rp"]["id"], self.flags | 1 << 6, &made);
        let text = |text: &str| Cbor::Text(text.to_owned());
        let fields =
            vec![(text("fmt"), text("none")), (text("attStmt"), Cbor::Map(Vec::new())), (text("authData"), Cbor::Bytes(data))];
        let mut object = Vec::new();
        ciborium::into_writer(&Cbor::Map(fields), &mut object).expect("CBOR");
        let response = json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", &options["challenge"])),
            "attestationObject": URL_SAFE_NO_PAD.encode(object), "transports": ["internal"],
        });
        json!({ "id": self.id(), "rawId": self.id(), "type": "public-key", "response": response }).to_string()
    }

    /// Signs, as `navigator.credentials.get` answers; what it signed is counted.
    pub fn get(&mut self, options: &Value) -> Value {
        if self.counter > 0 {
            self.counter += 1;
        }
        let client_data = self.client_data("webauthn.get", &options["challenge"]);
        let data = self.data(&options["rpId"], self.flags, &[]);
        let signature: Signature = self.key.sign(&[data.as_slice(), &Sha256::digest(&client_data)].concat());
        let response = json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data), "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature.to_der().as_bytes()),
            "userHandle": self.user_handle.as_ref().map(|handle| URL_SAFE_NO_PAD.encode(handle)),
        });
        json!({ "id": self.id(), "rawId": self.id(), "type": "public-key", "response": response })
    }
}

/// What a page's form asks a browser, `action` being where the answer goes.
#[track_caller]
pub fn question(page: &str, action: &str) -> Value {
    let (_, rest) = page.split_once(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form for {action}: {page}"));
    let (_, rest) = rest.split_once("data-options=\"").expect("options");
    let (text, _) = rest.split_once('"').expect("the attribute ends");
    let text = text.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#38;", "&").replace("&amp;", "&");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
