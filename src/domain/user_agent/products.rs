//! The parts of a user agent's text: products such as `Chrome/131.0`, and comments in parentheses
//! ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.5)).

/// Names that say which engine or platform a client is built on, not which program it is.
const ENGINES: &[&str] = &[
    "AppleWebKit",
    "AppleWebkit",
    "CFNetwork",
    "Chrome",
    "Dalvik",
    "Darwin",
    "Electron",
    "Gecko",
    "Mobile",
    "Mozilla",
    "NetType",
    "Opera",
    "Presto",
    "Safari",
    "Trident",
    "TV",
    "Version",
    "VR",
];

/// The longest name of a program that is shown, in characters.
const LONGEST_NAME: usize = 60;

/// A product: `MyApp/1.2` has the name `MyApp` and the version `1.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product<'a> {
    pub name: &'a str,
    /// `""` where there is none.
    pub version: &'a str,
}

impl<'a> Product<'a> {
    fn parse(word: &'a str) -> Self {
        let (name, version) = word.split_once('/').unwrap_or((word, ""));
        Self { name, version: version.trim_end_matches([',', ';']) }
    }

    /// The name to show and the first part of the version: `MyApp 1`. Percent signs are decoded, as
    /// Apple's CFNetwork writes `My%20App/1.2`. `None` for a name that has no letter, is an
    /// engine's, or is too long to be a name.
    pub fn describe(&self) -> Option<(String, String)> {
        let name = percent_encoding::percent_decode_str(self.name).decode_utf8().ok()?.trim().to_owned();
        let is_name = name.chars().any(char::is_alphabetic)
            && name.chars().all(|c| c.is_alphanumeric() || " .-_+&'!()".contains(c))
            && name.chars().count() <= LONGEST_NAME;
        if !is_name || ENGINES.contains(&name.as_str()) {
            return None;
        }
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let major = self.version.trim_start_matches('v').split('.').next().filter(is_number).unwrap_or_default();
        Some((name, major.to_owned()))
    }
}

/// The text outside parentheses and brackets, in pieces.
fn outside(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => {
                if depth == 0 {
                    pieces.push(text.get(start..at).unwrap_or_default());
                }
                depth += 1;
            }
            ')' | ']' if depth > 0 => {
                depth -= 1;
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth == 0 {
        pieces.push(text.get(start..).unwrap_or_default());
    }
    pieces
}

/// All products, in order.
pub(super) fn products(text: &str) -> impl Iterator<Item = Product<'_>> {
    outside(text).into_iter().flat_map(str::split_whitespace).map(Product::parse)
}

/// What the client says of its platform: the first comment, without its parentheses. `""` where
/// there is none.
pub(super) fn platform(text: &str) -> &str {
    let Some((_, rest)) = text.split_once('(') else { return "" };
    let mut depth = 1_u32;
    for (at, letter) in rest.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest.get(..at).unwrap_or_default();
        }
    }
    rest
}

/// The program that a text names itself: its first product that is not an engine's. A text that
/// does not begin as a browser's may have blanks in its name, as `My App/1.2` and `My App`.
pub(super) fn program(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let (before, version) = match text.find(['/', '(']) {
        Some(at) if text.get(at..).is_some_and(|rest| rest.starts_with('/')) => (text.get(..at)?, text.get(at + 1..)?),
        Some(at) => (text.get(..at)?, ""),
        None => (text, ""),
    };
    let is_one_name = before.contains(' ') && before.split(' ').all(|word| !ENGINES.contains(&word));
    if is_one_name {
        let version = version.split(char::is_whitespace).next().unwrap_or_default();
        return Product { name: before.trim(), version }.describe();
    }
    products(text).find_map(|product| product.describe()).or_else(|| {
        // `Mozilla/5.0 (compatible; Name/1.0; https://…)`
        let rest = platform(text).strip_prefix("compatible;")?;
        rest.split(';').map(str::trim).map(Product::parse).find(|product| !product.version.is_empty())?.describe()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_read_outside_comments() {
        let text = "Mozilla/5.0 (X11; Linux (64; x)) AppleWebKit/537.36 (KHTML, like Gecko) MyApp/1.0 Safari/537.36 [FBAN/x]";
        let names: Vec<_> = products(text).map(|product| product.name).collect();
        assert_eq!(names, ["Mozilla", "AppleWebKit", "MyApp", "Safari"]);
        assert_eq!(platform(text), "X11; Linux (64; x)");
        assert_eq!((platform("curl/8"), platform("a (b"), platform("")), ("", "b", ""));
        assert_eq!(products("a) b/1, (").map(|product| product.version).collect::<Vec<_>>(), ["", "1"]);
    }

    #[test]
    fn programs_are_named_as_they_name_themselves() {
        for (text, name, major) in [
            ("MyApp/1.2", "MyApp", "1"),
            ("My%20App/7 CFNetwork/1494.0.7 Darwin/23.4.0", "My App", "7"),
            ("My App/1.2 (iPhone; iOS 17.1)", "My App", "1"),
            ("My App (iPhone)", "My App", ""),
            ("MyApp", "MyApp", ""),
            ("kube-probe/v1.29", "kube-probe", "1"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) MyApp/1.0 Chrome/120 Electron/28 Safari/5",
                "MyApp",
                "1",
            ),
            ("Mozilla/5.0 (Linux; wv) AppleWebKit/537.36 Version/4.0 Chrome/131.0 Mobile Safari/537.36 Bank/22.1", "Bank", "22"),
            ("Mozilla/5.0 (compatible; Name/1.0; https://a.example/)", "Name", "1"),
            ("приложение/2", "приложение", "2"),
            ("app/dev", "app", ""),
        ] {
            assert_eq!(program(text), Some((name.to_owned(), major.to_owned())), "{text}");
        }
        for none in
            ["", " ", "Mozilla/5.0 (X11)", "12/3", "=HYPERLINK(\"x\")", "<b>/1", "%ff/1", &"x".repeat(61), "Dalvik/2.1.0 (Linux)"]
        {
            assert_eq!(program(none), None, "{none}");
        }
    }
}
