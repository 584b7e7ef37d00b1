//! authentik's own session cookie: a JWT, HS256, whose claim `sid` is the session key
//! (`docs/compat.md` 4.8). Accepted only when its secret key is configured.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use sha2::{Digest, Sha512};

use crate::domain::PlainSecret;
use crate::domain::secret::hex;

/// The cookie's name.
pub const COOKIE: &str = "authentik_session";

/// The session key in a cookie that verifies. The signing key is the lower-case hex SHA-512 of the
/// instance's secret key; only HS256 is allowed. Of the claims `sid` must be a text, and `exp` and `nbf`
/// (RFC 7519, 4.1.4 and 4.1.5) are checked where they are there: one that is no number is not "none", but
/// a claim that cannot be checked, so the cookie is refused.
#[must_use]
pub fn session_key(cookie: &str, secret_key: &str) -> Option<PlainSecret> {
    session_key_at(cookie, secret_key, jsonwebtoken::get_current_timestamp())
}

fn session_key_at(cookie: &str, secret_key: &str, now: u64) -> Option<PlainSecret> {
    let signing_key = hex(&Sha512::digest(secret_key.as_bytes()));
    let mut validation = Validation::new(Algorithm::HS256);
    // Times are checked below: the library takes one of the wrong type for none.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let key = DecodingKey::from_secret(signing_key.as_bytes());
    let claims = jsonwebtoken::decode::<Map<String, Value>>(cookie, &key, &validation).ok()?.claims;
    let time = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(claim) => claim.as_f64().map(Some),
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    let now = now as f64;
    let (expires, begins) = (time("exp")?, time("nbf")?);
    if expires.is_some_and(|expires| expires <= now) || begins.is_some_and(|begins| begins > now) {
        return None;
    }
    Some(PlainSecret::from_text(claims.get("sid")?.as_str()?))
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

    #[test]
    fn a_time_is_a_number_or_not_there() {
        const NOW: u64 = 1_800_000_000;
        let opens = |claim: &str, value: Value| {
            let mut claims = serde_json::json!({"sid": "key"});
            claims[claim] = value;
            session_key_at(&sign(Algorithm::HS256, &claims), "secret", NOW).is_some()
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for wrong in ["null", "\"\"", "\"4102444800\"", "\"never\"", "true", "[]", "[4102444800]", "{}"] {
            assert!(!opens("exp", json(wrong)) && !opens("nbf", json(wrong)), "{wrong}");
        }
        for over in ["-1", "0", "1", "1799999999", "1800000000", "1799999999.9", "-1e30"] {
            assert!(!opens("exp", json(over)) && opens("nbf", json(over)), "{over}");
        }
        for later in ["1800000001", "1800000000.5", "4102444800", "18446744073709551615", "1e30"] {
            assert!(opens("exp", json(later)) && !opens("nbf", json(later)), "{later}");
        }
        for sid in [Value::Null, serde_json::json!(7), serde_json::json!(["key"])] {
            assert!(!opens("sid", sid));
        }
    }
}
