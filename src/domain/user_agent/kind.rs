//! The kind of a device: from the device that uap-core's rules name, and from what the platform
//! says of itself in the user agent.

use super::ParsedAgent;
use super::products::{platform, products};

/// The kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A phone, or a music player that is built as one.
    Phone,
    /// A tablet or a reader for books.
    Tablet,
    /// A desktop, laptop or server.
    Computer,
    /// A television, or a box or stick on one.
    Television,
    /// A game console.
    Console,
    /// A watch.
    Watch,
    /// A headset for virtual reality.
    Headset,
    /// A crawler, monitor or preview service.
    Bot,
    /// A program that is no browser and does not say what it runs on.
    Program,
    /// Nothing is known.
    Unknown,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Phone,
        Self::Tablet,
        Self::Computer,
        Self::Television,
        Self::Console,
        Self::Watch,
        Self::Headset,
        Self::Bot,
        Self::Program,
        Self::Unknown,
    ];

    /// The kind in English.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Phone => "Phone",
            Self::Tablet => "Tablet",
            Self::Computer => "Computer",
            Self::Television => "Television",
            Self::Console => "Console",
            Self::Watch => "Watch",
            Self::Headset => "Headset",
            Self::Bot => "Bot",
            Self::Program => "Program",
            Self::Unknown => "Unknown device",
        }
    }

    /// The kind of device that sent `text`, of which uap-core's rules read `agent`.
    #[must_use]
    pub fn of(text: &str, agent: &ParsedAgent) -> Self {
        let marks = Marks::new(text, agent);
        // A bot may name the phone it plays, a console the phone it is like, and most of them Linux
        // or Android: the narrower kind is looked for first.
        if marks.is_bot() {
            return Self::Bot;
        }
        if marks.is_console() {
            return Self::Console;
        }
        if marks.is_watch() {
            return Self::Watch;
        }
        if marks.is_headset() {
            return Self::Headset;
        }
        if marks.is_television() {
            return Self::Television;
        }
        if marks.is_tablet() {
            return Self::Tablet;
        }
        if marks.is_phone() {
            return Self::Phone;
        }
        if marks.is_computer() {
            return Self::Computer;
        }
        let is_named = !matches!(agent.browser.family.as_str(), "Other" | "") || agent.program(text).is_some();
        if is_named { Self::Program } else { Self::Unknown }
    }
}

/// Libraries that uap-core counts as spiders, though their users are not crawlers.
const LIBRARIES: &[&str] = &["java", "jnlp", "python-urllib", "winhttp", "google-http-java-client", "http%20client"];

/// Systems of computers. Linux is none of them: it is on everything.
const COMPUTERS: &[&str] = &[
    "Windows",
    "Mac OS X",
    "Mac OS",
    "macOS",
    "Chrome OS",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
    "DragonFly",
    "Solaris",
    "Ubuntu",
    "Debian",
    "Fedora",
    "Red Hat",
    "CentOS",
    "Gentoo",
    "SUSE",
    "Mandriva",
    "Slackware",
    "Arch Linux",
    "Linux Mint",
    "Kubuntu",
    "Mageia",
    "Puppy",
    "VectorLinux",
    "Raspbian",
    "AIX",
    "HP-UX",
    "IRIX",
    "OS/2",
    "BeOS",
    "Haiku",
    "AmigaOS",
];

/// Systems of phones.
const PHONES: &[&str] = &[
    "iOS",
    "Windows Phone",
    "Windows Mobile",
    "Windows CE",
    "KaiOS",
    "BlackBerry OS",
    "Symbian OS",
    "Bada",
    "bada",
    "Firefox OS",
    "Brew MP",
    "BREW",
    "MeeGo",
    "Maemo",
    "Sailfish",
    "Series 60",
    "Nokia Series 40",
    "Nokia Series 30 Plus",
];

/// Words that a platform's comment has on a television only.
const TELEVISIONS: &[&str] = &[
    "tv",
    "appletv",
    "googletv",
    "smarttv",
    "smart-tv",
    "hbbtv",
    "netcast",
    "web0s",
    "roku",
    "crkey",
    "bravia",
    "viera",
    "aquos",
    "vidaa",
    "chromecast",
    "ce-html",
    "dtv",
    "iptv",
    "firetv",
    "androidtv",
    "nettv",
    "stb",
];

/// What a text says, in a form that is quick to ask.
struct Marks<'a> {
    text: &'a str,
    agent: &'a ParsedAgent,
    /// The platform's comment, in lower case.
    platform: String,
    /// The words of it.
    words: Vec<String>,
    /// The names of the products, in lower case.
    products: Vec<String>,
    /// The device's family and model, in lower case.
    model: String,
}

impl<'a> Marks<'a> {
    fn new(text: &'a str, agent: &'a ParsedAgent) -> Self {
        let platform = platform(text).to_lowercase();
        let words =
            platform.split([' ', ';', ':', ',', '/', '+', '(', ')']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Self {
            text,
            agent,
            words,
            products: products(text).map(|product| product.name.to_lowercase()).collect(),
            model: format!("{} {}", agent.device.family, agent.device.model).to_lowercase(),
            platform,
        }
    }

    fn says(&self, part: &str) -> bool {
        self.platform.contains(part)
    }

    fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    fn has_product(&self, name: &str) -> bool {
        self.products.iter().any(|known| known == name)
    }

    fn brand(&self) -> &str {
        &self.agent.device.brand
    }

    fn system(&self) -> &str {
        &self.agent.system.family
    }

    fn is_android(&self) -> bool {
        self.system() == "Android" || self.has_word("android") || self.says("harmonyos")
    }

    fn is_bot(&self) -> bool {
        let is_library = self.products.first().is_some_and(|first| LIBRARIES.contains(&first.as_str()));
        // Amazon's browser is Silk, and uap-core knows a spider of that name.
        let is_spider = self.brand() == "Spider" && !is_library && !self.has_product("silk");
        // Cubot makes phones.
        let is_robot = |name: &str| {
            let name = name.to_lowercase();
            name != "cubot" && ["bot", "crawler", "spider"].iter().any(|end| name.ends_with(end))
        };
        let separators = |c: char| !c.is_alphanumeric() && c != '-' && c != '_';
        let is_nowhere = self.platform.starts_with("compatible;") && matches!(self.system(), "Other" | "");
        is_spider || is_nowhere || self.text.contains("+http") || self.text.split(separators).any(is_robot)
    }

    fn is_console(&self) -> bool {
        ["playstation", "nintendo", "steamdeck", "ouya"].iter().any(|mark| self.says(mark))
            || self.has_word("xbox")
            || matches!(self.brand(), "Nintendo" | "Sega")
            || self.model.contains("playstation")
            || self.text.contains("Valve Steam Gamepad")
    }

    fn is_watch(&self) -> bool {
        let is_samsung = |word: &String| word.strip_prefix("sm-r").is_some_and(|rest| rest.starts_with(['7', '8', '9', 'l']));
        self.system() == "WatchOS"
            || self.model.contains("watch")
            || self.says("watchos")
            || self.says("wear os")
            || self.says("apple watch")
            || self.words.iter().any(|word| is_samsung(word) || matches!(word.as_str(), "watch" | "ticwatch"))
    }

    fn is_headset(&self) -> bool {
        (self.brand() == "Meta" && self.system() != "Windows")
            || self.says("visionos")
            || self.has_product("oculusbrowser")
            || self.has_product("vr")
    }

    fn is_television(&self) -> bool {
        let system = self.system();
        let is_fire = |word: &String| word.strip_prefix("aft").is_some_and(|rest| (1..=6).contains(&rest.len()));
        self.brand() == "Generic_Inettv"
            || matches!(system, "tvOS" | "ATV OS X" | "Web0S" | "Roku" | "FireHbbTV")
            || (system.starts_with("Chromecast") && system != "Chromecast SmartSpeaker")
            || self.words.iter().any(|word| TELEVISIONS.contains(&word.as_str()) || is_fire(word))
            || self.words.iter().any(|word| ["smarttv", "mitv", "philipstv"].iter().any(|mark| word.starts_with(mark)))
            || ["tv", "smarttv", "hbbtv", "crkey", "appletv11,1"].iter().any(|name| self.has_product(name))
            || self.model.contains("appletv")
    }

    fn is_tablet(&self) -> bool {
        let is_of_tablets = |word: &String| {
            let starts = |marks: &[&str]| marks.iter().any(|mark| word.starts_with(mark));
            let is_kindle =
                word.starts_with("kf") && (5..=8).contains(&word.len()) && word.chars().all(|c| c.is_ascii_alphabetic());
            is_kindle
                || starts(&["sm-t", "sm-x", "sm-p", "gt-p", "gt-n8", "gt-n5"])
                || (starts(&["tb-", "tb3", "tb1", "tb2"]) && word.len() > 4)
        };
        let names_tablet =
            ["ipad", "tablet", "pad", "tab"].iter().any(|word| self.model.split([' ', '_', '-']).any(|part| part == *word));
        let is_mac = self.has_word("macintosh");
        self.brand() == "Generic_Android_Tablet" && self.is_browser()
            || (self.has_word("tablet") && self.system() != "Windows")
            || matches!(self.system(), "BlackBerry Tablet OS" | "iPadOS" | "Kindle")
            || names_tablet
            || ["mediapad", "matepad", "touchpad", "playbook", "kindle", "nook", "kobo", "tolino"].iter().any(|name| self.model.contains(name))
            || self.has_product("silk")
            || (self.is_android() && self.words.iter().any(is_of_tablets))
            // Browsers on an iPad say that they are on a Mac, and keep a name that only iOS has.
            || is_mac && ["crios", "fxios", "edgios", "mobile"].iter().any(|name| self.has_product(name))
            // Chrome's own rule: on Android "Mobile" is said by phones, and only by them.
            || (self.is_android() && self.is_browser() && !self.is_mobile())
    }

    fn is_phone(&self) -> bool {
        // uap-core knows old phones by four letters that a text begins with. Those said what they
        // run.
        let is_guess = self.agent.device.family == "Generic Feature Phone" && !self.is_mobile();
        let is_old = ["MIDP", "CLDC", "J2ME", "UP.", "WAP", "Profile/", "Browser"].iter().any(|mark| self.text.contains(mark));
        if is_guess && !is_old {
            return false;
        }
        PHONES.contains(&self.system())
            || ["windows ce", "windows phone", "wds ", "iemobile"].iter().any(|mark| self.says(mark))
            || self.is_android()
            || self.has_word("phone")
            || matches!(self.brand(), "Generic" | "Generic_Android")
            || (self.is_mobile() && !COMPUTERS.contains(&self.system()))
            || matches!(self.agent.device.family.as_str(), "iPhone" | "iPod" | "iOS-Device")
            || (self.system() == "Other" && !matches!(self.agent.device.family.as_str(), "Other" | "" | "Mac" | "Spider"))
    }

    fn is_computer(&self) -> bool {
        COMPUTERS.contains(&self.system())
            || self.system() == "Linux"
            || self.words.first().is_some_and(|word| word == "x11")
            || ["linux", "macintosh", "macosx", "windows", "dragonfly", "haiku", "beos", "amigaos", "solaris", "sunos", "pc"]
                .iter()
                .any(|word| self.has_word(word))
            || self.says("os/2")
    }

    /// Whether the text has the form of a browser's. An app that names its phone has not.
    fn is_browser(&self) -> bool {
        self.has_product("mozilla") && (self.has_product("safari") || self.has_product("firefox"))
    }

    fn is_mobile(&self) -> bool {
        self.has_word("mobile") || self.has_product("mobile")
    }
}
