//! Weak points: what a recovery depends on that may be lost with the region, or that lives in one region only.
//!
//! Each rule is a finding from the providers' own guidance or from a public outage; none is a matter of taste.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_atlas::Zones;
use lifeboat_model::ComponentId;
use lifeboat_model::app::{FailoverMode, Kind, Pattern, Provider, RegionRole, StoreChoice, WithoutStandby};
use lifeboat_model::compute::full;
use lifeboat_model::manual::MovedBy;

use crate::bill::usd;
use crate::choice::{Carriage, Setting};
use crate::gather::Gathering;
use crate::optimise::Placed;
use crate::recovery::{Steering, duration, steering};
use crate::report::{Severity, WeakPoint};
use crate::site::{COMFORTABLE_KM, Ground};

mod needs;

/// A drill older than this proves nothing any more: AWS Resilience Hub does not count it either.
const STALE_DRILL_DAYS: f64 = 30.0;

/// Everything that is found, the worst first.
pub(crate) fn weak_points(
    setting: Setting<'_>,
    ground: &Ground,
    placed: &BTreeMap<ComponentId, Placed>,
    gatherings: &[Gathering],
) -> Vec<WeakPoint> {
    let mut found = Finder { setting, ground, placed, points: Vec::new() };
    found.drills();
    found.majority();
    found.store();
    found.people();
    found.distance();
    found.states();
    found.launches();
    found.providers();
    found.steering();
    found.databases();
    found.prerequisites();
    found.machine_types();
    found.jurisdictions();
    found.split_needs();
    found.scattered(gatherings);
    let mut points = found.points;
    points.sort_by(|a, b| (a.severity, &a.what).cmp(&(b.severity, &b.what)));
    points
}

struct Finder<'a> {
    setting: Setting<'a>,
    ground: &'a Ground,
    placed: &'a BTreeMap<ComponentId, Placed>,
    points: Vec<WeakPoint>,
}

impl Finder<'_> {
    fn add(&mut self, severity: Severity, about: Vec<String>, what: &str, why: &str, remedy: &str) {
        self.points.push(WeakPoint { severity, about, what: what.into(), why: why.into(), remedy: remedy.into() });
    }

    fn components(&self, of: impl Fn(&Kind, &Placed) -> bool) -> Vec<String> {
        self.placed
            .iter()
            .filter(|(id, placed)| {
                self.setting.app.components.get(*id).is_some_and(|component| of(&component.kind, placed))
            })
            .map(|(id, _)| id.to_string())
            .collect()
    }

    fn provider(&self, site: usize) -> Provider {
        self.ground.sites[site].place.provider
    }

    /// What one region serves and several take over.
    fn scattered(&mut self, gatherings: &[Gathering]) {
        let name = |site: usize| self.ground.sites[site].name.clone();
        let mut points = Vec::new();
        for Gathering { home, apart, together } in gatherings {
            let who = |ids: &Vec<ComponentId>| match ids.as_slice() {
                [first, second, third, more @ ..] if !more.is_empty() => {
                    format!("{first}, {second}, {third} and {} more", more.len())
                }
                few => few.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", "),
            };
            let places: Vec<String> =
                apart.iter().map(|(target, ids)| format!("{} ({})", name(*target), who(ids))).collect();
            let remedy = match together {
                None => "no single region holds every objective: drill each of them".to_owned(),
                Some(together) => {
                    let more = together.more_usd;
                    let difference = if more.abs() < 0.005 {
                        "nothing more".to_owned()
                    } else if more > 0.0 {
                        format!("{}/month more", usd(more))
                    } else {
                        format!("{}/month less by the known prices", usd(-more))
                    };
                    format!(
                        "all in {} costs {difference}{}: name it in `standbys` of the databases and `regions` of the compute",
                        name(together.target),
                        if together.unknown { ", unknown prices aside" } else { "" }
                    )
                }
            };
            points.push((vec![name(*home)], places.join(" and "), remedy));
        }
        for (about, places, remedy) in points {
            let what = format!("what {} serves recovers in several regions: {places}", about[0]);
            let why = "components that do not need each other are placed where each is cheapest; in an outage there is more than one place to look at, to drill, and to keep quotas in";
            self.add(Severity::Medium, about, &what, why, &remedy);
        }
    }

    fn drills(&mut self) {
        match self.setting.history.days_since_drill {
            None => self.add(
                Severity::High,
                vec!["app".into()],
                "no drill that passed is on record",
                "only the path that is tested works; every time here is a forecast",
                "run `lifeboat drill`, and schedule it",
            ),
            Some(days) if days > STALE_DRILL_DAYS => self.add(
                Severity::Medium,
                vec!["app".into()],
                &format!("the last drill is {days:.0} days old"),
                "configuration drifts; a test older than 30 days does not count",
                "run `lifeboat drill`, and schedule it",
            ),
            Some(_) => {}
        }
    }

    fn majority(&mut self) {
        let regions = self.setting.app.regions.len();
        if regions >= 3 {
            return;
        }
        let automatic = self.setting.app.failover.mode == FailoverMode::Automatic;
        self.add(
            if automatic { Severity::High } else { Severity::Medium },
            vec!["app".into()],
            &format!("{regions} vantage point{}", if regions == 1 { "" } else { "s" }),
            "with fewer than three no majority outside the lost region can exist, and nobody can tell a dead region from a cut line",
            "add a third region with `role: witness`: a small machine is enough",
        );
    }

    fn store(&mut self) {
        let cloud = self.setting.app.regions.values().any(|region| region.place.provider != Provider::Local);
        match &self.setting.app.store {
            StoreChoice::File(_) if cloud => self.add(
                Severity::High,
                vec!["app".into()],
                "the state store is one file",
                "it is on one machine and is lost with that machine's region",
                "use etcd with three or five members in as many regions (`store: {etcd: [...]}`)",
            ),
            StoreChoice::Etcd(etcd) if etcd.endpoints.len() < 3 => self.add(
                Severity::High,
                vec!["app".into()],
                &format!(
                    "etcd has {} member{}",
                    etcd.endpoints.len(),
                    if etcd.endpoints.len() == 1 { "" } else { "s" }
                ),
                "the loss of one region can take its majority",
                "name three or five members in as many regions",
            ),
            StoreChoice::File(_) | StoreChoice::Etcd(_) => {}
        }
    }

    fn people(&mut self) {
        let app = self.setting.app;
        let by_hand = |id: &&ComponentId| {
            app.components.get(*id).is_some_and(|of| of.kind.is_database() && of.moved_by() == MovedBy::People)
        };
        let moved: Vec<String> = self.placed.keys().filter(by_hand).map(ToString::to_string).collect();
        if !moved.is_empty() {
            self.add(
                Severity::High,
                moved,
                "a person moves it",
                "every time here is counted from when that person acts, and machines as started at the same moment",
                "practise it: `lifeboat plan failover` has the commands, `lifeboat status` says when, `lifeboat done` that it is done",
            );
        }
        if self.setting.app.failover.mode == FailoverMode::Approve {
            self.add(
                Severity::Medium,
                vec!["app".into()],
                "a person must approve",
                "that person's waking up is part of every RTO here",
                "use `mode: automatic` where no data can be lost",
            );
        }
    }

    fn distance(&mut self) {
        let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for placed in self.placed.values() {
            for target in placed.elsewhere() {
                *pairs.entry((placed.home, target)).or_default() += 1;
            }
        }
        for (home, target) in pairs.into_keys() {
            let (from, to) = (&self.ground.sites[home], &self.ground.sites[target]);
            let about = vec![from.name.clone(), to.name.clone()];
            match self.ground.between(home, target).km {
                Some(km) if km < COMFORTABLE_KM => self.add(
                    Severity::Medium,
                    about,
                    &format!(
                        "{} and {} are {km:.0} km apart{}",
                        from.name,
                        to.name,
                        self.setting
                            .atlas
                            .distance(&from.place, &to.place)
                            .map_or(String::new(), |km| format!(" ({})", km.grade))
                    ),
                    "one storm, flood or grid failure can reach both",
                    "take a region at least 400 km away, unless latency or law forbids it",
                ),
                None if from.place.provider == Provider::Local && to.place.provider == Provider::Local => self.add(
                    Severity::Low,
                    about,
                    "how far apart local places are is not known",
                    "on one machine they fail together",
                    "fine for development and drills; not for production",
                ),
                None => self.add(
                    Severity::Low,
                    about,
                    &format!("the distance between {} and {} is not known", from.name, to.name),
                    "nobody checked that they fail apart",
                    "make sure that they share no building, power or provider region",
                ),
                Some(_) => {}
            }
        }
    }

    fn states(&mut self) {
        let homes: BTreeSet<usize> = self.placed.values().map(|placed| placed.home).collect();
        for home in homes {
            let site = &self.ground.sites[home];
            let Some(facts) = self.setting.atlas.region(&site.place) else { continue };
            let (name, zones) = (site.name.clone(), facts.zones);
            if let lifeboat_atlas::Status::Unavailable { basis } | lifeboat_atlas::Status::Impaired { basis } =
                &facts.status
            {
                self.add(
                    Severity::High,
                    vec![name.clone()],
                    &format!("{name} is not in working order"),
                    basis,
                    "move the writer to another region",
                );
            }
            if zones == Zones::None {
                self.add(
                    Severity::Medium,
                    vec![name.clone()],
                    &format!("{name} has no availability zones"),
                    "the failure of one building is a region loss here",
                    "prefer a region with zones as home",
                );
            }
        }
        let targets: BTreeSet<usize> = self.placed.values().flat_map(Placed::elsewhere).collect();
        let restricted: Vec<String> = targets
            .iter()
            .map(|target| &self.ground.sites[*target])
            .filter(|site| self.setting.atlas.region(&site.place).is_some_and(|facts| facts.restricted))
            .map(|site| site.name.clone())
            .collect();
        if !restricted.is_empty() {
            self.add(
                Severity::Medium,
                restricted,
                "a recovery region must be enabled for the account first",
                "opting in, or asking for access, takes hours to days and cannot be done during an outage",
                "enable it now, and check quotas there",
            );
        }
    }

    fn launches(&mut self) {
        // By target: how many machines, and of what.
        let mut launching: BTreeMap<usize, (u32, Vec<String>)> = BTreeMap::new();
        for (id, placed) in self.placed {
            let Some(component) = self.setting.app.components.get(id) else { continue };
            let starts = placed.choice.steps.iter().any(|step| step.kind == crate::recovery::StepKind::Launch);
            let machines = match component.kind {
                Kind::Asg | Kind::Ecs | Kind::Eks | Kind::Vmss | Kind::Aks => true,
                Kind::Process => component.size.instance.is_some(),
                _ => false,
            };
            let missing = full(component).saturating_sub(placed.choice.standby);
            for target in &placed.targets {
                let cloud = matches!(self.provider(*target), Provider::Aws | Provider::Azure);
                if starts && machines && cloud && missing > 0 {
                    let (total, who) = launching.entry(*target).or_default();
                    *total = total.saturating_add(missing);
                    who.push(id.to_string());
                }
            }
        }
        for (target, (total, who)) in launching {
            let name = self.ground.sites[target].name.clone();
            let (noun, are) = if total == 1 { ("machine or task", "is") } else { ("machines or tasks", "are") };
            self.add(
                Severity::High,
                who,
                &format!("{total} {noun} {are} launched in {name} during the outage"),
                "launching is a control-plane act and competes with everybody else's failover: in October 2025 launches in us-east-1 failed for hours, in January 2025 Azure could not allocate in East US 2 for two days; and an account starts no more than its quota in that region, which nobody has needed there so far",
                &format!(
                    "look up the account's quota in {name}: it has to let {total} more start than run there (no default is in the data, it differs by account); reserve the capacity (On-Demand Capacity Reservations, capacity reservation groups), or run the full size as a warm standby"
                ),
            );
        }
        let built =
            self.components(|kind, placed| !kind.is_database() && placed.choice.pattern == Pattern::BackupRestore);
        if !built.is_empty() {
            self.add(
                Severity::Medium,
                built,
                "the region is built during the outage",
                "creating networks, roles, load balancers and clusters needs several control planes, IAM and DNS among them, and quotas that were never used",
                "build it once in a drill; keep roles, images and quotas in place",
            );
        }
    }

    fn providers(&mut self) {
        let virginia: Vec<String> = self
            .placed
            .iter()
            .filter(|(_, placed)| self.ground.sites[placed.home].place.to_string() == "aws/us-east-1")
            .map(|(id, _)| id.to_string())
            .collect();
        if !virginia.is_empty() {
            self.add(
                Severity::High,
                virginia,
                "the home is us-east-1",
                "the control planes of IAM, Route 53 and Organizations live there: with it goes every change of roles and records, for every region",
                "change no record and no role during a failover (Lifeboat does not); keep break-glass users and regional STS endpoints",
            );
        }
        let azure: Vec<String> = self
            .placed
            .iter()
            .filter(|(_, placed)| self.provider(placed.home) == Provider::Azure)
            .map(|(id, _)| id.to_string())
            .collect();
        if !azure.is_empty() {
            self.add(
                Severity::Medium,
                azure,
                "resource groups have a location too",
                "Azure routes management requests by the group's location; whether they work while it is down has changed in Microsoft's own documentation",
                "put standbys and the Traffic Manager profile into groups outside the home region, as the generated code does",
            );
        }
    }

    fn steering(&mut self) {
        match steering(self.setting.app) {
            Steering::Route53 => self.add(
                Severity::Low,
                vec!["routes".into()],
                "Route 53 answers as if all were healthy when nothing is",
                "health checks move traffic without a control plane, but fail open when every region looks down",
                "keep the steering endpoints on more than one node per region",
            ),
            Steering::TrafficManager => self.add(
                Severity::Low,
                vec!["routes".into()],
                "Traffic Manager answers as if all were healthy when nothing is",
                "probing moves traffic without Azure Resource Manager, but fails open when every endpoint is degraded",
                "keep the steering endpoints on more than one node per region",
            ),
            Steering::BuiltIn => {}
        }
        let slow: Vec<String> = self
            .setting
            .app
            .routes
            .iter()
            .filter(|(_, route)| route.ttl.as_secs() > 60)
            .map(|(host, _)| host.to_string())
            .collect();
        if let Some(ttl) = self.setting.app.routes.values().map(|route| route.ttl).max()
            && !slow.is_empty()
        {
            self.add(
                Severity::Medium,
                slow,
                &format!("a route's TTL is {}", duration(ttl)),
                "clients keep the lost region's address for so long after everything else has recovered",
                "at most 60 s; 1 to 5 s with the built-in DNS server",
            );
        }
    }

    fn databases(&mut self) {
        let app = self.setting.app;
        let cosmos =
            self.components(|kind, placed| *kind == Kind::Cosmosdb && placed.choice.pattern != Pattern::ActiveActive);
        if !cosmos.is_empty() {
            self.add(
                Severity::High,
                cosmos,
                "Cosmos DB moves its write region only when told in the right way",
                "`failoverPriorityChange` needs the lost region and delays recovery; service-managed failover may take an hour; a region taken offline comes back after three business days",
                "use `offlineRegion` in an outage and planned failovers in drills, as Lifeboat does; or write in several regions",
            );
        }
        let sql =
            self.components(|kind, placed| *kind == Kind::AzureSql && placed.choice.pattern == Pattern::WarmStandby);
        if !sql.is_empty() {
            self.add(
                Severity::Medium,
                sql,
                "logins, firewall rules and backup retention are not replicated",
                "after the failover the application is refused, or its history is seven days; and a secondary may be unscalable while the old primary is down",
                "keep both servers alike, the same size included; policy Manual, so that nobody waits for a provider's decision (eight hours in September 2023)",
            );
        }
        let aurora = self
            .components(|kind, placed| *kind == Kind::AuroraGlobal && placed.choice.pattern != Pattern::BackupRestore);
        if !aurora.is_empty() {
            self.add(
                Severity::Medium,
                aurora,
                "parameter groups, alarms, proxies and logical slots stay behind",
                "a promoted Aurora secondary does not have them; its fencing of the old writer is best effort",
                "create them in both regions; connect through the global writer endpoint with a DNS cache of at most 5 s",
            );
        }
        let rds = self.components(|kind, placed| *kind == Kind::Rds && placed.choice.pattern == Pattern::WarmStandby);
        if !rds.is_empty() {
            self.add(
                Severity::Medium,
                rds,
                "promoting an RDS replica cannot be undone",
                "the old primary never rejoins; until a new replica is built the app is unprotected",
                "plan the rebuild as part of the recovery; Aurora Global Database can switch back",
            );
        }
        let writers: Vec<String> = self.components(|_, placed| placed.choice.carriage == Carriage::SeveralWriters);
        if !writers.is_empty() {
            self.add(
                Severity::Medium,
                writers,
                "several regions write",
                "two writes to one row in two regions conflict; the later one wins and the other is lost, unless the rule for it says otherwise",
                "decide the resolution per table; give rows a home region where you can; keep backups: every error is replicated at once",
            );
        }
        let alone: Vec<String> = app
            .components
            .iter()
            .filter(|(id, component)| {
                // Managed databases have no such setting: what they do without their standby is their provider's decision.
                component.kind == Kind::Postgres
                    && component.without_standby == WithoutStandby::Continue
                    && self.placed.get(*id).is_some_and(|placed| placed.choice.carriage == Carriage::Synchronous)
            })
            .map(|(id, _)| id.to_string())
            .collect();
        if !alone.is_empty() {
            self.add(
                Severity::Medium,
                alone,
                "a writer without its standby goes on alone",
                "if its region is lost while the standby is away, what was written since is lost or waits; no failover is automatic then",
                "a second synchronous standby with `confirmations: 1`, or `without-standby: stop` where no loss weighs more than standing still",
            );
        }
    }

    fn split_needs(&mut self) {
        let app = self.setting.app;
        let mut split = Vec::new();
        for (id, placed) in self.placed {
            for need in app.components.get(id).into_iter().flat_map(|component| &component.needs) {
                if self.placed.get(need).is_some_and(|other| other.home != placed.home) {
                    split.push(format!("{id} → {need}"));
                }
            }
        }
        if !split.is_empty() {
            self.add(
                Severity::Medium,
                split,
                "a component needs another that serves from elsewhere",
                "the loss of either region stops it, and every call crosses regions",
                "give both the same writer region",
            );
        }
        let witnesses = app.regions.values().filter(|region| region.role == RegionRole::Witness).count();
        if witnesses == 0 && app.regions.len() == 2 {
            self.add(
                Severity::Low,
                vec!["app".into()],
                "no witness",
                "two regions cannot break a tie",
                "a third region with `role: witness`",
            );
        }
    }
}
