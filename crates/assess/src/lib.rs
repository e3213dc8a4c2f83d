//! Pattern, regions, size, cost, predicted RTO and RPO, each with its reason.
pub mod assemble;
pub mod choice;
pub mod optimise;
pub mod predict;
pub mod recovery;
pub mod schedule;
pub mod site;
pub mod spread;
pub mod tariff;
pub mod conflict;
pub mod report;
pub mod weak;
