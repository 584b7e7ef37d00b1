//! Tests of [`super`].

use axum::http::HeaderValue;

use super::*;

fn trust(client_address: ClientAddress) -> Trust {
    let networks = ["10.0.0.0/8", "::1/128", "::ffff:172.16.0.0/112"].map(|network| network.parse().unwrap());
    Trust::new(networks.into(), false, client_address)
}

fn peer(text: &str) -> Peer {
    Peer::at(text.parse().unwrap())
}

fn lines(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

#[test]
fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
    let trust = trust(ClientAddress::XForwardedFor);
    for (from, list, want) in [
        ("10.0.0.1", vec![], "10.0.0.1"),
        ("192.0.2.9", vec!["1.2.3.4"], "192.0.2.9"),
        ("10.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", vec!["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", vec!["1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", vec!["6.6.6.6", "1.2.3.4", "10.2.2.2"], "1.2.3.4"),
        ("10.0.0.1", vec!["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", vec!["1.2.3.4:567"], "1.2.3.4"),
        ("::1", vec!["[2001:db8::1]:567"], "2001:db8::1"),
        ("::1", vec!["[2001:db8::1]"], "2001:db8::1"),
        ("::1", vec!["::ffff:1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", vec!["1.2.3.4, junk"], "10.0.0.1"),
        ("10.0.0.1", vec!["1.2.3.4, junk, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", vec!["\"1.2.3.4\""], "10.0.0.1"),
        ("10.0.0.1", vec!["1.2.3.4,"], "10.0.0.1"),
        ("10.0.0.1", vec!["unknown"], "10.0.0.1"),
        ("10.0.0.1", vec!["1.2.3.4,\t 5.6.7.8 \t"], "5.6.7.8"),
        ("::1", vec!["2001:db8::1", "[fd00::%1]:1"], "::1"),
        ("64:ff9b::10.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
        ("64:ff9b:1::a00:1", vec!["1.2.3.4, 64:ff9b::10.0.0.2"], "1.2.3.4"),
        ("64:ff9b::11.0.0.1", vec!["1.2.3.4"], "64:ff9b::b00:1"),
        // The near end of a tunnel says nothing of the host behind it.
        ("2002:a00:1::1", vec!["1.2.3.4"], "2002:a00:1::1"),
        ("2001:db8::5efe:10.0.0.1", vec!["1.2.3.4"], "2001:db8::5efe:a00:1"),
        ("172.16.0.1", vec!["1.2.3.4"], "1.2.3.4"),
        ("172.17.0.1", vec!["1.2.3.4"], "172.17.0.1"),
    ] {
        let list: Vec<&[u8]> = list.iter().map(|line| line.as_bytes()).collect();
        let got = read(&peer(from), &lines("x-forwarded-for", &list), &trust);
        assert_eq!(got.ip.to_string(), want, "{from} {list:?}");
    }
    for blank in ["\u{2000}", "\u{a0}", "\u{feff}"] {
        let headers = lines("x-forwarded-for", &[format!("1.2.3.4,{blank}5.6.7.8").as_bytes()]);
        assert_eq!(read(&peer("10.0.0.1"), &headers, &trust).ip.to_string(), "10.0.0.1", "{blank:?}");
    }
    let headers = lines("x-forwarded-for", &[b"1.2.3.4, \xff"]);
    assert_eq!(read(&peer("10.0.0.1"), &headers, &trust).ip.to_string(), "10.0.0.1");
}

#[test]
fn the_header_of_rfc_7239_is_read_from_its_right_end() {
    let trust = trust(ClientAddress::Forwarded);
    for (from, list, want, is_https) in [
        ("10.0.0.1", vec![], "10.0.0.1", None),
        ("192.0.2.9", vec!["for=1.2.3.4;proto=https"], "192.0.2.9", None),
        ("10.0.0.1", vec!["for=1.2.3.4;proto=https"], "1.2.3.4", Some(true)),
        ("10.0.0.1", vec!["For=\"1.2.3.4:567\"; Proto=HTTP ;by=_x"], "1.2.3.4", Some(false)),
        ("10.0.0.1", vec!["for=\"[2001:db8::1]:567\""], "2001:db8::1", None),
        ("10.0.0.1", vec!["for=[2001:db8::1]"], "2001:db8::1", None),
        ("10.0.0.1", vec!["for=6.6.6.6;proto=https, for=1.2.3.4;proto=http"], "1.2.3.4", Some(false)),
        ("10.0.0.1", vec!["for=1.2.3.4;proto=https, for=10.2.2.2"], "1.2.3.4", Some(true)),
        ("10.0.0.1", vec!["for=6.6.6.6", "for=1.2.3.4, for=10.2.2.2"], "1.2.3.4", None),
        ("10.0.0.1", vec!["for=6.6.6.6, for=unknown;proto=https"], "10.0.0.1", Some(true)),
        ("10.0.0.1", vec!["for=6.6.6.6, for=\"_hidden\""], "10.0.0.1", None),
        ("10.0.0.1", vec!["for=6.6.6.6, proto=https"], "10.0.0.1", Some(true)),
        ("10.0.0.1", vec!["for=6.6.6.6,"], "10.0.0.1", None),
        // What a client left open does not swallow what the proxy added.
        ("10.0.0.1", vec!["for=\"6.6.6.6, for=1.2.3.4"], "1.2.3.4", None),
        ("10.0.0.1", vec!["for=\"6.6.6.6\\, for=\"1.2.3.4\""], "1.2.3.4", None),
        ("10.0.0.1", vec!["\\\", for=\"[2001:db8::1]\";proto=https"], "2001:db8::1", Some(true)),
        // Nor does a host that a client chose, as a proxy quotes it.
        ("10.0.0.1", vec!["for=1.2.3.4;host=\"a\\\", for=6.6.6.6\""], "1.2.3.4", None),
        ("10.0.0.1", vec!["for=1.2.3.4;host=\"a, for=6.6.6.6\""], "1.2.3.4", None),
        ("10.0.0.1", vec!["for=1.2.3.4;host=\"a\\\\\";proto=https"], "1.2.3.4", Some(true)),
        // Not of the form: nothing of it is used.
        ("10.0.0.1", vec!["for=1.2.3.4;for=6.6.6.6"], "10.0.0.1", None),
        ("10.0.0.1", vec!["for=1.2.3.4 proto=https"], "10.0.0.1", None),
        ("10.0.0.1", vec!["for=\"1.2.3.4"], "10.0.0.1", None),
        ("10.0.0.1", vec!["for="], "10.0.0.1", None),
        ("10.0.0.1", vec!["1.2.3.4"], "10.0.0.1", None),
        ("10.0.0.1", vec!["for=1.2.3.4;=x"], "10.0.0.1", None),
    ] {
        let list: Vec<&[u8]> = list.iter().map(|line| line.as_bytes()).collect();
        let got = read(&peer(from), &lines("forwarded", &list), &trust);
        let shown: Vec<_> = list.iter().map(|line| line.escape_ascii().to_string()).collect();
        assert_eq!((got.ip.to_string().as_str(), got.is_https), (want, is_https), "{from} {shown:?}");
    }
    let mut headers = lines("forwarded", &[b"for=1.2.3.4"]);
    headers.append("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
    let told = read(&peer("10.0.0.1"), &headers, &trust);
    assert_eq!(told, Told { ip: "1.2.3.4".parse().unwrap(), is_https: None }, "no other header is read");
}

#[test]
fn a_header_with_one_address_is_used_when_it_has_one() {
    let name = HeaderName::from_static("x-real-ip");
    let trust = trust(ClientAddress::Single(name));
    for (from, list, want) in [
        ("10.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", vec!["[2001:db8::1]:567"], "2001:db8::1"),
        // Another proxy's address is a client's here: there is no list to walk.
        ("10.0.0.1", vec!["10.0.0.2"], "10.0.0.2"),
        ("192.0.2.9", vec!["1.2.3.4"], "192.0.2.9"),
        ("10.0.0.1", vec![], "10.0.0.1"),
        ("10.0.0.1", vec!["1.2.3.4", "1.2.3.4"], "10.0.0.1"),
        ("10.0.0.1", vec!["1.2.3.4, 5.6.7.8"], "10.0.0.1"),
        ("10.0.0.1", vec!["unknown"], "10.0.0.1"),
        ("10.0.0.1", vec![""], "10.0.0.1"),
    ] {
        let list: Vec<&[u8]> = list.iter().map(|line| line.as_bytes()).collect();
        let mut headers = lines("x-real-ip", &list);
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        headers.append("x-forwarded-proto", HeaderValue::from_static("https"));
        let got = read(&peer(from), &headers, &trust);
        assert_eq!(got.ip.to_string(), want, "{from} {list:?}");
        assert_eq!(got.is_https, (from == "10.0.0.1").then_some(true));
    }
}

#[test]
fn without_a_header_the_peer_is_the_client() {
    let trust = trust(ClientAddress::Peer);
    let mut headers = lines("x-forwarded-for", &[b"1.2.3.4"]);
    headers.append("forwarded", HeaderValue::from_static("for=1.2.3.4"));
    assert_eq!(read(&peer("10.0.0.1"), &headers, &trust).ip.to_string(), "10.0.0.1");
}

#[test]
fn a_unix_peer_is_believed_when_the_settings_say_so() {
    let headers = lines("x-forwarded-for", &[b"6.6.6.6, 1.2.3.4"]);
    for (has_unix, want) in [(true, "1.2.3.4"), (false, "127.0.0.1")] {
        let trust = Trust::new(vec!["127.0.0.1/32".parse().unwrap()], has_unix, ClientAddress::default());
        assert_eq!(read(&Peer::unix(), &headers, &trust).ip.to_string(), want);
        let behind = read(&Peer::behind(&Peer::unix()), &headers, &trust);
        assert_eq!(behind.ip.to_string(), "127.0.0.1", "a proxy that does not say whose bytes these are");
    }
}
