//! `lifeboat regions`: search regions, compare them, and suggest where an app could recover.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lifeboat_atlas::{Atlas, Availability, Figure, Grade, Position, RegionFacts, Service, Status, Zones};
use lifeboat_model::app::{Place, Provider};
use schemars::JsonSchema;
use serde::Serialize;

use crate::site::{COMFORTABLE_KM, TOO_CLOSE_KM};

/// A region as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RegionRow {
    /// `aws/eu-north-1`
    pub place: String,
    /// The provider's name of it.
    pub name: String,
    /// The city.
    pub city: String,
    /// The country.
    pub country: String,
    /// Where it lies on Earth, as far as that is told.
    pub position: Option<Figure<Position>>,
    /// Under whose law.
    pub jurisdiction: String,
    /// The region that Azure pairs it with.
    pub pair: Option<String>,
    /// Availability zones: a number, `some` or `none`.
    pub zones: String,
    /// Whether an account must ask for it first.
    pub restricted: bool,
    /// `available`, `impaired` or `unavailable`.
    pub status: String,
    /// The services that it has, of those that Lifeboat knows.
    pub services: Vec<String>,
    /// From the region that it is compared with.
    pub from: Option<Way>,
}

/// The way from one region to another.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Way {
    /// From here.
    pub place: String,
    /// Great-circle distance in km.
    pub km: Option<Figure<f64>>,
    /// Round trip in ms.
    pub round_trip_ms: Option<Figure<f64>>,
    /// The median error of an estimated round trip, in ms.
    pub error_ms: Option<f64>,
}

impl RegionRow {
    fn km(&self) -> Option<f64> {
        self.from.as_ref()?.km.as_ref().map(|km| km.value)
    }
}

/// What is looked for; an empty filter finds everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of the place, the name, the city, the country or the jurisdiction, in any case.
    pub text: Option<String>,
    /// The provider.
    pub provider: Option<Provider>,
    /// A jurisdiction, country or continent, as in `residency`.
    pub within: Option<String>,
    /// Services that it must have.
    pub services: Vec<Service>,
    /// Farthest from `from`, in km.
    pub at_most_km: Option<f64>,
    /// Where distances and round trips are counted from.
    pub from: Option<Place>,
}

/// The regions that a filter lets through: nearest first where it says from where, else by name.
pub fn search(atlas: &Atlas, filter: &Filter) -> Vec<RegionRow> {
    let mut rows: Vec<RegionRow> = atlas
        .regions()
        .filter(|facts| filter.provider.is_none_or(|provider| facts.place.provider == provider))
        .filter(|facts| filter.within.as_ref().is_none_or(|area| facts.lies_in(area)))
        .filter(|facts| filter.text.as_ref().is_none_or(|text| mentions(facts, text)))
        .filter(|facts| {
            filter
                .services
                .iter()
                .all(|service| matches!(atlas.offers(&facts.place, *service), Availability::Yes { .. }))
        })
        .map(|facts| row(atlas, facts, filter.from.as_ref()))
        .filter(|row| match (filter.at_most_km, row.km()) {
            (Some(limit), Some(km)) => km <= limit,
            (Some(_), None) => false,
            (None, _) => true,
        })
        .collect();
    if filter.from.is_some() {
        let km = |row: &RegionRow| row.km().unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| km(a).total_cmp(&km(b)).then_with(|| a.place.cmp(&b.place)));
    }
    rows
}

/// A region to recover in, with what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Suggestion {
    /// The region.
    pub region: RegionRow,
    /// What it is ranked by, best first: lower is better.
    pub rank: u32,
    /// What speaks for and against it.
    pub reasons: Vec<String>,
}

/// Which regions may be suggested.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Regions of other providers too.
    pub other_clouds: bool,
    /// A jurisdiction, country or continent, as in `residency`.
    pub within: Option<String>,
    /// Farthest from the primary, in km.
    pub at_most_km: Option<f64>,
}

/// Regions to recover in, best first: of the same provider, in working order, far enough to fail apart.
///
/// Ranked by what the providers' guidance weighs, in this order: the region that Azure pairs it with; the same law;
/// more than 400 km away; open to every account; then the round trip. `None`: the atlas does not know `primary`.
pub fn suggest(atlas: &Atlas, primary: &Place, limits: &Limits) -> Option<Vec<Suggestion>> {
    let home = atlas.region(primary)?;
    let mut found = Vec::new();
    for facts in atlas.regions() {
        let (km, trip) = (atlas.distance_km(primary, &facts.place), atlas.round_trip(primary, &facts.place));
        let eligible = facts.place != *primary
            && (limits.other_clouds || facts.place.provider == primary.provider)
            && (facts.place.provider != primary.provider || facts.partition == home.partition)
            && facts.status == Status::Available
            && limits.within.as_ref().is_none_or(|area| facts.lies_in(area))
            && km.is_some_and(|km| km >= TOO_CLOSE_KM && limits.at_most_km.is_none_or(|most| km <= most));
        let (Some(km), Some(trip), true) = (km, trip, eligible) else { continue };
        let paired = atlas.paired(primary, &facts.place);
        let same_law = facts.residency() == home.residency();
        let far = km >= COMFORTABLE_KM;
        let grade = atlas.distance(primary, &facts.place).map_or(String::new(), |km| format!(" {}", km.grade));
        let mut reasons = vec![format!("{km:.0} km{grade}, {:.0} ms {}", trip.ms.value, trip.ms.grade)];
        if paired {
            reasons.push("Azure pairs them".into());
        }
        reasons.push(if same_law {
            format!("the same law ({})", home.residency())
        } else {
            format!("another law ({} instead of {})", facts.residency(), home.residency())
        });
        if !far {
            reasons.push("nearer than 400 km: one storm or grid failure can reach both".into());
        }
        if facts.restricted {
            reasons.push("must be enabled for the account first".into());
        }
        let key = (!paired || facts.restricted, !same_law, !far, facts.restricted, trip.ms.value);
        found.push((key, facts, reasons));
    }
    found.sort_by(|(a, one, _), (b, other, _)| {
        (a.0, a.1, a.2, a.3)
            .cmp(&(b.0, b.1, b.2, b.3))
            .then(a.4.total_cmp(&b.4))
            .then_with(|| one.place.cmp(&other.place))
    });
    Some(
        found
            .into_iter()
            .zip(1..)
            .map(|((_, facts, reasons), rank)| Suggestion { region: row(atlas, facts, Some(primary)), rank, reasons })
            .collect(),
    )
}

/// The best region to recover in under a law, of those that `wanted` lets through.
pub(crate) fn first_within(
    atlas: &Atlas,
    primary: &Place,
    law: &str,
    wanted: impl Fn(&Place) -> bool,
) -> Option<String> {
    let limits = Limits { within: Some(law.into()), ..Limits::default() };
    let places = suggest(atlas, primary, &limits)?.into_iter().map(|one| one.region.place);
    places.into_iter().find(|place| {
        let name = place.split_once('/').map_or("", |(_, name)| name);
        wanted(&Place { provider: primary.provider, name: name.into() })
    })
}

fn mentions(facts: &RegionFacts, text: &str) -> bool {
    let text = text.to_lowercase();
    [facts.place.to_string().as_str(), &facts.name, &facts.city, &facts.country, &facts.jurisdiction]
        .iter()
        .any(|field| field.to_lowercase().contains(&text))
}

fn row(atlas: &Atlas, facts: &RegionFacts, from: Option<&Place>) -> RegionRow {
    let services = Service::ALL
        .into_iter()
        .filter(|service| matches!(atlas.offers(&facts.place, *service), Availability::Yes { .. }))
        .map(|service| service.as_str().to_owned())
        .collect();
    let from = from.map(|from| {
        let trip = atlas.round_trip(from, &facts.place);
        Way {
            place: from.to_string(),
            km: atlas.distance(from, &facts.place),
            error_ms: trip.as_ref().and_then(|trip| trip.error_ms).map(|error| (error * 10.0).round() / 10.0),
            round_trip_ms: trip.map(|trip| trip.ms),
        }
    });
    RegionRow {
        place: facts.place.to_string(),
        name: facts.name.clone(),
        city: facts.city.clone(),
        country: facts.country.clone(),
        position: facts.position.clone(),
        jurisdiction: facts.jurisdiction.clone(),
        pair: facts.pair.as_ref().map(ToString::to_string),
        zones: match facts.zones {
            Zones::Count(count) => count.to_string(),
            Zones::Some => "some".into(),
            Zones::None => "none".into(),
        },
        restricted: facts.restricted,
        status: match facts.status {
            Status::Available => "available",
            Status::Impaired { .. } => "impaired",
            Status::Unavailable { .. } => "unavailable",
        }
        .into(),
        services,
        from,
    }
}

/// The rows as a table.
pub fn render(rows: &[RegionRow]) -> String {
    let mut lines =
        vec![["region", "city", "law", "zones", "pair", "km", "round trip", "state", "services"].map(String::from)];
    for row in rows {
        lines.push([
            row.place.clone(),
            row.city.clone(),
            row.jurisdiction.clone(),
            row.zones.clone(),
            row.pair.clone().unwrap_or_default(),
            row.from
                .as_ref()
                .and_then(|way| way.km.as_ref())
                .map_or(String::new(), |km| format!("{:.0} {}", km.value, km.grade)),
            row.from.as_ref().map_or(String::new(), round_trip),
            if row.restricted && row.status == "available" { "on request".into() } else { row.status.clone() },
            services(row),
        ]);
    }
    let mut out = String::new();
    crate::text::table(&mut out, &lines);
    sources(&mut out, rows.iter());
    out
}

/// What the distances and round trips rest on.
fn sources<'a>(out: &mut String, rows: impl Iterator<Item = &'a RegionRow>) {
    let mut known: BTreeMap<(&str, Grade, &str, &str), usize> = BTreeMap::new();
    for way in rows.filter_map(|row| row.from.as_ref()) {
        let km = way.km.iter().map(|km| ("km", km));
        for (what, figure) in km.chain(way.round_trip_ms.iter().map(|trip| ("round trip", trip))) {
            *known.entry((what, figure.grade, &figure.source, &figure.date)).or_default() += 1;
        }
    }
    if !known.is_empty() {
        out.push('\n');
    }
    for ((what, grade, source, date), regions) in known {
        let _ = writeln!(out, "  {what} {grade}: {source}, {date} ({regions} of these)");
    }
}

/// `all`, or what of it is not known to be there: shorter than what is, and what one looks for.
fn services(row: &RegionRow) -> String {
    let provider = |service: &Service| if service.is_of_aws() { Provider::Aws } else { Provider::Azure };
    let lacking: Vec<&str> = Service::ALL
        .iter()
        .filter(|service| row.place.starts_with(provider(service).as_str()))
        .map(|service| service.as_str())
        .filter(|service| !row.services.iter().any(|known| known == service))
        .collect();
    if lacking.is_empty() { "all".into() } else { format!("all but {}", lacking.join(", ")) }
}

/// The suggestions as a table.
pub fn render_suggestions(suggestions: &[Suggestion]) -> String {
    let lines: Vec<[String; 3]> = suggestions
        .iter()
        .map(|one| {
            [one.rank.to_string(), format!("{} ({})", one.region.place, one.region.city), one.reasons.join("; ")]
        })
        .collect();
    let mut out = String::new();
    crate::text::table(&mut out, &lines);
    sources(&mut out, suggestions.iter().map(|one| &one.region));
    out
}

fn round_trip(way: &Way) -> String {
    match (&way.round_trip_ms, way.error_ms) {
        (Some(trip), Some(error)) => format!("{:.0} ± {error:.0} ms {}", trip.value, trip.grade),
        (Some(trip), None) => format!("{:.0} ms {}", trip.value, trip.grade),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(provider: Provider, name: &str) -> Place {
        Place { provider, name: name.into() }
    }

    fn best(primary: Place) -> Vec<String> {
        suggest(Atlas::embedded(), &primary, &Limits::default())
            .unwrap()
            .into_iter()
            .map(|one| one.region.place)
            .collect()
    }

    #[test]
    fn the_guides_pairs_come_first() {
        let stockholm = best(at(Provider::Aws, "eu-north-1"));
        assert_eq!(stockholm[0], "aws/eu-central-1", "Stockholm with Frankfurt …");
        assert!(stockholm[..3].contains(&"aws/eu-west-1".to_owned()), "… or Ireland: {:?}", &stockholm[..3]);
        assert_eq!(best(at(Provider::Aws, "ap-south-1"))[0], "aws/ap-south-2", "Mumbai with Hyderabad");
        assert_eq!(best(at(Provider::Azure, "westeurope"))[0], "azure/northeurope");
        assert_eq!(best(at(Provider::Azure, "northeurope"))[0], "azure/westeurope");
        assert_eq!(best(at(Provider::Azure, "japaneast"))[0], "azure/japanwest");
    }

    #[test]
    fn what_cannot_serve_is_never_suggested() {
        let dubai = best(at(Provider::Aws, "me-central-1"));
        assert!(!dubai.contains(&"aws/me-south-1".to_owned()), "Bahrain is not in working order");
        assert!(
            !best(at(Provider::Aws, "eu-central-1")).contains(&"aws/eusc-de-east-1".to_owned()),
            "another partition"
        );
        assert!(suggest(Atlas::embedded(), &at(Provider::Local, "a"), &Limits::default()).is_none());
    }

    #[test]
    fn suggestions_keep_to_the_limits() {
        let of = |limits: &Limits| -> Vec<String> {
            let found = suggest(Atlas::embedded(), &at(Provider::Aws, "eu-north-1"), limits).unwrap();
            found.into_iter().map(|one| one.region.place).collect()
        };
        assert!(of(&Limits { within: Some("US".into()), at_most_km: Some(1.0), ..Limits::default() }).is_empty());
        let american = of(&Limits { within: Some("US".into()), ..Limits::default() });
        assert!(!american.is_empty() && american.iter().all(|place| place.starts_with("aws/us-")), "{american:?}");
        let near = of(&Limits { at_most_km: Some(1200.0), ..Limits::default() });
        assert_eq!(near[0], "aws/eu-central-1");
        assert!(!near.contains(&"aws/eu-west-1".to_owned()), "Ireland is 1629 km away");
    }

    #[test]
    fn regions_are_found_by_name_law_and_service() {
        let atlas = Atlas::embedded();
        let filter = Filter { within: Some("SE".into()), ..Filter::default() };
        let places: Vec<String> = search(atlas, &filter).into_iter().map(|row| row.place).collect();
        assert_eq!(places, ["aws/eu-north-1", "azure/swedencentral", "azure/swedensouth"]);
        let filter = Filter {
            text: Some("frankfurt".into()),
            from: Some(at(Provider::Aws, "eu-north-1")),
            services: vec![Service::Eks],
            ..Filter::default()
        };
        let rows = search(atlas, &filter);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].km(), Some(1186.0));
        assert!(render(&rows).contains("23 ms observed"));
        let azure = Filter { provider: Some(Provider::Azure), ..Filter::default() };
        let (without, with): (Vec<RegionRow>, Vec<RegionRow>) = search(atlas, &azure)
            .into_iter()
            .partition(|row| !row.services.iter().any(|service| service == "azure-postgres-flexible"));
        let found = search(atlas, &Filter { services: vec![Service::AzurePostgres], ..azure });
        assert_eq!(found, with);
        let shown = render(&without[..1]);
        assert!(shown.contains("all but") && shown.contains("azure-postgres-flexible"), "{shown}");
    }
}
