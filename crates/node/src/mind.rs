//! The task that owns the brain: feeds it events one at a time and carries out its commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::event::StoreFailure;
use lifeboat_control::promise::{Answers, Question};
use lifeboat_control::record::{self, Request};
use lifeboat_control::{Brain, Command, Event};
use lifeboat_dns::Zones;
use lifeboat_model::status::{RouteAnswer, Status};
use lifeboat_model::{App, ComponentId, HostName, RegionId};
use lifeboat_store::{Error as StoreError, Executed, Store};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::complaint::Complaint;
use crate::databases::Databases;
use crate::deployments::Deployments;
use crate::peers::Peers;
use crate::probes::Probes;
use crate::processes::Processes;
use crate::{clock, names};

/// What reaches the brain's task.
#[derive(Debug)]
pub enum Input {
    /// A fact.
    Event(Event),
    /// Somebody wants to know whether the brain's task lives.
    Ping(oneshot::Sender<()>),
    /// Somebody wants to know how things are.
    Status(oneshot::Sender<Status>),
    /// Another node asks for a promise.
    Peer(Question, oneshot::Sender<Answers>),
    /// A person asks for something.
    Person(ComponentId, Request, oneshot::Sender<Result<String, String>>),
    /// The owner of a token approves what another one asks for.
    Approve(ComponentId, String, oneshot::Sender<Result<String, String>>),
    /// A person says where a database is written now that people move.
    Moved(Moved, oneshot::Sender<Result<String, String>>),
}

/// What a person says of a database that people move.
#[derive(Debug)]
pub struct Moved {
    /// The database.
    pub database: ComponentId,
    /// The region that writes it now.
    pub writer: RegionId,
    /// Who says so.
    pub by: String,
    /// Whether that is an admin.
    pub is_admin: bool,
}

/// The most inputs that wait; whoever sends more waits too.
pub const QUEUE: usize = 1_024;

/// What the brain's task works with.
pub struct Mind {
    /// The app.
    pub app: Arc<App>,
    /// The brain itself.
    pub brain: Brain,
    /// The state store.
    pub store: Arc<dyn Store>,
    /// This region's databases.
    pub databases: Arc<Databases>,
    /// This region's processes.
    pub processes: Processes,
    /// This region's deployments.
    pub deployments: Deployments,
    /// The prober.
    pub probes: Probes,
    /// Where the DNS server reads.
    pub zones: watch::Sender<Arc<Zones>>,
    /// Where the steering endpoints read.
    pub answers: watch::Sender<BTreeMap<HostName, RouteAnswer>>,
    /// For the results of what is carried out.
    pub inputs: mpsc::Sender<Input>,
    /// Tells the watcher of the store to begin anew.
    pub relist: Arc<Notify>,
    /// How many tables were served.
    pub serial: u32,
    /// The other regions' nodes.
    pub peers: Peers,
    /// What was said of the store's refusals.
    pub complaint: Arc<Complaint>,
}

/// Who waits for an answer of the brain, by the ticket of the question.
#[derive(Default)]
struct Waiting {
    people: BTreeMap<u64, oneshot::Sender<Result<String, String>>>,
    peers: BTreeMap<u64, oneshot::Sender<Answers>>,
}

impl Mind {
    /// Until `stop` is ready. Gives back what has to be stopped in an orderly way.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>, stop: impl Future<Output = ()>) -> Processes {
        let mut calls = JoinSet::new();
        let mut answers = Waiting::default();
        let mut tickets = 0;
        tokio::pin!(stop);
        self.think(Event::Tick, &mut calls, &mut answers);
        loop {
            let wait = self.brain.wake_at().since(clock::now().now);
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_ended) = calls.join_next() => {}
                input = inputs.recv() => match input {
                    Some(Input::Event(event)) => self.think(event, &mut calls, &mut answers),
                    Some(Input::Person(database, request, answer)) => {
                        tickets += 1;
                        answers.people.insert(tickets, answer);
                        self.think(Event::Person { ticket: tickets, database, request }, &mut calls, &mut answers);
                    }
                    Some(Input::Approve(database, by, answer)) => {
                        tickets += 1;
                        answers.people.insert(tickets, answer);
                        self.think(Event::Approve { ticket: tickets, database, by }, &mut calls, &mut answers);
                    }
                    Some(Input::Moved(Moved { database, writer, by, is_admin }, answer)) => {
                        tickets += 1;
                        answers.people.insert(tickets, answer);
                        let event = Event::Moved { ticket: tickets, database, writer, by, is_admin };
                        self.think(event, &mut calls, &mut answers);
                    }
                    Some(Input::Peer(question, answer)) => {
                        tickets += 1;
                        answers.peers.insert(tickets, answer);
                        self.think(Event::PeerAsks { ticket: tickets, question }, &mut calls, &mut answers);
                    }
                    // Whoever asked may have gone.
                    Some(Input::Status(answer)) => drop(answer.send(self.brain.status())),
                    Some(Input::Ping(answer)) => drop(answer.send(())),
                    None => break,
                },
                () = tokio::time::sleep(wait) => self.think(Event::Tick, &mut calls, &mut answers),
            }
        }
        self.probes.stop().await;
        calls.shutdown().await;
        self.processes
    }

    fn think(&mut self, event: Event, calls: &mut JoinSet<()>, answers: &mut Waiting) {
        for command in self.brain.step(clock::now(), event) {
            self.obey(command, calls, answers);
        }
    }

    fn obey(&mut self, command: Command, calls: &mut JoinSet<()>, answers: &mut Waiting) {
        let (store, inputs, complaint) = (self.store.clone(), self.inputs.clone(), self.complaint.clone());
        match command {
            Command::Transact(transaction) => {
                calls.spawn(async move {
                    let result = store.transact(transaction).await;
                    reply(&inputs, Event::Transacted(result.map_err(|error| failure(&error, &complaint)))).await;
                });
            }
            Command::Grant(length) => {
                calls.spawn(async move {
                    let result = store.grant(length).await;
                    reply(&inputs, Event::Granted(result.map_err(|error| failure(&error, &complaint)))).await;
                });
            }
            Command::Renew(lease) => {
                calls.spawn(async move {
                    let result = store.renew(lease).await;
                    reply(&inputs, Event::Renewed(result.map_err(|error| failure(&error, &complaint)))).await;
                });
            }
            Command::Relist => self.relist.notify_one(),
            Command::Order { component, order } => self.databases.order(&component, order),
            Command::Confirm { component, epoch, until } => self.databases.confirm(&component, epoch, until),
            Command::Compute { component, duty } => {
                self.processes.assign(&component, duty);
                self.deployments.assign(&component, duty);
            }
            Command::Serve(routes) => {
                self.deployments.serve(&routes);
                self.serial = self.serial.wrapping_add(1);
                match names::zones(&self.app, &routes, self.serial) {
                    Ok(zones) => {
                        self.zones.send_replace(zones);
                        self.answers.send_replace(routes);
                    }
                    Err(why) => tracing::error!("the old answers are still served: {why}"),
                }
            }
            Command::Journaled(entry) => {
                let component = entry.component.as_ref().map(ComponentId::as_str).unwrap_or_default();
                tracing::info!(component, epoch = entry.epoch.map(|e| e.0), "{}: {}", entry.what, entry.why);
            }
            Command::AskPeers { round, question } => self.peers.ask(round, &question, &inputs, calls),
            // Whoever asked may have gone.
            Command::AnswerPeer { ticket, answers: answer } => {
                let _ = answers.peers.remove(&ticket).map(|sender| sender.send(answer));
            }
            Command::Answer { ticket, answer } => {
                let _ = answers.people.remove(&ticket).map(|sender| sender.send(answer));
            }
        }
    }
}

async fn reply(inputs: &mpsc::Sender<Input>, event: Event) {
    // The brain's task has ended: nobody is left to be told.
    let _ = inputs.send(Input::Event(event)).await;
}

fn failure(error: &StoreError, complaint: &Complaint) -> StoreFailure {
    match error {
        StoreError::LeaseGone => StoreFailure::LeaseGone,
        StoreError::Unreachable { executed: Executed::No, .. } => StoreFailure::NotExecuted,
        StoreError::Unreachable { executed: Executed::Unknown, .. } => StoreFailure::Unknown,
        StoreError::Compacted | StoreError::Corrupt { .. } | StoreError::Invalid(_) => {
            complaint.warn(&format!("the state store refuses: {error}"));
            StoreFailure::NotExecuted
        }
    }
}

/// How long is waited after the store could not be read.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// Feeds the store's state and its changes to the brain; begins anew when asked to, and when there is a gap.
pub async fn follow_store(store: Arc<dyn Store>, inputs: mpsc::Sender<Input>, relist: Arc<Notify>) {
    let complaint = Complaint::default();
    loop {
        let (revision, entries) = match store.list(record::STATE).await {
            Ok(listed) => listed,
            Err(error) => {
                complaint.warn(&error.to_string());
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let mut watch = match store.watch(record::STATE, revision).await {
            Ok(watch) => watch,
            Err(error) => {
                complaint.warn(&error.to_string());
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        complaint.is_settled();
        if inputs.send(Input::Event(Event::Snapshot { revision, entries })).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = relist.notified() => break,
                changes = watch.next() => match changes {
                    Ok(changes) => {
                        if inputs.send(Input::Event(Event::Changes(changes))).await.is_err() {
                            return;
                        }
                    }
                    Err(StoreError::Unreachable { .. }) => tokio::time::sleep(AFTER_ERROR).await,
                    Err(error) => {
                        tracing::warn!("the store is read anew: {error}");
                        break;
                    }
                },
            }
        }
    }
}
