//! Whether somebody can have been at two places within a time.

use std::time::Duration;

/// The radius of the earth in kilometres, as the mean of the ellipsoid of WGS 84.
const RADIUS: f64 = 6371.0;
/// How far off the place of an address may be, in kilometres.
const UNCERTAIN: f64 = 500.0;
/// The fastest way to travel, in kilometres an hour: an airliner.
const FASTEST: f64 = 1000.0;

/// A place on the earth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// Degrees north, from -90 to 90.
    pub latitude: f64,
    /// Degrees east, from -180 to 180.
    pub longitude: f64,
}

impl Coordinates {
    /// How far it is to another place, in kilometres, over the ground (the haversine formula).
    #[must_use]
    pub fn kilometres_to(self, other: Self) -> f64 {
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let north = half(self.latitude, other.latitude);
        let east = half(self.longitude, other.longitude);
        let chord = north + self.latitude.to_radians().cos() * other.latitude.to_radians().cos() * east;
        2.0 * RADIUS * chord.sqrt().min(1.0).asin()
    }
}

/// Whether nobody travels this far within this time.
#[must_use]
pub fn is_too_far(kilometres: f64, within: Duration) -> bool {
    kilometres > UNCERTAIN + FASTEST * within.as_secs_f64() / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Coordinates = Coordinates { latitude: 52.52, longitude: 13.405 };
    const TOKYO: Coordinates = Coordinates { latitude: 35.68, longitude: 139.69 };

    #[test]
    fn distances_are_over_the_ground() {
        let of = |latitude: f64, longitude: f64| Coordinates { latitude, longitude };
        for (from, to, kilometres) in [
            (BERLIN, TOKYO, 8918.0),
            (BERLIN, BERLIN, 0.0),
            (of(0.0, 179.0), of(0.0, -179.0), 222.4),
            (of(90.0, 0.0), of(-90.0, 0.0), 20015.1),
            (of(10.0, 20.0), of(-10.0, -160.0), 20015.1),
        ] {
            assert!((from.kilometres_to(to) - kilometres).abs() < 20.0, "{from:?} {to:?} {}", from.kilometres_to(to));
            assert!((from.kilometres_to(to) - to.kilometres_to(from)).abs() < 0.001);
        }
    }

    #[test]
    fn an_airliner_is_the_fastest_and_a_place_is_not_exact() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let far = BERLIN.kilometres_to(TOKYO);
        assert!(is_too_far(far, hours(0)) && is_too_far(far, hours(8)) && !is_too_far(far, hours(9)));
        assert!(!is_too_far(499.0, hours(0)) && is_too_far(501.0, hours(0)));
        assert!(!is_too_far(f64::NAN, hours(0)));
    }
}
