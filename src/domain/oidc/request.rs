//! A request to authorize (OpenID Connect Core 1.0, 3.1.2.1): its parameters, read and judged.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::application::client::{Client, Pkce};
use crate::domain::application::demand::Level;
use crate::domain::oidc::challenge::Challenge;
use crate::domain::oidc::claims::{OPENID, granted, has};

/// The most bytes of all parameters together.
pub const MAX_LENGTH: usize = 8 * 1024;
/// The longest `state`, in bytes.
const MAX_STATE: usize = 4 * 1024;

/// How an answer is brought to the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of a redirect.
    #[default]
    Query,
    /// By a form that the browser sends.
    FormPost,
}

/// Why a request is refused, in the words of RFC 6749, 4.1.2.1 and OpenID Connect Core 1.0, 3.1.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Something is missing, twice, or malformed.
    InvalidRequest(&'static str),
    /// Only codes are given.
    UnsupportedResponseType,
    /// There is no scope that the client has.
    InvalidScope,
    /// Objects with parameters are not read.
    RequestNotSupported,
    /// They are not fetched either.
    RequestUriNotSupported,
    /// `prompt=none`, and nobody is signed in, or not as asked.
    LoginRequired,
    /// `prompt=none`, and something must be shown.
    InteractionRequired,
    /// `prompt=none`, and the user must be asked first.
    ConsentRequired,
    /// The user may not open the application, or does not want to.
    AccessDenied,
}

impl Refused {
    /// The `error`.
    #[must_use]
    pub fn error(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::AccessDenied => "access_denied",
        }
    }

    /// The `error_description`: ASCII without quotes and backslashes.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(what) => what,
            Self::UnsupportedResponseType => "only the response type code is supported",
            Self::InvalidScope => "none of these scopes is the client's",
            Self::RequestNotSupported => "the parameter request is not supported",
            Self::RequestUriNotSupported => "the parameter request_uri is not supported",
            Self::LoginRequired => "nobody is signed in as asked",
            Self::InteractionRequired => "the user has something to do first",
            Self::ConsentRequired => "the user must be asked first",
            Self::AccessDenied => "the user may not open this application, or does not want to",
        }
    }
}

/// What is to be shown although it would not be needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that may be there")]
pub struct Prompt {
    /// No page at all.
    pub is_none: bool,
    /// A fresh proof.
    pub login: bool,
    /// Which account.
    pub select_account: bool,
    /// What the app gets.
    pub consent: bool,
}

/// The parameters of a request, decoded, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a>(pub &'a [(String, String)]);

impl<'a> Parameters<'a> {
    /// The value of a parameter that is there once and not empty (RFC 6749, 3.1).
    ///
    /// # Errors
    /// [`Refused::InvalidRequest`] when it is there twice.
    pub fn single(self, name: &str) -> Result<Option<&'a str>, Refused> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refused::InvalidRequest("a parameter is there twice")),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// Whether a parameter is there, empty or not.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Whether any of them is there twice.
    #[must_use]
    pub fn has_doubles(self) -> bool {
        let mut seen = HashSet::new();
        !self.0.iter().all(|(name, _)| seen.insert(name))
    }

    /// Whether they are no longer than they may be.
    #[must_use]
    pub fn is_short(self) -> bool {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() <= MAX_LENGTH
    }
}

/// A request of a known client for one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeRequest {
    /// The scopes that are granted, separated by blanks.
    pub scope: String,
    /// What the code can be redeemed with.
    pub challenge: Option<Challenge>,
    /// What the ID token repeats.
    pub nonce: Option<String>,
    /// What is to be shown.
    pub prompt: Prompt,
    /// How old the proof may be.
    pub max_age: Option<Duration>,
    /// The levels that are asked for, each as good as the others.
    pub wanted: Vec<Level>,
    /// A token that names the user.
    pub hint: Option<String>,
    /// The name that the sign-in form has in it.
    pub login_hint: Option<String>,
}

/// `state` and how the answer is brought: what an error needs, too.
///
/// # Errors
/// [`Refused::InvalidRequest`]; `state` is then left out.
pub fn mode(given: Parameters<'_>) -> Result<ResponseMode, Refused> {
    match given.single("response_mode")? {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(Refused::InvalidRequest("the response modes are query and form_post")),
    }
}

impl AuthorizeRequest {
    /// Reads the parameters; unknown ones are passed over.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read(given: Parameters<'_>, client: &Client) -> Result<Self, Refused> {
        if given.has_doubles() {
            return Err(Refused::InvalidRequest("a parameter is there twice"));
        }
        mode(given)?;
        match given.single("response_type")? {
            Some("code") => {}
            Some(_) => return Err(Refused::UnsupportedResponseType),
            None => return Err(Refused::InvalidRequest("response_type is missing")),
        }
        if given.has("request") {
            return Err(Refused::RequestNotSupported);
        }
        if given.has("request_uri") {
            return Err(Refused::RequestUriNotSupported);
        }
        if given.single("state")?.is_some_and(|state| state.len() > MAX_STATE) {
            return Err(Refused::InvalidRequest("state is too long"));
        }
        let scope = granted(given.single("scope")?, &client.scopes);
        if scope.is_empty() {
            return Err(Refused::InvalidScope);
        }
        let is_openid = has(&scope, OPENID);
        Ok(Self {
            challenge: challenge(given, client)?,
            nonce: given.single("nonce")?.filter(|_| is_openid).map(str::to_owned),
            prompt: prompt(given)?,
            max_age: max_age(given)?,
            wanted: wanted(given)?,
            hint: given.single("id_token_hint")?.map(str::to_owned),
            login_hint: given.single("login_hint")?.map(str::to_owned),
            scope,
        })
    }
}

fn challenge(given: Parameters<'_>, client: &Client) -> Result<Option<Challenge>, Refused> {
    let method = given.single("code_challenge_method")?;
    if !given.has("code_challenge") {
        return match (client.pkce, method) {
            (_, Some(_)) => Err(Refused::InvalidRequest("code_challenge is missing")),
            (Pkce::Required, None) => Err(Refused::InvalidRequest("this client must send a code_challenge (PKCE)")),
            (Pkce::Optional, None) => Ok(None),
        };
    }
    // Without a method it is `plain` (RFC 7636, 4.3), which protects nothing.
    if method != Some("S256") {
        return Err(Refused::InvalidRequest("the code_challenge_method is S256"));
    }
    let challenge = given.single("code_challenge")?.and_then(Challenge::parse);
    challenge.map(Some).ok_or(Refused::InvalidRequest("code_challenge is malformed"))
}

fn prompt(given: Parameters<'_>) -> Result<Prompt, Refused> {
    let words: Vec<&str> = given.single("prompt")?.unwrap_or_default().split_ascii_whitespace().collect();
    if words.contains(&"none") && words.len() > 1 {
        return Err(Refused::InvalidRequest("prompt=none goes with no other value"));
    }
    // Others are passed over.
    let has = |word: &str| words.contains(&word);
    Ok(Prompt { is_none: has("none"), login: has("login"), select_account: has("select_account"), consent: has("consent") })
}

fn max_age(given: Parameters<'_>) -> Result<Option<Duration>, Refused> {
    let Some(text) = given.single("max_age")? else { return Ok(None) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse::<u32>().ok().filter(|_| is_number).ok_or(Refused::InvalidRequest("max_age is no number"))?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

fn wanted(given: Parameters<'_>) -> Result<Vec<Level>, Refused> {
    let asked = given.single("acr_values")?.unwrap_or_default();
    Ok(Level::ALL.into_iter().filter(|level| asked.split_ascii_whitespace().any(|word| word == level.acr())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::oidc::redirect::RedirectUri;

    fn read(query: &str, pkce: Pkce) -> Result<AuthorizeRequest, Refused> {
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.replace('+', " ")))
            .collect();
        let redirect_uris = vec![RedirectUri::parse("https://app.example/cb", &[]).unwrap()];
        AuthorizeRequest::read(Parameters(&pairs), &Client { pkce, redirect_uris, ..Client::default() })
    }

    const CHALLENGE: &str = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

    #[test]
    fn a_request_is_read_whatever_its_order_and_unknown_parts() {
        let wanted = format!(
            "{CHALLENGE}&foo=bar&scope=email+openid&response_type=code&nonce=n&max_age=10000&prompt=login&acr_values=x+phr"
        );
        let request = read(&wanted, Pkce::Required).unwrap();
        assert_eq!((request.scope.as_str(), request.nonce.as_deref()), ("openid email", Some("n")));
        assert_eq!((request.max_age, request.wanted), (Some(Duration::from_secs(10_000)), vec![Level::PhishingResistant]));
        assert!(request.prompt.login && request.challenge.is_some());
        let plain = read("response_type=code&scope=email&nonce=n", Pkce::Optional).unwrap();
        assert_eq!((plain.nonce, plain.challenge), (None, None), "without openid there is no ID token");
    }

    #[test]
    fn a_request_that_is_wrong_says_so() {
        let invalid = |query: &str| matches!(read(query, Pkce::Optional), Err(Refused::InvalidRequest(_)));
        for bad in [
            "scope=openid",
            "response_type=code&response_type=code",
            "response_type=code&foo=1&foo=2",
            "response_type=code&response_mode=fragment",
            "response_type=code&prompt=none+login",
            "response_type=code&max_age=soon",
            "response_type=code&max_age=-1",
            "response_type=code&max_age=%2B1",
            "response_type=code&code_challenge=",
            "response_type=code&code_challenge=&code_challenge_method=S256",
            "response_type=code&code_challenge=short&code_challenge_method=S256",
            "response_type=code&code_challenge_method=S256",
            "response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=plain",
        ] {
            assert!(invalid(bad), "{bad}: {:?}", read(bad, Pkce::Optional));
        }
        assert!(matches!(read("response_type=code", Pkce::Required), Err(Refused::InvalidRequest(_))));
        let refused = |query: &str| read(query, Pkce::Optional).unwrap_err();
        assert_eq!(refused("response_type=token"), Refused::UnsupportedResponseType);
        assert_eq!(refused("response_type=code&request=x"), Refused::RequestNotSupported);
        assert_eq!(refused("response_type=code&request_uri=https://a"), Refused::RequestUriNotSupported);
        assert_eq!(refused("response_type=code&scope=address"), Refused::InvalidScope);
    }
}
