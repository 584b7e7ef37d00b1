//! Places and networks of addresses, from MaxMind City and ASN files. The files are read into
//! memory, since a memory map of a file that is truncated would end the process. A file that
//! changes is read again while the server runs.

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
use crate::domain::{Address, Network, country};
use crate::files;

/// The place of an address in a City file. What the file does not say is `""` or `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Continent code, such as `EU`.
    pub continent: String,
    /// ISO 3166 country code, such as `DE`.
    pub country: String,
    /// English name of the city.
    pub city: String,
    /// Degrees north, from -90 to 90.
    pub latitude: Option<f64>,
    /// Degrees east, from -180 to 180.
    pub longitude: Option<f64>,
}

impl Place {
    /// The place in words, as far as it is known: `Berlin, Germany`, `Germany`, `Europe`, or `""`.
    #[must_use]
    pub fn describe(&self) -> String {
        let area = if self.country.is_empty() { country::continent(&self.continent) } else { country::name(&self.country) };
        [self.city.as_str(), area].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// The network of an address in an ASN file.
#[derive(Clone, Debug, PartialEq)]
pub struct AutonomousSystem {
    /// Autonomous system number.
    pub number: i64,
    /// The organization that runs it.
    pub organization: Option<String>,
    /// The file's record that holds the address, in CIDR notation.
    pub network: String,
}

/// The City and the ASN file.
pub struct GeoIp {
    city: File,
    asn: File,
}

/// Opened files that take the place of those in use.
pub struct NewFiles {
    city: Option<NewFile>,
    asn: Option<NewFile>,
}

struct NewFile {
    path: PathBuf,
    look: (SystemTime, u64),
    reader: Reader<Vec<u8>>,
}

struct File {
    path: RwLock<Option<PathBuf>>,
    reader: ArcSwapOption<Loaded>,
    /// Modification time and length of the file that was read last.
    seen: Mutex<Option<(SystemTime, u64)>>,
    /// Whether a broken record of the file in use was logged.
    has_complained: AtomicBool,
}

/// A file in memory, and a cache of its records in JSON. Both are replaced together.
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

/// The most addresses whose record is cached in JSON.
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
    /// Reads the files that are set. A file that is missing or broken is logged and left out.
    #[must_use]
    pub fn load(config: &GeoIpConfig) -> Self {
        let this = Self { city: File::new(config.city.clone()), asn: File::new(config.asn.clone()) };
        this.reload_changed();
        this
    }

    /// Reads files that changed on disk. Where the new one is broken, that is logged and the old
    /// one stays in use. Returns whether any was replaced. Blocks while the disk is read.
    pub fn reload_changed(&self) -> bool {
        // Both must be read, so no `||` here.
        let (city, asn) = (self.city.reload_if_changed(), self.asn.reload_if_changed());
        city || asn
    }

    /// Opens the files that settings name, to take the place of those in use. Blocks while the disk is read.
    ///
    /// # Errors
    /// When one cannot be used: the setting and why.
    pub fn open_files(config: &GeoIpConfig) -> Result<NewFiles, String> {
        let open = |key: &str, path: &Option<PathBuf>| {
            let Some(path) = path else { return Ok(None) };
            let named = |error: String| format!("{key}: {}: {error}", path.display());
            let look = std::fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
            let look = look.map_err(|error| named(error.to_string()))?;
            Ok::<_, String>(Some(NewFile { path: path.clone(), look, reader: self::open(path).map_err(named)? }))
        };
        Ok(NewFiles { city: open("geoip.city", &config.city)?, asn: open("geoip.asn", &config.asn)? })
    }

    /// Uses these files from now on.
    pub fn use_files(&self, new: NewFiles) {
        self.city.replace(new.city);
        self.asn.replace(new.asn);
    }

    /// A text that identifies the files in use and how they are used. Countries and networks that
    /// were stored under another one are stale.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        /// Counts changes of how addresses are looked up.
        const LOOKUP: u32 = 2;
        format!("{}/{}/{LOOKUP}", self.city.fingerprint(), self.asn.fingerprint())
    }

    /// The names of the files in use and when each was built, in seconds since 1970.
    #[must_use]
    pub fn build_times(&self) -> Vec<(&'static str, i64)> {
        let files = [("city", &self.city), ("asn", &self.asn)];
        let built = |file: &File| Some(i64::try_from(file.reader.load().as_ref()?.metadata().build_epoch).unwrap_or(i64::MAX));
        files.into_iter().filter_map(|(name, file)| Some((name, built(file)?))).collect()
    }

    /// The place of an address, or of the IPv4 address in it: see [`Address::lookups`]. `None` when
    /// the City file has neither.
    #[must_use]
    pub fn place(&self, address: Address) -> Option<Place> {
        self.city.find(address, read_place)
    }

    /// What [`GeoIp::place`] returns, as JSON that `say` makes. It is cached: lists ask for the
    /// same addresses again and again. Every call must give the same `say`.
    pub fn said_place(&self, address: Address, say: fn(Place) -> Box<RawValue>) -> Arc<RawValue> {
        self.city.said(address, read_place, say)
    }

    /// What [`GeoIp::autonomous_system`] returns, as JSON, likewise.
    pub fn said_autonomous_system(&self, address: Address, say: fn(AutonomousSystem) -> Box<RawValue>) -> Arc<RawValue> {
        self.asn.said(address, read_autonomous_system, say)
    }

    /// The network of an address, or of the IPv4 address in it. `None` when the ASN file has
    /// neither.
    #[must_use]
    pub fn autonomous_system(&self, address: Address) -> Option<AutonomousSystem> {
        self.asn.find(address, read_autonomous_system)
    }

    /// Networks in the files, at most `most`, spread evenly over the address space.
    #[must_use]
    pub fn list_networks(&self, most: usize) -> Vec<Network> {
        let mut networks = self.city.list_networks(most / 2);
        networks.extend(self.asn.list_networks(most / 2));
        networks
    }

    /// The values that are stored with a session for its filters: the country code or `""`, and the
    /// number of the autonomous system.
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
        Self {
            path: RwLock::new(path),
            reader: ArcSwapOption::empty(),
            seen: Mutex::new(None),
            has_complained: AtomicBool::new(false),
        }
    }

    fn replace(&self, new: Option<NewFile>) {
        // The lock keeps a check of the old path from storing its file after the new one.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = new.as_ref().map(|new| new.look);
        *self.path.write().unwrap_or_else(PoisonError::into_inner) = new.as_ref().map(|new| new.path.clone());
        self.reader.store(new.map(|new| Arc::new(Loaded { reader: new.reader, said: RwLock::default() })));
        self.has_complained.store(false, Ordering::Relaxed);
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
        // The unicast addresses that are in use: 1.0.0.0 to 223.255.255.255, and 2000::/3.
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
        address: Address,
        read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>,
        say: fn(T) -> Box<RawValue>,
    ) -> Arc<RawValue> {
        static NOTHING: LazyLock<Arc<RawValue>> = LazyLock::new(|| Arc::from(RawValue::NULL.to_owned()));
        let Some(loaded) = self.reader.load_full() else { return Arc::clone(&NOTHING) };
        if let Some(said) = loaded.said.read().unwrap_or_else(PoisonError::into_inner).get(&address.0) {
            return Arc::clone(said);
        }
        let found = self.look_up(&loaded, address, read);
        let said = found.map_or_else(|| Arc::clone(&NOTHING), |found| Arc::from(say(found)));
        let mut all = loaded.said.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SAID {
            all.clear();
        }
        all.insert(address.0, Arc::clone(&said));
        said
    }

    fn find<T>(&self, address: Address, read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>) -> Option<T> {
        let reader = self.reader.load();
        self.look_up(reader.as_ref()?, address, read)
    }

    /// The record of an address, else that of the IPv4 address in it.
    fn look_up<T>(
        &self,
        reader: &Loaded,
        address: Address,
        read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>,
    ) -> Option<T> {
        address.lookups().into_iter().flatten().find_map(|ip| self.look_up_one(reader, ip, read))
    }

    fn look_up_one<T>(&self, reader: &Loaded, ip: IpAddr, read: fn(&Found<'_>) -> Result<Option<T>, MaxMindDbError>) -> Option<T> {
        if ip.is_ipv6() && reader.metadata().ip_version == 4 {
            return None;
        }
        match reader.lookup(ip).and_then(|found| read(&found)) {
            Ok(found) => found,
            Err(error) => {
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    let path = self.path.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
                    tracing::warn!(%error, file = %path.display(), "a GeoIP file has records that cannot be read; they count as unknown");
                }
                None
            }
        }
    }

    fn reload_if_changed(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(path) = &path else { return false };
        let look = std::fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
        match look {
            Ok(look) if *seen == Some(look) => false,
            Ok(look) => {
                // Set before the file is read, so that a broken file is logged once and not every
                // time.
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
                // The epoch marks a file that was looked for and is missing.
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

/// The largest GeoIP file that is read, in bytes. MaxMind's largest City file has some 500 MB.
const LARGEST: u64 = 2 << 30;

/// Reads a file and looks some addresses up in it, so that one that lost its end is refused as a
/// whole. Blocks while the disk is read, and for nothing else: a path that is no regular file is an
/// error.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn open(path: &Path) -> Result<Reader<Vec<u8>>, String> {
    let bytes = files::read(path, LARGEST).map_err(|error| error.to_string())?;
    let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
    for probe in ["1.1.1.1", "81.2.69.160", "203.0.113.7", "2001:4860:4860::8888"] {
        let Ok(ip) = probe.parse::<IpAddr>() else { continue };
        if ip.is_ipv4() || reader.metadata().ip_version == 6 {
            reader.lookup(ip).map_err(|error| error.to_string())?;
        }
    }
    Ok(reader)
}
