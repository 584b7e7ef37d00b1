//! `/map`: where the sessions are, drawn by the server on outlines of land; and the same as a table.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::domain::country;
use crate::domain::listing::SessionFilter;
use crate::domain::query::token;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::sessions::facets::AddressCount;
use crate::ui::fleet::view::{View, address};
use crate::ui::submission::Visitor;
use crate::ui::words::{grouped, plural};
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/map";
/// Made by scripts/land from Natural Earth's data, which is in the public domain.
const LAND: &str = include_str!("../../../static/land.path");
/// The size of the drawing, and its northern edge; scripts/land has the same.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 391.0;
const NORTH: f64 = 84.0;
/// Places of one country that are nearer than this are drawn as one.
const CELL: f64 = 24.0;
/// The radius of the largest circle: none is drawn over the edge.
const LARGEST: f64 = 22.0;
/// The most addresses that are looked up, the busiest first: it bounds what a page costs.
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
    /// How many places there are beyond the table's end.
    more: usize,
    /// How many sessions are nowhere that is known.
    nowhere: i64,
    /// How many are at addresses too rare to be looked up.
    rare: i64,
    table_url: String,
}

/// A circle on the map.
struct Dot {
    x: i64,
    y: i64,
    radius: i64,
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

/// How many sessions match, where they are, the busiest place first, and how many of them that
/// covers.
async fn spots(app: &App, filter: SessionFilter) -> Result<(i64, Vec<Spot>, i64), StoreError> {
    let (app, store) = (app.clone(), app.store.clone());
    let read = store.long_read(move |db| {
        Box::pin(async move {
            let total = db.count_sessions(&filter).await?;
            let addresses = db.count_addresses(&filter, LOOKED_UP).await?;
            let looked_up = addresses.iter().map(|address| address.count).sum();
            Ok::<_, StoreError>((total, gather(&app, &addresses), looked_up))
        })
    });
    read.await
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

/// Circles for places, near ones of a country together, the largest first so that none hides
/// another.
fn dots(spots: &[Spot], url: impl Fn(&str) -> String) -> Vec<Dot> {
    struct Cluster<'a> {
        first: &'a Spot,
        at: (f64, f64),
        places: usize,
        count: i64,
    }
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for spot in spots {
        let Some((north, east)) = spot.at else { continue };
        let inside = |at: f64, size: f64| at.clamp(LARGEST, size - LARGEST);
        let at = (inside((east + 180.0) / 360.0 * WIDTH, WIDTH), inside((NORTH - north) / 360.0 * WIDTH, HEIGHT));
        let near = clusters.iter_mut().find(|cluster| {
            let (x, y) = cluster.at;
            cluster.first.country == spot.country && (x - at.0).hypot(y - at.1) < CELL
        });
        match near {
            Some(cluster) => {
                cluster.places += 1;
                cluster.count += spot.count;
            }
            None => clusters.push(Cluster { first: spot, at, places: 1, count: spot.count }),
        }
    }
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));
    let most = clusters.first().map_or(1, |cluster| cluster.count);
    let dot = |cluster: &Cluster<'_>| {
        let name = country::name(&cluster.first.country);
        let place = match (cluster.first.city.as_str(), cluster.places) {
            ("", _) => name.to_owned(),
            (city, 1) => format!("{city}, {name}"),
            (city, places) => format!("{city} and {} more in {name}", places - 1),
        };
        Dot {
            x: whole(cluster.at.0),
            y: whole(cluster.at.1),
            radius: radius(cluster.count, most),
            count: grouped(cluster.count),
            label: format!("{place}: {} session{}. To all of {name}", grouped(cluster.count), plural(cluster.count)),
            url: url(&cluster.first.country),
        }
    };
    clusters.iter().map(dot).collect()
}

/// By area: four times the sessions, twice the radius.
fn radius(count: i64, most: i64) -> i64 {
    (8 + (196 * count / most.max(1)).isqrt()).clamp(8, 22)
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
    fn near_places_of_a_country_are_one() {
        let spots = [
            spot("DE", "Berlin", (52.5, 13.4), 400),
            spot("PL", "Poznań", (52.4, 16.9), 100),
            spot("DE", "Potsdam", (52.4, 13.1), 2),
            spot("NZ", "Wellington", (-41.3, 174.8), 1),
            Spot { count: 5, ..Spot::default() },
        ];
        let dots = dots(&spots, str::to_owned);
        let labels: Vec<&str> = dots.iter().map(|dot| dot.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "Berlin and 1 more in Germany: 402 sessions. To all of Germany",
                "Poznań, Poland: 100 sessions. To all of Poland",
                "Wellington, New Zealand: 1 session. To all of New Zealand"
            ]
        );
        assert_eq!((dots[0].x, dots[0].y, dots[0].radius), (537, 88, 22));
        assert!(dots[2].radius >= 8 && dots[2].y < 391);
    }

    #[test]
    fn the_land_is_one_path() {
        assert!(LAND.starts_with('M') && LAND.ends_with('z') && LAND.len() < 40_000);
        assert!(LAND.bytes().all(|byte| byte.is_ascii_digit() || b"Mlz -".contains(&byte)));
    }
}
