//! The rules that take the whole file: regions against each other, cycles of needs, who listens where, and whether an
//! automatic failover could ever find a majority.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::app::{FailoverMode, Kind, Provider};
use crate::fields::FAILOVER;
use crate::problem::{Problems, Spot};
use crate::{ComponentId, RegionId};

use super::app::{Declared, RegionDraft};
use super::component::Draft;
use super::typed::Fields;

/// Judges what was read, and reports what breaks a rule.
pub(super) fn judge(
    file: &Fields,
    declared: &Declared,
    drafts: &[Draft],
    mode: Option<FailoverMode>,
    dns: &Fields,
    problems: &mut Problems,
) {
    judge_roles(file, declared, problems);
    judge_majority(file, declared, mode, problems);
    judge_sharing(declared, problems);
    judge_addresses(declared, drafts, problems);
    judge_ports(declared, drafts, dns, problems);
    judge_cycles(drafts, problems);
}

fn judge_roles(file: &Fields, declared: &Declared, problems: &mut Problems) {
    let Some(regions) = &declared.regions else { return };
    let all_readable = regions.values().all(|region| region.role.is_some());
    if !regions.is_empty() && all_readable && declared.data_regions().next().is_none() {
        let spot = file.given().find(|(name, _)| *name == "regions").map_or(&file.spot, |(_, spot)| spot);
        problems.push(spot, "every region is a witness, so that nothing can run", "at least one region of role `data`");
    }
}

/// A verdict needs a majority of the vantage points outside the suspected region: of one there is none, because it
/// cannot tell that region's loss from its own.
fn judge_majority(file: &Fields, declared: &Declared, mode: Option<FailoverMode>, problems: &mut Problems) {
    let Some(regions) = &declared.regions else { return };
    let failover = file.fields("failover", &FAILOVER);
    let asked_for = failover.get("mode").is_some();
    let possible = declared.data_regions().count() >= 2;
    if mode != Some(FailoverMode::Automatic) || regions.len() >= 3 || regions.is_empty() || !(asked_for || possible) {
        return;
    }
    let spot = match file.given().find(|(name, _)| *name == "regions") {
        Some((_, spot)) if !asked_for => Spot { path: "failover.mode".into(), ..spot.clone() },
        _ => failover.spot_of("mode"),
    };
    let regions = match regions.len() {
        1 => "1 region".to_owned(),
        count => format!("{count} regions"),
    };
    let message = format!(
        "an automatic failover could never happen with {regions}: no majority outside a suspected region could exist, for \
         one that sees another silent may itself be cut off"
    );
    problems.push(&spot, message, "a third region, which may be `role: witness`, or `failover: {mode: approve}`");
}

/// Regions that share a place fail together; those that share an address or a directory get into each other's way.
fn judge_sharing(declared: &Declared, problems: &mut Problems) {
    let mut report = |name: &str, what: &str, why: &str, value_of: fn(&RegionDraft) -> Option<String>| {
        let mut seen: HashMap<String, &RegionId> = HashMap::new();
        let mut by_line: Vec<(&RegionId, &RegionDraft)> = declared.regions().collect();
        by_line.sort_by_key(|(_, region)| region.fields.spot.at);
        for (id, region) in by_line {
            let Some(value) = value_of(region) else { continue };
            if let Some(first) = seen.get(&value) {
                let message = format!("`{value}` is also the {what} of `{first}`{why}");
                problems.push(&region.fields.spot_of(name), message, format!("another {what} for each region"));
            } else {
                seen.insert(value, id);
            }
        }
    };
    report("place", "place", ", so that both fail together", |region| Some(region.region.as_ref()?.place.to_string()));
    report("address", "address", ", so that their DNS servers collide", |region| {
        Some(region.fields.address("address")?.to_string())
    });
    report("data", "data directory", "", |region| {
        let region = region.region.as_ref().filter(|region| region.place.provider == Provider::Local)?;
        Some(region.data.display().to_string())
    });
}

/// What Lifeboat starts itself needs an address to listen on.
fn judge_addresses(declared: &Declared, drafts: &[Draft], problems: &mut Problems) {
    for (id, region) in declared.regions() {
        if region.provider != Some(Provider::Local) || region.fields.get("address").is_some() {
            continue;
        }
        let supervised =
            |draft: &&Draft| matches!(draft.kind, Some(Kind::Postgres | Kind::Process)) && draft.regions.contains(id);
        if let Some(draft) = drafts.iter().find(supervised) {
            let message = format!("`{id}` has no address, but `{}` runs there", draft.id);
            problems.push(&region.fields.spot, message, "`address: IP`, on which its servers listen");
        }
    }
}

/// A server that will listen somewhere.
struct Listener {
    name: String,
    spot: Spot,
}

fn judge_ports(declared: &Declared, drafts: &[Draft], dns: &Fields, problems: &mut Problems) {
    let mut reported: HashSet<(String, String)> = HashSet::new();
    let mut taken: BTreeMap<(IpAddr, u16), Listener> = BTreeMap::new();
    let mut addresses: HashSet<IpAddr> = HashSet::new();
    for (id, region) in declared.regions() {
        let Some(address) = region.fields.address("address") else { continue };
        // Regions of one address have been reported as such.
        if !addresses.insert(address) {
            continue;
        }
        let mut listen = |port: Option<u16>, name: String, spot: Spot| {
            let Some(port) = port else { return };
            let Some(first) = taken.get(&(address, port)) else {
                taken.insert((address, port), Listener { name, spot });
                return;
            };
            // The later one in the text is taken for the mistake; a default has no place in the text.
            let later = if spot.at >= first.spot.at { &spot } else { &first.spot };
            if reported.insert((first.name.clone(), name.clone())) {
                let message =
                    format!("{name} and {} would both listen on port {port} of {address} (`{id}`)", first.name);
                problems.push(later, message, "a port for each");
            }
        };
        listen(region.fields.integer("api"), "the node's API".into(), region.fields.spot_of("api"));
        listen(dns.integer("port"), "the DNS server".into(), dns.spot_of("port"));
        for draft in drafts {
            let listens = matches!(draft.kind, Some(Kind::Postgres | Kind::Process)) && draft.regions.contains(id);
            if listens {
                listen(draft.port, format!("`{}`", draft.id), draft.fields.spot_of("port"));
            }
        }
    }
}

/// Components that need each other in a circle could never start. Each circle is reported where it closes.
fn judge_cycles(drafts: &[Draft], problems: &mut Problems) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let index: HashMap<&ComponentId, usize> =
        drafts.iter().enumerate().map(|(index, draft)| (&draft.id, index)).collect();
    let mut marks = vec![Mark::New; drafts.len()];
    for start in 0..drafts.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The path from `start`, each component with the next of its needs to follow: no recursion, for a file may hold
        // a chain of thousands.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        marks[start] = Mark::OnPath;
        while let Some((at, next)) = path.last_mut() {
            let here = *at;
            let Some((needed, spot)) = drafts[here].needs.get(*next) else {
                marks[here] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let Some(&target) = index.get(needed) else { continue };
            match marks[target] {
                Mark::Done => {}
                Mark::New => {
                    marks[target] = Mark::OnPath;
                    path.push((target, 0));
                }
                Mark::OnPath => {
                    let circle = path.iter().map(|(at, _)| *at).skip_while(|at| *at != target);
                    let names: Vec<String> = circle.chain([target]).map(|at| format!("`{}`", drafts[at].id)).collect();
                    let message = match names.as_slice() {
                        [one, _] => format!("{one} needs itself"),
                        names => format!("a circle: {}", names.join(" needs ")),
                    };
                    problems.push(spot, message, "needs without a circle, so that something can start first");
                }
            }
        }
    }
}
