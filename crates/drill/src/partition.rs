//! Asking the side that is cut off: orders placed inside its region, which reach nobody but its own app. What it acknowledges there has
//! to be kept like everything else; with nobody to confirm its commits it acknowledges nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::time::{sleep, timeout};

use crate::client::Acknowledged;
use crate::drill::Facts;
use crate::http::Connection;
use crate::world::World;
use crate::{Error, clock};

/// Orders from inside have numbers of their own, beyond any that the client comes to.
const FIRST: u64 = 1 << 40;
/// An order that takes longer is given up. Shorter than the client's limit, so that more are asked.
const ORDER_TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub placed: u64,
    pub acknowledged: Vec<Acknowledged>,
}

/// Somebody inside the region who places orders. Dropping it lets the thread end after its next order.
pub(crate) struct Asking {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<Asked>>>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Asking {
    /// Begins to place orders in the home region, from inside it.
    pub(crate) fn start(world: &World, facts: &Facts, prefix: String) -> Result<Self, Error> {
        let unsuitable = |why: &str| Error::Unsuitable(why.into());
        let network = world.network().ok_or_else(|| unsuitable("its regions share one network"))?;
        let address =
            *facts.addresses.get(&facts.home).ok_or_else(|| unsuitable("the writer's region has no address"))?;
        let (at, host) = (SocketAddr::new(address, facts.port), facts.host.to_string());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = network
            .within(&facts.home, move || place_orders(at, &host, &prefix, &stopped))
            .map_err(Error::io("cannot look into the network of", facts.home.as_str()))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it, and says what came of it.
    pub(crate) async fn stop(mut self) -> Asked {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Asked::default() };
        // A thread that could not enter the region has placed no orders, which the timeline shows.
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .ok()
            .and_then(Result::ok)
            .and_then(Result::ok)
            .unwrap_or_default()
    }
}

fn place_orders(at: SocketAddr, host: &str, prefix: &str, stop: &AtomicBool) -> Asked {
    let mut asked = Asked::default();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return asked };
    runtime.block_on(async {
        while !stop.load(Ordering::Relaxed) {
            let number = FIRST + asked.placed;
            asked.placed += 1;
            let id = format!("{prefix}-{number}");
            if let Ok(Some(order)) = timeout(ORDER_TIMEOUT, place(at, host, number, &id)).await {
                asked.acknowledged.push(order);
            }
            sleep(PAUSE).await;
        }
    });
    asked
}

async fn place(at: SocketAddr, host: &str, number: u64, id: &str) -> Option<Acknowledged> {
    let body = serde_json::to_vec(&serde_json::json!({"id": id, "item": "a seat in the boat"})).ok()?;
    let sent = clock::now();
    let mut connection = Connection::open(at, host).await.ok()?;
    let (status, _) = connection.request(Method::POST, "/orders", None, Some(body)).await.ok()?;
    let address: IpAddr = at.ip();
    (status == StatusCode::CREATED).then(|| Acknowledged { number, sent, at: clock::now(), address })
}
