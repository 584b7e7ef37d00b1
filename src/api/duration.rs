//! Durations as authentik writes them: `hours=3;minutes=1`.

/// How many microseconds one of each word has.
const UNITS: [(&str, f64); 7] = [
    ("microseconds", 1.0),
    ("milliseconds", 1e3),
    ("seconds", 1e6),
    ("minutes", 60e6),
    ("hours", 3_600e6),
    ("days", 86_400e6),
    ("weeks", 604_800e6),
];

/// 400: not a duration.
#[must_use]
pub fn no_duration(text: &str) -> String {
    format!("{text} is not in the correct format of 'hours=3;minutes=1'.")
}

/// Reads `name=number` pairs with `;` between them: microseconds, which may be negative. `None` for anything else, and
/// for what is longer than a million years.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    const MOST: f64 = 1e6 * 366.0 * 86_400e6;
    let mut sum = 0.0;
    for pair in text.trim().split(';').filter(|pair| !pair.trim().is_empty()) {
        let (name, number) = pair.split_once('=')?;
        let (_, unit) = UNITS.iter().find(|(word, _)| name.trim().eq_ignore_ascii_case(word))?;
        let number: f64 = number.trim().parse().ok()?;
        sum += number * unit;
    }
    let is_there = text.contains('=') && sum.is_finite() && sum.abs() < MOST / 10.0;
    #[expect(clippy::cast_possible_truncation, reason = "the bound above is far below what fits")]
    is_there.then_some(sum.round() as i64)
}

/// A duration, given in microseconds, in the largest word that gives a whole number: `days=30`, `minutes=90`.
#[must_use]
pub fn format(micros: u128) -> String {
    let units: [(&str, u128); 6] = [
        ("days", 86_400_000_000),
        ("hours", 3_600_000_000),
        ("minutes", 60_000_000),
        ("seconds", 1_000_000),
        ("milliseconds", 1_000),
        ("microseconds", 1),
    ];
    if micros == 0 {
        return "seconds=0".to_owned();
    }
    let unit = units.iter().find(|(_, unit)| micros.is_multiple_of(*unit));
    unit.map_or_else(|| "seconds=0".to_owned(), |(word, unit)| format!("{word}={}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, micros) in [
            ("days=1", 86_400_000_000),
            ("hours=3;minutes=1", 10_860_000_000),
            (" Hours = 1 ; ", 3_600_000_000),
            ("seconds=0", 0),
            ("minutes=-5", -300_000_000),
            ("milliseconds=1.5", 1_500),
            ("weeks=2;microseconds=1", 1_209_600_000_001),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
        }
        for wrong in ["", "1d", "days", "days=", "days=x", "years=1", "days=1,hours=2", "days=inf", "days=nan", "days=1e300", ";"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for (micros, text) in [(0, "seconds=0"), (86_400_000_000, "days=1"), (5_400_000_000, "minutes=90"), (1, "microseconds=1")] {
            assert_eq!(format(micros), text);
            assert_eq!(parse(text), i64::try_from(micros).ok());
        }
    }
}
