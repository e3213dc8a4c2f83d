//! Pattern, regions, size, cost, predicted RTO and RPO, each with its reason.
pub mod choice;
pub mod recovery;
pub mod schedule;
pub mod spread;
pub mod tariff;
