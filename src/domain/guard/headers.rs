//! How the guard reads a header that a proxy sets: there is one line of it, or the request is refused.

/// The largest value of a header that is read.
pub const MAX_VALUE: usize = 16 * 1024;

/// The headers of a request, by name in lower case.
pub trait Headers {
    /// The values of all lines of that name, in order.
    fn lines<'a>(&'a self, name: &str) -> Vec<&'a [u8]>;

    /// The value of a header that is there once, is UTF-8 and no longer than [`MAX_VALUE`]; `None` when it is absent.
    ///
    /// # Errors
    /// When it is there twice, too long, or not UTF-8.
    fn single<'a>(&'a self, name: &str) -> Result<Option<&'a str>, Unclear> {
        let lines = self.lines(name);
        let Some((first, more)) = lines.split_first() else { return Ok(None) };
        if !more.is_empty() {
            return Err(Unclear::Doubled);
        }
        if first.len() > MAX_VALUE {
            return Err(Unclear::TooLong);
        }
        std::str::from_utf8(first).map(Some).map_err(|_| Unclear::NotUtf8)
    }

    /// Whether there is a header of that name.
    fn has(&self, name: &str) -> bool {
        !self.lines(name).is_empty()
    }

    /// Whether the header is there exactly once and has this value, regardless of ASCII case.
    fn is(&self, name: &str, value: &str) -> bool {
        matches!(self.lines(name).as_slice(), [only] if only.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
    }
}

/// Why a forwarded request cannot be judged. The answer is 403, before any session is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A header that must be there is not.
    #[error("a header with the address is missing")]
    Absent,
    /// A header is there twice.
    #[error("a header is there twice")]
    Doubled,
    /// A header is longer than 16 KiB.
    #[error("a header is too long")]
    TooLong,
    /// A header is not UTF-8.
    #[error("a header is not UTF-8")]
    NotUtf8,
    /// The address has no scheme of http, no host, or more than one.
    #[error("the address has no host")]
    Host,
    /// The path does not begin with a slash, or has a character that no address has.
    #[error("the path is malformed")]
    Path,
    /// The method is no word.
    #[error("the method is malformed")]
    Method,
    /// The `Host` of the check is a guarded host, and another one than the address names.
    #[error("the address names another host than the request was sent to")]
    OtherHost,
}

/// Headers as a list of names and values, for tests.
#[cfg(test)]
impl Headers for Vec<(&'static str, Vec<u8>)> {
    fn lines<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_when_it_is_there_once() {
        let one = |values: &[&[u8]]| values.iter().map(|value| ("x", value.to_vec())).collect::<Vec<_>>();
        assert_eq!(one(&[]).single("x"), Ok(None));
        assert_eq!(one(&[b"a"]).single("X"), Ok(Some("a")));
        assert_eq!(one(&[b""]).single("x"), Ok(Some("")));
        assert_eq!(one(&[b"a", b"a"]).single("x"), Err(Unclear::Doubled));
        assert_eq!(one(&[b"\xff"]).single("x"), Err(Unclear::NotUtf8));
        assert_eq!(one(&[&vec![b'a'; MAX_VALUE]]).single("x").map(Option::unwrap).map(str::len), Ok(MAX_VALUE));
        assert_eq!(one(&[&vec![b'a'; MAX_VALUE + 1]]).single("x"), Err(Unclear::TooLong));
        assert!(one(&[b" Navigate "]).is("x", "navigate") && !one(&[b"navigate", b"navigate"]).is("x", "navigate"));
    }
}
