//! Which service can be had in which region.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_model::app::Place;

use crate::table::{DataError, rows};

/// A provider's service that a component may need in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Aurora; the data say only that Aurora exists there, not that its global databases do.
    AuroraGlobal,
    /// Amazon RDS for PostgreSQL.
    Rds,
    /// DynamoDB; the data say only that DynamoDB exists there.
    Dynamodb,
    /// Amazon S3.
    S3,
    /// Amazon EC2 virtual machines.
    Ec2,
    /// EC2 Auto Scaling.
    Autoscaling,
    /// Amazon ECS.
    Ecs,
    /// Amazon EKS.
    Eks,
    /// Azure SQL Database.
    AzureSql,
    /// Azure Cosmos DB.
    Cosmosdb,
    /// Azure Database for PostgreSQL flexible server.
    AzurePostgres,
    /// Azure Storage.
    AzureStorage,
    /// Azure virtual machines of any kind.
    Vmss,
    /// Azure Kubernetes Service.
    Aks,
}

impl Service {
    /// Whether AWS offers it; the others are Azure's.
    pub const fn is_of_aws(self) -> bool {
        match self {
            Self::AuroraGlobal
            | Self::Rds
            | Self::Dynamodb
            | Self::S3
            | Self::Ec2
            | Self::Autoscaling
            | Self::Ecs
            | Self::Eks => true,
            Self::AzureSql | Self::Cosmosdb | Self::AzurePostgres | Self::AzureStorage | Self::Vmss | Self::Aks => {
                false
            }
        }
    }

    /// All of them, AWS first.
    pub const ALL: [Self; 14] = [
        Self::AuroraGlobal,
        Self::Rds,
        Self::Dynamodb,
        Self::S3,
        Self::Ec2,
        Self::Autoscaling,
        Self::Ecs,
        Self::Eks,
        Self::AzureSql,
        Self::Cosmosdb,
        Self::AzurePostgres,
        Self::AzureStorage,
        Self::Vmss,
        Self::Aks,
    ];

    /// The name in the data file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuroraGlobal => "aurora-global",
            Self::Rds => "rds-postgres",
            Self::Dynamodb => "dynamodb-global-tables",
            Self::S3 => "s3",
            Self::Ec2 => "ec2",
            Self::Autoscaling => "ec2-autoscaling",
            Self::Ecs => "ecs",
            Self::Eks => "eks",
            Self::AzureSql => "azure-sql",
            Self::Cosmosdb => "cosmosdb",
            Self::AzurePostgres => "azure-postgres-flexible",
            Self::AzureStorage => "storage",
            Self::Vmss => "vmss",
            Self::Aks => "aks",
        }
    }
}

/// Whether a service can be had, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Yes {
        /// Who says so.
        basis: Arc<str>,
    },
    /// It cannot.
    No {
        /// Who says so.
        basis: Arc<str>,
    },
    /// The atlas has no row.
    Unknown,
}

#[derive(Default)]
pub(crate) struct Services {
    rows: BTreeMap<(Place, String), (bool, Arc<str>)>,
}

impl Services {
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let mut services = Self::default();
        rows("service_regions.csv", text, |row| {
            // Global services (DNS) are in no region.
            let Some(place) = crate::place(row.text("region")?) else { return Ok(()) };
            let available = row.required("available")?;
            services.rows.insert((place, row.required("service")?), (available, row.text("basis")?.into()));
            Ok(())
        })?;
        Ok(services)
    }

    pub(crate) fn offers(&self, place: &Place, service: Service) -> Availability {
        match self.rows.get(&(place.clone(), service.as_str().into())) {
            Some((true, basis)) => Availability::Yes { basis: basis.clone() },
            Some((false, basis)) => Availability::No { basis: basis.clone() },
            None => Availability::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Atlas, at};

    #[test]
    fn every_service_has_rows() {
        let atlas = Atlas::embedded();
        for service in Service::ALL {
            assert!(
                atlas.regions().any(|region| matches!(atlas.offers(&region.place, service), Availability::Yes { .. })),
                "{}",
                service.as_str()
            );
        }
        assert_eq!(atlas.offers(&at("local/a"), Service::Ec2), Availability::Unknown);
        assert_eq!(atlas.offers(&at("aws/eu-north-1"), Service::Aks), Availability::Unknown);
    }
}
