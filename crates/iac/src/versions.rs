//! Versions of what is made: the newest that every region has, and the same in every region, because members of
//! different versions cannot switch over.

/// Aurora PostgreSQL.
pub(crate) const AURORA_POSTGRESQL: &str = "16.8";
/// RDS for PostgreSQL.
pub(crate) const POSTGRESQL: &str = "16.8";
/// PostgreSQL flexible server: Azure names major versions only.
pub(crate) const AZURE_POSTGRESQL: &str = "16";
/// AKS: upstream supports it until the middle of 2027; a version that has ended can be made with long-term support only.
pub(crate) const AKS: &str = "1.36";
/// EKS.
pub(crate) const KUBERNETES: &str = "1.33";
