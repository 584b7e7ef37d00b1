//! The headers of a request, as the rules of the guard read them.

use axum::http::HeaderMap;

use crate::domain::guard::headers::Headers;

impl Headers for HeaderMap {
    fn lines<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        self.get_all(name).iter().map(axum::http::HeaderValue::as_bytes).collect()
    }
}
