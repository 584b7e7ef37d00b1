//! User agents, and MaxMind files that somebody broke.

use std::time::{Duration, Instant};

use rollcall::config::GeoIpConfig;
use rollcall::domain::{Address, user_agent};
use rollcall::enrich::geoip;
use rollcall::enrich::geoip::GeoIp;
use rollcall::enrich::user_agents::UserAgents;

use super::Fuzz;
use crate::support::geoip::{write_asn, write_city};

/// The longest that one input may take, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn user_agents() {
    let rules = UserAgents::load(None).unwrap();
    let words: [&[u8]; 20] = [
        b"Mozilla/5.0 ",
        b"(X11; Linux x86_64) ",
        b"AppleWebKit/537.36 (KHTML, like Gecko) ",
        b"Chrome/141.0.0.0 ",
        b"Safari/537.36",
        b"Firefox/143.0",
        b"(iPhone; CPU iPhone OS 18_0 like Mac OS X) ",
        b"(Linux; Android 15; Pixel 9) ",
        b"Windows NT 10.0",
        b"Edg/",
        b"OPR/",
        b"bot",
        b"compatible; ",
        b"curl/8.5.0",
        b"/",
        b";",
        b"(",
        b")",
        b".",
        b"_",
    ];
    let seeds = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Linux; Android 15; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
        "curl/8.5.0",
        "",
    ];
    let mut fuzz = Fuzz::new("user_agents", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        let stored = user_agent::storable(&String::from_utf8_lossy(input));
        assert!(stored.len() <= user_agent::MAX_LENGTH && !stored.contains('\0'));
        assert_eq!(user_agent::storable(&stored), stored);
        let started = Instant::now();
        let parsed = rules.parse(&stored);
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
        assert_eq!(rules.parse(&stored), parsed, "read twice alike");
        let families = [&parsed.browser.family, &parsed.system.family, &parsed.device.family];
        assert!(families.iter().all(|family| !family.is_empty()), "{parsed:?}");
        assert!(parsed.about(&stored).words.chars().count() <= 80);
        // Families that a rule took from the text are as many as texts.
        let named = |family: &str| if stored.contains(family) { "as it says" } else { family }.to_owned();
        let version = [&parsed.browser.major, &parsed.browser.minor, &parsed.browser.patch].map(|part| !part.is_empty());
        let (browser, device) = (named(&parsed.browser.family), named(&parsed.device.family));
        fuzz.answered(format!("{browser} {version:?} {} {}", parsed.system.family, device.len().min(12)));
    }
}

#[tokio::test]
async fn geoip_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.mmdb");
    write_city(
        &path,
        &[("10.0.0.0/8", "", "", ""), ("198.51.100.0/24", "EU", "DE", "Berlin"), ("2001:db8::/32", "AS", "JP", "Osaka")],
    );
    let city = std::fs::read(&path).unwrap();
    write_asn(&path, &[("198.51.100.0/24", 64500, "Example Net"), ("10.0.0.0/8", 1, "")]);
    let asn = std::fs::read(&path).unwrap();
    let words: [&[u8]; 14] = [
        b"\xab\xcd\xefMaxMind.com",
        b"node_count",
        b"record_size",
        b"ip_version",
        b"data_section",
        b"binary_format_major_version",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x20",
        b"\xe1",
        b"\x3f\xff",
        b"\x40",
        b"\x0f\xff",
        b"autonomous_system_number",
    ];
    let addresses = ["0.0.0.0", "10.1.2.3", "198.51.100.7", "255.255.255.255", "::", "2001:db8::7", "::ffff:10.1.2.3"];
    let addresses = addresses.map(|text| Address::parse(text).unwrap());
    let config = GeoIpConfig { city: Some(path.clone()), asn: Some(path.clone()) };
    let mut fuzz = Fuzz::new("geoip_files", &words, [city, asn]);
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        std::fs::write(&path, input).unwrap();
        let started = Instant::now();
        let files = GeoIp::load(&config);
        let (mut places, mut networks) = (0, 0);
        for address in addresses {
            let place = files.place(address);
            let network = files.autonomous_system(address);
            if let Some(place) = &place {
                let degrees = [place.latitude, place.longitude];
                assert!(degrees.iter().flatten().all(|degrees| degrees.is_finite()), "{place:?}");
            }
            let country = place.as_ref().map(|place| place.country.clone()).unwrap_or_default();
            assert_eq!(files.country_and_asn(address), (country, network.as_ref().map(|network| network.number)));
            (places, networks) = (places + usize::from(place.is_some()), networks + usize::from(network.is_some()));
        }
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
        let opened = geoip::open(&path)
            .map(drop)
            .map_err(|error| error.chars().filter(char::is_ascii_alphabetic).take(30).collect::<String>());
        fuzz.answered(format!("{opened:?} {places} {networks}"));
    }
}
