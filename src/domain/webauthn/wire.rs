//! Answers as browsers write them in JSON (Level 3, 5.1.8), all bytes in URL-safe base64.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::webauthn::Refusal;

/// What comes in may be filled up with `=`, as some clients do.
const ENGINE: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Bytes as they are sent.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes as they come in.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    ENGINE.decode(text).ok()
}

/// An answer to "make a key".
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The credential id.
    pub credential_id: Vec<u8>,
    /// The browser's account.
    pub client_data: Vec<u8>,
    /// The authenticator's data, and a statement.
    pub attestation_object: Vec<u8>,
    /// How browsers reach the authenticator.
    pub transports: Vec<String>,
}

/// An answer to "prove that you hold a key".
#[derive(Clone, Debug)]
pub struct Assertion {
    /// The credential id.
    pub credential_id: Vec<u8>,
    /// The browser's account.
    pub client_data: Vec<u8>,
    /// The authenticator's data.
    pub authenticator_data: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The user handle that the authenticator stores.
    pub user_handle: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential<T> {
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: T,
}

#[derive(Deserialize)]
struct AttestationFields {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "attestationObject")]
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssertionFields {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

impl<T: DeserializeOwned> Credential<T> {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let read: Self = serde_json::from_str(text).map_err(|_| Refusal::Malformed("the answer's form"))?;
        if read.kind == "public-key" { Ok(read) } else { Err(Refusal::Type) }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    decode(text).ok_or(Refusal::Malformed("base64"))
}

impl Attestation {
    /// Reads what a browser sent.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Type`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let Credential { raw_id, response, .. } = Credential::<AttestationFields>::parse(text)?;
        Ok(Self {
            credential_id: bytes(&raw_id)?,
            client_data: bytes(&response.client_data)?,
            attestation_object: bytes(&response.attestation_object)?,
            transports: response.transports,
        })
    }

    /// The challenge that it says it answers: nothing is proved by it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn challenge(&self) -> Result<String, Refusal> {
        challenge(&self.client_data)
    }
}

impl Assertion {
    /// Reads what a browser sent.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Type`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let Credential { raw_id, response, .. } = Credential::<AssertionFields>::parse(text)?;
        let user_handle = response.user_handle.filter(|handle| !handle.is_empty());
        Ok(Self {
            credential_id: bytes(&raw_id)?,
            client_data: bytes(&response.client_data)?,
            authenticator_data: bytes(&response.authenticator_data)?,
            signature: bytes(&response.signature)?,
            user_handle: user_handle.as_deref().map(bytes).transpose()?,
        })
    }

    /// The challenge that it says it answers: nothing is proved by it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn challenge(&self) -> Result<String, Refusal> {
        challenge(&self.client_data)
    }
}

fn challenge(client_data: &[u8]) -> Result<String, Refusal> {
    crate::domain::webauthn::data::ClientData::parse(client_data).map(crate::domain::webauthn::data::ClientData::into_challenge)
}
