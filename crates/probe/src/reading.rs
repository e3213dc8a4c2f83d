//! What is asked, and what was seen.

use std::net::SocketAddr;
use std::time::Duration;

use lifeboat_model::Moment;

use crate::tls::Authorities;

/// What a probe asks. Each probe makes a connection of its own, for a kept one proves less: that no new client could
/// connect would stay unseen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A GET by HTTP/1.1 whose status must be 2xx.
    Http {
        /// Where the server listens.
        address: SocketAddr,
        /// The `Host` header.
        host: String,
        /// The path, from `/` on, with its query.
        path: String,
    },
    /// The same by TLS 1.2 or 1.3, with a certificate that is valid now, for this host, and of a trusted authority.
    /// Whatever is wrong with it is [`Evidence::Bad`]: clients would turn away.
    Https {
        /// Where the server listens.
        address: SocketAddr,
        /// A DNS name or an IP address: what the certificate must be for, and the `Host` header.
        host: String,
        /// The path, from `/` on, with its query.
        path: String,
        /// Who may have signed the certificate.
        ca: Authorities,
    },
    /// A connection that is accepted. This shows that the kernel listens, and no more: it accepts for a process that
    /// stands still, too. Not for PostgreSQL, which logs each such connection, because it ends by a reset.
    Tcp {
        /// Where the server listens.
        address: SocketAddr,
    },
    /// A PostgreSQL server that says whether it speaks TLS (an `SSLRequest`). That answer comes from a process which
    /// the postmaster forks for it, so unlike a mere connection it shows that the postmaster runs; it comes during
    /// start-up, recovery and shutdown too, and is a sign of life, not of readiness. With a server that offers TLS each
    /// probe leaves a line in its log, with another one it leaves no trace.
    Postgres {
        /// Where the server listens.
        address: SocketAddr,
    },
}

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It answers as it should.
    Ok {
        /// The answer, for people.
        detail: String,
    },
    /// The connection was refused or reset: the host lives, the process does not listen.
    Refused,
    /// No route, no connection or no answer within the time-out.
    Silent,
    /// It answers, but not as it should: alive and unwell.
    Bad {
        /// What was wrong, for people.
        detail: String,
    },
    /// We could not look properly, for a reason of our own: no descriptors, ports or memory, a source address that is
    /// not ours, or we stood still ourselves. Never evidence of a failure.
    NotObserved {
        /// The reason, for people.
        detail: String,
    },
}

/// One probe's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<K> {
    /// Which target.
    pub target: K,
    /// What was seen.
    pub evidence: Evidence,
    /// When the probe began.
    pub started: Moment,
    /// How long it took until the evidence was there.
    pub took: Duration,
}
