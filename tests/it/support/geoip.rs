//! Made-up GeoIP files, in MaxMind's format.

use std::path::Path;

use mmdb_writer::{Value, Writer};

/// A City file: network, continent, country, city. An empty part is left out.
pub fn write_city(path: &Path, rows: &[(&str, &str, &str, &str)]) {
    let places = rows.iter().map(|(network, continent, country, city)| (*network, [*continent, *country, *city], [52.5, 0.0]));
    write_places(path, &places.collect::<Vec<_>>());
}

/// Writes a City file whose cities have these degrees north and east.
pub fn write_places(path: &Path, rows: &[(&str, [&str; 3], [f64; 2])]) {
    let mut writer = Writer::new("Rollcall-Test-City");
    for (network, [continent, country, city], [north, east]) in rows {
        let mut record = Vec::new();
        if !continent.is_empty() {
            record.push(("continent", Value::map([("code", *continent)])));
        }
        if !country.is_empty() {
            record.push(("country", Value::map([("iso_code", *country)])));
        }
        if !city.is_empty() {
            record.push(("city", Value::map([("names", Value::map([("en", *city), ("de", "anders")]))])));
            record.push(("location", Value::map([("latitude", Value::Double(*north)), ("longitude", Value::Double(*east))])));
        }
        writer.insert_value(network.parse::<ipnet::IpNet>().expect("a network"), Value::map(record)).expect("a record");
    }
    std::fs::write(path, writer.to_bytes().expect("a file")).expect("written");
}

/// An ASN file: network, number, organization. An empty organization is left out.
pub fn write_asn(path: &Path, rows: &[(&str, u32, &str)]) {
    let mut writer = Writer::new("Rollcall-Test-ASN");
    for (network, number, organization) in rows {
        let mut record = vec![("autonomous_system_number", Value::from(*number))];
        if !organization.is_empty() {
            record.push(("autonomous_system_organization", Value::from(*organization)));
        }
        writer.insert_value(network.parse::<ipnet::IpNet>().expect("a network"), Value::map(record)).expect("a record");
    }
    std::fs::write(path, writer.to_bytes().expect("a file")).expect("written");
}
