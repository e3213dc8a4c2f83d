//! What the file implies for the infrastructure, before any tool's syntax: which component exists where, in which size,
//! and what is wrong with that. All generators start here, so that they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_model::app::{Check, CheckTarget, Component, Kind, Pattern, Provider, Region, RegionRole, RoutePolicy};
use lifeboat_model::compute::Instances;
pub(crate) use lifeboat_model::names::{plain, short};
use lifeboat_model::{App, ComponentId, HostName, RegionId};

use crate::names;
use crate::places::{self, Facts};
use crate::{Problem, Roles, pairs, tables};

/// The path under which a Lifeboat node tells whether a region is to be served: `PATH/ROUTE/REGION`.
pub(crate) const STEERING_PATH: &str = "/v1/steering";

/// The app, worked out.
#[derive(Debug)]
pub(crate) struct Design<'a> {
    pub(crate) app: &'a App,
    /// All regions, witnesses included, in the order of their names.
    pub(crate) sites: Vec<Site<'a>>,
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) ways: Vec<Way<'a>>,
    /// Components to which a route leads.
    public: BTreeSet<&'a ComponentId>,
    pub(crate) warnings: Vec<Problem>,
}

/// A region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) id: &'a RegionId,
    pub(crate) region: &'a Region,
    /// Of AWS and Azure.
    pub(crate) facts: Option<Facts>,
}

/// A component.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) id: &'a ComponentId,
    pub(crate) component: &'a Component,
    pub(crate) pattern: Pattern,
    /// Where it writes or serves at first.
    pub(crate) home: &'a RegionId,
    /// Where it writes now, of a database.
    pub(crate) writer: RegionId,
    /// Where it serves now, of compute; in the order of `regions`.
    pub(crate) serves: Vec<RegionId>,
    /// Every region where it exists, home first, then by preference and name.
    pub(crate) regions: Vec<&'a RegionId>,
    pub(crate) provider: Provider,
    /// Instances that bear the whole load.
    pub(crate) full: u32,
    /// Instances of a region that does not serve.
    pub(crate) standby: u32,
    /// Of compute: where it listens.
    pub(crate) port: u16,
    /// Of compute: the path that is asked for its health.
    pub(crate) check_path: String,
}

/// A route with the regions that it may lead to, the preferred one first.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) to: &'a ComponentId,
    pub(crate) policy: RoutePolicy,
    pub(crate) ttl: Duration,
    pub(crate) regions: Vec<&'a RegionId>,
}

impl<'a> Design<'a> {
    /// Works the app out; `Err`: everything that keeps it from being generated.
    pub(crate) fn of(app: &'a App) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let sites: Vec<Site> = app.regions.iter().map(|(id, region)| site(id, region, &mut problems)).collect();
        let drawn_to = drawn_to(app);
        let parts: Vec<Part> = app
            .components
            .iter()
            .filter_map(|(id, component)| {
                part(app, id, component, drawn_to.get(id).copied(), &mut problems, &mut warnings)
            })
            .collect();
        problems.extend(names::clashes(&parts, &sites));
        problems.extend(names::unfit(app, &parts, &sites));
        let ways = ways(app, &parts);
        problems.extend(names::alike(&ways));
        let public = ways.iter().map(|way| way.to).collect();
        if problems.is_empty() { Ok(Self { app, sites, parts, ways, public, warnings }) } else { Err(problems) }
    }

    /// The same with the roles that these components have now.
    pub(crate) fn with(mut self, roles: &Roles) -> Self {
        for part in &mut self.parts {
            if let Some(writer) = roles.writers.get(part.id) {
                part.writer = writer.clone();
            }
            if let Some(serving) = roles.serving.get(part.id) {
                part.serves =
                    part.regions.iter().copied().filter(|region| serving.contains(*region)).cloned().collect();
            }
        }
        self
    }

    /// The app's name, as the prefix of names.
    pub(crate) fn name(&self) -> &str {
        self.app.name.as_str()
    }

    /// A region of the app.
    pub(crate) fn site(&self, id: &RegionId) -> Option<&Site<'a>> {
        self.sites.iter().find(|site| site.id == id)
    }

    /// Regions of a provider; witnesses only where asked for.
    pub(crate) fn sites_of(&self, provider: Provider) -> impl Iterator<Item = &Site<'a>> {
        self.sites.iter().filter(move |site| site.region.place.provider == provider)
    }

    /// Where the global things of a provider are: in a region that only votes if there is one, so that losing a region that serves
    /// leaves them writable.
    pub(crate) fn neutral(&self, provider: Provider) -> Option<&Site<'a>> {
        let votes_only = |site: &&Site| site.region.role == RegionRole::Witness;
        self.sites_of(provider).find(votes_only).or_else(|| self.sites_of(provider).last())
    }

    /// Components of these kinds.
    pub(crate) fn parts_of(&self, kind: Kind) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().filter(move |part| part.component.kind == kind)
    }

    /// A component by its id.
    pub(crate) fn part(&self, id: &ComponentId) -> Option<&Part<'a>> {
        part_of(&self.parts, id)
    }

    /// Whether a route leads to the component: clients are anywhere.
    pub(crate) fn is_public(&self, part: &Part) -> bool {
        self.public.contains(part.id)
    }

    /// `app-component-region`.
    pub(crate) fn full_name(&self, part: &Part, region: &RegionId) -> String {
        format!("{}-{}-{region}", self.app.name, part.id)
    }
}

impl Site<'_> {
    /// The provider's own name of the region.
    pub(crate) fn place(&self) -> &str {
        &self.region.place.name
    }

    /// The region's id as an identifier: `north_sea`.
    pub(crate) fn key(&self) -> String {
        identifier(self.id.as_str())
    }

    /// Address range of the region's network.
    pub(crate) fn cidr(&self) -> String {
        self.facts.map(|facts| facts.cidr()).unwrap_or_default()
    }
}

/// How far behind a replica may be by what S3 undertakes with replication time control.
const S3_UNDERTAKES: Duration = Duration::from_secs(15 * 60);

impl Part<'_> {
    /// The component's id as an identifier.
    pub(crate) fn key(&self) -> String {
        identifier(self.id.as_str())
    }

    /// Instances where the region does (not) serve.
    pub(crate) fn most(&self) -> u32 {
        self.full.saturating_mul(2).max(2)
    }

    /// Regions that serve at first.
    pub(crate) fn serving(&self) -> Vec<&RegionId> {
        serving_at_first(self.pattern, self.home, &self.regions)
    }

    /// Replication lag above which a failover could lose more than the objective allows. Without an objective, or where
    /// nothing may be lost, five seconds: far above the usual lag, below what people notice.
    pub(crate) fn lag_alarm(&self) -> Duration {
        let most = match self.component.objectives.rpo {
            Some(rpo) if rpo >= Duration::from_secs(1) => rpo,
            Some(_) | None => Duration::from_secs(5),
        };
        if self.component.kind == Kind::S3 { most.max(S3_UNDERTAKES) } else { most }
    }

    /// Whether instances end TLS themselves, as the file's check says.
    pub(crate) fn ends_tls(&self) -> bool {
        matches!(self.component.check.as_ref().map(|check| &check.target), Some(CheckTarget::Https { .. }))
    }

    /// The image, of compute.
    pub(crate) fn image(&self) -> &str {
        self.component.size.image.as_deref().unwrap_or_default()
    }

    /// The provider's name of the size, or a default.
    pub(crate) fn instance<'a>(&'a self, default: &'a str) -> &'a str {
        self.component.size.instance.as_deref().unwrap_or(default)
    }
}

fn serving_at_first<'a>(pattern: Pattern, home: &'a RegionId, regions: &[&'a RegionId]) -> Vec<&'a RegionId> {
    match pattern {
        Pattern::ActiveActive => regions.to_vec(),
        Pattern::BackupRestore | Pattern::PilotLight | Pattern::WarmStandby => vec![home],
    }
}

impl Way<'_> {
    /// The route as an identifier, and as the first part of names.
    pub(crate) fn key(&self) -> String {
        identifier(self.host.as_str())
    }

    /// The domain in which the host name lies: `example.com` of `shop.example.com`.
    pub(crate) fn zone(&self) -> &str {
        let host = self.host.as_str();
        match host.split_once('.') {
            Some((_, parent)) if parent.contains('.') => parent,
            Some(_) | None => host,
        }
    }

    /// Seconds for which an answer may be kept; cloud DNS knows no fractions.
    pub(crate) fn ttl_seconds(&self) -> u64 {
        self.ttl.as_secs().max(1)
    }
}

/// Letters, digits and underscores.
pub(crate) fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// `north-sea` as `NorthSea`.
pub(crate) fn pascal(name: &str) -> String {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect::<String>())
        .collect()
}

fn site<'a>(id: &'a RegionId, region: &'a Region, problems: &mut Vec<Problem>) -> Site<'a> {
    let facts = places::facts(&region.place);
    if facts.is_none() && matches!(region.place.provider, Provider::Aws | Provider::Azure) {
        problems.push(Problem::new(
            format!("regions.{id}.place"),
            format!("`{}` is no region that is known", region.place),
            "use the provider's own name, such as aws/eu-north-1 or azure/northeurope",
        ));
    }
    Site { id, region, facts }
}

fn part<'a>(
    app: &'a App,
    id: &'a ComponentId,
    component: &'a Component,
    drawn_to: Option<&'a RegionId>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Option<Part<'a>> {
    let home = home_of(app, id, component, drawn_to)?;
    let mut regions = regions_of(app, component, home);
    let home_provider = app.regions.get(home)?.place.provider;
    let field = format!("components.{id}");
    if component.kind == Kind::AzureSql && component.pattern != Some(Pattern::BackupRestore) && regions.len() > 2 {
        let why =
            "a failover group of Azure SQL has one partner, so a third region has no copy and cannot become the writer";
        if component.standbys.is_empty() {
            warnings.push(Problem::new(
                format!("{field}.standbys"),
                format!("{why}: the standby is in {}", regions[1]),
                "name the standby, if it is to be another",
            ));
        } else {
            problems.push(Problem::new(format!("{field}.standbys"), why, "one standby, or kind azure-postgres"));
        }
        regions.truncate(2);
    }
    if component.kind == Kind::Cosmosdb && component.size.instance.is_some() && component.size.request_units().is_none()
    {
        problems.push(Problem::new(
            format!("{field}.size.instance"),
            format!("`{}` is no throughput", component.size.instance.as_deref().unwrap_or_default()),
            "request units per second, such as 4000RU",
        ));
    }
    let allowed = providers(component.kind);
    for region in &regions {
        let place = &app.regions.get(*region)?.place;
        if !allowed.contains(&place.provider) {
            problems.push(Problem::new(
                format!("{field}.kind"),
                format!("`{}` does not exist in {region} ({place})", component.kind.as_str()),
                format!("keep it to regions of {}", names(allowed)),
            ));
        } else if component.kind.is_database() && place.provider != home_provider {
            problems.push(Problem::new(
                field.clone(),
                format!(
                    "`{}` cannot replicate from {home} to {region}: they are different clouds",
                    component.kind.as_str()
                ),
                "keep a managed database in one cloud, or use kind postgres",
            ));
        }
    }
    if matches!(component.kind, Kind::Asg | Kind::Ecs | Kind::Vmss | Kind::Deployment) && component.size.image.is_none()
    {
        problems.push(Problem::new(
            format!("{field}.size.image"),
            format!("`{}` has to know what to run", component.kind.as_str()),
            "give the image that its instances are made from",
        ));
    }
    let asks_plainly = |check: &Check| matches!(&check.target, CheckTarget::Http(path) if path.starts_with('/'));
    if component.kind == Kind::Vmss
        && component.port.is_some_and(crate::arm::speaks_tls_by_custom)
        && component.check.as_ref().is_some_and(asks_plainly)
    {
        problems.push(Problem::new(
            format!("{field}.check.http"),
            "the port is TLS's and the check is not: machines that answer by TLS would look ill and be replaced again and again",
            "https: PATH, or another port",
        ));
    }
    if component.kind == Kind::Postgres && home_provider == Provider::Kubernetes {
        warnings.push(Problem::new(
            format!("{field}.kind"),
            "in Kubernetes this is a StatefulSet: its volumes belong to one cluster, and a volume attached in a lost zone or \
             region cannot be attached elsewhere, so a failover to another region finds no data",
            "use a managed database, or PostgreSQL on machines that Lifeboat supervises in every region",
        ));
    }
    for verdict in [tables::judge(app, id, component, &regions), pairs::judge(app, id, component, &regions)] {
        match verdict {
            Some(Err(problem)) => problems.push(problem),
            Some(Ok(warning)) => warnings.push(warning),
            None => {}
        }
    }
    let pattern = component.pattern.unwrap_or(Pattern::WarmStandby);
    let Instances { full, standby } = Instances::of(component);
    Some(Part {
        id,
        component,
        pattern,
        home,
        writer: home.clone(),
        serves: serving_at_first(pattern, home, &regions).into_iter().cloned().collect(),
        provider: home_provider,
        full,
        standby,
        port: component.port.unwrap_or(if component.kind.is_database() { 5432 } else { 8080 }),
        check_path: match component.check.as_ref().map(|check| &check.target) {
            Some(CheckTarget::Http(path) | CheckTarget::Https { path, .. }) if path.starts_with('/') => path.clone(),
            Some(CheckTarget::Http(_) | CheckTarget::Https { .. } | CheckTarget::Tcp) | None => "/".into(),
        },
        regions,
    })
}

/// A database writes where the file says; compute serves where the databases behind it write, or else where those of the
/// components write that it works with.
fn home_of<'a>(
    app: &'a App,
    id: &ComponentId,
    component: &'a Component,
    drawn_to: Option<&'a RegionId>,
) -> Option<&'a RegionId> {
    let of_databases = || {
        let behind = app.databases_behind(id);
        behind.iter().filter_map(|id| app.components.get(id)).find_map(|database| database.writer.as_ref())
    };
    let exists = |region: &&RegionId| component.regions.is_empty() || component.regions.contains(*region);
    let known = component.writer.as_ref().or_else(|| of_databases().filter(exists));
    known.or_else(|| drawn_to.filter(exists)).or_else(|| {
        app.data_regions().filter(exists).max_by(|a, b| {
            let preference = |id: &RegionId| app.regions.get(id).map_or(0, |region| region.preference);
            preference(a).cmp(&preference(b)).then_with(|| b.cmp(a))
        })
    })
}

/// Of each component where a database writes that it works with: one of those that need each other, directly or through others.
fn drawn_to(app: &App) -> BTreeMap<&ComponentId, &RegionId> {
    let mut beside: BTreeMap<&ComponentId, Vec<&ComponentId>> = BTreeMap::new();
    for (id, component) in &app.components {
        for need in &component.needs {
            beside.entry(id).or_default().push(need);
            beside.entry(need).or_default().push(id);
        }
    }
    let mut homes: BTreeMap<&ComponentId, &RegionId> = BTreeMap::new();
    for (id, database) in &app.components {
        let Some(writer) = database.writer.as_ref().filter(|_| !homes.contains_key(id)) else { continue };
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            if homes.insert(id, writer).is_none() {
                left.extend(beside.get(id).into_iter().flatten().filter(|id| !homes.contains_key(**id)));
            }
        }
    }
    homes
}

fn regions_of<'a>(app: &'a App, component: &'a Component, home: &'a RegionId) -> Vec<&'a RegionId> {
    let named: BTreeSet<&RegionId> = if component.kind.is_database() && !component.standbys.is_empty() {
        component.standbys.keys().collect()
    } else if component.regions.is_empty() {
        app.data_regions().collect()
    } else {
        component.regions.iter().collect()
    };
    let mut others: Vec<&RegionId> = named.into_iter().filter(|region| *region != home).collect();
    others.sort_by_key(|id| std::cmp::Reverse(app.regions.get(*id).map_or(0, |region| region.preference)));
    others.insert(0, home);
    others
}

/// Where a kind can exist.
fn providers(kind: Kind) -> &'static [Provider] {
    match kind {
        Kind::AuroraGlobal | Kind::Rds | Kind::Dynamodb | Kind::S3 | Kind::Asg | Kind::Ecs | Kind::Eks => {
            &[Provider::Aws]
        }
        Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres | Kind::AzureStorage | Kind::Vmss | Kind::Aks => {
            &[Provider::Azure]
        }
        Kind::Postgres => &[Provider::Local, Provider::Aws, Provider::Azure, Provider::Kubernetes],
        Kind::Process => &[Provider::Local],
        Kind::Deployment => &[Provider::Kubernetes, Provider::Aws, Provider::Azure],
    }
}

fn names(providers: &[Provider]) -> String {
    providers.iter().map(|provider| provider.as_str()).collect::<Vec<_>>().join(" or ")
}

/// Components are in the order of their ids, as the app has them.
fn part_of<'p, 'a>(parts: &'p [Part<'a>], id: &ComponentId) -> Option<&'p Part<'a>> {
    parts.binary_search_by(|part| part.id.cmp(id)).ok().map(|index| &parts[index])
}

fn ways<'a>(app: &'a App, parts: &[Part<'a>]) -> Vec<Way<'a>> {
    app.routes
        .iter()
        .filter_map(|(host, route)| {
            let part = part_of(parts, &route.to)?;
            Some(Way { host, to: &route.to, policy: route.policy, ttl: route.ttl, regions: part.regions.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_too_long_stay_apart() {
        let long = "a-very-long-name-of-an-app-web-stockholm";
        assert_eq!(short("web", 32), "web");
        assert_eq!(short(long, 32).len(), 32);
        assert_ne!(short(long, 32), short("a-very-long-name-of-an-app-web-stockholn", 32));
        assert_eq!(plain("shop-files-north", 24), "shopfilesnorth");
        assert_eq!(plain(long, 24).len(), 24);
        assert_eq!(pascal("north-sea"), "NorthSea");
    }
}
