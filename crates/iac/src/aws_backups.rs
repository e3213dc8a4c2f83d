//! Databases of which a backup is all that another region has, and how much of them is lost at worst.

use std::time::Duration;

use lifeboat_model::app::{Kind, Pattern};

use crate::Problem;
use crate::design::{Design, Part};

/// RDS archives its log every five minutes, and its copy follows within minutes.
const OF_RDS: Duration = Duration::from_secs(15 * 60);

/// A copy is made every hour, which is as often as AWS Backup makes any, and takes up to another to arrive.
const HOURLY: Duration = Duration::from_secs(2 * 60 * 60);

/// Whether backups are all that other regions have of it.
pub(crate) fn are_all(part: &Part) -> bool {
    part.component.kind.is_database() && part.pattern == Pattern::BackupRestore && part.regions.len() > 1
}

/// Whether what is made of it in other regions are copies by the hour. RDS sends them its log.
pub(crate) fn are_hourly(part: &Part) -> bool {
    are_all(part) && part.component.kind == Kind::AuroraGlobal
}

/// What is lost at worst; `None`: this is not the kind's way.
fn loss(part: &Part) -> Option<(Duration, &'static str)> {
    match part.component.kind {
        Kind::Rds => Some((OF_RDS, "its log is archived every 5 min and the copy follows")),
        Kind::AuroraGlobal => {
            Some((HOURLY, "copies are made every hour, which is as often as AWS Backup makes any, and take a while"))
        }
        _ => None,
    }
}

/// Databases whose backups may be older than the file allows, or that replicate although the file asks for backups.
pub(crate) fn warnings(design: &Design) -> Vec<Problem> {
    let restored = design.parts.iter().filter(|part| are_all(part));
    restored.filter_map(|part| too_old(part).or_else(|| is_replicated(part))).collect()
}

fn too_old(part: &Part) -> Option<Problem> {
    let (loss, why) = loss(part)?;
    let rpo = part.component.objectives.rpo.filter(|rpo| *rpo < loss)?;
    Some(Problem::new(
        format!("components.{}.pattern", part.id),
        format!(
            "up to {} can be lost by backup-restore, the file allows {}: {why}",
            lifeboat_model::quantity::format_duration(loss),
            lifeboat_model::quantity::format_duration(rpo)
        ),
        "pilot-light or warm-standby, or a larger rpo",
    ))
}

fn is_replicated(part: &Part) -> Option<Problem> {
    let kind = part.component.kind;
    matches!(kind, Kind::Dynamodb | Kind::S3).then(|| {
        Problem::new(
            format!("components.{}.pattern", part.id),
            format!("`{}` is replicated all the same, which loses less and costs more than the copies that backup-restore means", kind.as_str()),
            "pattern: pilot-light, so that the file says what is",
        )
    })
}
