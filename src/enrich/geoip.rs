//! Addresses → places and networks, from MaxMind City and ASN files. The files are read into memory
//! (a truncated memory map would kill the process) and replaced while running when they change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::GeoIpConfig;
use crate::domain::{Address, Network};

/// Where an address is, as far as a City file knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Continent code, such as `EU`, or `""`.
    pub continent: String,
    /// ISO country code, such as `DE`, or `""`.
    pub country: String,
    /// English name of the city, or `""`.
    pub city: String,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

/// The network an address belongs to, as far as an ASN file knows.
#[derive(Clone, Debug, PartialEq)]
pub struct AutonomousSystem {
    /// Autonomous system number.
    pub number: i64,
    /// Who runs it.
    pub organization: Option<String>,
    /// The file's own network, in CIDR notation.
    pub network: String,
}

/// Both files.
pub struct GeoIp {
    city: File,
    asn: File,
}

struct File {
    path: Option<PathBuf>,
    reader: ArcSwapOption<Loaded>,
    /// What the file looked like when it was last read.
    seen: Mutex<Option<(SystemTime, u64)>>,
    /// Whether a broken record was logged: once for each file read.
    has_complained: AtomicBool,
}

/// A file in memory, and what it says of addresses in JSON: that goes when the file does.
struct Loaded {
    reader: Reader<Vec<u8>>,
    said: RwLock<HashMap<IpAddr, Arc<RawValue>, RandomState>>,
}

impl Deref for Loaded {
    type Target = Reader<Vec<u8>>;

    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

/// Of how many addresses it is kept what a file says in JSON.
const SAID: usize = 4096;

/// The parts of a City record that are used.
#[derive(Deserialize)]
struct CityRecord<'a> {
    #[serde(borrow, default)]
    continent: Option<Code<'a>>,
    #[serde(borrow, default)]
    country: Option<IsoCode<'a>>,
    #[serde(borrow, default)]
    city: Option<Named<'a>>,
    #[serde(default)]
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Code<'a> {
    #[serde(borrow, default)]
    code: Option<&'a str>,
}

#[derive(Deserialize)]
struct IsoCode<'a> {
    #[serde(borrow, default)]
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    names: Option<Names<'a>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    en: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    latitude: Option<f64>,
    #[serde(default)]
    longitude: Option<f64>,
}

#[derive(Deserialize)]
struct AsnRecord<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow, default)]
    autonomous_system_organization: Option<&'a str>,
}

impl GeoIp {
    /// Reads the files. A file that is missing or broken is logged and treated as none.
    #[must_use]
    pub fn load(config: &GeoIpConfig) -> Self {
        let this = Self { city: File::new(config.city.clone()), asn: File::new(config.asn.clone()) };
        this.reload_changed();
        this
    }

    /// Reads files anew that changed on disk; a broken one is logged, and the old one kept. Gives
    /// whether any was replaced. Blocks: for a thread that may.
    pub fn reload_changed(&self) -> bool {
        // Both, always: no short circuit.
        let (city, asn) = (self.city.reload_if_changed(), self.asn.reload_if_changed());
        city || asn
    }

    /// What identifies the files in use: countries and networks stored under another one are stale.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{}/{}", self.city.fingerprint(), self.asn.fingerprint())
    }

    /// When each file in use was built, in seconds since 1970.
    #[must_use]
    pub fn build_times(&self) -> Vec<(&'static str, i64)> {
        let files = [("city", &self.city), ("asn", &self.asn)];
        let built = |file: &File| Some(i64::try_from(file.reader.load().as_ref()?.metadata().build_epoch).unwrap_or(i64::MAX));
        files.into_iter().filter_map(|(name, file)| Some((name, built(file)?))).collect()
    }

    /// Where an address is; `None` when no file knows it.
    #[must_use]
    pub fn place(&self, address: Address) -> Option<Place> {
        self.city.find(address.0, read_place)
    }

    /// What [`GeoIp::place`] gives, as `say` says it: an address is asked about again and again, and a list of
    /// a hundred would read and write a hundred records. `say` must always be the same.
    pub fn said_place(&self, address: Address, say: fn(Place) -> Box<RawValue>) -> Arc<RawValue> {
        self.city.said(address.0, read_place, say)
    }

    /// What [`GeoIp::autonomous_system`] gives, as `say` says it, likewise.
    pub fn said_autonomous_system(&self, address: Address, say: fn(AutonomousSystem) -> Box<RawValue>) -> Arc<RawValue> {
        self.asn.said(address.0, read_autonomous_system, say)
    }

    /// The network an address belongs to; `None` when no file knows it.
    #[must_use]
    pub fn autonomous_system(&self, address: Address) -> Option<AutonomousSystem> {
        self.asn.find(address.0, read_autonomous_system)
    }

    /// Some networks that the files know, at most `most`, of all parts of the address space alike.
    #[must_use]
    pub fn list_networks(&self, most: usize) -> Vec<Network> {
        let mut networks = self.city.list_networks(most / 2);
        networks.extend(self.asn.list_networks(most / 2));
        networks
    }

    /// What is stored with a session for its filters: country code or `""`, and number.
    #[must_use]
    pub fn country_and_asn(&self, address: Address) -> (String, Option<i64>) {
        let country = self.place(address).map(|place| place.country).unwrap_or_default();
        (country, self.autonomous_system(address).map(|network| network.number))
    }
}

type Found<'a> = maxminddb::LookupResult<'a, Vec<u8>>;

fn read_place(found: &Found<'_>) -> Result<Option<Place>, MaxMindDbError> {
    let record: Option<CityRecord<'_>> = found.decode()?;
    Ok(record.map(|record| {
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let location = record.location.unwrap_or(Location { latitude: None, longitude: None });
        Place {
            continent: text(record.continent.and_then(|it| it.code)),
            country: text(record.country.and_then(|it| it.iso_code)),
            city: text(record.city.and_then(|it| it.names).and_then(|it| it.en)),
            latitude: location.latitude.filter(|degrees| degrees.is_finite()),
            longitude: location.longitude.filter(|degrees| degrees.is_finite()),
        }
    }))
}

fn read_autonomous_system(found: &Found<'_>) -> Result<Option<AutonomousSystem>, MaxMindDbError> {
    let record: Option<AsnRecord<'_>> = found.decode()?;
    let network = found.network()?;
    Ok(record.and_then(|record| {
        Some(AutonomousSystem {
            number: record.autonomous_system_number?.into(),
            organization: record.autonomous_system_organization.map(str::to_owned),
            network: network.to_string(),
        })
    }))
}

impl File {
    fn new(path: Option<PathBuf>) -> Self {
        Self { path, reader: ArcSwapOption::empty(), seen: Mutex::new(None), has_complained: AtomicBool::new(false) }
    }

    fn fingerprint(&self) -> String {
        let reader = self.reader.load();
        reader.as_ref().map_or_else(
            || "none".to_owned(),
            |reader| {
                format!("{}-{}-{}", reader.metadata().database_type, reader.metadata().build_epoch, reader.metadata().node_count)
            },
        )
    }

    fn list_networks(&self, most: usize) -> Vec<Network> {
        let Some(reader) = self.reader.load_full() else { return Vec::new() };
        // What is given out: 1.0.0.0 to 223.255.255.255, and 2000::/3.
        let four = (1..=223).map(|byte| format!("{byte}.0.0.0/8"));
        let six = (0x200..0x400).map(|bits| format!("{bits:x}0::/12"));
        let parts: Vec<String> = if reader.metadata().ip_version == 6 { four.chain(six).collect() } else { four.collect() };
        let each = most.div_ceil(parts.len());
        let mut networks = Vec::new();
        for part in parts {
            let Ok(part) = part.parse() else { continue };
            let Ok(found) = reader.within(part, maxminddb::WithinOptions::default()) else { continue };
            let known =
                found.filter_map(|found| found.ok()?.network().ok()).filter_map(|network| Network::parse(&network.to_string()));
            networks.extend(known.take(each));
        }
        networks
    }

    fn said<T>(
        &self,
        ip: IpAddr,
        read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>,
        say: fn(T) -> Box<RawValue>,
    ) -> Arc<RawValue> {
        static NOTHING: LazyLock<Arc<RawValue>> = LazyLock::new(|| Arc::from(RawValue::NULL.to_owned()));
        let Some(loaded) = self.reader.load_full() else { return Arc::clone(&NOTHING) };
        if let Some(said) = loaded.said.read().unwrap_or_else(PoisonError::into_inner).get(&ip) {
            return Arc::clone(said);
        }
        let said = self.look_up(&loaded, ip, read).map_or_else(|| Arc::clone(&NOTHING), |found| Arc::from(say(found)));
        let mut all = loaded.said.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SAID {
            all.clear();
        }
        all.insert(ip, Arc::clone(&said));
        said
    }

    fn find<T>(&self, ip: IpAddr, read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>) -> Option<T> {
        let reader = self.reader.load();
        self.look_up(reader.as_ref()?, ip, read)
    }

    fn look_up<T>(&self, reader: &Loaded, ip: IpAddr, read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>) -> Option<T> {
        if ip.is_ipv6() && reader.metadata().ip_version == 4 {
            return None;
        }
        match reader.lookup(ip).and_then(|found| read(&found)) {
            Ok(found) => found,
            Err(error) => {
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    let path = self.path.as_deref().unwrap_or(Path::new("")).display();
                    tracing::warn!(%error, file = %path, "a GeoIP file has records that cannot be read; they count as unknown");
                }
                None
            }
        }
    }

    fn reload_if_changed(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let look = std::fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match look {
            Ok(look) if *seen == Some(look) => false,
            Ok(look) => {
                // Remembered before it is read: a broken file is logged once, not on every look.
                *seen = Some(look);
                match open(path) {
                    Ok(reader) => {
                        let kind = &reader.metadata().database_type;
                        tracing::info!(file = %path.display(), kind, "read a GeoIP file");
                        self.reader.store(Some(Arc::new(Loaded { reader, said: RwLock::default() })));
                        self.has_complained.store(false, Ordering::Relaxed);
                        true
                    }
                    Err(error) => {
                        tracing::warn!(file = %path.display(), error, "a GeoIP file cannot be used; `rollcall check` says more");
                        false
                    }
                }
            }
            Err(error) => {
                // The epoch stands for "looked and found none".
                let missing = Some((SystemTime::UNIX_EPOCH, 0));
                if *seen != missing {
                    *seen = missing;
                    tracing::warn!(file = %path.display(), %error, "a GeoIP file cannot be found; `rollcall check` says more");
                }
                false
            }
        }
    }
}

/// Opens a file and tries it, so that one that lost its end is refused as a whole.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn open(path: &Path) -> Result<Reader<Vec<u8>>, String> {
    let reader = Reader::open_readfile(path).map_err(|error| error.to_string())?;
    for probe in ["1.1.1.1", "81.2.69.160", "203.0.113.7", "2001:4860:4860::8888"] {
        let Ok(ip) = probe.parse::<IpAddr>() else { continue };
        if ip.is_ipv4() || reader.metadata().ip_version == 6 {
            reader.lookup(ip).map_err(|error| error.to_string())?;
        }
    }
    Ok(reader)
}
