//! What was read of a file to an [`App`]: the fields of the app as a whole, its regions and its routes.
//!
//! A value that could not be read has been reported; it is left out here, and nothing that follows from it is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use crate::app::{
    App, DeclaredPrice, Detection, Dns, EtcdStore, FailoverMode, FailoverPolicy, Kind, Nodes, Objectives, Provider,
    Region, RegionRole, Route, RoutePolicy, StoreChoice, Tls, TlsFiles,
};
use crate::fields::{DETECTION, DNS, FAILOVER, NODES, OBJECTIVES};
use crate::problem::{Problems, Spot, listed, nearest};
use crate::scalar::Value;
use crate::{ComponentId, HostName, RegionId};

use super::component::{self, Draft};
use super::rules;
use super::typed::{Fields, Named, Typing};

/// A declared region, of which something may be unreadable.
pub(super) struct RegionDraft {
    pub fields: Rc<Fields>,
    pub role: Option<RegionRole>,
    pub provider: Option<Provider>,
    pub region: Option<Region>,
}

/// The names that a file declares, for what refers to them.
pub(super) struct Declared {
    /// `None`: unreadable as a whole, so that no reference can be judged.
    pub regions: Option<BTreeMap<RegionId, RegionDraft>>,
    /// Each component's kind, where that is readable. `None`: as above.
    pub components: Option<BTreeMap<ComponentId, Option<Kind>>>,
}

impl Declared {
    pub fn regions(&self) -> impl Iterator<Item = (&RegionId, &RegionDraft)> {
        self.regions.iter().flatten()
    }

    pub fn data_regions(&self) -> impl Iterator<Item = (&RegionId, &RegionDraft)> {
        self.regions().filter(|(_, region)| region.role == Some(RegionRole::Data))
    }

    /// A reference to a region that is to keep data or run something; `purpose` says what a witness cannot do.
    pub fn data_region(&self, name: &str, spot: &Spot, purpose: &str, problems: &mut Problems) -> Option<RegionId> {
        let regions = self.regions.as_ref()?;
        let expected = || format!("a data region: {}", listed(self.data_regions().map(|(id, _)| id.as_str()), "or"));
        let Some(region) = regions.get(name) else {
            problems.push_with(spot, format!("there is no region `{name}`"), expected(), || {
                nearest(name, regions.keys().map(RegionId::as_str))
            });
            return None;
        };
        match region.role {
            Some(RegionRole::Data) => Some(name.into()),
            Some(RegionRole::Witness) => {
                problems.push(spot, format!("`{name}` is a witness and cannot {purpose}"), expected());
                None
            }
            None => None,
        }
    }

    /// A reference to a component, with its kind where that is readable.
    pub fn component(&self, name: &str, spot: &Spot, problems: &mut Problems) -> Option<(ComponentId, Option<Kind>)> {
        let components = self.components.as_ref()?;
        let Some(kind) = components.get(name) else {
            let names = || components.keys().map(ComponentId::as_str);
            let expected = format!("a component of this file: {}", listed(names(), "or"));
            problems.push_with(spot, format!("there is no component `{name}`"), expected, || nearest(name, names()));
            return None;
        };
        Some((name.into(), *kind))
    }
}

/// Makes the app. `None`: a problem was reported.
pub(super) fn build(file: &Fields, problems: &mut Problems) -> Option<App> {
    let declared = Declared {
        regions: entries(file, "regions").map(|entries| entries.iter().map(region).collect()),
        components: entries(file, "components").map(|entries| entries.iter().map(component::kind_of).collect()),
    };
    let objective_fields = file.fields("objectives", &OBJECTIVES);
    let objectives = read_objectives(&objective_fields, &declared, problems);
    let app_objectives = component::AppObjectives { fields: &objective_fields, values: &objectives };
    let drafts: Vec<Draft> = file
        .map("components")
        .iter()
        .filter_map(|entry| component::read(entry, &declared, &app_objectives, problems))
        .collect();
    let routes = routes(file, &declared, &drafts, problems);
    let failover = failover(&file.fields("failover", &FAILOVER), &objectives, problems);
    let detection = detection(&file.fields("detection", &DETECTION), problems);
    let dns_fields = file.fields("dns", &DNS);
    let dns = dns_fields.integer("port").map(|port| Dns { port });

    rules::judge(file, &declared, &drafts, failover.as_ref().map(|failover| failover.mode), &dns_fields, problems);

    let regions = declared.regions?.into_iter().map(|(id, draft)| Some((id, draft.region?)));
    let components = drafts.into_iter().map(|draft| Some((draft.id, draft.component?)));
    Some(App {
        name: file.text("app")?.into(),
        objectives,
        regions: regions.collect::<Option<_>>()?,
        components: components.collect::<Option<_>>()?,
        routes: routes?,
        failover: failover?,
        detection: detection?,
        store: store(file)?,
        dns: dns?,
        nodes: Nodes { tls: tls(&file.fields("nodes", &NODES))? },
        prices: prices(file)?,
    })
}

/// The entries of a mapping; `None` if it is missing or unreadable as a whole.
fn entries<'f>(file: &'f Fields, name: &str) -> Option<&'f [Named]> {
    match &file.get(name)?.content {
        Typing::Map(entries) => Some(entries),
        _ => None,
    }
}

fn region(entry: &Named) -> (RegionId, RegionDraft) {
    let id = RegionId::from(entry.name.as_str());
    let Typing::Object(fields) = &entry.value.content else {
        let fields = Rc::new(Fields::none(&crate::fields::REGION, entry.spot.clone()));
        return (id, RegionDraft { fields, role: None, provider: None, region: None });
    };
    let role = fields.word("role", RegionRole::ALL, RegionRole::as_str);
    let place = fields.place("place");
    let provider = place.as_ref().map(|place| place.provider);
    let data = match fields.get("data") {
        Some(_) => fields.text("data").map(PathBuf::from),
        None => Some(PathBuf::from("lifeboat-data").join(id.as_str())),
    };
    let region = || {
        Some(Region {
            place: place?,
            role: role?,
            address: fields.address("address"),
            data: data?,
            api_port: fields.integer("api")?,
            preference: fields.integer("preference")?,
        })
    };
    (id, RegionDraft { role, provider, region: region(), fields: Rc::clone(fields) })
}

/// Objectives as they are written, of the app or of a component.
pub(super) fn read_objectives(fields: &Fields, declared: &Declared, problems: &mut Problems) -> Objectives {
    Objectives {
        rto: fields.duration("rto"),
        rpo: fields.duration("rpo"),
        residency: residency(fields, declared, problems),
        availability: fields.number("availability"),
        cost: fields.cost("cost"),
    }
}

/// Which jurisdictions there are, and how they nest, is the atlas's matter; here they are told from regions by their capitals.
fn residency(fields: &Fields, declared: &Declared, problems: &mut Problems) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for (name, spot) in fields.list("residency").unwrap_or_default() {
        let jurisdiction = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-');
        let known = declared.regions.as_ref().is_none_or(|regions| regions.contains_key(name));
        if jurisdiction || known {
            allowed.insert(name.to_owned());
            continue;
        }
        let expected = "a jurisdiction in capitals such as `EU` or `SE`, or a region of this file";
        problems.push_with(spot, format!("`{name}` is neither a jurisdiction nor a region"), expected, || {
            let capitals = (name.len() <= 3).then(|| name.to_uppercase());
            capitals.or_else(|| nearest(name, declared.regions().map(|(id, _)| id.as_str())))
        });
    }
    allowed
}

fn routes(
    file: &Fields,
    declared: &Declared,
    drafts: &[Draft],
    problems: &mut Problems,
) -> Option<BTreeMap<HostName, Route>> {
    let drafts: BTreeMap<&str, &Draft> = drafts.iter().map(|draft| (draft.id.as_str(), draft)).collect();
    let mut routes = Some(BTreeMap::new());
    for entry in file.map("routes") {
        let route = match &entry.value.content {
            Typing::Object(fields) => route(fields, declared, &drafts, problems),
            _ => None,
        };
        match route {
            Some(route) => {
                if let Some(routes) = &mut routes {
                    routes.insert(entry.name.as_str().into(), route);
                }
            }
            None => routes = None,
        }
    }
    routes
}

fn route(
    fields: &Fields,
    declared: &Declared,
    drafts: &BTreeMap<&str, &Draft>,
    problems: &mut Problems,
) -> Option<Route> {
    let ttl = fields.duration("ttl");
    if ttl.is_some_and(|ttl| ttl.subsec_nanos() != 0) {
        let message = "a time to live has no fractions of a second";
        problems.push(&fields.spot_of("ttl"), message, "whole seconds such as `1s`");
    }
    let policy = fields.word("policy", RoutePolicy::ALL, RoutePolicy::as_str);
    let spot = fields.spot_of("to");
    let (to, kind) = declared.component(&fields.text("to")?, &spot, problems)?;
    if kind.is_some_and(Kind::is_database) {
        let compute = drafts.values().filter(|draft| draft.kind.is_some_and(|kind| !kind.is_database()));
        let expected = format!("compute: {}", listed(compute.map(|draft| draft.id.as_str()), "or"));
        problems.push(&spot, format!("`{to}` is a database, which clients reach through compute only"), expected);
    } else if drafts.get(to.as_str()).is_some_and(|draft| draft.runs_nowhere) {
        let expected = format!("a component that runs somewhere, or regions in `components.{to}.regions`");
        problems.push(&spot, format!("`{to}` runs in no region, so that nobody could answer"), expected);
    }
    Some(Route { to, policy: policy?, ttl: ttl? })
}

fn failover(fields: &Fields, objectives: &Objectives, problems: &mut Problems) -> Option<FailoverPolicy> {
    let max_loss = fields.duration("max-loss");
    if let (Some(loss), Some(rpo)) = (max_loss, objectives.rpo)
        && loss > rpo
    {
        let rpo = crate::quantity::format_duration(rpo);
        let message = format!("an automatic failover would be allowed to lose more than the RPO of {rpo}");
        problems.push(&fields.spot_of("max-loss"), message, format!("at most {rpo}"));
    }
    let mode = fields.word("mode", FailoverMode::ALL, FailoverMode::as_str);
    let approvals = fields.integer("approvals");
    if let (Some(FailoverMode::Automatic), Some(2..)) = (mode, approvals) {
        let message = "nobody is asked before an automatic failover, so that nobody could approve it";
        problems.push(&fields.spot_of("approvals"), message, "`mode: approve` beside it, or no `approvals`");
    }
    Some(FailoverPolicy { mode: mode?, approvals: approvals?, hold_down: fields.duration("hold-down")?, max_loss })
}

fn detection(fields: &Fields, problems: &mut Problems) -> Option<Detection> {
    let (timeout, lease) = (fields.duration("timeout")?, fields.duration("lease")?);
    if lease <= timeout * 2 {
        let given = if fields.get("lease").is_some() { "lease" } else { "timeout" };
        let [lease, timeout, least] = [lease, timeout, timeout * 2].map(crate::quantity::format_duration);
        let message = format!("a lease of {lease} can run out while one lost probe of {timeout} is repeated");
        problems.push(&fields.spot_of(given), message, format!("a lease of more than twice the timeout, {least}"));
    }
    Some(Detection {
        every: fields.duration("every")?,
        timeout,
        refused: fields.integer("refused")?,
        silent: fields.integer("silent")?,
        recovered: fields.integer("recovered")?,
        lease,
    })
}

fn tls(nodes: &Fields) -> Option<Tls> {
    let Some(tls) = nodes.get("tls") else { return Some(Tls::LoopbackOnly) };
    if let Typing::Object(files) = &tls.content {
        let [ca, cert, key] = ["ca", "cert", "key"].map(|name| files.text(name));
        return Some(Tls::Files(TlsFiles { ca: ca?, cert: cert?, key: key? }));
    }
    let text = nodes.text("tls")?;
    Some(if text == "none" { Tls::Off } else { Tls::Files(TlsFiles::of_directory(&text)) })
}

/// `None`: one is unreadable.
fn prices(file: &Fields) -> Option<Vec<DeclaredPrice>> {
    let price = |entry: &Named| {
        let (provider, region, sku) = DeclaredPrice::split(&entry.name)?;
        let (usd, basis, date) = match &entry.value.content {
            Typing::Scalar(Value::Number(usd)) => (*usd, None, None),
            Typing::Object(fields) => (fields.number("usd")?, fields.text("basis"), fields.text("date")),
            _ => return None,
        };
        Some(DeclaredPrice { provider, region: region.map(Into::into), sku: sku.into(), usd, basis, date })
    };
    file.map("prices").iter().map(price).collect()
}

fn store(file: &Fields) -> Option<StoreChoice> {
    match file.get("store").map(|store| &store.content) {
        Some(Typing::Object(fields)) => {
            let endpoints = fields.list("etcd")?;
            let path = |name| fields.text(name).map(PathBuf::from);
            Some(StoreChoice::Etcd(EtcdStore {
                endpoints: endpoints.into_iter().map(|(endpoint, _)| endpoint.to_owned()).collect(),
                ca: path("ca"),
                cert: path("cert"),
                key: path("key"),
                user: fields.text("user"),
                password_file: path("password-file"),
                timeout: fields.duration("timeout")?,
            }))
        }
        _ => file.text("store").map(|path| StoreChoice::File(path.into())),
    }
}
