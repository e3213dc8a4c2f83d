//! Copying a peer's server: into a directory of its own, which takes the place of `data` only when it is complete.

use lifeboat_model::RegionId;
use lifeboat_model::database::{Gate, Note};

use crate::error::Error;
use crate::follow::Writer;
use crate::layout::{remove, remove_directory, rename, sync_directory};
use crate::processes::postmaster;
use crate::settings::{peer_conninfo, region_role, slot_name};
use crate::supervisor::Supervisor;

impl Supervisor {
    pub async fn seed(&self, from: &RegionId) -> Result<Note, Error> {
        let writer = self.ask_writer(from).await?;
        let mut notes = Vec::new();
        if self.layout.data().exists() && !self.layout.rewinding().exists() {
            notes.extend(self.save_before_copy(&writer).await?);
        }
        self.copy(&writer).await?;
        notes.push(format!("copied from {from}"));
        Ok(Some(notes.join("; ")))
    }

    /// Copies the writer's data, puts them in the place of what is here, and starts them as its standby.
    pub async fn copy(&self, writer: &Writer) -> Result<(), Error> {
        let (data, making, old) = (self.layout.data(), self.layout.new_data(), self.layout.old_data());
        remove_directory(&making)?;
        self.take_slot(writer).await?;
        let slot = slot_name(&self.config.region);
        let source = peer_conninfo(&self.config, &self.layout, writer.server);
        self.programs
            .run(
                &self.layout,
                "pg_basebackup",
                &[
                    "-X".as_ref(),
                    "stream".as_ref(),
                    "-S".as_ref(),
                    slot.as_ref(),
                    "-c".as_ref(),
                    "fast".as_ref(),
                    "-v".as_ref(),
                    "-P".as_ref(),
                    "-d".as_ref(),
                    source.as_ref(),
                    "-D".as_ref(),
                    making.as_os_str(),
                ],
            )
            .await?;
        self.layout.write(&making.join("standby.signal"), "")?;
        if postmaster(&data).is_some() {
            self.stop().await?;
        }
        if data.exists() {
            remove_directory(&old)?;
            rename(&data, &old)?;
        }
        self.change(|settings| {
            settings.follows = Some(writer.region.clone());
            settings.gate = Gate::Node;
        })?;
        rename(&making, &data)?;
        remove(&self.layout.rewinding())?;
        remove_directory(&old)?;
        sync_directory(self.layout.root())?;
        self.start().await
    }

    /// Makes sure that our slot on the writer is there, of use, and in nobody's hands: a connection of our region's that still holds it
    /// is of an earlier life.
    pub async fn take_slot(&self, writer: &Writer) -> Result<(), Error> {
        const WHAT: &str = "taking our slot on the writer";
        let slot = slot_name(&self.config.region);
        let role = region_role(&self.config.region);
        let end = "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid \
            WHERE slot_name = $1 AND usename = $2";
        if postmaster(&self.layout.data()).is_none() {
            writer.client.execute(end, &[&slot, &role]).await.map_err(Error::sql(WHAT))?;
        } else if self.settings().follows.as_ref() == Some(&writer.region) {
            // Our own standby holds it, and the copy needs it.
            self.detach().await?;
        }
        self.mend_slot(writer).await
    }

    /// Makes our slot on the writer anew where it is missing, or has fallen so far behind that the writer has given it up.
    pub async fn mend_slot(&self, writer: &Writer) -> Result<(), Error> {
        const WHAT: &str = "making our slot on the writer";
        let slot = slot_name(&self.config.region);
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
            WHERE slot_name = $1 AND NOT active AND wal_status IS NOT DISTINCT FROM 'lost'";
        writer.client.execute(drop, &[&slot]).await.map_err(Error::sql(WHAT))?;
        let make = "SELECT pg_create_physical_replication_slot($1, true) \
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
        writer.client.execute(make, &[&slot]).await.map_err(Error::sql(WHAT)).map(std::mem::drop)
    }
}
