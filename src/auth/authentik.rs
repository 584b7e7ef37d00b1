//! authentik's own session cookie: a JWT, HS256, whose claim `sid` is the session key
//! (`docs/compat.md` 4.8). Accepted only when its secret key is configured.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use sha2::{Digest, Sha512};

use crate::domain::PlainSecret;
use crate::domain::secret::hex;

/// The cookie's name.
pub const COOKIE: &str = "authentik_session";

#[derive(Deserialize)]
struct Claims {
    sid: String,
}

/// The session key in a cookie that verifies. The signing key is the lower-case hex SHA-512 of the
/// instance's secret key; only HS256 is allowed; of the claims only `exp` and `nbf` are checked, if
/// there.
#[must_use]
pub fn session_key(cookie: &str, secret_key: &str) -> Option<PlainSecret> {
    let signing_key = hex(&Sha512::digest(secret_key.as_bytes()));
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.leeway = 0;
    let token = jsonwebtoken::decode::<Claims>(cookie, &DecodingKey::from_secret(signing_key.as_bytes()), &validation).ok()?;
    Some(PlainSecret::from_text(token.claims.sid))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};

    use super::*;

    fn sign(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        let digest = hex(&Sha512::digest(b"secret"));
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(digest.as_bytes())).unwrap()
    }

    #[test]
    fn only_what_verifies() {
        let claims = serde_json::json!({"sid": "key", "iss": "authentik", "sub": "x", "authenticated": true});
        let good = sign(Algorithm::HS256, &claims);
        assert_eq!(session_key(&good, "secret").unwrap().expose(), "key");
        assert!(session_key(&good, "other").is_none());
        assert!(session_key("key", "secret").is_none());
        assert!(session_key(&sign(Algorithm::HS512, &claims), "secret").is_none());
        let expired = serde_json::json!({"sid": "key", "exp": 1});
        assert!(session_key(&sign(Algorithm::HS256, &expired), "secret").is_none());
        let (head, signature) = good.rsplit_once('.').unwrap();
        let none = format!("eyJhbGciOiJub25lIn0.{}.", head.split_once('.').unwrap().1);
        assert!(session_key(&none, "secret").is_none());
        for cut in 0..signature.len() {
            assert!(session_key(&format!("{head}.{}", &signature[..cut]), "secret").is_none());
        }
    }
}
