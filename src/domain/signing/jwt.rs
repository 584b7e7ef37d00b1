//! JSON Web Tokens in compact form (RFC 7515, 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::signing::key::{Algorithm, NotSigned, SigningKey};

/// A signed token. `typ` says what kind of token it is (RFC 8725, 3.11), `claims` is a JSON object.
///
/// # Errors
/// [`NotSigned`].
pub fn sign(key: &SigningKey, kid: &str, typ: &str, claims: &str) -> Result<String, NotSigned> {
    // A `kid` is base64 and a `typ` one of ours, so neither needs an escape.
    let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"{typ}"}}"#, key.public().algorithm().as_str());
    let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 520);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// How long a token is, with a `kid` that is a thumbprint and this many bytes of claims. Of ES256 alone: the signature of
/// RSA is as long as the key.
#[must_use]
pub fn length(algorithm: Algorithm, typ: &str, claims: usize) -> usize {
    let encoded = |bytes: usize| base64::encoded_len(bytes, false).unwrap_or(usize::MAX / 8);
    let header = format!(r#"{{"alg":"{}","kid":"","typ":"{typ}"}}"#, algorithm.as_str()).len() + encoded(32);
    encoded(header) + 1 + encoded(claims) + 1 + encoded(64)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::signing::key::generate;
    use crate::domain::signing::{Jwk, PublicKey};

    #[test]
    fn another_library_reads_and_checks_a_token() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::read(algorithm, &generate(algorithm).unwrap()).unwrap();
            let kid = key.public().thumbprint();
            let token = sign(&key, &kid, "identity+jwt", r#"{"sub":"alice","aud":"wiki","exp":9999999999}"#).unwrap();
            if algorithm == Algorithm::Es256 {
                assert_eq!(token.len(), length(algorithm, "identity+jwt", 45));
            }
            let header = jsonwebtoken::decode_header(&token).unwrap();
            assert_eq!((header.kid.as_deref(), header.typ.as_deref()), (Some(kid.as_str()), Some("identity+jwt")));
            let jwk = serde_json::to_value(Jwk::new(key.public(), &kid)).unwrap();
            let public = DecodingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
            let mut rules = Validation::new(header.alg);
            rules.set_audience(&["wiki"]);
            let claims = jsonwebtoken::decode::<Value>(&token, &public, &rules).unwrap().claims;
            assert_eq!(claims, json!({"sub": "alice", "aud": "wiki", "exp": 9_999_999_999_i64}));
            let other = SigningKey::read(algorithm, &generate(algorithm).unwrap()).unwrap();
            assert!(!is_of(other.public(), &token) && is_of(key.public(), &token));
        }
    }

    fn is_of(key: &PublicKey, token: &str) -> bool {
        let (message, signature) = token.rsplit_once('.').unwrap();
        key.is_signature(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
    }
}
