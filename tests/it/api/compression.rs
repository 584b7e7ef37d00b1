//! Large JSON is compressed where the client accepts it; pages only where no other site asked for them.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, seed};

db_test!(large_json_is_compressed_for_those_who_accept_it, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "ada")];
    lines.extend((1..=60).map(|n| seed::session(n, 1, json!({}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let list = format!("{SESSIONS}?page_size=60&ordering=uuid");
    let plain = admin.get(&list).await.assert_status(200);
    assert_eq!(plain.header("content-encoding"), None);
    let varies = plain.headers.get_all("vary").iter().any(|value| value.to_str().unwrap().contains("Accept-Encoding"));
    assert!(varies, "a cache must not give one client's form to another");

    let zstd = admin.with_header("accept-encoding", "gzip, deflate, br, zstd").get(&list).await.assert_status(200);
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert_eq!(zstd::bulk::decompress(&zstd.bytes, 1 << 20).unwrap(), plain.bytes);
    assert!(zstd.bytes.len() * 5 < plain.bytes.len(), "{} of {}", zstd.bytes.len(), plain.bytes.len());

    let gzip = admin.with_header("accept-encoding", "gzip;q=0.8").get(&list).await.assert_status(200);
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gzip.bytes.as_slice()).read_to_end(&mut text).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), plain.json());

    for (accepted, path) in [("br", list.as_str()), ("zstd;q=0", &list), ("gzip", &format!("{SESSIONS}?page_size=1"))] {
        let answer = admin.with_header("accept-encoding", accepted).get(path).await.assert_status(200);
        assert_eq!(answer.header("content-encoding"), None, "{accepted} {path}");
    }
    // The length of a compressed page would reveal the proofs in its forms to a site that has it
    // opened.
    let root = app.superuser("root").await.session().await;
    let caller = root.caller.with_header("accept-encoding", "gzip, zstd");
    for (site, coding) in [
        (None, None),
        (Some("cross-site"), None),
        (Some("same-site"), None),
        (Some("same-origin"), Some("zstd")),
        (Some("none"), Some("zstd")),
    ] {
        let caller = site.map_or_else(|| caller.with_header("x-nothing", "x"), |site| caller.with_header("sec-fetch-site", site));
        let page = caller.get("/sessions/all").await.assert_status(200);
        assert_eq!(page.header("content-encoding"), coding, "{site:?}");
    }
});
