//! Passkeys and security keys: what a browser answers is checked as [Web Authentication
//! Level 3](https://www.w3.org/TR/webauthn-3/) asks of a relying party. Nothing is believed of what made
//! a key: attestation is not asked for, and a statement that comes nevertheless counts as none.

mod data;
mod key;
mod wire;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub use data::Flags;
pub use key::{ALGORITHMS, PublicKey};
pub use wire::{Assertion, Attestation, decode, encode};

use crate::domain::webauthn::data::{AuthenticatorData, ClientData};

/// The longest credential id, in bytes (Level 3, 5.8.3).
const MAX_CREDENTIAL_ID: usize = 1023;
/// The ways a browser may reach an authenticator; other words are not kept.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// The relying party that keys are made for: a domain, and the origin of the pages that use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The domain: `sessions.example.com`.
    pub id: String,
    /// `https://sessions.example.com`, with the port if it is not the scheme's own.
    pub origin: String,
}

impl RelyingParty {
    /// The relying party of an origin. `None` when browsers make no keys for it: it must have a
    /// name instead of an address, and https, except for `localhost`.
    #[must_use]
    pub fn of_origin(origin: &str) -> Option<Self> {
        let origin = origin.to_ascii_lowercase();
        let (scheme, authority) = origin.split_once("://")?;
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let is_name = !host.is_empty()
            && host.parse::<std::net::Ipv4Addr>().is_err()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        let is_local = host == "localhost" || host.ends_with(".localhost");
        let own_port = match scheme {
            "https" => "443",
            "http" if is_local => "80",
            _ => return None,
        };
        let port = port.filter(|port| *port != own_port).map(|port| format!(":{port}")).unwrap_or_default();
        is_name.then(|| Self { id: host.to_owned(), origin: format!("{scheme}://{host}{port}") })
    }
}

/// What was asked of a browser.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The relying party.
    pub party: &'a RelyingParty,
    /// The challenge, in URL-safe base64.
    pub challenge: &'a str,
    /// Whether the authenticator must have verified the user, by a PIN, a finger or a face.
    pub is_verification_required: bool,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not of the form of an answer.
    #[error("not an answer of a browser: {0}")]
    Malformed(&'static str),
    /// It was made for another step.
    #[error("an answer to another question")]
    Type,
    /// It answers another challenge.
    #[error("another challenge")]
    Challenge,
    /// It was made on another site.
    #[error("another origin")]
    Origin,
    /// It was made for another domain.
    #[error("another relying party")]
    Party,
    /// Nobody touched the authenticator.
    #[error("nobody was present")]
    Presence,
    /// The authenticator did not check who holds it.
    #[error("the user was not verified")]
    Verification,
    /// The key is of a kind that was not asked for.
    #[error("the algorithm is none of those that were offered")]
    Algorithm,
    /// It was made with a key other than the known one.
    #[error("another credential")]
    Credential,
    /// It belongs to another user.
    #[error("another user's credential")]
    User,
    /// The signature does not hold.
    #[error("the signature is wrong")]
    Signature,
    /// The challenge expired, was used, or belongs to another session.
    #[error("the challenge is over")]
    Stale,
    /// It is known already.
    #[error("the passkey is known already")]
    Known,
    /// The signature counter did not go up: there may be a copy of the key.
    #[error("the signature counter went back")]
    Counter,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its credential id.
    pub credential_id: Vec<u8>,
    /// The public key, as the authenticator wrote it (COSE).
    pub public_key: Vec<u8>,
    /// How often it signed.
    pub counter: u32,
    /// What the authenticator says of it.
    pub flags: Flags,
    /// What model the authenticator says it is; not proved.
    pub model: [u8; 16],
    /// How browsers reach it.
    pub transports: Vec<String>,
}

/// The model (AAGUID) in what is stored of a passkey; `None`: it was not stored.
#[must_use]
pub fn stored_model(kept: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Model {
        model: String,
    }
    let Model { model } = serde_json::from_slice(kept).ok()?;
    Uuid::try_parse(&model).ok()
}

/// A key that is known, as far as it matters to an assertion.
#[derive(Clone, Copy, Debug)]
pub struct KnownKey<'a> {
    /// Its credential id.
    pub credential_id: &'a [u8],
    /// The public key (COSE).
    pub public_key: &'a [u8],
    /// The last signature counter.
    pub counter: u32,
    /// Whether it may be copied to other devices of its owner.
    pub is_backup_eligible: bool,
    /// The user handle that authenticators store for its user.
    pub user_handle: &'a [u8],
}

/// What a key proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signature counter; 0: the authenticator has none.
    pub counter: u32,
    /// What the authenticator says.
    pub flags: Flags,
}

/// Checks a registration (Level 3, 7.1).
///
/// # Errors
/// The first thing that is wrong.
pub fn check_registration(answer: &Attestation, asked: Asked<'_>) -> Result<NewKey, Refusal> {
    ClientData::parse(&answer.client_data)?.check("webauthn.create", asked)?;
    let data = data::of_attestation(&answer.attestation_object)?;
    let data = AuthenticatorData::parse(&data)?;
    check_data(&data, asked)?;
    let made = data.made.ok_or(Refusal::Malformed("no credential"))?;
    if made.credential_id.is_empty() || made.credential_id.len() > MAX_CREDENTIAL_ID {
        return Err(Refusal::Malformed("the credential's id"));
    }
    if made.credential_id != answer.credential_id {
        return Err(Refusal::Credential);
    }
    PublicKey::from_cose(made.public_key)?;
    let mut transports: Vec<String> = TRANSPORTS.map(str::to_owned).to_vec();
    transports.retain(|known| answer.transports.contains(known));
    Ok(NewKey {
        credential_id: made.credential_id.to_vec(),
        public_key: made.public_key.to_vec(),
        counter: data.counter,
        flags: data.flags,
        model: made.model,
        transports,
    })
}

/// Checks an assertion by a known key (Level 3, 7.2).
///
/// # Errors
/// The first thing that is wrong.
pub fn check_assertion(answer: &Assertion, known: KnownKey<'_>, asked: Asked<'_>) -> Result<Signed, Refusal> {
    if answer.credential_id != known.credential_id {
        return Err(Refusal::Credential);
    }
    if answer.user_handle.as_deref().is_some_and(|handle| !bool::from(handle.ct_eq(known.user_handle))) {
        return Err(Refusal::User);
    }
    ClientData::parse(&answer.client_data)?.check("webauthn.get", asked)?;
    let data = AuthenticatorData::parse(&answer.authenticator_data)?;
    check_data(&data, asked)?;
    if data.flags.is_backup_eligible() != known.is_backup_eligible {
        return Err(Refusal::Credential);
    }
    let mut message = answer.authenticator_data.clone();
    message.extend_from_slice(&Sha256::digest(&answer.client_data));
    if !PublicKey::from_cose(known.public_key)?.is_signature(&message, &answer.signature) {
        return Err(Refusal::Signature);
    }
    // Checked only after the signature: the counter of a valid one shows that the key may have been
    // copied.
    if (data.counter > 0 || known.counter > 0) && data.counter <= known.counter {
        return Err(Refusal::Counter);
    }
    Ok(Signed { counter: data.counter, flags: data.flags })
}

/// What holds for both: the domain, and the flags.
fn check_data(data: &AuthenticatorData<'_>, asked: Asked<'_>) -> Result<(), Refusal> {
    if data.party_hash != Sha256::digest(asked.party.id.as_bytes()).as_slice() {
        return Err(Refusal::Party);
    }
    if !data.flags.is_present() {
        return Err(Refusal::Presence);
    }
    if asked.is_verification_required && !data.flags.is_verified() {
        return Err(Refusal::Verification);
    }
    if data.flags.is_backed_up() && !data.flags.is_backup_eligible() {
        return Err(Refusal::Malformed("a copy of what cannot be copied"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
