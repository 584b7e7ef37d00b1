//! The addresses at which apps are told of ends.

use std::net::{IpAddr, Ipv4Addr};

use rollcall::domain::Network;
use rollcall::domain::oidc::target::{Own, Target, TargetHost};

use super::Fuzz;

/// Whether an address is inside a network, or of no single host: by another way than the server's.
fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_multicast()
                || first == 0
                || first >= 240
                || is_shared
        }
        IpAddr::V6(ip) => {
            let [first, second, third, .., last_but_one, last] = ip.segments();
            let held = |high: u16, low: u16| is_inside(IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))));
            let is_translated = first == 0x64 && second == 0xff9b && held(last_but_one, last);
            let is_tunnel = first == 0x2002 && held(second, third);
            let is_routed = first & 0xe000 == 0x2000 || (first == 0x64 && second == 0xff9b);
            !is_routed || is_translated || is_tunnel || (first == 0x2001 && second == 0xdb8)
        }
    }
}

#[test]
fn logout_targets() {
    let words: [&[u8]; 40] = [
        b"https://",
        b"http://",
        b"app.example",
        b"id.example",
        b"localhost",
        b"127.0.0.1",
        b"127.1",
        b"0x7f000001",
        b"2130706433",
        b"0177.0.0.1",
        b"10.0.0.5",
        b"169.254.169.254",
        b"192.168.1.1",
        b"100.64.0.1",
        b"1.1.1.1",
        b"[::1]",
        b"[::]",
        b"[fd00::1]",
        b"[fe80::1%25eth0]",
        b"[::ffff:127.0.0.1]",
        b"[64:ff9b::7f00:1]",
        b"[2002:7f00:1::]",
        b"[2606:4700::1111]",
        b":443",
        b":8443",
        b":0",
        b":65536",
        b"@",
        b"\\",
        b"#",
        b"?",
        b"/",
        b"%2f",
        b"%00",
        b".",
        b"\xe3\x80\x82",
        b"\xef\xbc\x91",
        b"\t",
        b"\r\n",
        b" ",
    ];
    let seeds = [
        "https://app.example/logout?backchannel=1",
        "https://1.1.1.1:8443/x",
        "https://[2606:4700::1111]/",
        "http://10.0.0.5:8080/x",
        "https://id.example/application/",
        "https://127.0.0.1/",
        "https://[::ffff:10.0.0.5]/",
        "https://app.example@10.0.0.5/",
    ];
    let own = Own::new(Some("https://id.example"), &[("sso.internal", 9000)], vec!["0.0.0.0:9000".parse().unwrap()]);
    let named = Network::parse("10.0.0.0/8").unwrap();
    let mut fuzz = Fuzz::new("logout_targets", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let text = String::from_utf8_lossy(&input).into_owned();
        let target = Target::stored(text.clone());
        let (strict, open) = (target.check(&[], &own), target.check(&[named], &own));
        let outline =
            format!("{:?} {:?}", strict.as_ref().map_err(std::mem::discriminant), open.as_ref().map_err(std::mem::discriminant));
        assert!(strict.is_err() || open.is_ok(), "a network that is named closes nothing: {text:?}");
        if open.is_err() {
            fuzz.answered(outline);
            continue;
        }
        // Where browsers and other programs take the address to lead.
        let parts = target.parts().unwrap();
        let Ok(url) = reqwest::Url::parse(&text) else {
            assert!(text.contains("xn--"), "others cannot read {text:?}");
            continue;
        };
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{text:?}");
        assert_eq!((url.scheme() == "https", url.port_or_known_default()), (parts.is_https, Some(parts.port)), "{text:?}");
        assert!(strict.is_err() || parts.is_https, "plain http: {text:?}");
        assert!(url.host_str() != Some("id.example") || parts.port != 443, "Rollcall's own address: {text:?}");
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        match (&parts.host, host.parse::<IpAddr>()) {
            (TargetHost::Name(name), read) => {
                assert!(read.is_err() && *name == host, "{text:?} leads to {host}");
            }
            (TargetHost::Ip(address), read) => {
                assert_eq!(read, Ok(address.0), "{text:?}");
                assert!(strict.is_err() || !is_inside(address.0), "{text:?} leads inside");
                let is_named = named.contains(*address) || named.contains(address.effective());
                assert!(is_named || (parts.is_https && !is_inside(address.0)), "{text:?} leads inside");
            }
        }
        fuzz.answered(outline);
    }
}
