//! A collection of the cluster, kept up to date here: listed once, then followed by its changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{ApiError, Change, Client};
use crate::object::{Meta, Object};

/// After how many seconds the server is to end a watch, so that one that goes nowhere does not last.
const WATCH_SECONDS: u32 = 240;
/// A watch in which for so long nothing came, not even the server's end of it, goes nowhere.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// How long is waited after an error; twice as long after each further one, up to the longest.
const AFTER_ERROR: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A watch that ends sooner is none: the next one is waited for as after an error.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// The objects by name; `Err`: why they are not known.
pub type Objects<T> = Result<Arc<BTreeMap<String, T>>, ApiError>;

#[derive(Deserialize)]
struct List<T> {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

/// Keeps `into` as the collection at `path` is, for as long as somebody listens.
pub async fn keep<T>(client: Arc<Client>, path: String, into: watch::Sender<Objects<T>>)
where
    T: Object + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let mut wait = AFTER_ERROR;
    while !into.is_closed() {
        let error = match list::<T>(&client, &path).await {
            Ok((objects, version)) => {
                drop(into.send_replace(Ok(Arc::new(objects))));
                let began = Instant::now();
                let error = follow(&client, &path, version, &into).await;
                if began.elapsed() >= LONGEST_WAIT {
                    wait = AFTER_ERROR;
                }
                error
            }
            Err(error) => error,
        };
        match error {
            // Too much has happened meanwhile: what is known stays until the new list is there.
            ApiError::Gone => {}
            ApiError::Throttled(pause) => {
                sleep(pause).await;
                continue;
            }
            error => {
                tracing::debug!("{path}: {error}");
                drop(into.send_replace(Err(error)));
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// All of it, page by page, and as of which version.
async fn list<T: Object + DeserializeOwned>(
    client: &Client,
    path: &str,
) -> Result<(BTreeMap<String, T>, String), ApiError> {
    let mut objects = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page: List<T> = client.get(&format!("{path}?limit={PAGE}{next}")).await?;
        objects.extend(page.items.into_iter().map(|object| (object.meta().name.clone(), object)));
        if page.metadata.r#continue.is_empty() {
            return Ok((objects, page.metadata.resource_version));
        }
        next = format!("&continue={}", escaped(&page.metadata.r#continue));
    }
}

/// Follows the changes, through any number of watches, until something goes wrong; `Gone` where what is known may stay.
async fn follow<T>(client: &Client, path: &str, mut version: String, into: &watch::Sender<Objects<T>>) -> ApiError
where
    T: Object + DeserializeOwned + Clone,
{
    loop {
        let mut lines = match client.watch(path, &version, WATCH_SECONDS).await {
            Ok(lines) => lines,
            Err(ApiError::Throttled(pause)) => {
                sleep(pause).await;
                continue;
            }
            Err(error) => return error,
        };
        let began = Instant::now();
        loop {
            let change = tokio::select! {
                change = timeout(SILENCE, lines.next()) => change,
                () = into.closed() => return ApiError::Gone,
            };
            match change {
                Ok(Ok(Some(change))) => match take(change, &mut version, into) {
                    Ok(()) => {}
                    Err(error) => return error,
                },
                // The server ends a watch from time to time, or has gone: the next one tells.
                Ok(Ok(None)) | Err(_) if began.elapsed() >= SHORTEST_WATCH => break,
                Ok(Ok(None)) | Err(_) => return ApiError::Gone,
                Ok(Err(error @ ApiError::Unreachable(_))) if began.elapsed() >= SHORTEST_WATCH => {
                    tracing::debug!("{path}: {error}");
                    break;
                }
                Ok(Err(error)) => return error,
            }
        }
    }
}

fn take<T>(change: Change, version: &mut String, into: &watch::Sender<Objects<T>>) -> Result<(), ApiError>
where
    T: Object + DeserializeOwned + Clone,
{
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Bookmark {
        metadata: Meta,
    }
    fn read<T: DeserializeOwned>(object: Value) -> Result<T, ApiError> {
        serde_json::from_value(object)
            .map_err(|error| ApiError::Unreachable(format!("a watch brought something else: {error}")))
    }
    let edit = |edit: &dyn Fn(&mut BTreeMap<String, T>)| {
        into.send_modify(|objects| {
            if let Ok(objects) = objects {
                edit(Arc::make_mut(objects));
            }
        });
    };
    match change_of(change) {
        (Some(is_there), object) => {
            let object: T = read(object)?;
            version.clone_from(&object.meta().resource_version);
            let name = object.meta().name.clone();
            if is_there {
                edit(&|objects| drop(objects.insert(name.clone(), object.clone())));
            } else {
                edit(&|objects| drop(objects.remove(&name)));
            }
        }
        (None, bookmark) => version.clone_from(&read::<Bookmark>(bookmark)?.metadata.resource_version),
    }
    Ok(())
}

/// Whether the object is there after the change; `None`: only the version has moved on.
fn change_of(change: Change) -> (Option<bool>, Value) {
    match change {
        Change::Added(object) | Change::Modified(object) => (Some(true), object),
        Change::Deleted(object) => (Some(false), object),
        // Errors end the watch before they come here.
        Change::Bookmark(object) | Change::Error(object) => (None, object),
    }
}

/// As a value in a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
