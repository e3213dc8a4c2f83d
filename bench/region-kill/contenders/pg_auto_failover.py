"""pg_auto_failover: a data node in each of two regions, the monitor in the third."""

import shutil

from machine import POSTGRES_PORT, STANDBY, WITNESS, WRITER, Failed, free_port

from .common import APPLICATION, DATABASE, HBA, POSTGRES, conninfo, make_database, query
from .patroni import postgres_programs

# Of the monitor (`pgautofailover.…`), in milliseconds but for the number of retries, and of the keepers (`timeout.…`), in seconds.
MONITOR = {
    "default": {},
    "fast": {"health_check_period": 200, "health_check_timeout": 500, "health_check_max_retries": 1,
             "health_check_retry_delay": 100, "node_considered_unhealthy_timeout": 1000, "primary_demote_timeout": 1000,
             "startup_grace_period": 1000},
}
KEEPER = {
    "default": {},
    "fast": {"network_partition_timeout": 1, "prepare_promotion_catchup": 1, "prepare_promotion_walreceiver": 1,
             "postgresql_restart_failure_timeout": 1},
}


class PgAutoFailover:
    def __init__(self, speed):
        self.name = f"pg_auto_failover-{speed}"
        self.title = f"pg_auto_failover, {'defaults' if speed == 'default' else 'fastest'}, synchronous"
        self.excepted = {}
        self._monitor, self._keeper = MONITOR[speed], KEEPER[speed]
        self.period = 5.0 if speed == "default" else 1.0
        changed = [f"`{name} = {value}`" for name, value in {**self._monitor, **self._keeper}.items()]
        self.settings = (", ".join(changed) or "defaults") + "; monitor in the third region"

    def missing(self):
        if not shutil.which("pg_autoctl"):
            return "pg_auto_failover is not installed; run tools/install bench"
        return None

    def version(self, world):
        return world.run(WITNESS, ["pg_autoctl", "version"]).splitlines()[0]

    def start(self, world):
        # The monitor cannot be told to listen at one address only.
        self._port = free_port()
        self._autoctl(world, WITNESS, "create", "monitor", "--pgport", self._port, "--hostname", world.address(WITNESS),
                      "--skip-pg-hba", "--no-ssl")
        # Written before its first start as a service, so that no health check happens by other settings.
        self._configure(world, WITNESS, {f"pgautofailover.{name}": value for name, value in self._monitor.items()})
        self._hba(world, WITNESS, ["host all all 0.0.0.0/0 trust"])
        self._serve(world, WITNESS)
        self._at_monitor = conninfo(world, WITNESS, "autoctl_node", "", "pg_auto_failover", self._port)
        world.until("the monitor answers", lambda: query(self._at_monitor, "SELECT 1"))
        for region, state in ((WRITER, "single"), (STANDBY, "secondary")):
            self._data_node(world, region)
            # What the monitor says is still of the server that ran while the node was made.
            at = conninfo(world, region, "postgres", "", "postgres")
            world.until(f"{region}'s server answers", lambda w=at: query(w, "SELECT 1"))
            world.until(f"{region} is {state}", lambda r=region, s=state: self._states(world).get(r) == s, patience=120)
            if region == WRITER:
                make_database(at)
        world.until("the writer is a primary", lambda: self._states(world).get(WRITER) == "primary", patience=120)

    def _data_node(self, world, region):
        address = world.address(region)
        monitor = f"postgres://autoctl_node@{world.address(WITNESS)}:{self._port}/pg_auto_failover?sslmode=prefer"
        words = ("create", "postgres", "--pgport", POSTGRES_PORT, "--listen", address, "--hostname",
                 address, "--name", region, "--skip-pg-hba", "--no-ssl", "--monitor", monitor)
        if region == WRITER:
            self._autoctl(world, region, *words)
        else:
            self._copy(world, region, words)
        for name, value in self._keeper.items():
            self._autoctl(world, region, "config", "set", f"timeout.{name}", value)
        self._configure(world, region, POSTGRES)
        self._hba(world, region, [HBA, "host all all 0.0.0.0/0 trust", "host replication all 0.0.0.0/0 trust"])
        self._serve(world, region)

    def _copy(self, world, region, words):
        """Makes a standby. Its base backup waits for a checkpoint that is spread over minutes, unless somebody asks for one at once."""
        child = world.spawn(region, "create", self._command(world, region, *words), **self._variables(world, region))
        at = conninfo(world, WRITER, "postgres", "", "postgres")
        world.until(f"{region} is a copy", lambda: query(at, "CHECKPOINT") == [] and child.poll() is not None, patience=180)
        if child.returncode != 0:
            raise Failed(f"pg_autoctl create postgres ended with {child.returncode} in {region}; see its log")

    def _serve(self, world, region):
        world.spawn(region, "pg_autoctl", ["pg_autoctl", "run", "--pgdata", world.directory(region) / "data"],
                    **self._variables(world, region))

    def _autoctl(self, world, region, *words):
        world.run(region, self._command(world, region, *words), **self._variables(world, region))

    @staticmethod
    def _command(world, region, *words):
        return ["pg_autoctl", *words[:2], "--pgdata", world.directory(region) / "data", *words[2:]]

    @staticmethod
    def _variables(world, region):
        directory = world.directory(region)
        # Sockets in the run directory: its own option for that, `--pghost`, does not exist for the monitor.
        return {"PATH": f"{postgres_programs()}:/usr/bin:/bin", "PG_REGRESS_SOCK_DIR": str(directory), "PGHOST": str(directory),
                "XDG_CONFIG_HOME": str(directory / "config"), "XDG_DATA_HOME": str(directory / "share"),
                "XDG_RUNTIME_DIR": str(directory)}

    @staticmethod
    def _configure(world, region, settings):
        with open(world.directory(region) / "data" / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    @staticmethod
    def _hba(world, region, lines):
        path = world.directory(region) / "data" / "pg_hba.conf"
        path.write_text("\n".join(lines) + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")

    def _states(self, world):
        """What the keepers have reported, where that is what the monitor wants."""
        rows = query(self._at_monitor, "SELECT nodename, reportedstate, goalstate, health FROM pgautofailover.node")
        return {name: reported for name, reported, goal, health in rows if reported == goal and health == 1}

    def servers(self, world):
        return {region: conninfo(world, region, APPLICATION, database=DATABASE) for region in (WRITER, STANDBY)}
