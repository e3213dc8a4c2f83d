//! An example app: an HTTP order service that knows nothing of Lifeboat.
//!
//! `shop --db URL --listen ADDRESS:PORT` keeps orders in PostgreSQL. It says 201 to an order only when the server has
//! confirmed its commit without reservation; what it cannot be sure of it answers with 503. This file reads the
//! command line and starts the parts: [`pool`] holds the connections, [`orders`] the SQL, [`http`] what is asked and
//! answered, [`server`] the sockets.

/// Says something on standard error. A full disk or a closed pipe must not end the service, as `eprintln!` would.
macro_rules! say {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "shop: {}", format_args!($($message)*));
    }};
}

mod http;
mod orders;
mod pool;
mod server;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::pool::Pool;

/// An HTTP order service on PostgreSQL.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// PostgreSQL to keep the orders in: postgresql://USER:PASSWORD@HOST:PORT/DATABASE (without TLS).
    #[arg(long, env = "SHOP_DB", hide_env_values = true, value_name = "URL")]
    db: String,
    /// Where to serve HTTP.
    #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: String,
    /// How long a request may take, in milliseconds; then the answer is 503 and the outcome unknown.
    #[arg(long, env = "SHOP_DEADLINE", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=60_000), value_name = "MS")]
    deadline: u64,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("--db is not a PostgreSQL URL: {0}")]
    Url(#[source] tokio_postgres::Error),
    #[error("cannot listen on {0}: {1}")]
    Listen(String, #[source] io::Error),
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    let config = arguments.db.parse::<tokio_postgres::Config>().map_err(Error::Url)?;
    let listener =
        TcpListener::bind(&arguments.listen).await.map_err(|e| Error::Listen(arguments.listen.clone(), e))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let address = listener.local_addr().map_or(arguments.listen, |address| address.to_string());
    say!("serving on http://{address}");

    let (pool, keepers) = Pool::open(config);
    let router = http::router(pool, Duration::from_millis(arguments.deadline));
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    server::serve(listener, router, stop).await;
    drop(keepers);
    say!("stopped");
    Ok(())
}
