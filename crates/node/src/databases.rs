//! This region's databases: a driver for each, fed with orders, its reports fed to the brain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_control::Event;
use lifeboat_driver_postgres::{Config, Postgres, Secrets};
use lifeboat_model::app::{Component, Kind};
use lifeboat_model::database::{Action, Order};
use lifeboat_model::{ComponentId, Epoch, Moment};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::history::History;
use crate::mind::Input;
use crate::options::Options;
use crate::shared::secrets_directory;

/// Where PostgreSQL listens unless the file says otherwise.
pub const POSTGRES_PORT: u16 = 5432;
/// How often a driver looks at its server when nothing happens.
const OBSERVE: Duration = Duration::from_millis(100);

/// This region's databases.
#[derive(Debug, Default)]
pub struct Databases {
    drivers: BTreeMap<ComponentId, Driver>,
}

#[derive(Debug)]
struct Driver {
    postgres: std::sync::Arc<Postgres>,
    orders: mpsc::Sender<Order>,
}

impl Databases {
    /// Takes charge of what is here; starts no server.
    pub async fn open(
        options: &Options,
        history: &Arc<History>,
        inputs: &mpsc::Sender<Input>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Error> {
        let mut drivers = BTreeMap::new();
        for (id, component) in options.app.databases() {
            let copies = copies(component, options);
            let Some(own) = copies.get(&options.region).copied() else { continue };
            if component.kind != Kind::Postgres {
                continue; // People move it, or nobody has to: there is nothing to drive.
            }
            let failed = |source| Error::Database { component: id.clone(), source };
            let secrets =
                Secrets::load_or_create(&secrets_directory(&options.directory)?.join(id.as_str())).map_err(failed)?;
            let config = Config {
                region: options.region.clone(),
                database: id.clone(),
                directory: options.region_directory().join(id.as_str()),
                address: own.ip(),
                port: own.port(),
                peers: copies.into_iter().filter(|(region, _)| *region != options.region).collect(),
                secrets,
                bin: None,
                observe_every: OBSERVE,
                overrides: BTreeMap::new(),
            };
            let postgres = std::sync::Arc::new(Postgres::open(config).await.map_err(failed)?);
            let (orders, receiver) = mpsc::channel(1);
            // On a thread of its own: what a driver does while it carries out an order may block.
            let (runtime, obedient) =
                (Handle::current(), (id.clone(), postgres.clone(), history.clone(), inputs.clone()));
            tasks.spawn_blocking(move || {
                let (id, postgres, history, inputs) = obedient;
                runtime.block_on(obey(id, postgres, receiver, &history, inputs));
            });
            tasks.spawn(report(id.clone(), postgres.clone(), inputs.clone()));
            drivers.insert(id.clone(), Driver { postgres, orders });
        }
        Ok(Self { drivers })
    }

    /// Gives an order; the brain gives the next one only when this has ended.
    pub fn order(&self, component: &ComponentId, order: Order) {
        if let Some(driver) = self.drivers.get(component)
            && let Err(refused) = driver.orders.try_send(order)
        {
            tracing::error!(%component, "an order was given while another was under way: {refused}");
        }
    }

    /// Lets the commit gate confirm until then.
    pub fn confirm(&self, component: &ComponentId, epoch: Epoch, until: Option<Moment>) {
        if let Some(driver) = self.drivers.get(component) {
            driver.postgres.confirm(epoch, until);
        }
    }

    /// Where the application of this region connects, by the name of the variable that tells it.
    pub fn urls(&self) -> BTreeMap<String, String> {
        self.drivers.iter().map(|(id, driver)| (url_variable(id), driver.postgres.application_url())).collect()
    }

    /// Stops every server at once: only for rehearsals, whose data are thrown away.
    pub async fn stop_all(&self) {
        for (id, driver) in &self.drivers {
            let epoch = driver.postgres.states().borrow().epoch;
            if let Err(refusal) = driver.postgres.act(Order { epoch, action: Action::Stop { clean: false } }).await {
                tracing::warn!(component = %id, "not stopped: {refusal}");
            }
        }
    }
}

/// `ORDERS_URL` for `orders`.
fn url_variable(id: &ComponentId) -> String {
    format!("{}_URL", id.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// Every copy of a database, and where its server listens.
pub fn copies(component: &Component, options: &Options) -> BTreeMap<lifeboat_model::RegionId, SocketAddr> {
    let port = component.port.unwrap_or(POSTGRES_PORT);
    let regions = component.writer.iter().chain(component.standbys.keys());
    regions
        .filter_map(|region| Some((region.clone(), SocketAddr::new(options.app.regions.get(region)?.address?, port))))
        .collect()
}

async fn obey(
    id: ComponentId,
    postgres: std::sync::Arc<Postgres>,
    mut orders: mpsc::Receiver<Order>,
    history: &History,
    inputs: mpsc::Sender<Input>,
) {
    while let Some(order) = orders.recv().await {
        tracing::info!(component = %id, epoch = %order.epoch, action = ?order.action, "ordered");
        let (begun, action) = (Instant::now(), order.action.clone());
        let result = postgres.act(order).await;
        if result.is_ok() {
            history.order_done(&id, &action, begun.elapsed());
        }
        let state = postgres.states().borrow().clone();
        // First how things are, then that the order has ended: what is decided next rests on both.
        for event in
            [Event::Database { component: id.clone(), state }, Event::OrderDone { component: id.clone(), result }]
        {
            if inputs.send(Input::Event(event)).await.is_err() {
                return;
            }
        }
    }
}

async fn report(id: ComponentId, postgres: std::sync::Arc<Postgres>, inputs: mpsc::Sender<Input>) {
    let mut states = postgres.states();
    states.mark_changed();
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if inputs.send(Input::Event(Event::Database { component: id.clone(), state })).await.is_err() {
            return;
        }
    }
}
