//! `/map`: the places of the sessions, drawn by the server on outlines of land, and as a table.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::domain::country;
use crate::domain::facets::AddressCount;
use crate::domain::listing::SessionFilter;
use crate::domain::query::token;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::ui::fleet::view::{View, address};
use crate::ui::visitor::Visitor;
use crate::ui::words::{grouped, plural};
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/map";
/// Made by scripts/land from Natural Earth's data, which is in the public domain.
const LAND: &str = include_str!("../../../static/land.path");
/// The size of the drawing, and its northern edge; scripts/land has the same.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 391.0;
const NORTH: f64 = 84.0;
/// The radius of the smallest circle, and of the largest: centres keep this distance from the edges
/// of the map.
const SMALLEST: f64 = 8.0;
const LARGEST: f64 = 22.0;
/// How wide a letter of a number is.
const LETTER: f64 = 7.0;
/// The most addresses that are looked up, the most frequent first: this limits the cost of a page.
const LOOKED_UP: usize = 50_000;
/// The most rows of the table.
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "pages/map.html")]
struct MapPage {
    frame: Frame,
    query: String,
    total: i64,
    dots: Vec<Dot>,
    places: Vec<PlaceLine>,
    /// The number of places that the table leaves out.
    more: usize,
    /// The number of sessions without a known place.
    nowhere: i64,
    /// The number of sessions at addresses that are not looked up.
    rare: i64,
    table_url: String,
}

/// A circle on the map.
struct Dot {
    x: i64,
    y: i64,
    radius: i32,
    count: String,
    label: String,
    url: String,
}

struct PlaceLine {
    place: String,
    country: String,
    count: i64,
    url: String,
}

/// A place and how many sessions are there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Spot {
    country: String,
    city: String,
    at: Option<(f64, f64)>,
    count: i64,
}

/// The map.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let view = View::read(&Query::parse(parts.uri.query().unwrap_or_default()));
    let who = visitor.principal(PATH)?;
    who.must_see_all()?;
    let current = visitor.session.as_ref().map(|session| session.uuid);
    let filter = SessionFilter { visible_to: who.visible(), ..view.shown(&app, app.clock.now(), current).await? };
    let (total, spots, looked_up) = spots(&app, filter).await?;
    let (known, unknown): (Vec<Spot>, Vec<Spot>) = spots.into_iter().partition(|spot| !spot.country.is_empty());
    let url = |country: &str| view.with_query(&view.query.with(&token("country", country))).url();
    let places = known.iter().take(ROWS).map(|spot| PlaceLine {
        place: spot.city.clone(),
        country: country::name(&spot.country).to_owned(),
        count: spot.count,
        url: url(&spot.country),
    });
    let template = MapPage {
        frame: visitor.frame(&app, Section::Map),
        query: view.query.to_string(),
        total,
        dots: dots(&known, url),
        places: places.collect(),
        more: known.len().saturating_sub(ROWS),
        nowhere: unknown.iter().map(|spot| spot.count).sum(),
        rare: total - looked_up,
        table_url: address("/sessions/all", &[("q", view.query.to_string())]),
    };
    Ok(page(StatusCode::OK, &template))
}

/// The number of matching sessions, their places, the busiest first, and the number of sessions
/// that this covers.
async fn spots(app: &App, filter: SessionFilter) -> Result<(i64, Vec<Spot>, i64), StoreError> {
    let total = app.store.count_sessions(&filter).await?;
    let addresses = app.store.count_addresses(&filter, LOOKED_UP).await?;
    let looked_up = addresses.iter().map(|address| address.count).sum();
    let app_too = app.clone();
    // One look-up in the GeoIP files for each address: run among the long reads, whose number is
    // limited.
    let spots = app.store.long_read(move |_| Box::pin(async move { Ok::<_, StoreError>(gather(&app_too, &addresses)) }));
    Ok((total, spots.await?, looked_up))
}

fn gather(app: &App, addresses: &[AddressCount]) -> Vec<Spot> {
    let mut spots: HashMap<(String, String), Spot> = HashMap::new();
    for AddressCount { address, count } in addresses {
        let place = app.geoip.place(*address);
        let (country, city, at) = match place {
            Some(place) => (place.country, place.city, place.latitude.zip(place.longitude)),
            None => Default::default(),
        };
        let new = || Spot { country: country.clone(), city: city.clone(), at, count: 0 };
        spots.entry((country.clone(), city.clone())).or_insert_with(new).count += count;
    }
    let mut spots: Vec<Spot> = spots.into_values().collect();
    spots.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.country, &a.city).cmp(&(&b.country, &b.city))));
    spots
}

/// Places that are drawn as one circle.
struct Cluster<'a> {
    /// The place with the most sessions; the circle is there.
    first: &'a Spot,
    at: (f64, f64),
    places: usize,
    countries: BTreeSet<&'a str>,
    count: i64,
}

impl<'a> Cluster<'a> {
    fn of(spot: &'a Spot) -> Option<Self> {
        let (north, east) = spot.at?;
        let inside = |at: f64, size: f64| at.clamp(LARGEST, size - LARGEST);
        let at = (inside((east + 180.0) / 360.0 * WIDTH, WIDTH), inside((NORTH - north) / 360.0 * WIDTH, HEIGHT));
        Some(Self { first: spot, at, places: 1, countries: BTreeSet::from([spot.country.as_str()]), count: spot.count })
    }

    fn take(&mut self, other: &Self) {
        self.places += other.places;
        self.count += other.count;
        self.countries.extend(&other.countries);
    }

    /// Half of what its circle and its number cover, to the side and up.
    fn extent(&self, most: i64) -> (f64, f64) {
        let radius = f64::from(radius(self.count, most));
        let letters = u32::try_from(grouped(self.count).len()).unwrap_or(u32::MAX);
        (radius.max(f64::from(letters) * LETTER / 2.0), radius)
    }

    fn touches(&self, other: &Self, most: i64) -> bool {
        let ((x, y), (other_x, other_y)) = (self.extent(most), other.extent(most));
        (self.at.0 - other.at.0).abs() < x + other_x && (self.at.1 - other.at.1).abs() < y + other_y
    }
}

/// Circles for places. Those that would touch are drawn as one, where the busiest of them is.
fn dots(spots: &[Spot], url: impl Fn(&str) -> String) -> Vec<Dot> {
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for cluster in spots.iter().filter_map(Cluster::of) {
        // These overlap at any size of their numbers: merging them first leaves few to compare
        // below.
        let is_near = |known: &&mut Cluster<'_>| (known.at.0 - cluster.at.0).hypot(known.at.1 - cluster.at.1) < SMALLEST * 2.0;
        match clusters.iter_mut().find(is_near) {
            Some(known) => known.take(&cluster),
            None => clusters.push(cluster),
        }
    }
    let most = loop {
        clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));
        let most = clusters.first().map_or(1, |cluster| cluster.count);
        let before = clusters.len();
        let mut apart: Vec<Cluster<'_>> = Vec::new();
        for cluster in clusters {
            match apart.iter_mut().find(|known| known.touches(&cluster, most)) {
                Some(known) => known.take(&cluster),
                None => apart.push(cluster),
            }
        }
        clusters = apart;
        if clusters.len() == before {
            break most;
        }
    };
    clusters.iter().map(|cluster| dot(cluster, most, &url)).collect()
}

fn dot(cluster: &Cluster<'_>, most: i64, url: &impl Fn(&str) -> String) -> Dot {
    let (name, count) = (country::name(&cluster.first.country), grouped(cluster.count));
    let first = if cluster.first.city.is_empty() { name } else { cluster.first.city.as_str() };
    let place = match (cluster.countries.len(), cluster.places) {
        (1, 1) if cluster.first.city.is_empty() => name.to_owned(),
        (1, 1) => format!("{first}, {name}"),
        (1, places) => format!("{first} and {} more in {name}", grouped(places - 1)),
        (countries, places) => format!("{first} and {} more in {countries} countries", grouped(places - 1)),
    };
    // A search can select one country only; the table below the map lists the sessions of several.
    let (url, leads_to) = if cluster.countries.len() == 1 {
        (url(&cluster.first.country), format!("To all of {name}"))
    } else {
        ("#places".to_owned(), "To the table of places".to_owned())
    };
    Dot {
        x: whole(cluster.at.0),
        y: whole(cluster.at.1),
        radius: radius(cluster.count, most),
        label: format!("{place}: {count} session{}. {leads_to}", plural(cluster.count)),
        count,
        url,
    }
}

/// By area: four times the sessions, twice the radius.
fn radius(count: i64, most: i64) -> i32 {
    i32::try_from((8 + (196 * count / most.max(1)).isqrt()).clamp(8, 22)).unwrap_or(22)
}

#[expect(clippy::cast_possible_truncation, reason = "it lies on the map")]
fn whole(number: f64) -> i64 {
    number.clamp(0.0, WIDTH).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(country: &str, city: &str, at: (f64, f64), count: i64) -> Spot {
        Spot { country: country.into(), city: city.into(), at: Some(at), count }
    }

    #[test]
    fn places_that_would_touch_are_drawn_as_one() {
        let spots = [
            spot("DE", "Berlin", (52.5, 13.4), 400),
            spot("PL", "Poznań", (52.4, 16.9), 100),
            spot("ES", "Madrid", (40.4, -3.7), 50),
            spot("DE", "Potsdam", (52.4, 13.1), 2),
            spot("ES", "Toledo", (39.9, -4.0), 2),
            spot("NZ", "Wellington", (-41.3, 174.8), 1),
            Spot { count: 5, ..Spot::default() },
        ];
        let dots = dots(&spots, str::to_owned);
        let labels: Vec<(&str, &str)> = dots.iter().map(|dot| (dot.label.as_str(), dot.url.as_str())).collect();
        assert_eq!(
            labels,
            [
                ("Berlin and 2 more in 2 countries: 502 sessions. To the table of places", "#places"),
                ("Madrid and 1 more in Spain: 52 sessions. To all of Spain", "ES"),
                ("Wellington, New Zealand: 1 session. To all of New Zealand", "NZ"),
            ]
        );
        assert_eq!((dots[0].x, dots[0].y, dots[0].radius), (537, 88, 22));
        assert!(dots[2].radius >= 8 && dots[2].y < 391);
    }

    #[test]
    fn no_two_circles_or_numbers_touch() {
        let mut dice = 7_u64;
        let mut next = |below: u32| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(dice >> 33).unwrap() % below
        };
        let mut spots: Vec<Spot> = Vec::new();
        for _ in 0..2000 {
            let (north, east) = (f64::from(next(120)) - 50.0, f64::from(next(360)) - 180.0);
            spots.push(spot(
                ["DE", "FR", "US"][next(3) as usize],
                "Town",
                (north, east),
                1 + i64::from(next(40) * next(40) * next(40)),
            ));
        }
        let total: i64 = spots.iter().map(|spot| spot.count).sum();
        let dots = dots(&spots, str::to_owned);
        assert!(dots.len() > 20, "{}", dots.len());
        assert_eq!(dots.iter().map(|dot| dot.count.replace(',', "").parse::<i64>().unwrap()).sum::<i64>(), total);
        for (at, one) in dots.iter().enumerate() {
            for other in &dots[at + 1..] {
                let wide = |dot: &Dot| f64::from(dot.radius).max(f64::from(u8::try_from(dot.count.len()).unwrap()) * LETTER / 2.0);
                let between = |one: i64, other: i64| f64::from(i32::try_from((one - other).abs()).unwrap());
                let (x, y) = (between(one.x, other.x), between(one.y, other.y));
                // Centres are rounded to whole units.
                let is_apart = x + 1.0 >= wide(one) + wide(other) || y + 1.0 >= f64::from(one.radius + other.radius);
                assert!(is_apart, "{} {} touch", one.label, other.label);
            }
        }
    }

    #[test]
    fn the_land_is_one_path() {
        assert!(LAND.starts_with('M') && LAND.ends_with('z') && LAND.len() < 40_000);
        assert!(LAND.bytes().all(|byte| byte.is_ascii_digit() || b"Mlz -".contains(&byte)));
    }
}
