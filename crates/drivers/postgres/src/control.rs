//! What a data directory says of itself without a server: `pg_controldata`, read.

use std::path::Path;

use lifeboat_model::database::Lsn;

use crate::error::Error;
use crate::layout::Layout;
use crate::programs::Programs;

/// The control file of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// Which cluster this is; copies of one have the same.
    pub system: String,
    /// It was shut down in an orderly way, as a primary: nothing follows its last checkpoint.
    pub shut_down: bool,
    /// Where the last checkpoint's record begins.
    pub checkpoint: Lsn,
    /// The history that the data belong to.
    pub timeline: u32,
    /// What a standby had replayed at least.
    pub replayed: Lsn,
    /// Bytes in a file of WAL.
    pub segment: u64,
}

impl Control {
    pub async fn read(programs: &Programs, layout: &Layout, data: &Path) -> Result<Self, Error> {
        let text = programs.run(layout, "pg_controldata", &[Path::new("-D"), data]).await?;
        Self::parse(&text).ok_or_else(|| Error::Here(format!("pg_controldata of {} cannot be read", data.display())))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
        let checkpoint_timeline: u32 = field("Latest checkpoint's TimeLineID")?.parse().ok()?;
        // After a promotion this is ahead of the checkpoint's until the next checkpoint.
        let recovery_timeline: u32 = field("Min recovery ending loc's timeline")?.parse().ok()?;
        Some(Self {
            system: field("Database system identifier")?.to_owned(),
            shut_down: field("Database cluster state")? == "shut down",
            checkpoint: Lsn::parse(field("Latest checkpoint location")?)?,
            timeline: checkpoint_timeline.max(recovery_timeline),
            replayed: Lsn::parse(field("Minimum recovery ending location")?)?,
            segment: field("Bytes per WAL segment")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pg_controldata_prints() {
        let text = "pg_control version number:            1300\n\
            Database system identifier:           7412345678901234567\n\
            Database cluster state:               shut down\n\
            Latest checkpoint location:           0/5000148\n\
            Latest checkpoint's TimeLineID:       2\n\
            Minimum recovery ending location:     0/0\n\
            Min recovery ending loc's timeline:   3\n\
            Bytes per WAL segment:                16777216\n";
        let expected = Control {
            system: "7412345678901234567".into(),
            shut_down: true,
            checkpoint: Lsn(0x500_0148),
            timeline: 3,
            replayed: Lsn(0),
            segment: 16 << 20,
        };
        assert_eq!(Control::parse(text), Some(expected));
        assert_eq!(Control::parse(&text.replace("shut down", "in production")).map(|it| it.shut_down), Some(false));
        assert_eq!(Control::parse("nonsense"), None);
    }
}
