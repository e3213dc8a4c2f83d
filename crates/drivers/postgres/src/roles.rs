//! The roles, the database and the replication slots that every server of ours has.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::Client;

use crate::error::Error;
use crate::settings::{GATE_NAME, REPLICATION_GROUP, app_role, region_role, slot_name};
use crate::sql;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Makes what is missing of the roles and the database, on a primary.
    pub async fn ensure_roles(&self) -> Result<(), Error> {
        const WHAT: &str = "making the roles and the database";
        let sockets = self.settings().sockets;
        let client = self.warm.client(&self.config, &sockets).await?;
        let names = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database";
        let known: Vec<String> =
            client.query(names, &[]).await.map_err(Error::sql(WHAT))?.iter().map(|row| row.get(0)).collect();
        let missing = |name: &str| !known.iter().any(|known| known == name);
        let secrets = &self.config.secrets;
        let mut statements = Vec::new();
        if missing(REPLICATION_GROUP) {
            statements.push(format!("CREATE ROLE {REPLICATION_GROUP} NOLOGIN"));
            // What pg_rewind's manual asks for of a role that is no superuser.
            for function in [
                "pg_ls_dir(text, boolean, boolean)",
                "pg_stat_file(text, boolean)",
                "pg_read_binary_file(text)",
                "pg_read_binary_file(text, bigint, bigint, boolean)",
            ] {
                statements.push(format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {REPLICATION_GROUP}"));
            }
            if self.programs.version >= 15 {
                statements.push(format!("GRANT pg_checkpoint TO {REPLICATION_GROUP}"));
            }
        }
        // The server is given a verifier, never the password: a statement that fails is written to its log.
        let login = |role: &str, password: &str, more: &str| {
            let verifier = escape_literal(&scram_sha_256(password.as_bytes()));
            format!("CREATE ROLE {} LOGIN PASSWORD {verifier} {more}", escape_identifier(role))
        };
        for region in self.config.peers.keys().chain([&self.config.region]) {
            let role = region_role(region);
            if missing(&role) {
                let more = format!("REPLICATION IN ROLE {REPLICATION_GROUP}");
                statements.push(login(&role, &secrets.replication, &more));
            }
        }
        if missing(GATE_NAME) {
            statements.push(login(GATE_NAME, &secrets.replication, "REPLICATION"));
        }
        let name = self.config.database.as_str();
        let (database, app) = (escape_identifier(name), app_role(name));
        let app_quoted = escape_identifier(&app);
        if missing(&app) {
            statements.push(login(&app, &secrets.application, ""));
            // Not less than the cluster's default: what is acknowledged has been confirmed.
            statements.push(format!("ALTER ROLE {app_quoted} SET synchronous_commit = 'on'"));
        }
        if missing(name) {
            statements.push(format!("CREATE DATABASE {database}"));
        }
        for statement in &statements {
            client.batch_execute(statement).await.map_err(Error::sql(WHAT))?;
        }
        if missing(name) || missing(&app) {
            let inside = sql::local(&self.config, &sockets, name).await?;
            let grants =
                format!("GRANT ALL ON DATABASE {database} TO {app_quoted}; ALTER SCHEMA public OWNER TO {app_quoted}");
            inside.batch_execute(&grants).await.map_err(Error::sql(WHAT))?;
        }
        Ok(())
    }

    /// Gives each peer region its slot. A standby's slots hold nothing back; they are there so that after its promotion the
    /// others find theirs. A slot that has fallen too far behind is of no use to anybody and made anew.
    pub async fn ensure_slots(&self, client: &Client) -> Result<(), Error> {
        const WHAT: &str = "making the replication slots";
        for region in self.config.peers.keys() {
            let slot = slot_name(region);
            let useless = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active \
                AND (wal_status = 'lost' OR pg_is_in_recovery() AND restart_lsn IS NOT NULL)";
            client.execute(useless, &[&slot]).await.map_err(Error::sql(WHAT))?;
            let make = "SELECT pg_create_physical_replication_slot($1) \
                WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
            client.execute(make, &[&slot]).await.map_err(Error::sql(WHAT))?;
        }
        Ok(())
    }
}
