//! Health checks: HTTP, TCP, PostgreSQL.
