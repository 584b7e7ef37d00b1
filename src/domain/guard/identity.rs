//! Values of identity headers: visible ASCII, so that no proxy, WebSocket library or app reads them in
//! different ways.

use std::fmt::Write;

use crate::domain::application::guard::{Encoding, Guard, Headers};
use crate::domain::application::values::{GroupsSent, Identity, Sent, Source};
use crate::domain::guard::places::Words;

/// The most bytes that all identity headers of an answer may take, names included. Proxies buffer an
/// answer's head in 32 KiB, which the app's cookies share.
pub const MAX_BYTES: usize = 16 * 1024;

/// One value for a header, or an item of a list with this separator. Spaces inside stay as they are, and
/// those at either end, which proxies strip, are encoded.
#[must_use]
pub fn encode(value: &str, encoding: Encoding, separator: Option<char>) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, c) in value.char_indices() {
        let is_edge = c == ' ' && (at == 0 || at == last);
        let is_plain = match encoding {
            Encoding::Percent => (' '..='~').contains(&c) && c != '%',
            Encoding::Utf8 => !c.is_control() && (c != '%' || separator.is_none()),
        };
        if is_plain && !is_edge && Some(c) != separator {
            out.push(c);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A list for a header: each item encoded, so that an item with the separator in it stays one item.
#[must_use]
pub fn encode_list<'a>(items: impl IntoIterator<Item = &'a str>, encoding: Encoding, separator: char) -> String {
    let mut out = String::new();
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(separator);
        }
        out.push_str(&encode(item, encoding, Some(separator)));
    }
    out
}

/// The application that an identity is sent to.
#[derive(Clone, Copy, Debug)]
pub struct SentTo<'a> {
    /// Which headers, and how they are written.
    pub guard: &'a Guard,
    /// Which names of groups.
    pub groups: &'a GroupsSent,
    /// The application's slug.
    pub slug: &'a str,
    /// The name of its guard.
    pub provider: &'a str,
    /// In whose words the check was asked.
    pub words: Words,
    /// Where the keys of signed identities are published, or `""`.
    pub keys: &'a str,
}

/// Whether headers that are chosen like this have authentik's names at an address.
#[must_use]
pub fn are_authentiks(headers: &Headers, words: Words) -> bool {
    matches!((headers, words), (Headers::Authentik, _) | (Headers::ByAddress, Words::Authentik))
}

impl SentTo<'_> {
    /// Whether the headers have authentik's names.
    fn is_authentiks(&self) -> bool {
        are_authentiks(&self.guard.headers, self.words)
    }

    /// The name of the header with the signed identity.
    #[must_use]
    pub fn signed_name(&self) -> &'static str {
        if self.is_authentiks() { "X-authentik-jwt" } else { "X-Rollcall-Jwt" }
    }
}

/// The identity headers of a user, in order; none of them is empty. With a signed identity, it is the last one. `None`:
/// they take more than [`MAX_BYTES`], and a shortened list of groups would say something else.
#[must_use]
pub fn headers(user: &Identity, signed: Option<&str>, to: SentTo<'_>) -> Option<Vec<(String, String)>> {
    let headers = all_headers(user, signed, to);
    (bytes_of(&headers) <= MAX_BYTES).then_some(headers)
}

/// How many bytes the identity headers of a user take, names included.
#[must_use]
pub fn size(user: &Identity, signed: Option<&str>, to: SentTo<'_>) -> usize {
    bytes_of(&all_headers(user, signed, to))
}

fn bytes_of(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum()
}

fn all_headers(user: &Identity, signed: Option<&str>, to: SentTo<'_>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, source) in table(to) {
        let Some(sent) = source.value(user, to.groups) else { continue };
        let separator = if name.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("x-authentik")) { '|' } else { ',' };
        let value = match sent {
            Sent::Text(text) => encode(&text, to.guard.encoding, None),
            Sent::List(items) => encode_list(items.iter().map(String::as_str), to.guard.encoding, separator),
        };
        headers.push((name, value));
    }
    headers.extend(signed.map(|signed| (to.signed_name().to_owned(), signed.to_owned())));
    headers
}

/// Names of authentik's family that apps believe though they are not sent: there are no entitlements, and identities are
/// signed where the guard says so.
const BELIEVED: [&str; 2] = ["X-authentik-entitlements", "X-authentik-jwt"];

/// The names of all headers that an application may be sent, in order, and after them those that it believes all the same:
/// a proxy must let through none of them as a caller sends it.
#[must_use]
pub fn names(to: SentTo<'_>) -> Vec<String> {
    let mut names: Vec<String> = table(to).into_iter().map(|(name, _)| name).collect();
    let signed = to.guard.jwt.then(|| to.signed_name());
    let believed = BELIEVED.into_iter().filter(|name| to.is_authentiks() && signed != Some(name));
    names.extend(signed.into_iter().chain(believed).map(str::to_owned));
    names
}

/// Which header has which source.
fn table(to: SentTo<'_>) -> Vec<(String, Source)> {
    let named = |names: &[(&str, Source)]| names.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect();
    let remote = || {
        named(&[
            ("Remote-User", Source::Username),
            ("Remote-Groups", Source::Groups),
            ("Remote-Name", Source::Name),
            ("Remote-Email", Source::Email),
        ])
    };
    let authentik = || {
        named(&[
            ("X-authentik-username", Source::Username),
            ("X-authentik-groups", Source::Groups),
            ("X-authentik-email", Source::Email),
            ("X-authentik-name", Source::Name),
            ("X-authentik-uid", Source::Uid),
            ("X-authentik-meta-jwks", Source::Text(to.keys.to_owned())),
            ("X-authentik-meta-outpost", Source::Text("rollcall".into())),
            ("X-authentik-meta-provider", Source::Text(to.provider.to_owned())),
            ("X-authentik-meta-app", Source::Text(to.slug.to_owned())),
            ("X-authentik-meta-version", Source::Text(env!("CARGO_PKG_VERSION").into())),
        ])
    };
    match (&to.guard.headers, to.words) {
        (Headers::Own(table), _) => table.iter().map(|(name, source)| (name.clone(), source.clone())).collect(),
        (Headers::Remote, _) | (Headers::ByAddress, Words::Own) => remote(),
        (Headers::Authentik, _) | (Headers::ByAddress, Words::Authentik) => authentik(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_visible_ascii_is_percent_encoded() {
        for (value, want) in [
            ("alice", "alice"),
            ("Zoë Ünal", "Zo%C3%AB %C3%9Cnal"),
            ("50%", "50%25"),
            ("a,b", "a,b"),
            ("a\r\nRemote-User: admin", "a%0D%0ARemote-User: admin"),
            ("a\0b\x7f", "a%00b%7F"),
            (" a ", "%20a%20"),
            (" ", "%20"),
            ("", ""),
            ("🦊", "%F0%9F%A6%8A"),
        ] {
            assert_eq!(encode(value, Encoding::Percent, None), want, "{value:?}");
        }
        assert_eq!(encode("Zoë\n%\u{85}", Encoding::Utf8, None), "Zoë%0A%%C2%85");
    }

    #[test]
    fn a_group_with_a_separator_in_its_name_stays_one_group() {
        assert_eq!(encode_list(["a,b", "c"], Encoding::Percent, ','), "a%2Cb,c");
        assert_eq!(encode_list(["a|b", "c,d"], Encoding::Utf8, '|'), "a%7Cb|c,d");
        assert_eq!(encode_list(["a%7Cb"], Encoding::Utf8, '|'), "a%257Cb", "not the group a|b");
        assert_eq!(encode_list([], Encoding::Percent, ','), "");
    }

    fn sent(guard: &Guard, groups: &[&str], words: Words) -> Option<Vec<(String, String)>> {
        let user = Identity {
            username: "alice".into(),
            name: "Zoë".into(),
            uid: "u1".into(),
            groups: groups.iter().map(|name| (*name).to_owned()).collect(),
            ..Identity::default()
        };
        let to = SentTo { guard, groups: &GroupsSent::All, slug: "app", provider: "The app", words, keys: "https://id.example/k" };
        headers(&user, None, to)
    }

    #[test]
    fn each_family_of_names_has_its_separator_and_nothing_is_sent_empty() {
        let own = |headers: Vec<(String, String)>| {
            headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        let remote = own(sent(&Guard::default(), &["a,b", "c|d"], Words::Own).unwrap());
        assert_eq!(
            remote,
            ["Remote-User: alice", "Remote-Groups: a%2Cb,c|d", "Remote-Name: Zo%C3%AB"],
            "no e-mail address is known"
        );
        let authentik = own(sent(&Guard::default(), &["a,b", "c|d"], Words::Authentik).unwrap());
        assert_eq!(authentik[..3], ["X-authentik-username: alice", "X-authentik-groups: a,b|c%7Cd", "X-authentik-name: Zo%C3%AB"]);
        let table = Headers::Own([("X-WEBAUTH-USER".to_owned(), Source::Username), ("X-Mail".to_owned(), Source::Email)].into());
        let guard = Guard { headers: table, ..Guard::default() };
        for words in [Words::Own, Words::Authentik] {
            assert_eq!(own(sent(&guard, &[], words).unwrap()), ["X-WEBAUTH-USER: alice"]);
        }
    }

    #[test]
    fn a_list_of_groups_that_is_too_long_is_never_shortened() {
        let names: Vec<String> = (0..4000).map(|n| format!("group number {n}")).collect();
        let groups: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(sent(&Guard::default(), &groups, Words::Own), None);
        assert!(sent(&Guard::default(), &groups[..500], Words::Own).is_some());
    }

    proptest! {
        #[test]
        fn a_list_reads_back(items in proptest::collection::vec(any::<String>(), 0..6), is_utf8: bool) {
            let encoding = if is_utf8 { Encoding::Utf8 } else { Encoding::Percent };
            let header = encode_list(items.iter().map(String::as_str), encoding, ',');
            let is_sent = header.chars().all(|c| if is_utf8 { !c.is_control() } else { (' '..='~').contains(&c) });
            prop_assert!(is_sent);
            let decode = |item: &str| percent_encoding::percent_decode_str(item).decode_utf8().unwrap().into_owned();
            let read: Vec<String> = if items.is_empty() { Vec::new() } else { header.split(',').map(decode).collect() };
            prop_assert_eq!(read, items);
        }
    }
}
