//! What an authenticator signs: the browser's account of what it was asked, and its own data.

use ciborium::Value;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::domain::webauthn::{Asked, Refusal};

/// How deep CBOR may be nested. What is expected is two deep; statements may be a little deeper.
const MAX_DEPTH: usize = 8;

/// The client data that the browser collected (Level 3, 5.8.1). Its other fields are not used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

impl ClientData {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes).map_err(|_| Refusal::Malformed("the client data"))
    }

    pub(super) fn into_challenge(self) -> String {
        self.challenge
    }

    /// Checks that it answers this challenge, on this site.
    pub(super) fn check(&self, kind: &str, asked: Asked<'_>) -> Result<(), Refusal> {
        if self.kind != kind {
            return Err(Refusal::Type);
        }
        if !bool::from(self.challenge.as_bytes().ct_eq(asked.challenge.as_bytes())) {
            return Err(Refusal::Challenge);
        }
        if self.origin != asked.party.origin || self.cross_origin {
            return Err(Refusal::Origin);
        }
        Ok(())
    }
}

/// What an authenticator says of itself and of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub(super) u8);

impl Flags {
    /// Whether a person touched the authenticator.
    #[must_use]
    pub fn is_present(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the authenticator verified that person.
    #[must_use]
    pub fn is_verified(self) -> bool {
        self.0 & (1 << 2) != 0
    }

    /// Whether the key may be copied to other devices of its owner.
    #[must_use]
    pub fn is_backup_eligible(self) -> bool {
        self.0 & (1 << 3) != 0
    }

    /// Whether it has been copied.
    #[must_use]
    pub fn is_backed_up(self) -> bool {
        self.0 & (1 << 4) != 0
    }

    fn has_credential(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    fn has_extensions(self) -> bool {
        self.0 & (1 << 7) != 0
    }
}

/// An authenticator's data (Level 3, 6.1).
pub(super) struct AuthenticatorData<'a> {
    pub(super) party_hash: &'a [u8],
    pub(super) flags: Flags,
    pub(super) counter: u32,
    pub(super) made: Option<Made<'a>>,
}

/// The part about a key that was made.
pub(super) struct Made<'a> {
    pub(super) model: [u8; 16],
    pub(super) credential_id: &'a [u8],
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of it: nothing may be missing, and nothing left.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or(Refusal::Malformed("the authenticator's data"))
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (party_hash, rest) = bytes.split_at_checked(32)?;
        let (flags, rest) = rest.split_first()?;
        let (counter, mut rest) = rest.split_first_chunk::<4>()?;
        let flags = Flags(*flags);
        let mut made = None;
        if flags.has_credential() {
            let (model, after) = rest.split_first_chunk::<16>()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let (credential_id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let left = skip(after)?;
            let public_key = after.get(..after.len() - left.len())?;
            made = Some(Made { model: *model, credential_id, public_key });
            rest = left;
        }
        if flags.has_extensions() {
            rest = skip(rest)?;
        }
        rest.is_empty().then_some(Self { party_hash, flags, counter: u32::from_be_bytes(*counter), made })
    }
}

/// The authenticator's data out of an attestation object. The statement is not looked at.
pub(super) fn of_attestation(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut fields = read_map(bytes).ok_or(Refusal::Malformed("the attestation"))?;
    let mut take = |name: &str| take_one(&mut fields, &Value::Text(name.to_owned()));
    let is_whole = matches!(take("fmt"), Some(Value::Text(_))) && matches!(take("attStmt"), Some(Value::Map(_)));
    match take("authData") {
        Some(Value::Bytes(data)) if is_whole => Ok(data),
        _ => Err(Refusal::Malformed("the attestation")),
    }
}

/// A map of CBOR with nothing after it.
pub(super) fn read_map(bytes: &[u8]) -> Option<Vec<(Value, Value)>> {
    let (value, rest) = read(bytes)?;
    value.into_map().ok().filter(|_| rest.is_empty())
}

/// Takes the value of a key that must be there once.
pub(super) fn take_one(fields: &mut Vec<(Value, Value)>, key: &Value) -> Option<Value> {
    let at = fields.iter().position(|(known, _)| known == key)?;
    let (_, value) = fields.swap_remove(at);
    fields.iter().all(|(known, _)| known != key).then_some(value)
}

/// What follows the first value of CBOR.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    read(bytes).map(|(_, rest)| rest)
}

fn read(mut bytes: &[u8]) -> Option<(Value, &[u8])> {
    let value = ciborium::de::from_reader_with_recursion_limit(&mut bytes, MAX_DEPTH).ok()?;
    Some((value, bytes))
}
