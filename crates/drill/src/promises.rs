//! What a drill can say about the promises, from outside. Pure.
//!
//! A promise is `held` only if this drill could have shown the opposite; whatever it could not have shown is `not-checked`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lifeboat_model::database::Role;
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::status::Status;
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};

use crate::client::Acknowledged;
use crate::report::{Finding, Objective, Run};

/// What one repetition left behind.
pub(crate) struct Evidence<'a> {
    pub database: &'a ComponentId,
    /// The region that wrote first, by the file.
    pub home: &'a RegionId,
    /// In the journal's order.
    pub events: &'a [JournalEntry],
    /// In the order of `at`.
    pub acknowledged: &'a [Acknowledged],
    /// Whose address it is that answered an order.
    pub regions: &'a BTreeMap<IpAddr, RegionId>,
    /// The orders that are not there at the end; `None`: nobody could be asked.
    pub missing: Option<&'a BTreeSet<u64>>,
    /// What each node said at the end; `None`: it did not answer.
    pub nodes: &'a BTreeMap<RegionId, Option<Status>>,
    pub objective: Objective,
    pub runs: &'a [Run],
}

/// A finding and how it came about.
pub(crate) type Findings = BTreeMap<&'static str, (Finding, String)>;

/// Checks every promise of DESIGN.md.
pub(crate) fn check(evidence: &Evidence<'_>) -> Findings {
    let not_checked = |why: &str| (Finding::NotChecked, why.to_owned());
    BTreeMap::from([
        ("S1", one_writer(evidence)),
        ("S2", nothing_lost(evidence)),
        ("S3", bounded_loss(evidence)),
        ("S4", not_checked("the drill offers no region that is not ready")),
        ("S5", old_news(evidence)),
        ("S6", not_checked("all regions of this drill are on one machine")),
        ("L1", progress(evidence)),
        ("L2", not_checked("the drill does not take the state store away")),
        ("A1", explained(evidence)),
    ])
}

/// Of several repetitions: broken if it was broken once, held only if it held each time.
pub(crate) fn merge(all: Vec<Findings>) -> Findings {
    let rank = |finding: Finding| match finding {
        Finding::Held => 0,
        Finding::NotChecked => 1,
        Finding::Broken => 2,
    };
    let mut merged = Findings::new();
    for findings in all {
        for (promise, finding) in findings {
            match merged.get(promise) {
                Some((known, _)) if rank(*known) >= rank(finding.0) => {}
                _ => {
                    merged.insert(promise, finding);
                }
            }
        }
    }
    merged
}

/// S1. An order counts as acknowledged by a region at some moment between its request and its answer. That must overlap with
/// the time in which the region had the epoch: from its claim until another region's epoch was open.
fn one_writer(evidence: &Evidence<'_>) -> (Finding, String) {
    let tenures = tenures(evidence);
    for order in evidence.acknowledged {
        let Some(region) = evidence.regions.get(&order.address) else {
            return (
                Finding::Broken,
                format!("order {} was accepted at {}, which is no region", order.number, order.address),
            );
        };
        let in_time =
            tenures.iter().any(|tenure| tenure.region == *region && tenure.from <= order.at && order.sent <= tenure.to);
        if !in_time {
            return (
                Finding::Broken,
                format!("{region} accepted order {} while another region had the epoch", order.number),
            );
        }
    }
    match evidence.missing {
        None => return (Finding::NotChecked, "nobody could be asked which orders are there".into()),
        Some(missing) if !missing.is_empty() && evidence.objective.rpo_ms == Some(0) => {
            return (
                Finding::Broken,
                format!("{} acknowledged orders are not in the surviving history", missing.len()),
            );
        }
        Some(_) => {}
    }
    let newest = evidence.events.iter().rfind(|entry| is_claim(entry, evidence.database));
    let mut writable = BTreeSet::new();
    let mut asked = 0;
    for (region, status) in evidence.nodes {
        let Some(database) = status.as_ref().and_then(|status| status.databases.get(evidence.database)) else {
            return (
                Finding::NotChecked,
                format!("the node of {region} could not be asked which servers are writable"),
            );
        };
        asked += 1;
        if let (Some(claim), Some(writer)) = (newest, &database.writer)
            && claim.epoch == Some(database.epoch)
            && claim.region != *writer
        {
            return (
                Finding::Broken,
                format!(
                    "by the journal {} has epoch {}, by the node of {region} {writer} has it",
                    claim.region, database.epoch
                ),
            );
        }
        writable.extend(
            database
                .servers
                .iter()
                .filter(|(_, server)| server.role == Role::Primary)
                .map(|(region, _)| region.clone()),
        );
    }
    let names: Vec<&str> = writable.iter().map(RegionId::as_str).collect();
    if writable.len() != 1 {
        return (Finding::Broken, format!("in the end {} servers are writable ({})", writable.len(), names.join(", ")));
    }
    (
        Finding::Held,
        format!(
            "each of {} orders was accepted by the region that had the epoch ({} in all); in the end all {asked} nodes \
             see one writable server, {}",
            evidence.acknowledged.len(),
            tenures.len(),
            names.join(", "),
        ),
    )
}

/// For how long a region had an epoch.
#[derive(Debug, PartialEq, Eq)]
struct Tenure {
    region: RegionId,
    from: Moment,
    to: Moment,
}

/// By claims that were opened: an epoch that never was open has acknowledged nothing. Until the next epoch is open, the old
/// writer may be the one that still confirms (its standby has not been promoted yet).
fn tenures(evidence: &Evidence<'_>) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    let opened = evidence.events.iter().filter(|entry| entry.kind == EntryKind::Open && of(entry, evidence.database));
    for open in opened {
        let claim =
            evidence.events.iter().find(|entry| is_claim(entry, evidence.database) && entry.epoch == open.epoch);
        if let Some(last) = tenures.last_mut() {
            last.to = open.at;
        }
        tenures.push(Tenure {
            region: open.region.clone(),
            from: claim.map_or(open.at, |claim| claim.at),
            to: Moment(u64::MAX),
        });
    }
    match tenures.first_mut() {
        // Written before the journal's first entry about it was: the file's writer.
        Some(first) if first.region == *evidence.home => first.from = Moment(0),
        Some(first) => {
            let to = first.from;
            tenures.insert(0, Tenure { region: evidence.home.clone(), from: Moment(0), to });
        }
        None => tenures.push(Tenure { region: evidence.home.clone(), from: Moment(0), to: Moment(u64::MAX) }),
    }
    tenures
}

fn of(entry: &JournalEntry, database: &ComponentId) -> bool {
    entry.component.as_ref().is_none_or(|component| component == database)
}

fn is_claim(entry: &JournalEntry, database: &ComponentId) -> bool {
    entry.kind == EntryKind::Claim && of(entry, database)
}

/// S2.
fn nothing_lost(evidence: &Evidence<'_>) -> (Finding, String) {
    if evidence.objective.rpo_ms != Some(0) {
        return (Finding::NotChecked, "the objective is not RPO 0".into());
    }
    let all = evidence.acknowledged.len();
    match evidence.missing {
        None => (Finding::NotChecked, "nobody could be asked which orders are there".into()),
        Some(missing) if missing.is_empty() => (Finding::Held, format!("{all} of {all} acknowledged orders are there")),
        Some(missing) => (Finding::Broken, format!("{} of {all} acknowledged orders are gone", missing.len())),
    }
}

/// S3.
fn bounded_loss(evidence: &Evidence<'_>) -> (Finding, String) {
    let Some(rpo) = evidence.objective.rpo_ms.filter(|rpo| *rpo > 0) else {
        return (Finding::NotChecked, "the objective allows no loss, or any; see S2".into());
    };
    let Some(missing) = evidence.missing else {
        return (Finding::NotChecked, "nobody could be asked which orders are there".into());
    };
    let lost: Vec<Moment> =
        evidence.acknowledged.iter().filter(|order| missing.contains(&order.number)).map(|order| order.at).collect();
    let span = lost.first().zip(lost.last()).map_or(Duration::ZERO, |(first, last)| last.since(*first));
    let finding = if span <= Duration::from_millis(rpo) { Finding::Held } else { Finding::Broken };
    (finding, format!("{} orders lost, acknowledged within {} ms; {rpo} ms are allowed", lost.len(), span.as_millis()))
}

/// S5, as far as the journal shows it: epochs only grow, and none is opened after a newer one was claimed.
fn old_news(evidence: &Evidence<'_>) -> (Finding, String) {
    let mut newest = Epoch(0);
    let mut changes = 0;
    for entry in evidence.events.iter().filter(|entry| of(entry, evidence.database)) {
        let Some(epoch) = entry.epoch else { continue };
        match entry.kind {
            EntryKind::Claim if epoch <= newest => {
                return (Finding::Broken, format!("epoch {epoch} was claimed after epoch {newest}"));
            }
            EntryKind::Claim => {
                newest = epoch;
                changes += 1;
            }
            EntryKind::Open if epoch < newest => {
                return (Finding::Broken, format!("epoch {epoch} was opened after epoch {newest} had been claimed"));
            }
            _ => {}
        }
    }
    if changes < 2 {
        return (Finding::NotChecked, "no epoch followed another one".into());
    }
    (Finding::Held, format!("{changes} epochs, each newer than the one before, none opened after a newer claim"))
}

/// L1.
fn progress(evidence: &Evidence<'_>) -> (Finding, String) {
    if evidence.runs.is_empty() {
        return (Finding::NotChecked, "nothing was interrupted".into());
    }
    if let Some(run) = evidence.runs.iter().find(|run| !run.served_again) {
        return (Finding::Broken, format!("no order was accepted for {} ms after the {}", run.rto_ms, run.intent));
    }
    let Some(rto) = evidence.objective.rto_ms else {
        return (Finding::NotChecked, "no RTO is demanded".into());
    };
    let longest = evidence.runs.iter().map(|run| run.rto_ms).max().unwrap_or(0);
    let finding = if longest <= rto { Finding::Held } else { Finding::Broken };
    (finding, format!("served again after at most {longest} ms; {rto} ms are allowed"))
}

/// A1, as far as the journal shows it: every epoch has exactly one claim, and every decision in it a reason.
fn explained(evidence: &Evidence<'_>) -> (Finding, String) {
    let mut claims: BTreeMap<Epoch, usize> = BTreeMap::new();
    let mut epochs: BTreeSet<Epoch> = BTreeSet::new();
    let mut decisions = 0;
    for entry in evidence.events {
        let decided = match entry.kind {
            EntryKind::Claim | EntryKind::Verdict | EntryKind::Refrain | EntryKind::Alone | EntryKind::Route => true,
            EntryKind::Node
            | EntryKind::Suspicion
            | EntryKind::Run
            | EntryKind::Step
            | EntryKind::Fence
            | EntryKind::Promote
            | EntryKind::Open
            | EntryKind::Synchronous
            | EntryKind::Database
            | EntryKind::Compute
            | EntryKind::Divergence
            | EntryKind::Lease
            | EntryKind::Request => false,
        };
        if decided && entry.why.trim().is_empty() {
            return (Finding::Broken, format!("`{}` of {} has no reason", entry.what, entry.region));
        }
        decisions += usize::from(decided);
        if of(entry, evidence.database) {
            epochs.extend(entry.epoch);
            if let (EntryKind::Claim, Some(epoch)) = (entry.kind, entry.epoch) {
                *claims.entry(epoch).or_default() += 1;
            }
        }
    }
    let in_force = evidence.nodes.values().flatten().filter_map(|status| status.databases.get(evidence.database));
    epochs.extend(in_force.map(|database| database.epoch));
    epochs.remove(&Epoch(0));
    if decisions == 0 {
        return (Finding::NotChecked, "the journal shows no decision".into());
    }
    match epochs.iter().find(|epoch| claims.get(epoch) != Some(&1)) {
        Some(epoch) => {
            (Finding::Broken, format!("epoch {epoch} has {} claims in the journal", claims.get(epoch).unwrap_or(&0)))
        }
        None => (Finding::Held, format!("{decisions} decisions, each with its reason; every epoch with its claim")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{OBJECTIVE, acknowledged, at, entry, journal, regions, report};
    use lifeboat_model::database::DatabaseState;
    use lifeboat_model::status::DatabaseStatus;

    /// What everybody says at the end of the made history.
    struct Scene {
        events: Vec<JournalEntry>,
        acknowledged: Vec<Acknowledged>,
        missing: Option<BTreeSet<u64>>,
        nodes: BTreeMap<RegionId, Option<Status>>,
        objective: Objective,
        runs: Vec<Run>,
    }

    impl Scene {
        fn new() -> Self {
            let server = |role| DatabaseState { role, ..DatabaseState::absent() };
            let status = |region: &RegionId| Status {
                requests: BTreeMap::new(),
                waiting: Vec::new(),
                drift: None,
                warnings: Vec::new(),
                compute: BTreeMap::new(),
                app: "shop".into(),
                region: region.clone(),
                store_reachable: true,
                regions: BTreeMap::new(),
                databases: BTreeMap::from([(
                    "orders".into(),
                    DatabaseStatus {
                        epoch: Epoch(8),
                        writer: Some("stockholm".into()),
                        open: true,
                        holders: BTreeSet::new(),
                        lease: None,
                        servers: BTreeMap::from([
                            ("stockholm".into(), server(Role::Primary)),
                            ("frankfurt".into(), server(Role::Standby)),
                        ]),
                        readiness: BTreeMap::new(),
                        drift: BTreeMap::new(),
                    },
                )]),
                routes: BTreeMap::new(),
                runs: Vec::new(),
            };
            Self {
                events: journal(),
                acknowledged: acknowledged(),
                missing: Some(BTreeSet::new()),
                nodes: regions().into_values().map(|region| (region.clone(), Some(status(&region)))).collect(),
                objective: OBJECTIVE,
                runs: report().runs,
            }
        }

        fn found(&self, promise: &str) -> (Finding, String) {
            check(&Evidence {
                database: &"orders".into(),
                home: &"stockholm".into(),
                events: &self.events,
                acknowledged: &self.acknowledged,
                regions: &regions(),
                missing: self.missing.as_ref(),
                nodes: &self.nodes,
                objective: self.objective,
                runs: &self.runs,
            })
            .remove(promise)
            .unwrap()
        }

        fn order_at(&mut self, ms: i64) -> &mut Acknowledged {
            self.acknowledged.iter_mut().find(|order| order.at >= at(ms)).unwrap()
        }

        fn at_frankfurt(&mut self, change: impl Fn(&mut DatabaseStatus)) {
            let status = self.nodes.get_mut("frankfurt").unwrap().as_mut().unwrap();
            change(status.databases.get_mut("orders").unwrap());
        }
    }

    #[test]
    fn each_way_of_breaking_a_promise_is_found_and_what_cannot_be_seen_is_not_claimed() {
        use Finding::{Broken, Held, NotChecked};
        type Change = fn(&mut Scene);
        let cases: &[(&str, &str, Change, Finding)] = &[
            ("S1", "nothing is wrong", |_| {}, Held),
            (
                "S1",
                "the old writer acknowledges after the new epoch is open",
                |s| {
                    s.order_at(1000).address = "127.0.10.1".parse().unwrap();
                },
                Broken,
            ),
            (
                "S1",
                "the new writer acknowledges before it has claimed",
                |s| {
                    s.order_at(-500).address = "127.0.20.1".parse().unwrap();
                },
                Broken,
            ),
            (
                "S1",
                "an answer that was under way when the epoch changed may arrive later",
                |s| {
                    let order = s.order_at(470);
                    (order.address, order.sent) = ("127.0.10.1".parse().unwrap(), at(390));
                },
                Held,
            ),
            (
                "S1",
                "somebody unknown answers",
                |s| {
                    s.order_at(1000).address = "127.0.99.1".parse().unwrap();
                },
                Broken,
            ),
            (
                "S1",
                "two servers are writable in the end",
                |s| {
                    s.at_frankfurt(|database| {
                        database.servers.get_mut("frankfurt").unwrap().role = Role::Primary;
                    })
                },
                Broken,
            ),
            (
                "S1",
                "no server is writable in the end",
                |s| {
                    for status in s.nodes.values_mut().flatten() {
                        let database = status.databases.get_mut("orders").unwrap();
                        database.servers.get_mut("stockholm").unwrap().role = Role::Starting;
                    }
                },
                Broken,
            ),
            (
                "S1",
                "journal and node name different writers",
                |s| {
                    s.at_frankfurt(|database| {
                        database.writer = Some("frankfurt".into());
                    })
                },
                Broken,
            ),
            (
                "S1",
                "a node does not answer",
                |s| {
                    s.nodes.insert("frankfurt".into(), None);
                },
                NotChecked,
            ),
            ("S1", "an acknowledged order is missing", |s| s.missing = Some(BTreeSet::from([5])), Broken),
            ("S1", "nobody lists the orders", |s| s.missing = None, NotChecked),
            ("S1", "without entries everything must come from home", |s| s.events.clear(), Broken),
            ("S2", "nothing is wrong", |_| {}, Held),
            ("S2", "an acknowledged order is missing", |s| s.missing = Some(BTreeSet::from([5])), Broken),
            ("S2", "nobody lists the orders", |s| s.missing = None, NotChecked),
            ("S2", "loss is allowed", |s| s.objective.rpo_ms = Some(1000), NotChecked),
            ("S3", "no loss is allowed", |_| {}, NotChecked),
            (
                "S3",
                "a little is lost",
                |s| {
                    s.objective.rpo_ms = Some(1000);
                    s.missing = Some(BTreeSet::from([5, 6]));
                },
                Held,
            ),
            (
                "S3",
                "too much is lost",
                |s| {
                    s.objective.rpo_ms = Some(1000);
                    s.missing = Some(BTreeSet::from([5, 500]));
                },
                Broken,
            ),
            ("S5", "nothing is wrong", |_| {}, Held),
            (
                "S5",
                "an old epoch is claimed",
                |s| {
                    s.events.push(entry(9500, "frankfurt", EntryKind::Claim, 7, "epoch 7 claimed", "why"));
                },
                Broken,
            ),
            (
                "S5",
                "an old epoch is opened",
                |s| {
                    s.events.push(entry(9500, "frankfurt", EntryKind::Open, 7, "epoch 7 is open", "why"));
                },
                Broken,
            ),
            ("S5", "the epoch never changed", |s| s.events.truncate(4), NotChecked),
            ("L1", "nothing is wrong", |_| {}, Held),
            ("L1", "it took too long", |s| s.runs[0].rto_ms = 15_001, Broken),
            ("L1", "it never came back", |s| s.runs[0].served_again = false, Broken),
            ("L1", "nothing is demanded", |s| s.objective.rto_ms = None, NotChecked),
            ("A1", "nothing is wrong", |_| {}, Held),
            (
                "A1",
                "a claim without a reason",
                |s| {
                    s.events.iter_mut().find(|e| e.kind == EntryKind::Claim).unwrap().why = " ".into();
                },
                Broken,
            ),
            (
                "A1",
                "an epoch without a claim",
                |s| {
                    s.events.retain(|e| !(e.kind == EntryKind::Claim && e.epoch == Some(Epoch(7))));
                },
                Broken,
            ),
            ("A1", "a node knows a newer epoch than the journal", |s| s.at_frankfurt(|d| d.epoch = Epoch(9)), Broken),
            ("A1", "an empty journal", |s| s.events.clear(), NotChecked),
            ("S4", "never", |_| {}, NotChecked),
            ("S6", "never", |_| {}, NotChecked),
            ("L2", "never", |_| {}, NotChecked),
        ];
        for (promise, name, change, expected) in cases {
            let mut scene = Scene::new();
            change(&mut scene);
            let (finding, reason) = scene.found(promise);
            assert_eq!(finding, *expected, "{promise}, {name}: {reason}");
            assert!(!reason.is_empty());
        }
    }

    #[test]
    fn repetitions_are_merged_with_the_worst_first() {
        let one = |finding| Findings::from([("S1", (finding, String::new()))]);
        let of = |all: &[Finding]| merge(all.iter().map(|finding| one(*finding)).collect())["S1"].0;
        assert_eq!(of(&[Finding::Held, Finding::Held]), Finding::Held);
        assert_eq!(of(&[Finding::Held, Finding::NotChecked]), Finding::NotChecked);
        assert_eq!(of(&[Finding::NotChecked, Finding::Broken, Finding::Held]), Finding::Broken);
    }
}
