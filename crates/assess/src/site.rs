//! The regions that come into question, and what speaks against each: law, distance, services, state.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use lifeboat_atlas::{Atlas, Availability, PriceBook, Service, Status};
use lifeboat_model::app::{Component, Kind, Place, Provider};
use lifeboat_model::{App, RegionId};

use crate::choice::{SYNCHRONOUS_LIMIT_MS, runs_at};
use crate::tariff::{Tariff, traffic};

/// Regions nearer to each other than this share a metropolitan area: power, roads, weather, people. An assumption.
pub const TOO_CLOSE_KM: f64 = 100.0;
/// From here on a common cause gets unlikely: Microsoft asks for 300 miles (480 km) between the regions of a pair where it can;
/// nearer ones are taken, and named as a weak point.
pub const COMFORTABLE_KM: f64 = 400.0;

/// A region that comes into question.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Its name in the file, or for a region that the file does not have, its place.
    pub name: String,
    /// Its name in the file.
    pub region: Option<RegionId>,
    /// Where it lies.
    pub place: Place,
    /// `preference`
    pub preference: i32,
}

/// Why a component may not be in a region.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The kind is another provider's.
    Provider(Kind),
    /// The region does not have the service.
    Service(Service),
    /// Outside the residency.
    Residency,
    /// The region is down or damaged.
    Status(String),
    /// The file says where it runs, and not there.
    Regions,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(kind) => write!(f, "{} cannot run there", kind.as_str()),
            Self::Service(service) => write!(f, "{} is not offered there", service.as_str()),
            Self::Residency => f.write_str("outside the residency"),
            Self::Status(basis) => write!(f, "not in working order ({basis})"),
            Self::Regions => f.write_str("not among the component's regions"),
        }
    }
}

/// All sites and what is known between each two.
pub struct Ground {
    /// The sites; indices elsewhere point here.
    pub sites: Vec<Site>,
    between: Vec<Between>,
    /// By site: the least that a GB costs from there to any that fails apart from it.
    least_traffic_usd: Vec<f64>,
    book: PriceBook,
    tariffs: RefCell<HashMap<Priced, Rc<Vec<Tariff>>>>,
}

/// What a component's prices depend on: its kind and its instance.
type Priced = (Kind, Option<String>);

/// What is known between two sites.
#[derive(Clone, Debug)]
pub struct Between {
    /// Great circle.
    pub km: Option<f64>,
    /// Round trip.
    pub round_trip: Option<lifeboat_atlas::RoundTrip>,
    /// Whether Azure pairs them.
    pub paired: bool,
    /// Whether it is the second to which Azure copies what is kept geo-redundantly in the first: its pair, which may have another.
    pub copied_to: bool,
    /// Whether a DynamoDB table may be strongly consistent over both.
    pub strong: bool,
    /// Whether they fail apart and can replicate to each other.
    pub apart: bool,
    /// Whether a commit can wait for the other.
    pub near: bool,
    /// Whether traffic between them stays on a continent.
    pub same_continent: bool,
    /// USD per GB from the first to the second, for comparisons.
    pub traffic_usd: f64,
    /// Among equal costs the smaller is taken: preferred regions, then pairs, then short round trips.
    pub order: i64,
}

impl Ground {
    /// Works out everything between the sites.
    pub fn new(atlas: &Atlas, book: &PriceBook, sites: Vec<Site>) -> Self {
        let mut between = Vec::with_capacity(sites.len() * sites.len());
        for from in &sites {
            for to in &sites {
                between.push(Between::of(atlas, book, from, to));
            }
        }
        let least = |between: &[Between]| {
            between.iter().filter(|between| between.apart).map(|between| between.traffic_usd).min_by(f64::total_cmp)
        };
        let least_traffic_usd = between.chunks(sites.len().max(1)).map(|of| least(of).unwrap_or(0.0)).collect();
        Self { sites, between, least_traffic_usd, book: book.clone(), tariffs: RefCell::default() }
    }

    /// The least that a GB costs from a site to any that fails apart from it, in USD, for comparisons.
    pub fn least_traffic_usd(&self, from: usize) -> f64 {
        self.least_traffic_usd[from]
    }

    /// What is known from one site to another.
    pub fn between(&self, from: usize, to: usize) -> &Between {
        &self.between[from * self.sites.len() + to]
    }

    /// A component's prices in each site; those of one kind and instance are looked up once.
    pub fn tariffs(&self, component: &Component) -> Rc<Vec<Tariff>> {
        let key = (component.kind, component.size.instance.clone());
        let look_up =
            || Rc::new(self.sites.iter().map(|site| Tariff::of(&self.book, component, &site.place)).collect());
        self.tariffs.borrow_mut().entry(key).or_insert_with(look_up).clone()
    }

    /// The prices that hold.
    pub fn book(&self) -> &PriceBook {
        &self.book
    }

    /// The site of a region of the file.
    pub fn index(&self, region: &RegionId) -> Option<usize> {
        self.sites.iter().position(|site| site.region.as_ref() == Some(region))
    }
}

impl Between {
    fn of(atlas: &Atlas, book: &PriceBook, from: &Site, to: &Site) -> Self {
        let km = atlas.distance_km(&from.place, &to.place);
        let round_trip = atlas.round_trip(&from.place, &to.place);
        let paired = atlas.paired(&from.place, &to.place);
        let strong_set = atlas.strong_set(&from.place);
        let (a, b) = (atlas.region(&from.place), atlas.region(&to.place));
        let same_partition = match (a, b) {
            (Some(a), Some(b)) => from.place.provider != to.place.provider || a.partition == b.partition,
            _ => true,
        };
        let same_continent = matches!((a, b), (Some(a), Some(b)) if a.continent == b.continent);
        let (_, traffic_usd) = traffic(book, &from.place, &to.place, same_continent);
        let ms = round_trip.as_ref().map(|trip| trip.ms.value);
        #[expect(clippy::cast_possible_truncation, reason = "a round trip of some seconds at most")]
        let tenths = ms.map_or(1_000, |ms| (ms * 10.0) as i64);
        Self {
            apart: from.place != to.place && km.is_none_or(|km| km >= TOO_CLOSE_KM) && same_partition,
            near: ms.is_none_or(|ms| ms <= SYNCHRONOUS_LIMIT_MS),
            order: tenths - if paired { 100_000 } else { 0 } - i64::from(to.preference) * 1_000_000,
            km,
            round_trip,
            paired,
            copied_to: atlas.pair(&from.place) == Some(&to.place),
            strong: strong_set.is_some() && strong_set == atlas.strong_set(&to.place),
            same_continent,
            traffic_usd,
        }
    }
}

/// The service that a kind needs at a provider.
pub fn service(kind: Kind, provider: Provider) -> Option<Service> {
    Some(match (kind, provider) {
        (Kind::AuroraGlobal, _) => Service::AuroraGlobal,
        (Kind::Rds, _) => Service::Rds,
        (Kind::Dynamodb, _) => Service::Dynamodb,
        (Kind::S3, _) => Service::S3,
        (Kind::AzureSql, _) => Service::AzureSql,
        (Kind::Cosmosdb, _) => Service::Cosmosdb,
        (Kind::AzurePostgres, _) => Service::AzurePostgres,
        (Kind::AzureStorage, _) => Service::AzureStorage,
        (Kind::Asg, _) => Service::Autoscaling,
        (Kind::Ecs, _) => Service::Ecs,
        (Kind::Eks, _) => Service::Eks,
        (Kind::Vmss, _) => Service::Vmss,
        (Kind::Aks, _) => Service::Aks,
        (Kind::Postgres | Kind::Process, Provider::Aws) => Service::Ec2,
        (Kind::Postgres | Kind::Process, Provider::Azure) => Service::Vmss,
        (Kind::Deployment, Provider::Aws) => Service::Eks,
        (Kind::Deployment, Provider::Azure) => Service::Aks,
        (Kind::Postgres | Kind::Process | Kind::Deployment, Provider::Local | Provider::Kubernetes) => return None,
    })
}

/// Whether a component may be in a site, whatever else is chosen.
pub fn may_be_in(
    atlas: &Atlas,
    component: &Component,
    residency: Option<&BTreeSet<String>>,
    regions: Option<&BTreeSet<RegionId>>,
    site: &Site,
) -> Result<(), Refusal> {
    if !runs_at(component.kind, site.place.provider) {
        return Err(Refusal::Provider(component.kind));
    }
    if let (Some(regions), Some(region)) = (regions, &site.region)
        && !regions.is_empty()
        && !regions.contains(region)
    {
        return Err(Refusal::Regions);
    }
    if let Some(residency) = residency
        && !residency.is_empty()
        && !residency.iter().any(|area| lies_in(atlas, site, area))
    {
        return Err(Refusal::Residency);
    }
    if let Some(service) = service(component.kind, site.place.provider)
        && matches!(atlas.offers(&site.place, service), Availability::No { .. })
    {
        return Err(Refusal::Service(service));
    }
    match atlas.region(&site.place).map(|facts| &facts.status) {
        Some(Status::Unavailable { basis } | Status::Impaired { basis }) => Err(Refusal::Status(basis.clone())),
        Some(Status::Available) | None => Ok(()),
    }
}

/// Whether a site is within an entry of `residency`: a jurisdiction, country or continent, a place, or a region of the file.
pub fn lies_in(atlas: &Atlas, site: &Site, area: &str) -> bool {
    site.region.as_ref().is_some_and(|region| region.as_str() == area)
        || site.place.to_string() == area
        || atlas.region(&site.place).is_some_and(|facts| facts.lies_in(area))
}

/// The file's regions that keep data.
pub fn declared(app: &App) -> Vec<Site> {
    app.data_regions()
        .filter_map(|id| app.regions.get(id).map(|region| (id, region)))
        .map(|(id, region)| Site {
            name: id.to_string(),
            region: Some(id.clone()),
            place: region.place.clone(),
            preference: region.preference,
        })
        .collect()
}

/// The file's regions and, behind them, every other region of their providers; those that an account must ask for first only
/// if `restricted`.
pub fn everywhere(atlas: &Atlas, app: &App, restricted: bool) -> Vec<Site> {
    let mut sites = declared(app);
    let providers: BTreeSet<Provider> = sites.iter().map(|site| site.place.provider).collect();
    let known: BTreeSet<Place> = sites.iter().map(|site| site.place.clone()).collect();
    for facts in atlas.regions() {
        if providers.contains(&facts.place.provider)
            && !known.contains(&facts.place)
            && (restricted || !facts.restricted)
        {
            sites.push(Site { name: facts.place.to_string(), region: None, place: facts.place.clone(), preference: 0 });
        }
    }
    sites
}
