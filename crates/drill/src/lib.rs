//! Drills: a fault on real servers, a client that remembers, a measured report.
