//! What a code and a token stand for, and the token texts themselves.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::application::demand::Level;
use crate::domain::oidc::challenge::Challenge;
use crate::domain::{HashedSecret, Methods, PlainSecret, Timestamp};

/// What a session had proved when an app asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When, in seconds since 1970; `None`: never here.
    pub auth_time: Option<i64>,
    /// How well.
    pub acr: String,
    /// By what.
    pub amr: Vec<String>,
}

impl Proof {
    /// Of a session that proved these methods at that instant; `wanted` are the levels that were asked for: the best one of
    /// them that it has is given, or else its own.
    #[must_use]
    pub fn of(methods: Methods, proved_at: Timestamp, wanted: &[Level]) -> Self {
        let has = Level::of(methods);
        let level = wanted.iter().copied().filter(|wanted| *wanted <= has).max().unwrap_or(has);
        Self {
            auth_time: Some(proved_at.seconds()).filter(|at| *at > 0),
            acr: level.acr().to_owned(),
            amr: methods.words().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// What a code was given for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The address that it was sent to.
    pub redirect_uri: String,
    /// What it can be redeemed with, as 64 hexadecimal digits.
    pub challenge: Option<String>,
    /// What the ID token repeats.
    pub nonce: Option<String>,
    /// The scopes, separated by blanks.
    pub scope: String,
    /// What the session had proved.
    pub proof: Proof,
}

impl Grant {
    /// Whether a verifier is the one that goes with it. A verifier without a challenge is a sign that the challenge was
    /// taken out on the way (RFC 9700, 4.8.2).
    #[must_use]
    pub fn is_met(&self, verifier: Option<&str>) -> bool {
        match (&self.challenge, verifier) {
            (None, None) => true,
            (Some(stored), Some(verifier)) => unhex(stored).is_some_and(|challenge| Challenge(challenge).is_met(verifier)),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// 32 bytes, written as 64 hexadecimal digits; `None` for anything else.
#[must_use]
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (nth, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(nth * 2..nth * 2 + 2)?, 16).ok()?;
    }
    (text.len() == 64).then_some(bytes)
}

/// What a JWT access token is stored under: the hash of its `jti` after a byte that no text begins with, so that a `jti` which
/// is sent instead of its token finds nothing.
#[must_use]
pub fn jwt_hash(jti: &str) -> HashedSecret {
    let marked = [&[0xff], jti.as_bytes()].concat();
    HashedSecret(Sha256::digest(marked).into())
}

/// The text of a refresh token: what names its family, and its own secret. An old one of a family that is alive is
/// recognised by the family alone, so only the last two need to be stored.
#[derive(Clone, Debug)]
pub struct RefreshText {
    /// The family's part.
    family: PlainSecret,
    /// The whole.
    whole: PlainSecret,
}

impl RefreshText {
    /// The next one of a family, or the first one of a new family.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn draw(family: Option<&PlainSecret>) -> Result<Self, getrandom::Error> {
        let family = match family {
            Some(family) => family.clone(),
            None => PlainSecret::generate()?,
        };
        let whole = format!("{}.{}", family.expose(), PlainSecret::generate()?.expose());
        Ok(Self { family, whole: PlainSecret::from_text(whole) })
    }

    /// Reads one that was sent; `None` for what has not the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (family, secret) = text.split_once('.')?;
        let is_part =
            |part: &str| part.len() == 43 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let whole = (is_part(family) && is_part(secret)).then(|| PlainSecret::from_text(text))?;
        Some(Self { family: PlainSecret::from_text(family), whole })
    }

    /// What names the family, for the next one.
    #[must_use]
    pub fn family(&self) -> &PlainSecret {
        &self.family
    }

    /// What the family is stored under.
    #[must_use]
    pub fn family_hash(&self) -> HashedSecret {
        self.family.hash()
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &PlainSecret {
        &self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::hex;

    #[test]
    fn a_verifier_goes_with_its_challenge_and_with_nothing_else() {
        let grant = |challenge: Option<String>| Grant {
            redirect_uri: "https://app.example/cb".into(),
            challenge,
            nonce: None,
            scope: "openid".into(),
            proof: Proof::default(),
        };
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = hex(&Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap().0);
        assert!(grant(Some(challenge.clone())).is_met(Some(verifier)) && grant(None).is_met(None));
        assert!(!grant(Some(challenge.clone())).is_met(None) && !grant(None).is_met(Some(verifier)));
        assert!(!grant(Some(challenge[..62].to_owned())).is_met(Some(verifier)));
        let stored = serde_json::to_string(&grant(Some(challenge))).unwrap();
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Grant>(&stored).unwrap()).unwrap(), stored);
    }

    #[test]
    fn refresh_tokens_name_their_family() {
        let first = RefreshText::draw(None).unwrap();
        let second = RefreshText::draw(Some(first.family())).unwrap();
        assert_eq!(first.family_hash(), second.family_hash());
        assert_ne!(first.secret().hash(), second.secret().hash());
        assert_eq!(RefreshText::parse(second.secret().expose()).unwrap().family_hash(), first.family_hash());
        for bad in ["", ".", "a.b", first.family().expose(), &second.secret().expose()[..80], "ü.x"] {
            assert!(RefreshText::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_level_is_the_one_that_was_asked_for_or_the_sessions() {
        let methods = Methods::parse("pwd hwk mfa");
        let acr = |wanted: &[Level]| Proof::of(methods, Timestamp(5_000_000), wanted).acr;
        assert_eq!((acr(&[]).as_str(), acr(&[Level::Mfa]).as_str()), ("phrh", "urn:rollcall:acr:mfa"));
        assert_eq!(acr(&[Level::Any, Level::PhishingResistant]), "phr");
        let by_password = |wanted: &[Level]| Proof::of(Methods::password(), Timestamp(0), wanted).acr;
        assert_eq!(by_password(&[Level::Mfa]), Level::Any.acr());
        assert_eq!(by_password(&[Level::Hardware, Level::Any]), Level::Any.acr());
        assert_eq!(Proof::of(methods, Timestamp(0), &[]).auth_time, None);
    }
}
