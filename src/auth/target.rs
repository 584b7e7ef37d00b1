//! Where a sign-in may lead: only here (OWASP ASVS v5.0.0-3.7.2).

use crate::config::Config;

/// The `next` that was asked for, if it is a path of this server or an address under its public URL;
/// else `/`.
#[must_use]
pub fn safe(config: &Config, next: Option<&str>) -> String {
    let next = next.unwrap_or_default();
    // Browsers drop tabs and line breaks from addresses, and read `\` as `/`.
    if next.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return "/".into();
    }
    let own = config.http.public_url.as_ref().and_then(|url| {
        let start = next.get(..url.origin().len())?;
        let rest = next.get(url.origin().len()..)?;
        start.eq_ignore_ascii_case(url.origin()).then_some(rest)
    });
    let path = own.unwrap_or(next);
    if path.starts_with('/') && !path.starts_with("//") {
        return path.to_owned();
    }
    "/".into()
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
    }
}
