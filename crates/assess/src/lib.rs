//! Pattern, regions, size, cost, predicted RTO and RPO, each with its reason.
