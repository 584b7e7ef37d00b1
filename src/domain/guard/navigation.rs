//! Navigations: a browser loads a page at its top level. Only these are led to a sign-in; a program, a
//! script, a frame and a preflight are told no.

use crate::domain::guard::headers::Headers;

/// Whether a request with this method is a navigation. Browsers say so by `Sec-Fetch-Mode` and
/// `Sec-Fetch-Dest` (Fetch Metadata); of clients without these, GET and HEAD that accept HTML are.
#[must_use]
pub fn is_navigation(method: &str, headers: &impl Headers) -> bool {
    let never = method == "OPTIONS"
        || headers.has("x-requested-with")
        || headers.has("sec-websocket-key")
        || has_word(headers, "accept", "text/event-stream")
        || starts_with(headers, "content-type", "application/grpc")
        || has_word(headers, "sec-purpose", "prefetch");
    if never {
        return false;
    }
    if headers.has("sec-fetch-mode") || headers.has("sec-fetch-dest") {
        return headers.is("sec-fetch-mode", "navigate") && headers.is("sec-fetch-dest", "document");
    }
    matches!(method, "GET" | "HEAD") && has_word(headers, "accept", "text/html")
}

/// Whether a request with this method may be a navigation, since nothing is told of it: neither `Accept` nor Fetch Metadata.
/// Envoy's configurations for authentik pass the cookie alone to the check, and rely on a redirect.
#[must_use]
pub fn may_be_navigation(method: &str, headers: &impl Headers) -> bool {
    let told = ["accept", "sec-fetch-mode", "sec-fetch-dest", "x-requested-with", "sec-websocket-key", "content-type"];
    matches!(method, "GET" | "HEAD") && !told.into_iter().any(|name| headers.has(name))
}

/// Whether a request is a preflight (Fetch, 4.8): it never has a cookie.
#[must_use]
pub fn is_preflight(method: &str, headers: &impl Headers) -> bool {
    method == "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method")
}

/// Whether the browser says that a page of the same origin navigated here at its top level: by a link, an
/// address that was typed does not count.
#[must_use]
pub fn is_from_own_page(headers: &impl Headers) -> bool {
    headers.is("sec-fetch-site", "same-origin")
        && headers.is("sec-fetch-mode", "navigate")
        && headers.is("sec-fetch-dest", "document")
}

/// Whether a list of values, in one line or several, has this one. Parameters behind `;` are not compared.
fn has_word(headers: &impl Headers, name: &str, word: &str) -> bool {
    headers.lines(name).into_iter().flat_map(|line| line.split(|byte| *byte == b',')).any(|item| {
        let item = item.split(|byte| *byte == b';').next().unwrap_or_default();
        item.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
    })
}

fn starts_with(headers: &impl Headers, name: &str, start: &str) -> bool {
    let begins = |line: &[u8]| line.trim_ascii().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    headers.lines(name).into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> Vec<(&'static str, Vec<u8>)> {
        lines.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect()
    }

    const BROWSER: [(&str, &str); 3] =
        [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html,application/xhtml+xml;q=0.9")];

    #[test]
    fn only_a_page_at_the_top_level_is_a_navigation() {
        assert!(is_navigation("GET", &headers(&BROWSER)));
        assert!(is_navigation("POST", &headers(&BROWSER)), "a form");
        assert!(is_navigation("GET", &headers(&[("accept", "text/html; q=0.5, */*")])));
        assert!(is_navigation("HEAD", &headers(&[("accept", "*/*"), ("accept", "TEXT/HTML")])));
        for (method, lines) in [
            ("GET", vec![]),
            ("GET", vec![("accept", "*/*")]),
            ("GET", vec![("accept", "text/htmlx")]),
            ("POST", vec![("accept", "text/html")]),
            ("get", vec![("accept", "text/html")]),
            ("GET", vec![("accept", "text/html"), ("sec-fetch-mode", "cors")]),
            ("GET", vec![("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]),
            ("GET", vec![("accept", "text/html"), ("sec-fetch-dest", "document")]),
            ("GET", vec![("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]),
        ] {
            assert!(!is_navigation(method, &headers(&lines)), "{method} {lines:?}");
        }
        for never in [
            ("X-Requested-With", "XMLHttpRequest"),
            ("X-Requested-With", ""),
            ("Sec-WebSocket-Key", "x"),
            ("Accept", "text/event-stream"),
            ("Content-Type", "application/grpc+proto"),
            ("Sec-Purpose", "prefetch;prerender"),
        ] {
            assert!(!is_navigation("GET", &headers(&[BROWSER.as_slice(), &[never]].concat())), "{never:?}");
        }
        assert!(!is_navigation("OPTIONS", &headers(&BROWSER)));
    }

    #[test]
    fn a_request_of_which_nothing_is_told_may_be_a_navigation() {
        assert!(
            may_be_navigation("GET", &headers(&[("cookie", "a=1"), ("host", "a")])) && may_be_navigation("HEAD", &headers(&[]))
        );
        assert!(!may_be_navigation("POST", &headers(&[])) && !may_be_navigation("OPTIONS", &headers(&[])));
        for told in
            [("accept", "*/*"), ("sec-fetch-mode", "cors"), ("sec-websocket-key", "x"), ("content-type", "application/grpc")]
        {
            assert!(!may_be_navigation("GET", &headers(&[told])), "{told:?}");
        }
    }

    #[test]
    fn a_preflight_has_both_of_its_headers() {
        let both = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
        assert!(is_preflight("OPTIONS", &headers(&both)));
        assert!(!is_preflight("GET", &headers(&both)));
        assert!(!is_preflight("OPTIONS", &headers(&both[..1])) && !is_preflight("OPTIONS", &headers(&both[1..])));
    }

    #[test]
    fn a_page_of_the_app_itself_is_known_by_all_three_headers() {
        let own = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
        assert!(is_from_own_page(&headers(&own)));
        for at in 0..own.len() {
            let mut lines = own.to_vec();
            lines.remove(at);
            assert!(!is_from_own_page(&headers(&lines)), "{at}");
        }
        for site in ["none", "same-site", "cross-site", ""] {
            assert!(!is_from_own_page(&headers(&[("sec-fetch-site", site), own[1], own[2]])), "{site}");
        }
    }
}
