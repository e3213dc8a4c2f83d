//! Databases that people move, with the brains of three regions and the store between them: a region is lost, a person moves what it wrote, and
//! whatever happens in between, one region is told that it writes.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lifeboat_control::event::StoreFailure;
use lifeboat_control::health::{Evidence, Target};
use lifeboat_control::record::{self, DatabaseRecord, Request, Run, Stage};
use lifeboat_control::{Brain, Clock, Command, Event};
use lifeboat_model::app::Kind;
use lifeboat_model::compute::Duty;
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};
use lifeboat_model::status::{RouteAnswer, Waiting};
use lifeboat_model::{App, ComponentId, Epoch, HostName, Moment, RegionId};
use lifeboat_plan::Intent;

const FILE: &str = "
app: shop
regions:
  a: {place: aws/eu-north-1, address: 10.0.0.1, preference: 2}
  b: {place: aws/eu-central-1, address: 10.0.0.2, preference: 1}
  c: {place: aws/eu-west-1, address: 10.0.0.3}
components:
  orders: {kind: aurora-global, pattern: warm-standby, writer: a, standbys: {b: asynchronous, c: asynchronous}}
  pictures: {kind: s3, pattern: warm-standby, writer: a, standbys: {b: asynchronous, c: asynchronous}}
  web: {kind: process, pattern: pilot-light, run: web, needs: [orders, pictures], port: 80}
routes:
  shop.example.com: {to: web, policy: failover}
";

/// The regions' nodes and the store that they share.
struct Fleet {
    app: Arc<App>,
    brains: BTreeMap<RegionId, Brain>,
    store: BTreeMap<String, Entry>,
    revision: u64,
    now_ms: u64,
    dead: BTreeSet<RegionId>,
    /// Regions whose nodes do not reach the store.
    cut: BTreeSet<RegionId>,
    /// Regions whose compute answers though the node does not.
    answering: BTreeSet<RegionId>,
    /// Regions whose compute does not answer though the node does.
    resting: BTreeSet<RegionId>,
    told: BTreeMap<u64, Result<String, String>>,
    tickets: u64,
    journal: Vec<JournalEntry>,
    duties: BTreeMap<(RegionId, ComponentId), Duty>,
    routes: BTreeMap<RegionId, BTreeMap<HostName, RouteAnswer>>,
    /// Every record that there ever was.
    records: Vec<(ComponentId, DatabaseRecord)>,
}

impl Fleet {
    fn of(text: &str) -> Self {
        let app = Arc::new(lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}")));
        let mut fleet = Self {
            brains: app.regions.keys().map(|id| (id.clone(), Brain::new(app.clone(), id.clone()))).collect(),
            app,
            store: BTreeMap::new(),
            revision: 0,
            now_ms: 1_000,
            dead: BTreeSet::new(),
            cut: BTreeSet::new(),
            answering: BTreeSet::new(),
            resting: BTreeSet::new(),
            told: BTreeMap::new(),
            tickets: 0,
            journal: Vec::new(),
            duties: BTreeMap::new(),
            routes: BTreeMap::new(),
            records: Vec::new(),
        };
        for region in fleet.app.regions.keys().cloned().collect::<Vec<_>>() {
            fleet.list(&region);
        }
        fleet.run(5_000);
        fleet
    }

    /// Everything below the state's prefix, as a node reads it.
    fn list(&mut self, region: &RegionId) {
        let is_state = |entry: &&Entry| entry.key.starts_with(record::STATE);
        let entries = self.store.values().filter(is_state).cloned().collect();
        self.feed(region, Event::Snapshot { revision: Revision(self.revision), entries });
    }

    /// Gives an event to a region's brain, and everything that follows from it to everybody.
    fn feed(&mut self, region: &RegionId, event: Event) {
        let mut queue = VecDeque::from([(region.clone(), event)]);
        while let Some((region, event)) = queue.pop_front() {
            if self.dead.contains(&region) {
                continue;
            }
            let clock = Clock { now: Moment(self.now_ms * 1_000_000), unix_ms: self.now_ms };
            let commands = self.brains.get_mut(&region).unwrap().step(clock, event);
            for command in commands {
                self.obey(&region, command, &mut queue);
            }
        }
    }

    fn obey(&mut self, region: &RegionId, command: Command, queue: &mut VecDeque<(RegionId, Event)>) {
        let is_cut = self.cut.contains(region);
        let mut reply = |event| queue.push_back((region.clone(), event));
        match command {
            Command::Transact(_) if is_cut => reply(Event::Transacted(Err(StoreFailure::NotExecuted))),
            Command::Grant(_) if is_cut => reply(Event::Granted(Err(StoreFailure::NotExecuted))),
            Command::Renew(_) if is_cut => reply(Event::Renewed(Err(StoreFailure::NotExecuted))),
            Command::Relist if is_cut => {} // It reads again once it can.
            Command::Grant(_) => reply(Event::Granted(Ok(LeaseId(1)))),
            Command::Renew(_) => reply(Event::Renewed(Ok(()))),
            Command::Transact(transaction) => {
                let changes = self.commit(&transaction);
                let committed = Outcome::Committed(Revision(self.revision));
                reply(Event::Transacted(Ok(if changes.is_some() { committed } else { Outcome::Conflict })));
                let changes = changes.unwrap_or_default();
                let others = self.brains.keys().filter(|other| !self.cut.contains(*other));
                queue.extend(others.map(|other| (other.clone(), Event::Changes(changes.clone()))));
            }
            Command::Relist => {
                let is_state = |entry: &&Entry| entry.key.starts_with(record::STATE);
                let entries = self.store.values().filter(is_state).cloned().collect();
                reply(Event::Snapshot { revision: Revision(self.revision), entries });
            }
            Command::Compute { component, duty } => _ = self.duties.insert((region.clone(), component), duty),
            Command::Serve(routes) => _ = self.routes.insert(region.clone(), routes),
            Command::Answer { ticket, answer } => _ = self.told.insert(ticket, answer),
            Command::Journaled(entry) => self.journal.push(entry),
            Command::AskPeers { .. } | Command::AnswerPeer { .. } => {}
            Command::Order { component, .. } | Command::Confirm { component, .. } => {
                assert_eq!(self.app.components[&component].kind, Kind::Postgres, "{component} has no driver");
            }
        }
    }

    fn commit(&mut self, transaction: &Transaction) -> Option<Vec<Change>> {
        let holds = |condition: &Condition| match condition {
            Condition::Unchanged(key, revision) => self.store.get(key).is_some_and(|entry| entry.revision == *revision),
            Condition::Absent(key) => !self.store.contains_key(key),
            Condition::Present(key) => self.store.contains_key(key),
        };
        if !transaction.when.iter().all(holds) {
            return None;
        }
        self.revision += 1;
        let revision = Revision(self.revision);
        let mut changes = Vec::new();
        for write in &transaction.then {
            match write {
                Write::Put { key, value, lease } => {
                    let entry = Entry { key: key.clone(), value: value.clone(), revision, lease: *lease };
                    if let Some(database) = key.strip_prefix(record::DATABASES) {
                        self.records.push((database.into(), serde_json::from_slice(value).unwrap()));
                    }
                    self.store.insert(key.clone(), entry.clone());
                    changes.push(Change::Put(entry));
                }
                Write::Delete { key } => {
                    if self.store.remove(key).is_some() {
                        changes.push(Change::Delete { key: key.clone(), revision });
                    }
                }
            }
        }
        changes.retain(|change| match change {
            Change::Put(entry) => entry.key.starts_with(record::STATE),
            Change::Delete { key, .. } => key.starts_with(record::STATE),
        });
        Some(changes)
    }

    /// Time passes, and everybody looks at everybody.
    fn run(&mut self, milliseconds: u64) {
        let regions: Vec<RegionId> = self.brains.keys().cloned().collect();
        for _ in 0..milliseconds / 100 {
            self.now_ms += 100;
            for region in &regions {
                for target in self.brains[region].targets() {
                    let is_node = target == Target::node(&target.region);
                    let is_gone = match self.dead.contains(&target.region) {
                        true => is_node || !self.answering.contains(&target.region),
                        false => !is_node && self.resting.contains(&target.region),
                    };
                    let evidence = if is_gone { Evidence::Refused } else { Evidence::Ok };
                    self.feed(region, Event::Reading { target, evidence });
                }
                self.feed(region, Event::Tick);
            }
        }
    }

    fn kill(&mut self, region: &str) {
        self.dead.insert(region.into());
        let key = record::view_key(&region.into());
        let gone = self.commit(&Transaction { when: Vec::new(), then: vec![Write::Delete { key }] }).unwrap();
        for other in self.brains.keys().filter(|other| !self.cut.contains(*other)).cloned().collect::<Vec<_>>() {
            self.feed(&other, Event::Changes(gone.clone()));
        }
    }

    /// A new node in a region that was lost.
    fn revive(&mut self, region: &str) {
        let region = RegionId::from(region);
        self.dead.remove(&region);
        self.brains.insert(region.clone(), Brain::new(self.app.clone(), region.clone()));
        if !self.cut.contains(&region) {
            self.list(&region);
        }
        self.run(3_000);
    }

    /// What a node answers to what a person asks of it or says to it.
    fn tell(&mut self, node: &str, event: impl FnOnce(u64) -> Event) -> Result<String, String> {
        self.tickets += 1;
        let ticket = self.tickets;
        self.feed(&node.into(), event(ticket));
        for _ in 0..20 {
            if let Some(told) = self.told.remove(&ticket) {
                return told;
            }
            self.run(100);
        }
        panic!("no answer");
    }

    fn done(&mut self, node: &str, writer: &str, is_admin: bool) -> Result<String, String> {
        let (database, writer, by) = ("orders".into(), writer.into(), "alice".to_owned());
        self.tell(node, |ticket| Event::Moved { ticket, database, writer, by, is_admin })
    }

    fn ask(&mut self, node: &str, intent: Intent, to: Option<&str>) -> Result<String, String> {
        let request = Request {
            intent,
            to: to.map(RegionId::from),
            accept_loss: false,
            vouch: false,
            by: "bob".into(),
            token: Some("bob".into()),
            approved: BTreeSet::new(),
        };
        self.tell(node, |ticket| Event::Person { ticket, database: "orders".into(), request })
    }

    fn record(&self) -> DatabaseRecord {
        serde_json::from_slice(&self.store[&record::database_key(&"orders".into())].value).unwrap()
    }

    fn stage(&self) -> Option<Stage> {
        let entry = self.store.get(&record::run_key(&"orders".into()))?;
        Some(serde_json::from_slice::<Run>(&entry.value).unwrap().stage)
    }

    fn waiting(&self, node: &str) -> Vec<Waiting> {
        self.brains[node].status().waiting
    }

    fn duty(&self, region: &str) -> Duty {
        self.duties[&(region.into(), "web".into())]
    }

    fn leads_to(&self, node: &str) -> Vec<RegionId> {
        self.routes[node]["shop.example.com"].regions.clone()
    }

    fn said(&self, what: &str) -> Option<&JournalEntry> {
        self.journal.iter().find(|entry| entry.what.contains(what))
    }
}

#[test]
fn a_lost_region_s_database_waits_for_a_person_and_then_everything_follows() {
    let mut fleet = Fleet::of(FILE);
    assert_eq!((fleet.record().writer, fleet.record().epoch, fleet.record().open), ("a".into(), Epoch(1), true));
    assert!(!fleet.store.contains_key(&record::database_key(&"pictures".into())), "every region writes it");
    assert_eq!((fleet.duty("a"), fleet.duty("b")), (Duty::Serving, Duty::Standby));
    assert_eq!(fleet.leads_to("b"), ["a".into()]);

    fleet.kill("a");
    fleet.run(10_000);
    assert_eq!(fleet.record().writer, "a".into(), "no node claims it");
    assert_eq!(fleet.duty("b"), Duty::Standby, "nothing starts");
    assert_eq!(fleet.leads_to("b"), ["a".into()], "nobody is sent there");
    for node in ["b", "c"] {
        let waiting = fleet.waiting(node);
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        assert_eq!((&waiting[0].component, &waiting[0].region), (&"orders".into(), &"b".into()), "b is preferred");
        assert!(waiting[0].why.contains("a is down: node refused (2 of 2 vantage points: b, c)"), "{waiting:?}");
        assert!(waiting[0].since_unix_ms.is_some_and(|since| since < fleet.now_ms));
        assert!(waiting[0].steps.iter().any(|line| line.contains("--allow-data-loss")), "{waiting:?}");
        assert_eq!(waiting[0].steps.last().unwrap(), "lifeboat done orders --writer b");
    }
    assert!(fleet.done("c", "c", false).unwrap_err().contains("what waits for a person is orders in b, not in c"));
    assert!(fleet.done("c", "x", true).unwrap_err().contains("keeps no copy of orders"));

    // Any node takes a person's word, and a second time it is no news.
    assert_eq!(fleet.done("c", "b", false).unwrap(), "orders is written in b under epoch 2");
    assert_eq!(fleet.done("b", "b", false).unwrap(), "orders is written in b, as before");
    fleet.run(1_000);
    assert_eq!((fleet.record().writer, fleet.record().epoch, fleet.record().open), ("b".into(), Epoch(2), true));
    assert_eq!((fleet.stage(), fleet.waiting("b")), (Some(Stage::Done), vec![]));
    assert_eq!((fleet.duty("b"), fleet.leads_to("b")), (Duty::Serving, vec!["b".into()]));
    let claim = fleet.said("epoch 2 claimed for orders").unwrap();
    assert!(claim.why.starts_with("alice says that orders is written in b, no more in a"), "{claim:?}");

    fleet.revive("a");
    assert_eq!((fleet.duty("a"), fleet.leads_to("a")), (Duty::Standby, vec!["b".into()]));
    assert_eq!(fleet.record().writer, "b".into());
}

#[test]
fn a_run_waits_through_restarts_and_a_person_may_say_that_nothing_was_moved() {
    let mut fleet = Fleet::of(FILE);
    fleet.kill("a");
    fleet.run(5_000);
    let waiting = fleet.waiting("c");
    fleet.kill("b");
    fleet.revive("b");
    assert_eq!(fleet.waiting("b"), waiting, "it is in the store");

    // The region is back: somebody may have begun all the same, so that it is only said.
    fleet.revive("a");
    let why = &fleet.waiting("b")[0].why;
    assert!(why.ends_with("it is up again: if nothing was moved, `lifeboat done orders --writer a`"), "{why}");
    assert!(fleet.done("b", "a", false).is_ok());
    assert!(matches!(fleet.stage(), Some(Stage::Abandoned(why)) if why.contains("alice says")));
    assert_eq!((fleet.record().epoch, fleet.waiting("b")), (Epoch(1), vec![]));

    // The next loss is a new one; while it lasts a "no" counts.
    fleet.kill("a");
    fleet.run(5_000);
    assert_eq!(fleet.waiting("b").len(), 1);
    assert!(fleet.done("b", "a", false).is_ok());
    fleet.run(20_000);
    assert_eq!(fleet.waiting("b"), []);
    // And a person may change their mind.
    assert_eq!(fleet.ask("b", Intent::Failover, Some("c")).unwrap(), "orders-2-failover");
    assert_eq!(fleet.waiting("b")[0].region, "c".into());
    assert!(fleet.waiting("b")[0].why.contains("bob asked for it"));
}

#[test]
fn where_the_target_is_lost_too_the_next_one_is_offered() {
    let witnesses =
        "  d: {place: aws/eu-west-3, role: witness}\n  e: {place: aws/eu-west-2, role: witness}\ncomponents:";
    let mut fleet = Fleet::of(&FILE.replace("components:", witnesses));
    fleet.kill("a");
    fleet.run(5_000);
    assert_eq!(fleet.waiting("c")[0].region, "b".into());
    fleet.kill("b");
    fleet.run(10_000);
    assert_eq!(fleet.waiting("c")[0].region, "c".into());
    assert!(fleet.ask("c", Intent::Failover, Some("b")).unwrap_err().starts_with("b is down"));
}

#[test]
fn a_node_that_is_gone_beside_an_application_that_answers_moves_nothing() {
    let mut fleet = Fleet::of(&FILE.replace("port: 80}", "port: 80, check: {tcp: true}}"));
    fleet.answering.insert("a".into());
    fleet.kill("a");
    fleet.run(10_000);
    assert_eq!(fleet.waiting("b"), []);
    assert!(fleet.said("no failover of orders").unwrap().why.contains("but web answers there"));
    fleet.answering.clear();
    fleet.run(10_000);
    assert_eq!(fleet.waiting("b").len(), 1);
}

#[test]
fn compute_without_a_driver_is_shown_where_it_has_to_be_started_until_it_answers() {
    let asg = "kind: asg, pattern: pilot-light, size: {count: 4, image: ami-0a1b2c3d4e5f60718},";
    let text = FILE.replace("kind: process, pattern: pilot-light, run: web,", asg);
    let mut fleet = Fleet::of(&text.replace("port: 80}", "port: 80, check: {tcp: true}}"));
    fleet.resting.extend(["b".into(), "c".into()]);
    fleet.kill("a");
    fleet.run(5_000);
    let components = |waiting: Vec<Waiting>| waiting.into_iter().map(|waits| waits.component).collect::<Vec<_>>();
    assert_eq!(components(fleet.waiting("c")), ["orders".into()], "nothing is started before the database is there");
    assert!(fleet.done("b", "b", false).is_ok());
    fleet.run(1_000);
    let waiting = fleet.waiting("c");
    assert_eq!((&waiting[0].component, &waiting[0].region), (&"web".into(), &"b".into()));
    assert!(waiting[0].steps[0].contains("--auto-scaling-group-name shop-web-b --min-size 4"), "{waiting:?}");
    fleet.resting.clear();
    fleet.run(2_000);
    assert_eq!(fleet.waiting("c"), []);
}

#[test]
fn a_switchover_is_asked_for_first_and_whose_word_counts_unasked_is_an_admin_s() {
    let mut fleet = Fleet::of(FILE);
    assert!(fleet.done("a", "b", false).unwrap_err().contains("nothing waits for a person to move orders"));
    assert_eq!(fleet.ask("c", Intent::Switchover, Some("b")).unwrap(), "orders-2-switchover");
    let steps = &fleet.waiting("a")[0].steps;
    assert!(steps[0].starts_with("aws rds switchover-global-cluster --region eu-north-1"), "{steps:?}");
    assert_eq!(fleet.leads_to("a"), ["a".into()]);
    assert!(fleet.done("a", "b", false).is_ok());
    assert_eq!(fleet.leads_to("a"), ["b".into()]);
    assert!(fleet.done("a", "c", true).is_ok(), "it has happened, whoever asked for it");
    assert_eq!((fleet.record().writer, fleet.record().epoch), ("c".into(), Epoch(3)));
    let pictures = fleet.tell("a", |ticket| Event::Moved {
        ticket,
        database: "pictures".into(),
        writer: "b".into(),
        by: "alice".into(),
        is_admin: true,
    });
    assert!(pictures.unwrap_err().contains("has no writer that moves"));
}

#[test]
fn where_several_have_to_agree_nothing_is_offered_before_they_do() {
    let mut fleet = Fleet::of(&(FILE.to_owned() + "failover: {mode: approve, approvals: 2}\n"));
    fleet.kill("a");
    fleet.run(5_000);
    assert_eq!(fleet.waiting("b"), []);
    let why = &fleet.said("no failover of orders").unwrap().why;
    assert!(why.contains("people decide: `lifeboat failover --database orders --to b`"), "{why}");
    assert!(fleet.done("b", "b", true).unwrap_err().contains("ask for it first"));
    assert!(fleet.ask("b", Intent::Failover, None).unwrap().contains("one more person has to approve"));
    assert!(fleet.tell("c", |ticket| Event::Approve { ticket, database: "orders".into(), by: "carol".into() }).is_ok());
    fleet.run(1_000);
    assert!(fleet.waiting("b")[0].why.contains("bob asked for it, carol approved it"), "{:?}", fleet.waiting("b"));
    assert!(fleet.done("b", "b", false).is_ok());
    assert_eq!(fleet.record().writer, "b".into());
}

/// One that waits for a person holds up nothing that does not.
#[test]
fn clients_follow_what_nodes_move_where_both_kinds_stand_behind_a_route() {
    let store = "  store: {kind: postgres, writer: a, standbys: {b: synchronous}}\n  pictures:";
    let text = FILE.replace("  pictures:", store).replace("[orders, pictures]", "[orders, store]");
    let mut fleet = Fleet::of(&text);
    let record = DatabaseRecord { writer: "b".into(), epoch: Epoch(2), ..fleet.record() };
    let value = serde_json::to_vec(&record).unwrap();
    let then = vec![Write::Put { key: record::database_key(&"store".into()), value, lease: None }];
    let changes = fleet.commit(&Transaction { when: Vec::new(), then }).unwrap();
    fleet.feed(&"c".into(), Event::Changes(changes));
    assert_eq!(fleet.leads_to("c"), ["b".into()]);
}

/// S1, S5, A1: whatever people say and whoever dies, the record is one region's at a time, epochs grow by one, each has its reason in the
/// journal, and none comes without a person's word.
#[test]
fn whatever_happens_one_region_is_told_that_it_writes() {
    let mut all_words = 0;
    for seed in 1..=100_u64 {
        let mut fleet = Fleet::of(FILE);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((state >> 33) % below).unwrap()
        };
        let names = ["a", "b", "c"];
        let mut words = 0;
        for _ in 0..30 {
            let (node, other) = (names[draw(3)], names[draw(3)]);
            let is_here = !fleet.dead.contains(node);
            let hears = is_here && !fleet.cut.contains(node);
            match draw(7) {
                0 if fleet.dead.is_empty() => fleet.kill(node),
                1 if !is_here => fleet.revive(node),
                2 => _ = fleet.cut.insert(node.into()),
                3 => {
                    fleet.cut.clear();
                    names.iter().for_each(|region| fleet.list(&(*region).into()));
                }
                4 if hears => {
                    let intent = if draw(2) == 0 { Intent::Failover } else { Intent::Switchover };
                    _ = fleet.ask(node, intent, Some(other));
                }
                5 if hears => {
                    let before = fleet.record();
                    match fleet.done(node, other, draw(2) == 0) {
                        Ok(_) if before.writer != other.into() => words += 1,
                        Ok(_) | Err(_) => assert_eq!(fleet.record(), before, "seed {seed}"),
                    }
                }
                _ => fleet.run(1_000),
            }
        }
        let epochs: Vec<u64> = fleet.records.iter().map(|(_, record)| record.epoch.0).collect();
        assert_eq!(epochs, (1..=words + 1).collect::<Vec<_>>(), "seed {seed}: an epoch for each word, none without");
        assert!(fleet.records.iter().all(|(id, record)| id.as_str() == "orders" && record.open), "seed {seed}");
        for epoch in 1..=words + 1 {
            assert!(fleet.said(&format!("epoch {epoch} claimed for orders")).is_some(), "seed {seed}: A1");
        }
        all_words += words;
    }
    assert!(all_words > 100, "{all_words} words were believed: the histories say little");
}
