//! Files that never change while the server runs. Each is compressed once for each coding, at its
//! first use, on a thread that serves no requests; after that an answer is a pointer to the bytes.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::http::compress::Coding;

/// A file that is part of the binary, or made once from it.
#[derive(Debug)]
pub struct StaticFile {
    kind: HeaderValue,
    cache_control: HeaderValue,
    content: Bytes,
    zstd: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

impl StaticFile {
    /// A file of this media type. `cache_control` says for how long browsers keep it.
    #[must_use]
    pub fn new(kind: &'static str, cache_control: &'static str, content: impl Into<Bytes>) -> Self {
        Self {
            kind: HeaderValue::from_static(kind),
            cache_control: HeaderValue::from_static(cache_control),
            content: content.into(),
            zstd: OnceCell::new(),
            gzip: OnceCell::new(),
        }
    }

    /// The answer that holds the file. The layer that compresses answers finds the file in it.
    #[must_use]
    pub fn answer(&'static self) -> Response {
        let mut response = Response::new(Body::from(self.content.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, self.kind.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, self.cache_control.clone());
        response.extensions_mut().insert(self);
        response
    }

    /// The file in a coding; `None` when that is no smaller, or failed.
    pub(super) async fn compressed(&'static self, coding: Coding) -> Option<Bytes> {
        let cell = match coding {
            Coding::Zstd => &self.zstd,
            Coding::Gzip => &self.gzip,
        };
        // Concurrent requests wait for one compression. An empty value means that there is no
        // compressed form.
        let compressed = cell.get_or_init(|| async move {
            let done = tokio::task::spawn_blocking(move || coding.compress_once(&self.content)).await;
            done.ok().and_then(Result::ok).filter(|bytes| bytes.len() < self.content.len()).unwrap_or_default()
        });
        Some(compressed.await.clone()).filter(|bytes| !bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_compressed_once() {
        let file: &'static StaticFile =
            Box::leak(Box::new(StaticFile::new("text/plain", "no-store", "the same again and again, ".repeat(1000))));
        for coding in [Coding::Gzip, Coding::Zstd] {
            let (one, other) = tokio::join!(file.compressed(coding), file.compressed(coding));
            let (one, other) = (one.unwrap(), other.unwrap());
            assert!(one.len() * 10 < file.content.len());
            assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes, not a second copy");
        }
        let small: &'static StaticFile = Box::leak(Box::new(StaticFile::new("text/plain", "no-store", "x")));
        assert_eq!(small.compressed(Coding::Gzip).await, None);
    }
}
