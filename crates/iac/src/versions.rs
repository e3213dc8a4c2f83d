//! Versions of what is made: the newest that every region has, and the same in every region, because members of
//! different versions cannot switch over.

/// Aurora PostgreSQL: a release with long-term support.
pub(crate) const AURORA_POSTGRESQL: &str = "16.8";
/// RDS for PostgreSQL: the newest minor version at creation. A named one can no longer be made once AWS stops to support it.
pub(crate) const POSTGRESQL: &str = "16";
/// The same where a minor version has to be named.
pub(crate) const POSTGRESQL_MINOR: &str = "16.13";
/// PostgreSQL flexible server: Azure names major versions only.
pub(crate) const AZURE_POSTGRESQL: &str = "16";
/// EKS and AKS: the newest that both support as a matter of course.
pub(crate) const KUBERNETES: &str = "1.35";
