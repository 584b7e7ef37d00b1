//! Made-up user agents of real kinds: most sessions share the current versions of a few browsers, the
//! others have one of a long tail.

use fastrand::Rng;

/// The number of sessions for each user agent of the tail.
const SHARE: u32 = 50;
/// Of a hundred sessions, how many have a user agent of the tail.
const TAIL: u8 = 10;

/// The kinds, each with its share of a hundred.
type Kind = (u8, fn(&mut Rng, u32) -> String);
const KINDS: &[Kind] =
    &[(34, chrome), (20, firefox), (16, iphone), (14, android), (6, safari), (5, edge), (3, samsung), (2, program)];

/// The user agents of a load.
pub(super) struct Agents {
    seed: u64,
    tail: u32,
}

impl Agents {
    /// The user agents of a load with this number of sessions.
    pub fn new(seed: u64, sessions: u32) -> Self {
        Self { seed, tail: (sessions / SHARE).clamp(5, 100_000) }
    }

    /// The user agent of one session.
    pub fn pick(&self, rng: &mut Rng) -> String {
        if rng.u8(..100) < TAIL {
            let nth = rng.u32(..self.tail);
            // Old and odd versions, by the number: the same number is the same text.
            return kind(&mut crate::cli::load::rng(self.seed, 3, nth), nth + 1);
        }
        kind(rng, 0)
    }
}

/// `odd` is 0 for a version of today.
fn kind(rng: &mut Rng, odd: u32) -> String {
    let mut share = rng.u8(..100);
    for (part, write) in KINDS {
        if share < *part {
            return write(rng, odd);
        }
        share -= part;
    }
    chrome(rng, odd)
}

/// One of the last three versions, or an old one.
fn version(rng: &mut Rng, newest: u32, odd: u32) -> u32 {
    if odd == 0 { newest - rng.u32(..3) } else { newest - 3 - rng.u32(..60) }
}

fn chromium_build(rng: &mut Rng, odd: u32) -> String {
    // Browsers of today hide their build; old ones tell it.
    if odd == 0 { "0.0.0".into() } else { format!("0.{}.{}", 4000 + odd % 3000, rng.u32(..200)) }
}

fn desktop(rng: &mut Rng) -> &'static str {
    match rng.u8(..10) {
        0..=6 => "Windows NT 10.0; Win64; x64",
        7 | 8 => "Macintosh; Intel Mac OS X 10_15_7",
        _ => "X11; Linux x86_64",
    }
}

fn chrome(rng: &mut Rng, odd: u32) -> String {
    let (system, version) = (desktop(rng), version(rng, 142, odd));
    let build = chromium_build(rng, odd);
    format!("Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.{build} Safari/537.36")
}

fn edge(rng: &mut Rng, odd: u32) -> String {
    let version = version(rng, 142, odd);
    format!("{} Edg/{version}.{}", chrome(rng, odd), chromium_build(rng, odd))
}

fn firefox(rng: &mut Rng, odd: u32) -> String {
    let version = version(rng, 145, odd);
    let system = match (rng.u8(..8), odd) {
        (0..=4, _) => "Windows NT 10.0; Win64; x64".to_owned(),
        (5, 0) => "Macintosh; Intel Mac OS X 10.15".to_owned(),
        (5, _) => format!("Macintosh; Intel Mac OS X 10.{}.{}", 9 + odd % 7, odd % 11),
        (6, 0) => "X11; Ubuntu; Linux x86_64".to_owned(),
        (6, _) => format!("X11; Ubuntu; Linux x86_64; build {odd}"),
        _ => "X11; Linux x86_64".to_owned(),
    };
    let minor = if odd == 0 { 0 } else { odd % 9 };
    format!("Mozilla/5.0 ({system}; rv:{version}.{minor}) Gecko/20100101 Firefox/{version}.{minor}")
}

fn iphone(rng: &mut Rng, odd: u32) -> String {
    let (major, minor) = if odd == 0 { (18, 5 + rng.u32(..3)) } else { (12 + odd % 6, odd % 8) };
    let device = if rng.u8(..8) == 0 { "iPad; CPU" } else { "iPhone; CPU iPhone" };
    let build = if odd == 0 { "15E148".to_owned() } else { format!("{}E{}", 15 + odd % 7, odd % 400) };
    format!(
        "Mozilla/5.0 ({device} OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/{major}.{minor} Mobile/{build} Safari/604.1"
    )
}

fn safari(rng: &mut Rng, odd: u32) -> String {
    let (major, minor) = if odd == 0 { (18, 5 + rng.u32(..3)) } else { (12 + odd % 6, odd % 8) };
    format!(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_{}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} Safari/605.1.15",
        if odd == 0 { 7 } else { odd % 7 }
    )
}

const PHONES: &[&str] =
    &["Pixel 9", "Pixel 8a", "Pixel 7", "SM-S921B", "SM-A546B", "SM-G991B", "22101316G", "CPH2581", "M2101K6G", "XQ-DQ54"];

fn phone(rng: &mut Rng, odd: u32) -> String {
    if odd == 0 {
        return PHONES.get(rng.usize(..PHONES.len())).copied().unwrap_or_default().to_owned();
    }
    format!("SM-{}{:03}{}", char::from(b'A' + rng.u8(..26)), odd % 1000, char::from(b'A' + rng.u8(..6)))
}

fn android(rng: &mut Rng, odd: u32) -> String {
    let (system, version) = (if odd == 0 { 15 } else { 8 + odd % 7 }, version(rng, 142, odd));
    let (phone, build) = (phone(rng, odd), chromium_build(rng, odd));
    format!(
        "Mozilla/5.0 (Linux; Android {system}; {phone}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.{build} Mobile Safari/537.36"
    )
}

fn samsung(rng: &mut Rng, odd: u32) -> String {
    let version = if odd == 0 { 28 } else { 12 + odd % 16 };
    android(rng, odd).replace(" Chrome/", &format!(" SamsungBrowser/{version}.0 Chrome/"))
}

fn program(rng: &mut Rng, odd: u32) -> String {
    let (minor, patch) = if odd == 0 { (14, 1) } else { (odd % 17, odd % 5) };
    match rng.u8(..3) {
        0 => format!("curl/8.{minor}.{patch}"),
        1 => format!("python-requests/2.{}.{patch}", 20 + minor),
        _ => format!("Go-http-client/1.{}", 1 + odd % 2),
    }
}
