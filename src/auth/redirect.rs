//! Where a sign-in may lead: only here (OWASP ASVS v5.0.0-3.7.2).

use percent_encoding::{CONTROLS, utf8_percent_encode};

use crate::config::{Config, PublicUrl};

/// The `next` that was asked for, if it is a path of this server or an address under its public URL;
/// else `/`.
#[must_use]
pub fn safe(config: &Config, next: Option<&str>) -> String {
    let own = config.http.public_url.as_ref().map(PublicUrl::origin);
    path_within(own.as_slice(), next.unwrap_or_default()).unwrap_or_else(|| "/".into())
}

/// The path, with its query, that an address names: a path, or an address below one of these origins
/// (`https://host[:port]`). `None` for all others. No browser reads what is given as an address of another host.
#[must_use]
pub fn path_within(origins: &[&str], address: &str) -> Option<String> {
    // Browsers drop tabs and line breaks from addresses, and read `\` as `/`.
    if address.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let below = |origin: &&str| {
        let start = address.get(..origin.len())?;
        let rest = address.get(origin.len()..)?;
        start.eq_ignore_ascii_case(origin).then_some(rest)
    };
    let path = origins.iter().filter_map(below).find(|rest| rest.starts_with('/')).unwrap_or(address);
    let is_path = path.starts_with('/') && !path.starts_with("//");
    // A header holds no other characters.
    is_path.then(|| utf8_percent_encode(path, CONTROLS).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_nowhere_else() {
        let environment = [("ROLLCALL_HTTP__PUBLIC_URL".to_owned(), "https://a.example".to_owned())];
        let config = Config::load(&crate::config::Flags::default(), environment).unwrap();
        for good in ["/", "/sessions?x=1", "/a//b"] {
            assert_eq!(safe(&config, Some(good)), good);
        }
        assert_eq!(safe(&config, Some("https://a.example/x")), "/x");
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "https://a.example.evil.example/",
            "https://a.example@evil.example/",
            "https://a.example//evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            " //evil.example",
            "evil.example",
        ] {
            assert_eq!(safe(&config, Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(safe(&config, None), "/");
        assert_eq!(safe(&config, Some("/users?q=zoë")), "/users?q=zo%C3%AB");
    }

    /// Tricks that led browsers elsewhere, and every mark that one might read as a slash or drop, before,
    /// between and after two slashes: resolved as browsers do, all stay here.
    #[test]
    fn no_trick_leads_elsewhere() {
        let environment = [("ROLLCALL_HTTP__PUBLIC_URL".to_owned(), "https://a.example".to_owned())];
        let config = Config::load(&crate::config::Flags::default(), environment).unwrap();
        let mut tricks: Vec<String> = [
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "http://evil.example",
            "HTTPS://EVIL.EXAMPLE",
            "//evil.example/https://a.example",
            "https://evil.example#https://a.example/",
            "https://evil.example?https://a.example/",
            "https://a.example:@evil.example",
            "https://a.example%2eevil.example/",
            "https://a.example\\@evil.example",
            "https://a.example\u{ff0f}@evil.example",
            "//evil%E3%80%82example",
            "https://a.example//evil.example",
            "https://a.example/\\evil.example",
            "https://a.example:443@evil.example/",
            "https://a.examplevil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "/%2f/evil.example",
            "/%5cevil.example",
            "/\u{3002}/evil.example",
            "//[::ffff:1.2.3.4]/",
            "//0x7f.1/",
            "//user:pass@evil.example",
            "/;@evil.example",
            "javascript:alert(1)",
            "java\nscript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "blob:https://evil.example/x",
            "vbscript:x",
            "view-source:https://evil.example",
            "//\u{202e}elpmaxe.live",
            "?next=//evil.example",
            "#//evil.example",
            "@evil.example",
        ]
        .map(str::to_owned)
        .into();
        let marks = (0..0x80)
            .filter_map(char::from_u32)
            .chain(['\u{85}', '\u{a0}', '\u{2028}', '\u{3000}', '\u{feff}', '\u{2215}', '\u{ff3c}']);
        for mark in marks {
            tricks.extend([
                format!("{mark}//evil.example"),
                format!("/{mark}/evil.example"),
                format!("//{mark}evil.example"),
                format!("{mark}https://evil.example/"),
                format!("https:{mark}//evil.example/"),
                format!("https://a.example{mark}evil.example/"),
                format!("https://a.example{mark}@evil.example/"),
                format!("/{mark}{mark}evil.example"),
            ]);
        }
        let here = reqwest::Url::parse("https://a.example/sign-in").unwrap();
        for trick in &tricks {
            let to = safe(&config, Some(trick));
            let resolved = here.join(&to).unwrap();
            assert_eq!(
                (resolved.scheme(), resolved.host_str(), resolved.port()),
                ("https", Some("a.example"), None),
                "{trick:?}: {to:?}"
            );
            assert!(to.starts_with('/') && axum::http::HeaderValue::from_str(&to).is_ok(), "{trick:?}: {to:?}");
        }
        assert!(tricks.len() > 1000);
    }
}
