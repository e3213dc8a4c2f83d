//! What a component costs per month in a region: quantities of a few fixed kinds of item, times the prices there.
//!
//! The optimiser and the report use the same quantities and prices, so that they cannot disagree. An unknown price stays
//! unknown in the report; only for comparing regions and patterns a stand-in takes its place (the dearest known price of
//! the same thing, else a guess per kind), so that ignorance never makes a choice look cheap.

use std::collections::BTreeSet;

use lifeboat_atlas::{Atlas, Figure, Price, PriceBook, Zones};
use lifeboat_model::app::{Component, Kind, Place, Provider};
use lifeboat_model::compute::full;
use lifeboat_model::fargate::Task;
use schemars::JsonSchema;
use serde::Serialize;

/// Hours that providers count in a month.
pub const HOURS_PER_MONTH: f64 = 730.0;
/// Days that are counted in a month.
pub const DAYS_PER_MONTH: f64 = 30.0;
/// Assumed for comparisons where the file gives no `size.storage`, in GB.
const ASSUMED_STORAGE_GB: f64 = 100.0;
/// Assumed for comparisons where the file gives no `size.writes`, in GB a day.
const ASSUMED_WRITES_GB: f64 = 1.0;
const GB: f64 = 1e9;

/// A kind of item on the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// Machines, vCores or throughput.
    Compute,
    /// Software licences of databases.
    Licence,
    /// A Kubernetes control plane.
    Cluster,
    /// Storage of data.
    Storage,
    /// Storage of backups.
    Backup,
    /// Writes that a managed database replicates, where they are billed by number.
    Writes,
    /// Health checks of a route in a region.
    HealthCheck,
    /// Memory, where it is billed apart from processors.
    Memory,
    /// What storage costs more because it is copied to another region.
    GeoStorage,
    /// The same where it can be read there.
    GeoReadable,
    /// What health checks cost more for being as they are generated: HTTPS, and every ten seconds.
    HealthCheckOption,
    /// Requests of a managed database that are billed by number.
    Requests,
    /// Traffic between regions.
    Traffic,
    /// Names: zones and queries.
    Dns,
}

impl Item {
    /// The items that have a price per place, in the order of [`Quantities`].
    pub const PER_PLACE: [Self; SLOTS] = [
        Self::Compute,
        Self::Licence,
        Self::Cluster,
        Self::Storage,
        Self::Backup,
        Self::Writes,
        Self::HealthCheck,
        Self::Memory,
        Self::GeoStorage,
        Self::GeoReadable,
        Self::HealthCheckOption,
        Self::Requests,
    ];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Licence => "licence",
            Self::Cluster => "cluster",
            Self::Storage => "storage",
            Self::Backup => "backup",
            Self::Writes => "replicated writes",
            Self::HealthCheck => "health checks",
            Self::Memory => "memory",
            Self::GeoStorage | Self::GeoReadable => "geo-redundancy",
            Self::HealthCheckOption => "health check options",
            Self::Requests => "requests",
            Self::Traffic => "replication traffic",
            Self::Dns => "DNS",
        }
    }
}

/// How many items have a price per place.
pub const SLOTS: usize = 12;

/// How much of each item of [`Item::PER_PLACE`], in the unit of its SKU and, for items billed by the hour, at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantities(pub [f64; SLOTS]);

impl Quantities {
    /// With so much of one item.
    #[must_use]
    pub fn with(mut self, item: Item, amount: f64) -> Self {
        if let Some(slot) = Item::PER_PLACE.iter().position(|known| *known == item) {
            self.0[slot] += amount;
        }
        self
    }
}

/// Why nothing is known of what depends on how much is written.
pub const NO_WRITES: &str = "the file gives no `size.writes`";

/// Which price an item needs.
#[derive(Clone, Debug)]
pub struct Sku {
    /// The name in the price book.
    pub name: String,
    /// Whether sizes of one family scale ([`PriceBook::instance`]).
    scales: bool,
    /// Units per month and quantity: [`HOURS_PER_MONTH`] for what is billed by the hour.
    pub per_month: f64,
    /// The unit in words.
    pub unit: &'static str,
    /// What is paid already, and taken off.
    less: Option<&'static str>,
    /// USD per unit for comparisons where no price of it is known anywhere: a guess that is never shown as a price.
    stand_in: f64,
}

/// What a component's file entry says of its size, in the terms of the bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Machines, vCores, vCPUs of tasks, or hundreds of RU/s in the region that serves.
    pub compute: f64,
    /// GiB, where memory is billed apart.
    pub memory_gb: f64,
    /// GB
    pub storage_gb: f64,
    /// GB changed in a month.
    pub writes_gb: f64,
    /// For each item, what the file does not say that it takes to know its quantity or SKU.
    missing: [Option<&'static str>; SLOTS],
    /// `size.writes` is not given.
    pub writes_missing: bool,
}

impl Measure {
    /// Reads the component's size.
    #[expect(clippy::cast_precision_loss, reason = "sizes need no 53 bits")]
    pub fn of(component: &Component) -> Self {
        let size = &component.size;
        let mut missing = [None; SLOTS];
        let mut lacks = |items: &[Item], what: &'static str| {
            for (item, slot) in Item::PER_PLACE.iter().zip(&mut missing) {
                if items.contains(item) {
                    *slot = Some(what);
                }
            }
        };
        let count = f64::from(full(component));
        let task = (component.kind == Kind::Ecs).then(|| Task::of(size.instance.as_deref()));
        let compute = match component.kind {
            Kind::AzureSql => size.instance.as_deref().and_then(azure_sql_vcores).map(|vcores| vcores * count),
            Kind::Cosmosdb => size.request_units().map(|units| units as f64 / 100.0),
            Kind::Dynamodb | Kind::S3 | Kind::AzureStorage => Some(0.0),
            Kind::Ecs => task.map(|task| f64::from(task.cpu) / 1024.0 * count),
            _ => size.instance.as_ref().map(|_| count),
        };
        let compute = compute.unwrap_or_else(|| {
            lacks(&[Item::Compute, Item::Licence], "the file gives no `size.instance`");
            if component.kind == Kind::Cosmosdb { 4.0 } else { count }
        });
        if size.storage.is_none() {
            lacks(
                &[Item::Storage, Item::Backup, Item::GeoStorage, Item::GeoReadable],
                "the file gives no `size.storage`",
            );
        }
        if size.writes_per_day.is_none() {
            lacks(&[Item::Writes, Item::Requests], NO_WRITES);
        }
        if component.kind == Kind::AuroraGlobal {
            lacks(&[Item::Requests], "how many I/O requests it makes is not in the file, and not known before it runs");
        }
        Self {
            compute,
            memory_gb: task.map_or(0.0, |task| f64::from(task.memory) / 1024.0 * count),
            storage_gb: size.storage.map_or(ASSUMED_STORAGE_GB, |bytes| bytes as f64 / GB),
            writes_gb: size.writes_per_day.map_or(ASSUMED_WRITES_GB, |bytes| bytes as f64 / GB) * DAYS_PER_MONTH,
            missing,
            writes_missing: size.writes_per_day.is_none(),
        }
    }
}

/// `GP_Gen5_4`, `BC_Gen5_8`
fn azure_sql_vcores(instance: &str) -> Option<f64> {
    let (tier, cores) = instance.rsplit_once('_')?;
    matches!(tier, "GP_Gen5" | "BC_Gen5").then(|| cores.parse().ok()).flatten()
}

/// Which SKU an item of a component is billed by in a place; `None`: it is not billed.
pub fn sku(component: &Component, item: Item, place: &Place) -> Option<Sku> {
    let provider = place.provider;
    let hourly = |name: String, stand_in| Sku {
        scales: true,
        name,
        per_month: HOURS_PER_MONTH,
        unit: "hour",
        less: None,
        stand_in,
    };
    let monthly = |name: &str, unit, stand_in| Sku {
        name: name.into(),
        scales: false,
        per_month: 1.0,
        unit,
        less: None,
        stand_in,
    };
    let fixed_hourly = |name: &str, stand_in| Sku { scales: false, ..hourly(name.into(), stand_in) };
    let instance = component.size.instance.as_deref().unwrap_or("?");
    let machine = || match provider {
        Provider::Aws => hourly(format!("ec2/{instance}"), 0.10),
        Provider::Azure => hourly(format!("vm/{instance}"), 0.10),
        Provider::Local | Provider::Kubernetes => hourly("machine".into(), 0.05),
    };
    let disk = || match provider {
        Provider::Aws => monthly("ebs-gp3", "GB-month", 0.09),
        Provider::Azure => monthly("managed-disk", "GB-month", 0.09),
        Provider::Local | Provider::Kubernetes => monthly("disk", "GB-month", 0.05),
    };
    let object_storage = || match provider {
        Provider::Aws => monthly("s3-standard-storage-first-50tb", "GB-month", 0.03),
        Provider::Azure => monthly("blob-hot-lrs", "GB-month", 0.025),
        Provider::Local | Provider::Kubernetes => monthly("object-storage", "GB-month", 0.02),
    };
    // Zone-redundant at home where there are zones: as it is generated.
    let zoned = || Atlas::embedded().region(place).is_some_and(|facts| facts.zones != Zones::None);
    let over_local = |name: &str, stand_in| Sku { less: Some("blob-hot-lrs"), ..monthly(name, "GB-month", stand_in) };
    let task = || Task::of(component.size.instance.as_deref()).architecture.to_lowercase().replace("x86_64", "x86");
    match item {
        Item::Traffic | Item::Dns => None,
        Item::Memory => (component.kind == Kind::Ecs).then(|| fixed_hourly(&format!("fargate-{}-gb", task()), 0.005)),
        Item::GeoStorage | Item::GeoReadable if component.kind != Kind::AzureStorage => None,
        Item::GeoStorage if zoned() => Some(over_local("blob-hot-gzrs", 0.03)),
        Item::GeoStorage => Some(over_local("blob-hot-grs", 0.025)),
        Item::GeoReadable if zoned() => Some(over_local("blob-hot-ra-gzrs", 0.04)),
        Item::GeoReadable => Some(over_local("blob-hot-ra-grs", 0.035)),
        // Nodes are checked by address, so they count as endpoints of others, which is the dearer.
        Item::HealthCheck => match provider {
            Provider::Aws => Some(monthly("route53-health-check-other-endpoint", "check-month", 1.0)),
            Provider::Azure => Some(monthly("traffic-manager-health-check-external-endpoint", "check-month", 1.0)),
            Provider::Local | Provider::Kubernetes => None,
        },
        Item::HealthCheckOption => match provider {
            Provider::Aws => Some(monthly("route53-health-check-option-other-endpoint", "option-month", 2.0)),
            Provider::Azure => Some(monthly("traffic-manager-fast-check-external-endpoint", "check-month", 2.0)),
            Provider::Local | Provider::Kubernetes => None,
        },
        Item::Requests => match component.kind {
            Kind::AuroraGlobal => Some(monthly("aurora-io-requests", "million", 0.20)),
            Kind::Dynamodb => Some(monthly("dynamodb-on-demand-write", "million", 0.70)),
            _ => None,
        },
        Item::Compute => Some(match component.kind {
            Kind::AuroraGlobal => hourly(format!("aurora-postgresql/{instance}"), 0.30),
            Kind::Rds => hourly(format!("rds-postgres/{instance}"), 0.25),
            Kind::AzureSql if instance.starts_with("BC") => fixed_hourly("sql-bc-gen5-vcore-compute", 0.35),
            Kind::AzureSql => fixed_hourly("sql-gp-gen5-vcore-compute", 0.18),
            Kind::Cosmosdb => fixed_hourly("cosmosdb-provisioned-100-ru", 0.01),
            Kind::AzurePostgres => hourly(format!("postgres-flexible/{instance}"), 0.20),
            Kind::Dynamodb | Kind::S3 | Kind::AzureStorage => return None,
            Kind::Ecs => fixed_hourly(&format!("fargate-{}-vcpu", task()), 0.05),
            Kind::Postgres | Kind::Process | Kind::Asg | Kind::Eks | Kind::Vmss | Kind::Aks | Kind::Deployment => {
                machine()
            }
        }),
        Item::Licence => match component.kind {
            Kind::AzureSql if instance.starts_with("BC") => Some(fixed_hourly("sql-bc-gen5-vcore-licence", 0.30)),
            Kind::AzureSql => Some(fixed_hourly("sql-gp-gen5-vcore-licence", 0.10)),
            _ => None,
        },
        Item::Cluster => match component.kind {
            Kind::Eks => Some(fixed_hourly("eks-cluster", 0.10)),
            Kind::Aks => Some(fixed_hourly("aks-standard-tier", 0.10)),
            _ => None,
        },
        Item::Storage => match component.kind {
            Kind::Postgres => Some(disk()),
            Kind::AuroraGlobal => Some(monthly("aurora-storage", "GB-month", 0.15)),
            Kind::Rds => Some(monthly("rds-storage", "GB-month", 0.13)),
            Kind::Dynamodb => Some(monthly("dynamodb-storage", "GB-month", 0.28)),
            Kind::S3 | Kind::AzureStorage => Some(object_storage()),
            Kind::AzureSql if instance.starts_with("BC") => Some(monthly("sql-bc-storage", "GB-month", 0.30)),
            Kind::AzureSql => Some(monthly("sql-gp-storage", "GB-month", 0.15)),
            Kind::Cosmosdb => Some(monthly("cosmosdb-storage", "GB-month", 0.30)),
            Kind::AzurePostgres => Some(monthly("postgres-flexible-storage", "GB-month", 0.15)),
            _ => None,
        },
        Item::Backup => match component.kind {
            kind if !kind.is_database() => None,
            Kind::AuroraGlobal => Some(monthly("aurora-backup-storage", "GB-month", 0.03)),
            Kind::AzureSql => Some(monthly("sql-pitr-backup-ra-grs", "GB-month", 0.20)),
            // Each service bills its backups at a rate of its own, which is not that of an object store.
            Kind::Rds => Some(monthly("rds-backup-storage", "GB-month", 0.12)),
            Kind::Dynamodb => Some(monthly("dynamodb-backup-storage", "GB-month", 0.13)),
            Kind::S3 => Some(monthly("s3-backup-storage", "GB-month", 0.06)),
            Kind::Cosmosdb => Some(monthly("cosmosdb-backup-storage", "GB-month", 0.25)),
            Kind::AzurePostgres => Some(monthly("postgres-flexible-backup-storage", "GB-month", 0.20)),
            Kind::AzureStorage => Some(monthly("blob-backup-storage", "GB-month", 0.05)),
            // Base backups and WAL are objects.
            _ => Some(object_storage()),
        },
        Item::Writes => match component.kind {
            Kind::AuroraGlobal => Some(monthly("aurora-global-replicated-write-io", "million", 0.25)),
            Kind::Dynamodb => Some(monthly("dynamodb-on-demand-replicated-write", "million", 0.75)),
            Kind::S3 => Some(monthly("s3-replication-time-control", "GB", 0.02)),
            _ => None,
        },
    }
}

/// A price for one component's items in one place.
#[derive(Clone, Debug)]
pub struct Tariff {
    /// Per item of [`Item::PER_PLACE`]: USD per quantity and month for comparisons.
    pub comparable: [f64; SLOTS],
    /// The price itself.
    pub prices: [Option<Price>; SLOTS],
}

impl Tariff {
    /// The prices of a component's items in a place.
    pub fn of(book: &PriceBook, component: &Component, place: &Place) -> Self {
        let mut comparable = [0.0; SLOTS];
        let mut prices = [const { None }; SLOTS];
        for (slot, item) in Item::PER_PLACE.into_iter().enumerate() {
            let Some(sku) = sku(component, item, place) else { continue };
            let price = match sku.less {
                Some(less) => over(book.price(place, &sku.name), book.price(place, less), less),
                None if sku.scales => book.instance(place, &sku.name),
                None => book.price(place, &sku.name),
            };
            let usd = match &price {
                Price::Known(figure) => figure.value,
                Price::Unknown { .. } if sku.less.is_some() => sku.stand_in,
                Price::Unknown { .. } => {
                    let dearest = if sku.scales {
                        book.dearest_instance(place.provider, &sku.name)
                    } else {
                        book.dearest(place.provider, &sku.name)
                    };
                    dearest.unwrap_or(sku.stand_in)
                }
            };
            comparable[slot] = usd * sku.per_month;
            prices[slot] = Some(price);
        }
        Self { comparable, prices }
    }

    /// The cost of quantities for comparisons, in millionths of a USD a month: whole numbers, so that sums do not depend
    /// on their order.
    pub fn compare(&self, quantities: &Quantities) -> i64 {
        let billed = quantities.0.iter().zip(&self.comparable).filter(|(amount, _)| **amount != 0.0);
        billed.map(|(amount, usd)| micro_usd(amount * usd)).sum::<i64>().min(MOST_COMPARED)
    }
}

/// What something costs more than what it takes the place of.
fn over(whole: Price, less: Price, name: &str) -> Price {
    match (whole, less) {
        (Price::Known(whole), Price::Known(less)) => {
            let source = format!("{} less {} for {name}: {}", whole.value, less.value, whole.source);
            let value = ((whole.value - less.value).max(0.0) * 1e6).round() / 1e6;
            Price::Known(Figure::new(value, whole.grade, source, whole.date.clone()))
        }
        (unknown @ Price::Unknown { .. }, _) | (_, unknown @ Price::Unknown { .. }) => unknown,
    }
}

/// A hundred million USD a month, in millionths: whatever costs more is compared as if it cost that, so that no sum overflows.
const MOST_COMPARED: i64 = 100_000_000_000_000;

/// Millionths of a USD, for comparisons.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and there is a bound below that")]
pub fn micro_usd(usd: f64) -> i64 {
    ((usd * 1e6).round() as i64).min(MOST_COMPARED)
}

/// Every SKU by which something of an app could be billed in a place.
pub fn skus(components: &[&Component], place: &Place) -> BTreeSet<String> {
    let of_component =
        |component: &&Component| Item::PER_PLACE.into_iter().filter_map(|item| sku(component, item, place)).collect();
    let own = components.iter().flat_map(|component| -> Vec<Sku> { of_component(component) }).map(|sku| sku.name);
    let traffic: &[&str] = match place.provider {
        Provider::Aws => &["transfer-inter-region", "transfer-out-internet-first-10tb", "route53-hosted-zone"],
        Provider::Azure => &[
            "transfer-inter-region-same-continent",
            "transfer-inter-region-other-continent",
            "transfer-out-internet-first-10tb",
        ],
        Provider::Local | Provider::Kubernetes => &["transfer"],
    };
    own.chain(traffic.iter().map(ToString::to_string)).collect()
}

/// The price of a GB sent from one place to another, and what stands in for an unknown one.
pub fn traffic(book: &PriceBook, from: &Place, to: &Place, same_continent: bool) -> (Price, f64) {
    let sku = match (from.provider, to.provider) {
        (Provider::Aws, Provider::Aws) => "transfer-inter-region",
        (Provider::Azure, Provider::Azure) if same_continent => "transfer-inter-region-same-continent",
        (Provider::Azure, Provider::Azure) => "transfer-inter-region-other-continent",
        (Provider::Aws | Provider::Azure, _) => "transfer-out-internet-first-10tb",
        (Provider::Local | Provider::Kubernetes, _) => "transfer",
    };
    let price = book.price(from, sku);
    let stand_in = match &price {
        Price::Known(figure) => figure.value,
        Price::Unknown { .. } => book.dearest(from.provider, sku).unwrap_or(0.09),
    };
    (price, stand_in)
}

/// A line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CostItem {
    /// What is billed.
    pub item: Item,
    /// The region, by its name in the file or its place.
    pub region: String,
    /// The SKU in the price book.
    pub sku: String,
    /// How much of it a month.
    pub quantity: f64,
    /// Of what.
    pub unit: String,
    /// USD a month; `None`: unknown, and `basis` says why.
    pub usd: Option<f64>,
    /// The price's grade; `None` for an unknown price.
    pub grade: Option<lifeboat_atlas::Grade>,
    /// The price's source, or why it is unknown.
    pub source: String,
    /// The price's date; empty for an unknown price.
    pub date: String,
}

/// The lines of the bill for quantities in a place.
pub fn items(
    component: &Component,
    measure: &Measure,
    tariff: &Tariff,
    quantities: &Quantities,
    place: &Place,
    region: &str,
) -> Vec<CostItem> {
    let mut lines = Vec::new();
    for (slot, item) in Item::PER_PLACE.into_iter().enumerate() {
        let amount = quantities.0[slot];
        let (Some(price), Some(sku)) = (&tariff.prices[slot], sku(component, item, place)) else { continue };
        if amount == 0.0 {
            continue;
        }
        let quantity = amount * sku.per_month;
        let foreign = if item == Item::Compute { foreign(component, place.provider) } else { None };
        let missing = measure.missing[slot].or(foreign.as_deref());
        lines.push(line(item, region, &sku.name, sku.unit, quantity, price, missing));
    }
    lines
}

/// That a machine type is another provider's: what corresponds to it here is for the user to say.
fn foreign(component: &Component, provider: Provider) -> Option<String> {
    let instance = component.size.instance.as_deref()?;
    let of_azure = instance.starts_with("Standard_") || instance.starts_with("Basic_");
    let of_aws = !of_azure && instance.contains('.');
    let (here, there) = match provider {
        Provider::Azure if of_aws => ("Azure", "AWS"),
        Provider::Aws if of_azure => ("AWS", "Azure"),
        _ => return None,
    };
    Some(format!(
        "`{instance}` is a machine type of {there}, and which one of {here} takes its place is not known: declare a price for it"
    ))
}

/// A line of the bill.
pub fn line(
    item: Item,
    region: &str,
    sku: &str,
    unit: &str,
    quantity: f64,
    price: &Price,
    missing: Option<&str>,
) -> CostItem {
    let (usd, grade, source, date) = match (missing, price) {
        (Some(what), _) => (None, None, format!("unknown: {what}"), String::new()),
        (None, Price::Unknown { place, .. }) => {
            (None, None, format!("unknown: no price of it in {place} is in the data"), String::new())
        }
        (None, Price::Known(figure)) => {
            let usd = cents(figure.value * quantity);
            (Some(usd), Some(figure.grade), figure.source.to_string(), figure.date.to_string())
        }
    };
    CostItem {
        item,
        region: region.into(),
        sku: sku.into(),
        quantity: cents(quantity),
        unit: unit.into(),
        usd,
        grade,
        source,
        date,
    }
}

/// Rounded to hundredths. The sum of nothing is a negative zero in floating point; it comes out as zero.
pub fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}
