//! Divergent writes: what this region's WAL holds beyond the point where the writer's history leaves it. Saved before it is
//! thrown away: the WAL itself, its listing, and the rows that the transactions in it left behind.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use lifeboat_model::database::Lsn;
use postgres_protocol::escape::escape_identifier;
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::error::{At as _, Error};
use crate::history::{Fork, History, Stretch, segment_file};
use crate::layout::{remove_directory, rename, sync_directory};
use crate::processes::{kill_all, postmaster};
use crate::programs::tail;
use crate::settings::{SUPERUSER, render_alone};
use crate::sql;
use crate::supervisor::{Supervisor, until};

/// The old data may have a long way to recover.
const RECOVERY_BOUND: Duration = Duration::from_secs(600);

/// What was found beyond a fork.
pub(crate) struct Saved {
    /// Where the last record begins; `None`: there is no WAL beyond the fork at all.
    pub last: Option<Lsn>,
    /// For the journal.
    pub note: String,
}

/// What a listing of WAL says of transactions.
#[derive(Default)]
struct Listing {
    last: Option<Lsn>,
    /// Transactions that changed something, rather than only having a number.
    changed: HashSet<u32>,
    /// Those that committed, each with its subtransactions.
    committed: Vec<Vec<u32>>,
    /// Rows that a transaction deleted from tables that are no catalogs.
    deleted: HashMap<u32, u64>,
}

impl Supervisor {
    /// Saves what is beyond `fork` in the data here, whose server does not run. Where nothing was committed, nothing is saved.
    pub async fn save_divergence(&self, ours: &History, fork: Fork, segment: u64) -> Result<Saved, Error> {
        let name = format!("{}-epoch{}", self.stamp(), self.settings().epoch);
        let place = self.layout.divergent().join(&name);
        let making = self.layout.divergent().join(format!("{name}.part"));
        let saved = match self.layout.make_directory(&making) {
            Ok(()) => self.save_into(&making, ours, fork, segment).await,
            Err(error) => Err(error),
        };
        match saved {
            Ok((last, Some(what))) => {
                rename(&making, &place)?;
                Ok(Saved { last, note: format!("{what} saved to {}", place.display()) })
            }
            Ok((last, None)) => {
                remove_directory(&making)?;
                Ok(Saved { last, note: "no divergent writes".to_owned() })
            }
            Err(error) => {
                // What could be saved of it is no use, and may be what has filled the disk.
                let _ = remove_directory(&making);
                Err(Error::Here(format!("the divergent writes could not be saved, so nothing was rewound: {error}")))
            }
        }
    }

    /// The time of day, as a directory's name.
    pub fn stamp(&self) -> String {
        jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
    }

    async fn save_into(
        &self,
        place: &Path,
        ours: &History,
        fork: Fork,
        segment: u64,
    ) -> Result<(Option<Lsn>, Option<String>), Error> {
        let mut listing = Listing::default();
        let path = place.join("wal.txt");
        let mut file = BufWriter::new(File::create(&path).at(&path)?);
        let stretches = ours.beyond(fork);
        let mut ends = Vec::new();
        for stretch in &stretches {
            let last = self.list(stretch, segment, &mut listing, &mut file).await.map_err(|error| match error {
                Error::File { source, .. } => Error::File { path: path.clone(), source },
                other => other,
            })?;
            ends.push(last);
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all()).at(&path)?;
        let transactions = listing.divergent();
        if transactions.is_empty() {
            return Ok((listing.last, None));
        }
        for (stretch, last) in stretches.iter().zip(ends) {
            if let Some(last) = last {
                self.keep_wal(stretch, last, segment, place).await?;
            }
        }
        let rows = self.save_rows(place, &transactions).await?;
        sync_directory(place)?;
        let deleted: u64 = transactions.iter().filter_map(|xid| listing.deleted.get(xid)).sum();
        let mut what = match rows {
            1 => "1 divergent row".to_owned(),
            _ => format!("{rows} divergent rows"),
        };
        if deleted > 0 {
            what = format!("{what} (and {deleted} deletions, which only wal.txt lists)");
        }
        Ok((listing.last, Some(what)))
    }

    /// Writes a listing of a stretch of WAL. Returns where its last record begins.
    async fn list(
        &self,
        stretch: &Stretch,
        segment: u64,
        listing: &mut Listing,
        file: &mut impl std::io::Write,
    ) -> Result<Option<Lsn>, Error> {
        const PROGRAM: &str = "pg_waldump";
        let wal = self.layout.data().join("pg_wal");
        let first = segment_file(stretch.timeline, stretch.begin, segment);
        if !wal.join(&first).exists() {
            if newest_segment(&wal, stretch.timeline)?.is_some_and(|newest| newest > first) {
                return Err(Error::Here(format!(
                    "{first}, in which the histories part, is no longer in {}",
                    wal.display()
                )));
            }
            return Ok(None);
        }
        let mut command = self.programs.command(PROGRAM, &self.layout);
        command
            .arg("-p")
            .arg(&wal)
            .arg("-t")
            .arg(stretch.timeline.to_string())
            .arg("-s")
            .arg(stretch.begin.to_string());
        if let Some(end) = stretch.end {
            command.arg("-e").arg(end.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().at(Path::new(PROGRAM))?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Here(format!("{PROGRAM} has no output")));
        };
        // What it says at the end is short, and fits into the pipe.
        let mut lines = BufReader::new(out).lines();
        let mut last = None;
        while let Some(line) = lines.next_line().await.at(Path::new(PROGRAM))? {
            writeln!(file, "{line}").at(Path::new("wal.txt"))?;
            last = listing.read(&line).or(last);
        }
        let mut said = String::new();
        err.take(10_000).read_to_string(&mut said).await.at(Path::new(PROGRAM))?;
        let status = child.wait().await.at(Path::new(PROGRAM))?;
        // WAL has no end mark: the first thing that is no record is the end, and is reported as an error.
        let end = ["could not find a valid record", "error in WAL record", "invalid record length"];
        let ended = end.iter().any(|end| said.contains(end))
            // So does WAL that fills its last file: a server on a full disk cannot make the next one.
            || missing_file(&said).is_some_and(|missing| {
                newest_segment(&wal, stretch.timeline).is_ok_and(|newest| newest.is_some_and(|n| n.as_str() < missing))
            });
        if !status.success() && !ended {
            return Err(Error::Program { program: PROGRAM.to_owned(), output: said.trim().to_owned() });
        }
        listing.last = last.or(listing.last);
        Ok(last)
    }

    async fn keep_wal(&self, stretch: &Stretch, last: Lsn, segment: u64, place: &Path) -> Result<(), Error> {
        let wal = self.layout.data().join("pg_wal");
        let mut files: Vec<PathBuf> = Vec::new();
        // A record may reach into the next segment.
        for number in stretch.begin.0 / segment..=last.0 / segment + 1 {
            files.push(wal.join(segment_file(stretch.timeline, Lsn(number * segment), segment)));
        }
        files.push(wal.join(History::file(stretch.timeline)));
        let place = place.join("wal");
        let copy = move || -> Result<(), Error> {
            fs::create_dir_all(&place).at(&place)?;
            for from in files.iter().filter(|from| from.exists()) {
                let to = place.join(from.file_name().unwrap_or_default());
                fs::copy(from, &to).at(&to)?;
                File::open(&to).and_then(|file| file.sync_all()).at(&to)?;
            }
            sync_directory(&place)
        };
        tokio::task::spawn_blocking(copy).await.map_err(|error| Error::Here(format!("copying WAL: {error}")))?
    }

    /// Starts the old data alone, without a network, and saves each row that one of these transactions left behind.
    async fn save_rows(&self, place: &Path, transactions: &HashSet<u32>) -> Result<u64, Error> {
        let conf = self.layout.conf();
        let (settings, hba) = (conf.join("alone.conf"), conf.join("alone_hba.conf"));
        let sockets = self.layout.socket_directory("alone")?;
        self.layout.write(&hba, &format!("local all {SUPERUSER} scram-sha-256\n"))?;
        self.layout.write(&settings, &render_alone(&self.config, &hba, &sockets))?;
        let data = self.layout.data();
        self.layout.write(&data.join("postgresql.auto.conf"), "")?;
        let log = self.layout.log().join("alone.log");
        let from = fs::metadata(&log).map_or(0, |found| found.len());
        self.keep_child(self.programs.server(&self.layout, &data, &settings, &log)?);
        let rows = self.read_rows(place, &sockets, transactions, from).await;
        let stopped = self.stop_alone().await;
        if self.layout.is_private(&sockets) {
            remove_directory(&sockets)?;
        }
        let rows = rows?;
        stopped?;
        Ok(rows)
    }

    async fn stop_alone(&self) -> Result<(), Error> {
        let data = self.layout.data();
        if let Some(pid) = postmaster(&data) {
            // It may have just ended.
            let _ = kill_process(pid, Signal::INT);
            let ends = until(
                "stopping the old data's server",
                Duration::from_secs(60),
                Duration::from_millis(5),
                async || {
                    self.reap();
                    Ok(postmaster(&data).is_none().then_some(()))
                },
            );
            if let Err(error) = ends.await {
                tracing::warn!(%error, "kills it");
            }
        }
        kill_all(&data).await?;
        self.reap();
        Ok(())
    }

    async fn read_rows(
        &self,
        place: &Path,
        sockets: &Path,
        transactions: &HashSet<u32>,
        log_from: u64,
    ) -> Result<u64, Error> {
        const WHAT: &str = "reading divergent rows";
        let log = self.layout.log().join("alone.log");
        let client = until("recovering the old data", RECOVERY_BOUND, Duration::from_millis(20), async || {
            self.reap();
            if !self.has_child() {
                return Err(Error::Program { program: "postgres".to_owned(), output: tail(&log, log_from) });
            }
            Ok(sql::local(&self.config, sockets, "postgres").await.ok())
        })
        .await?;
        let xids: Vec<i64> = transactions.iter().map(|&xid| i64::from(xid)).collect();
        let path = place.join("rows.jsonl");
        let mut file = BufWriter::new(File::create(&path).at(&path)?);
        let mut count = 0;
        let databases = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
        for row in client.query(databases, &[]).await.map_err(Error::sql(WHAT))? {
            let database: String = row.get(0);
            let client = sql::local(&self.config, sockets, &database).await?;
            let tables = "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1, 2";
            for table in client.query(tables, &[]).await.map_err(Error::sql(WHAT))? {
                let (schema, name): (String, String) = (table.get(0), table.get(1));
                let query = format!(
                    "SELECT row_to_json(\"lifeboat row\")::text FROM ONLY {}.{} \"lifeboat row\" WHERE xmin::text::bigint = ANY($1)",
                    escape_identifier(&schema),
                    escape_identifier(&name)
                );
                let rows = client.query_raw(&query, [&xids]).await.map_err(Error::sql(WHAT))?;
                let mut rows = pin!(rows);
                while let Some(row) = rows.try_next().await.map_err(Error::sql(WHAT))? {
                    let table = serde_json::Value::from(format!("{schema}.{name}"));
                    let database = serde_json::Value::from(database.as_str());
                    writeln!(file, "{{\"database\":{database},\"table\":{table},\"row\":{}}}", row.get::<_, &str>(0))
                        .at(&path)?;
                    count += 1;
                }
            }
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all()).at(&path)?;
        Ok(count)
    }
}

/// The file of WAL that `pg_waldump` did not find.
fn missing_file(said: &str) -> Option<&str> {
    said.split_once("could not find file \"")?.1.split('"').next()
}

/// The newest file of WAL of a timeline, by name.
fn newest_segment(wal: &Path, timeline: u32) -> Result<Option<String>, Error> {
    let prefix = format!("{timeline:08X}");
    let names = fs::read_dir(wal).at(wal)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.len() == 24 && name.starts_with(&prefix)).max())
}

impl Listing {
    /// Takes in one line of `pg_waldump`; returns where its record begins.
    fn read(&mut self, line: &str) -> Option<Lsn> {
        let manager = line.strip_prefix("rmgr: ")?.split_whitespace().next()?;
        let between = |from: &str, to: &str| Some(line.split_once(from)?.1.split_once(to)?.0.trim());
        let xid: u32 = between(", tx:", ",")?.parse().ok()?;
        let lsn = Lsn::parse(between(", lsn:", ",")?)?;
        let description = line.split_once(", desc: ").map_or("", |(_, description)| description);
        match manager {
            "Transaction" => {
                let mut words = description.split_whitespace();
                let top = match words.next() {
                    Some("COMMIT") => Some(xid),
                    Some("COMMIT_PREPARED") => words.next().and_then(|xid| xid.trim_end_matches(':').parse().ok()),
                    _ => None,
                };
                if let Some(top) = top {
                    let subs = description
                        .split_once("subxacts:")
                        .map_or("", |(_, subs)| subs.split(';').next().unwrap_or_default());
                    self.committed.push(
                        std::iter::once(top)
                            .chain(subs.split_whitespace().filter_map(|xid| xid.parse().ok()))
                            .collect(),
                    );
                }
            }
            "LogicalMessage" | "Standby" | "XLOG" => {}
            _ => {
                self.changed.insert(xid);
                // The relation's number tells a catalog from what users made: PostgreSQL numbers theirs from 16384 on.
                let relation = between("rel ", " ").and_then(|rel| rel.rsplit('/').next()?.parse::<u32>().ok());
                if manager == "Heap"
                    && description.starts_with("DELETE")
                    && relation.is_some_and(|number| number >= 16384)
                {
                    *self.deleted.entry(xid).or_default() += 1;
                }
            }
        }
        Some(lsn)
    }

    /// The transactions, subtransactions included, that committed and changed something.
    fn divergent(&self) -> HashSet<u32> {
        let changed = self.committed.iter().filter(|xids| xids.iter().any(|xid| self.changed.contains(xid)));
        changed.flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_which_transactions_diverged() {
        let mut listing = Listing::default();
        for line in [
            "rmgr: Heap        len (rec/tot):     54/    54, tx:        745, lsn: 0/05000148, prev 0/05000110, desc: INSERT off 3 flags 0x00, blkref #0: rel 1663/16384/16389 blk 0",
            "rmgr: Heap        len (rec/tot):     54/    54, tx:        747, lsn: 0/05000180, prev 0/05000148, desc: DELETE off 3 flags 0x00 KEYS_UPDATED , blkref #0: rel 1663/16384/16389 blk 0",
            "rmgr: Heap        len (rec/tot):     54/    54, tx:        748, lsn: 0/050001B0, prev 0/05000148, desc: INSERT off 4 flags 0x00, blkref #0: rel 1663/16384/16389 blk 0",
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        745, lsn: 0/050001E8, prev 0/05000180, desc: COMMIT 2026-01-01 00:00:00.0 UTC; subxacts: 747; origin: node 0",
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        748, lsn: 0/05000210, prev 0/050001E8, desc: ABORT 2026-01-01 00:00:00.0 UTC",
            "rmgr: LogicalMessage len (rec/tot):  59/    59, tx:        749, lsn: 0/05000240, prev 0/05000210, desc: MESSAGE transactional",
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        749, lsn: 0/05000280, prev 0/05000240, desc: COMMIT 2026-01-01 00:00:00.0 UTC",
        ] {
            listing.last = listing.read(line).or(listing.last);
        }
        assert_eq!(listing.divergent(), HashSet::from([745, 747]));
        assert_eq!(listing.deleted, HashMap::from([(747, 1)]));
        assert_eq!(listing.last, Some(Lsn(0x500_0280)));
        assert_eq!(listing.read("pg_waldump: error"), None);
    }

    #[test]
    fn the_file_that_was_not_found_is_named() {
        let said = "pg_waldump: error: could not find file \"000000010000000000000004\": No such file or directory";
        assert_eq!(missing_file(said), Some("000000010000000000000004"));
        assert_eq!(missing_file("pg_waldump: error: invalid record length at 0/5000028"), None);
    }
}
