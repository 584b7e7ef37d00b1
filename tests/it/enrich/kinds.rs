//! The kind and the description of devices, from user agents with the built-in rules.

use rollcall::domain::user_agent::Kind;
use rollcall::enrich::user_agents::UserAgents;
use serde_json::json;

use crate::support::{TestApp, seed};

/// User agents with the right kind and description.
const AGENTS: &[(Kind, &str, &str)] = &[
    (
        Kind::Phone,
        "Chrome 131 on Android",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Mobile Safari/537.36",
    ),
    (
        Kind::Tablet,
        "Chrome 131 on Android",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        Kind::Phone,
        "Pixel 9 · Chrome",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A.250105.002) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/131.0.6778.135 Mobile Safari/537.36",
    ),
    (
        Kind::Phone,
        "Samsung SM-S928B · Samsung Internet",
        "Mozilla/5.0 (Linux; Android 14; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) \
         SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
    ),
    (
        Kind::Phone,
        "CUBOT X19 · Chrome",
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/120.0.0.0 Mobile Safari/537.36",
    ),
    (Kind::Phone, "Firefox 133 on Android", "Mozilla/5.0 (Android 15; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0"),
    (
        Kind::Phone,
        "iPhone · Safari",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, \
         like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    ),
    (
        Kind::Phone,
        "iPhone · Chrome",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, \
         like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
    ),
    (
        Kind::Phone,
        "iPod · Safari",
        "Mozilla/5.0 (iPod touch; CPU iPhone OS 15_7 like Mac OS X) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Version/15.6 Mobile/15E148 Safari/604.1",
    ),
    (
        Kind::Phone,
        "Lumia 950 · Edge",
        "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 \
         Edge/15.15063",
    ),
    (Kind::Phone, "Firefox 48 on KaiOS", "Mozilla/5.0 (Mobile; rv:48.0; A405DL) Gecko/48.0 Firefox/48.0 KAIOS/2.5"),
    (
        Kind::Phone,
        "BlackBerry Touch · BlackBerry WebKit",
        "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) \
         Version/10.0.9.2372 Mobile Safari/537.10+",
    ),
    (
        Kind::Phone,
        "Samsung SM-Z400Y · Samsung Internet",
        "Mozilla/5.0 (Linux; Tizen 3.0; SAMSUNG SM-Z400Y) AppleWebKit/537.3 (KHTML, like \
         Gecko) SamsungBrowser/1.0 Mobile Safari/537.3",
    ),
    (
        Kind::Phone,
        "Chrome 114",
        "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile",
    ),
    (Kind::Phone, "Opera Mini 36 on Android", "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; en) Presto/2.12.423 Version/12.16"),
    (
        Kind::Tablet,
        "Pixel Tablet · Chrome",
        "Mozilla/5.0 (Linux; Android 14; Pixel Tablet) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        Kind::Tablet,
        "SM-X910 · Chrome",
        "Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (Kind::Tablet, "Firefox 133 on Android", "Mozilla/5.0 (Android 15; Tablet; rv:133.0) Gecko/133.0 Firefox/133.0"),
    (
        Kind::Tablet,
        "iPad · Safari",
        "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    ),
    (
        Kind::Tablet,
        "Chrome 131 on iOS",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) CriOS/131 Version/11.1.1 Safari/605.1.15",
    ),
    (
        Kind::Tablet,
        "Kindle · Amazon Silk",
        "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) \
         Silk/128.4.1 like Chrome/128.0.6613.187 Safari/537.36",
    ),
    (
        Kind::Tablet,
        "Kindle · Amazon Silk",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Silk/128.4.1 \
         like Chrome/128.0.6613.187 Safari/537.36",
    ),
    (
        Kind::Tablet,
        "Kindle 3.0 · Kindle",
        "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, \
         like Gecko) Version/5.0 Safari/533.2+ Kindle/3.0+",
    ),
    (
        Kind::Tablet,
        "BlackBerry Playbook · BlackBerry WebKit",
        "Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.1.0; en-US) AppleWebKit/536.2+ (KHTML, \
         like Gecko) Version/7.2.1.0 Safari/536.2+",
    ),
    (
        Kind::Television,
        "Amazon Fire TV · Chrome WebView",
        "Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7285; wv) AppleWebKit/537.36 (KHTML, \
         like Gecko) Version/4.0 Chrome/130.0.6723.107 Mobile Safari/537.36",
    ),
    (
        Kind::Television,
        "Chromecast · Chrome",
        "Mozilla/5.0 (Linux; Android 12; Chromecast Build/STTE.230319.008.H1) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.5481.192 Safari/537.36",
    ),
    (
        Kind::Television,
        "BRAVIA 4K VH2 · Chrome",
        "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K VH2 Build/PTT1.190515.001.S104) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/98.0.4758.101 Mobile Safari/537.36",
    ),
    (
        Kind::Television,
        "SHIELD Android TV · Chrome",
        "Mozilla/5.0 (Linux; Android 10; SHIELD Android TV Build/QP1A.190711.020) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    ),
    (
        Kind::Television,
        "Samsung SMART-TV · Samsung Internet",
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) \
         SamsungBrowser/4.0 Chrome/85.0.4183.93 TV Safari/537.36",
    ),
    (
        Kind::Television,
        "LG Web0S SmartTV · Chrome",
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/108.0.5359.211 Safari/537.36 WebAppManager",
    ),
    (
        Kind::Television,
        "Chrome 38 on Linux",
        "Mozilla/5.0 (Linux; NetCast; U) AppleWebKit/537.31 (KHTML, like Gecko) \
         Chrome/38.0.2125.101 Safari/537.31 SmartTV/5.0",
    ),
    (Kind::Television, "Samsung TV · HbbTV", "HbbTV/1.5.1 (+DRM;Samsung;SmartTV2021:UAU7000;T-KTM2EUABC;KantM2e;)"),
    (Kind::Television, "Roku", "Roku/DVP-12.5 (12.5.0.4178-88)"),
    (Kind::Television, "AppleTV", "AppleTV11,1/11.1"),
    (Kind::Television, "AppleTV · AppleCoreMedia", "AppleCoreMedia/1.0.0.21K79 (Apple TV; U; CPU OS 17_1 like Mac OS X; en_us)"),
    (
        Kind::Console,
        "PlayStation 5 · Safari",
        "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/13.0 Safari/605.1.15",
    ),
    (
        Kind::Console,
        "PlayStation Vita · NetFront NX",
        "Mozilla/5.0 (PlayStation Vita 3.73) AppleWebKit/537.73 (KHTML, like Gecko) Silk/3.2",
    ),
    (
        Kind::Console,
        "Xbox Series X · Edge",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edge/44.18363.8131",
    ),
    (
        Kind::Console,
        "Nintendo Switch · NF",
        "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like \
         Gecko) NF/6.0.2.23.6 NintendoBrowser/5.1.0.23620",
    ),
    (
        Kind::Console,
        "Nintendo Wii U · NetFront NX",
        "Mozilla/5.0 (Nintendo WiiU) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.4.2.12 \
         NintendoBrowser/4.3.1.11264.US",
    ),
    (
        Kind::Console,
        "New Nintendo 3DS · NetFront NX",
        "Mozilla/5.0 (New Nintendo 3DS like iPhone) AppleWebKit/536.30 (KHTML, like Gecko) \
         NX/3.0.0.5.23 Mobile NintendoBrowser/1.10.10166.EU",
    ),
    (
        Kind::Watch,
        "SM-R930 · Samsung Internet",
        "Mozilla/5.0 (Linux; Android 13; SM-R930) AppleWebKit/537.36 (KHTML, like Gecko) \
         SamsungBrowser/20.0 Chrome/106.0.5249.126 Mobile Safari/537.36",
    ),
    (
        Kind::Watch,
        "Pixel Watch 2 · Chrome",
        "Mozilla/5.0 (Linux; Android 14; Pixel Watch 2) AppleWebKit/537.36 (KHTML, like \
         Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
    ),
    (Kind::Watch, "Apple Watch · Notes", "Notes/3 (Apple Watch; watchOS 10.1; Scale/2.00)"),
    (Kind::Watch, "Apple Watch · Apple Watch App", "atc/1.0 watchOS/10.1 model/Watch6,2 hwp/t8301 build/21S67 (6; dt:222)"),
    (
        Kind::Headset,
        "Quest 3 · Oculus Browser",
        "Mozilla/5.0 (X11; Linux x86_64; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) \
         OculusBrowser/26.2.0.0.10 Chrome/110.0.5481.192 VR Safari/537.36",
    ),
    (Kind::Bot, "Googlebot 2", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    (
        Kind::Bot,
        "Googlebot 2 on Android",
        "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, \
         like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; \
         +http://www.google.com/bot.html)",
    ),
    (
        Kind::Bot,
        "Applebot 0 on Mac OS X",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; \
         +http://www.apple.com/go/applebot)",
    ),
    (
        Kind::Bot,
        "GPTBot 1",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.1; \
         +https://openai.com/gptbot)",
    ),
    (Kind::Bot, "Watcher 1", "Mozilla/5.0 (compatible; Watcher/1.1; https://watcher.example/)"),
    (Kind::Bot, "UptimeRobot 2", "UptimeRobot/2.0 (http://www.uptimerobot.com/)"),
    (
        Kind::Computer,
        "Chrome 131 on Windows",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        Kind::Computer,
        "Edge 131 on Windows",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.86",
    ),
    (Kind::Computer, "IE 11 on Windows", "Mozilla/5.0 (Windows NT 6.2; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko"),
    (
        Kind::Computer,
        "Safari 18 on Mac OS X",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/18.1 Safari/605.1.15",
    ),
    (
        Kind::Computer,
        "Chrome 131 on Chrome OS",
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (Kind::Computer, "Firefox 131 on Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"),
    (Kind::Computer, "Firefox 131 on Ubuntu", "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"),
    (
        Kind::Computer,
        "Chrome 131 on Linux",
        "Mozilla/5.0 (X11; Linux aarch64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/131.0.0.0 Safari/537.36",
    ),
    (Kind::Computer, "Firefox 131 on FreeBSD", "Mozilla/5.0 (X11; FreeBSD amd64; rv:131.0) Gecko/20100101 Firefox/131.0"),
    (Kind::Computer, "Firefox 131 on OpenBSD", "Mozilla/5.0 (X11; OpenBSD amd64; rv:131.0) Gecko/20100101 Firefox/131.0"),
    (Kind::Computer, "Firefox 131 on NetBSD", "Mozilla/5.0 (X11; NetBSD amd64; rv:131.0) Gecko/20100101 Firefox/131.0"),
    (
        Kind::Computer,
        "Chrome 100",
        "Mozilla/5.0 (X11; DragonFly x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/100.0.4896.60 Safari/537.36",
    ),
    (Kind::Computer, "Firefox 78 on Solaris", "Mozilla/5.0 (X11; SunOS i86pc; rv:78.0) Gecko/20100101 Firefox/78.0"),
    (
        Kind::Computer,
        "WebPositive 1",
        "Mozilla/5.0 (X11; Haiku x86_64) AppleWebKit/605.1 (KHTML, like Gecko) \
         WebPositive/1.3",
    ),
    (
        Kind::Computer,
        "Notes 1 on Linux",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Notes/1.0 \
         Chrome/120.0.6099.291 Electron/28.2.0 Safari/537.36",
    ),
    (Kind::Computer, "Notes 2024 on Windows", "Notes/2024.1 (Windows NT 10.0)"),
    (Kind::Phone, "Pixel 9 · Notes", "Notes/3.1 (Linux; Android 14; Pixel 9)"),
    (Kind::Phone, "iPhone · Notes", "Notes/3.1 (iPhone; iOS 17.1; Scale/3.00)"),
    (Kind::Tablet, "iPad · Notes", "Notes/3.1 (iPad; iOS 17.1; Scale/2.00)"),
    (Kind::Phone, "My Notes 1 on iOS", "My%20Notes/1.2 CFNetwork/1494.0.7 Darwin/23.4.0"),
    (
        Kind::Phone,
        "Pixel 9 · Notes",
        "Mozilla/5.0 (Linux; Android 14; Pixel 9 Build/AP1A; wv) AppleWebKit/537.36 (KHTML, \
         like Gecko) Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36 Notes/2.0",
    ),
    (Kind::Phone, "iPhone · PlutoTV", "PlutoTV/5.0 (iPhone; iOS 17.1; Scale/3.00)"),
    (Kind::Phone, "Pixel 9 · Android", "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 9 Build/AP1A)"),
    (Kind::Program, "okhttp 4", "okhttp/4.9.3"),
    (Kind::Program, "curl 8", "curl/8.5.0"),
    (Kind::Program, "Python Requests 2", "python-requests/2.31.0"),
    (Kind::Program, "Java 17", "Java/17.0.1"),
    (Kind::Program, "Media Player 1", "Media Player/1.2"),
    (Kind::Program, "kube-probe 1", "kube-probe/1.29"),
    (Kind::Program, "Notes", "Notes"),
    (Kind::Unknown, "Unknown browser", ""),
    (Kind::Unknown, "=HYPERLINK(\"x\")", "=HYPERLINK(\"x\")"),
    (Kind::Unknown, "Mozilla/5.0", "Mozilla/5.0"),
];

#[test]
fn devices_have_the_right_kind_and_description() {
    let agents = UserAgents::load(None).unwrap();
    let mut wrong = Vec::new();
    for (kind, words, text) in AGENTS {
        let about = agents.parse(text).about(text);
        if (about.kind, about.words.as_str()) != (*kind, *words) {
            wrong.push(format!("{text}\n    want {kind:?} {words}\n     got {about:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for kind in Kind::ALL {
        assert!(AGENTS.iter().any(|(known, ..)| *known == kind), "{kind:?} is tested");
    }
}

db_test!(pages_show_the_kind_and_the_model, |db| async move {
    let app = TestApp::new(db).await;
    let shown = [
        (
            "Pixel 9 · Chrome",
            "Phone",
            "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
        ),
        (
            "Chrome 131 on Android",
            "Tablet",
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        ),
        ("okhttp 4", "Program", "okhttp/4.9.3"),
    ];
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..).zip(shown).map(|(n, (.., text))| seed::session(n, 1, json!({ "last_user_agent": text }))));
    app.import(&lines).await;
    let page = app.superuser("root").await.session().await.get("/sessions/all").await.assert_status(200).text();
    for (words, kind, _) in shown {
        assert!(page.contains(words) && page.contains(kind), "{words} {kind}");
    }
});
