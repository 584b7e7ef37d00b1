//! What a proxy forwards of a caller's request. Each kind of proxy has its own headers, and no others are
//! read: a caller can send the rest.

use percent_encoding::percent_decode_str;

use crate::domain::guard::headers::{Headers, Unclear};
use crate::domain::guard::kind::Kind;

/// The longest method that is read, in bytes.
const LONGEST_METHOD: usize = 32;

/// By which headers apps take another method than the request's.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// A request that a proxy asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The host with its port, as it was sent.
    pub authority: String,
    /// The path, as it was sent: it begins with `/`, and has neither a space nor a control character.
    pub path: String,
    /// What follows `?`, if anything does.
    pub query: Option<String>,
    /// The method and those that it may be taken for; none: it is not known, and may be any.
    pub methods: Vec<String>,
    /// Whether the caller came over https; `None`: it is not known.
    pub is_https: Option<bool>,
}

impl Asked {
    /// The method as it was sent; `GET` when it is not known.
    #[must_use]
    pub fn method(&self) -> &str {
        self.methods.first().map_or("GET", String::as_str)
    }

    /// Path and query, as they were sent.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The check itself: its parts that are no headers.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// Its method.
    pub method: &'a str,
    /// Envoy's: path and query behind the prefix of the check.
    pub path_and_query: &'a str,
}

/// Reads what a proxy of this kind forwards.
///
/// # Errors
/// When it does not say clearly what the caller asked for.
pub fn read(kind: Kind, check: Check<'_>, headers: &impl Headers) -> Result<Asked, Unclear> {
    let (scheme, authority, target, method) = match kind {
        Kind::Nginx => {
            let url = headers.single("x-original-url")?.ok_or(Unclear::Absent)?;
            let (scheme, rest) = url.split_once("://").ok_or(Unclear::Host)?;
            let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            (Some(scheme), authority, target, headers.single("x-original-method")?)
        }
        Kind::Caddy | Kind::Traefik => {
            let host = headers.single("x-forwarded-host")?.ok_or(Unclear::Absent)?;
            let target = headers.single("x-forwarded-uri")?.ok_or(Unclear::Absent)?;
            let method = headers.single("x-forwarded-method")?.ok_or(Unclear::Absent)?;
            (headers.single("x-forwarded-proto")?, host, target, Some(method))
        }
        Kind::Envoy => {
            let host = headers.single("host")?.ok_or(Unclear::Absent)?;
            (headers.single("x-forwarded-proto")?, host, check.path_and_query, Some(check.method))
        }
    };
    let is_https = scheme.map(read_scheme).transpose()?;
    if authority.is_empty() || authority.contains(',') {
        return Err(Unclear::Host);
    }
    let (path, query) = split_target(target)?;
    Ok(Asked { authority: authority.to_owned(), path, query, methods: read_methods(method, headers)?, is_https })
}

/// Traefik says `ws` and `wss` for WebSockets.
fn read_scheme(scheme: &str) -> Result<bool, Unclear> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Ok(true),
        "http" | "ws" => Ok(false),
        _ => Err(Unclear::Host),
    }
}

/// Splits an address into path and query.
///
/// # Errors
/// [`Unclear::Path`] unless it begins with `/`, and when it has `#`, a space or a control character; of the
/// path also when it has an encoded control character.
pub fn split_target(target: &str) -> Result<(String, Option<String>), Unclear> {
    let is_wrong = |c: char| c == '#' || c.is_whitespace() || c.is_control();
    if !target.starts_with('/') || target.contains(is_wrong) {
        return Err(Unclear::Path);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    if percent_decode_str(path).any(|byte| byte.is_ascii_control()) {
        return Err(Unclear::Path);
    }
    Ok((path.to_owned(), query))
}

/// The methods that a request may be taken for: its own, those of the headers that override it, and each in
/// capitals.
fn read_methods(method: Option<&str>, headers: &impl Headers) -> Result<Vec<String>, Unclear> {
    let Some(method) = method else { return Ok(Vec::new()) };
    let mut methods = vec![read_method(method)?];
    for name in OVERRIDES {
        for line in headers.lines(name) {
            let text = std::str::from_utf8(line).map_err(|_| Unclear::Method)?;
            methods.push(read_method(text.trim())?);
        }
    }
    let capitals: Vec<String> = methods.iter().map(|method| method.to_ascii_uppercase()).collect();
    for method in capitals {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn read_method(text: &str) -> Result<String, Unclear> {
    // What a token is made of (RFC 9110, 5.6.2).
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_method = !text.is_empty() && text.len() <= LONGEST_METHOD && text.bytes().all(is_token);
    if is_method { Ok(text.to_owned()) } else { Err(Unclear::Method) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Lines = Vec<(&'static str, Vec<u8>)>;

    fn lines(all: &[(&'static str, &str)]) -> Lines {
        all.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect()
    }

    const CHECK: Check<'static> = Check { method: "GET", path_and_query: "/a?b=1" };

    fn nginx(url: &str) -> Result<Asked, Unclear> {
        read(Kind::Nginx, CHECK, &lines(&[("x-original-url", url), ("x-original-method", "GET")]))
    }

    fn asked(authority: &str, path: &str, query: Option<&str>, methods: &[&str], is_https: Option<bool>) -> Asked {
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        Asked { authority: authority.into(), path: path.into(), query: query.map(str::to_owned), methods, is_https }
    }

    /// What a caller can send on through each proxy.
    const FORGED: [(&str, &str); 8] = [
        ("x-original-url", "https://forged.example/public"),
        ("x-original-method", "HEAD"),
        ("x-forwarded-host", "forged.example"),
        ("x-forwarded-uri", "/public"),
        ("x-forwarded-method", "HEAD"),
        ("forwarded", "host=forged.example"),
        ("x-rewrite-url", "/public"),
        ("x-forwarded-prefix", "/public"),
    ];

    #[test]
    fn each_kind_reads_its_own_headers_and_no_others() {
        let with = |own: &[(&'static str, &str)], kind: Kind| {
            let names: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
            let forged: Vec<_> = FORGED.into_iter().filter(|(name, _)| !names.contains(name)).collect();
            read(kind, CHECK, &lines(&[own, &forged].concat()))
        };
        let own = [("x-original-url", "https://app.example/a?b=1&c"), ("x-original-method", "POST")];
        assert_eq!(with(&own, Kind::Nginx), Ok(asked("app.example", "/a", Some("b=1&c"), &["POST"], Some(true))));
        let own = [
            ("x-forwarded-host", "app.example:8443"),
            ("x-forwarded-uri", "/a?b=1"),
            ("x-forwarded-method", "PUT"),
            ("x-forwarded-proto", "wss"),
        ];
        for kind in [Kind::Caddy, Kind::Traefik] {
            assert_eq!(with(&own, kind), Ok(asked("app.example:8443", "/a", Some("b=1"), &["PUT"], Some(true))));
        }
        let own = [("host", "app.example")];
        assert_eq!(with(&own, Kind::Envoy), Ok(asked("app.example", "/a", Some("b=1"), &["GET"], None)));
        // authentik's lines for nginx send no method.
        let read = read(Kind::Nginx, CHECK, &lines(&[("x-original-url", "http://app.example/")]));
        assert_eq!(read, Ok(asked("app.example", "/", None, &[], Some(false))));
    }

    #[test]
    fn what_is_absent_doubled_or_malformed_is_refused() {
        let good = [("x-forwarded-host", "a.example"), ("x-forwarded-uri", "/"), ("x-forwarded-method", "GET")];
        assert!(read(Kind::Caddy, CHECK, &lines(&good)).is_ok());
        for at in 0..good.len() {
            let mut absent = good.to_vec();
            absent.remove(at);
            assert_eq!(read(Kind::Caddy, CHECK, &lines(&absent)), Err(Unclear::Absent), "{at}");
            assert_eq!(read(Kind::Caddy, CHECK, &lines(&[good.as_slice(), &[good[at]]].concat())), Err(Unclear::Doubled), "{at}");
            let mut broken = lines(&good);
            broken[at].1 = b"/\xff".to_vec();
            assert_eq!(read(Kind::Caddy, CHECK, &broken), Err(Unclear::NotUtf8), "{at}");
            broken[at].1 = [b"/".as_slice(), &[b'a'; 16 * 1024]].concat();
            assert_eq!(read(Kind::Caddy, CHECK, &broken), Err(Unclear::TooLong), "{at}");
            broken[at].1 = b"a, b".to_vec();
            assert!(read(Kind::Caddy, CHECK, &broken).is_err(), "{at}");
            broken[at].1 = Vec::new();
            assert!(read(Kind::Caddy, CHECK, &broken).is_err(), "{at}");
        }
        for url in [
            "",
            "/a",
            "app.example/a",
            "ftp://app.example/a",
            "https://",
            "https:///a",
            "https://app.example",
            "https://app.example?a",
            "https://app.example#/a",
            "https://app.example\\a",
            "https://app.example/a#b",
            "https://app.example/a b",
            "https://app.example/a\tb",
            "https://app.example/a%0ab",
            "https://app.example/a%00",
            "https://app.example/%7f",
            "https://a.example,b.example/",
        ] {
            assert!(nginx(url).is_err(), "{url:?}");
        }
        assert_eq!(nginx("https://app.example/a%20b%23c?d=%0a").unwrap().path_and_query(), "/a%20b%23c?d=%0a");
    }

    #[test]
    fn a_method_counts_in_every_way_it_may_be_taken() {
        let methods = |method: &str, overrides: &[(&'static str, &str)]| {
            let own = [("x-forwarded-host", "a.example"), ("x-forwarded-uri", "/"), ("x-forwarded-method", method)];
            read(Kind::Caddy, CHECK, &lines(&[own.as_slice(), overrides].concat())).map(|asked| asked.methods)
        };
        assert_eq!(methods("delete", &[]).unwrap(), ["delete", "DELETE"]);
        assert_eq!(methods("POST", &[("x-http-method-override", "Delete")]).unwrap(), ["POST", "Delete", "DELETE"]);
        assert_eq!(methods("POST", &[("x-http-method", "PUT"), ("x-method-override", "PATCH")]).unwrap(), ["POST", "PUT", "PATCH"]);
        for wrong in ["", "GET, POST", "GET POST", "G\u{e9}T", &"A".repeat(33)] {
            assert!(methods(wrong, &[]).is_err() && methods("GET", &[("x-http-method", wrong)]).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_has_no_surprise(url in "(https?://)?.{0,30}/.{0,40}") {
            if let Ok(asked) = nginx(&url) {
                prop_assert!(asked.path.starts_with('/') && !asked.path.contains(['?', '#', ' ']));
                prop_assert!(!asked.authority.is_empty() && !asked.authority.contains(['/', ',', '?', '#', '\\']));
                prop_assert!(url.ends_with(&asked.path_and_query()));
            }
        }
    }
}
