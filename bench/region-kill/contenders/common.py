"""What the contenders share: PostgreSQL's settings, the application's role, and etcd."""

import json
import urllib.error
import urllib.request

import psycopg

from machine import POSTGRES_PORT, REGIONS, WRITER, Failed

DATABASE, APPLICATION, PASSWORD = "orders", "orders_app", "of-the-benchmark"
# What Lifeboat gives its servers and what bears on a failover; the peers' get the same. The rest is PostgreSQL's default.
POSTGRES = {
    "shared_buffers": "32MB",
    "wal_keep_size": "256MB",
    "wal_log_hints": "on",
    "max_wal_senders": "16",
    "max_replication_slots": "16",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "password_encryption": "scram-sha-256",
}
# The application comes in by password everywhere.
HBA = f"host {DATABASE} {APPLICATION} 0.0.0.0/0 scram-sha-256"


def conninfo(world, region, user=APPLICATION, password=PASSWORD, database=DATABASE, port=POSTGRES_PORT):
    return f"host={world.address(region)} port={port} user={user} password='{password}' dbname={database}"


def query(where, statement):
    """The rows of one statement; a server that does not answer is a `Failed`."""
    try:
        with psycopg.connect(where, autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        raise Failed(str(error).strip()) from error


def make_database(where):
    """The application's role and database, as a superuser."""
    query(where, f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{PASSWORD}'")
    query(where, f"CREATE DATABASE {DATABASE} OWNER {APPLICATION}")


def ask(url, body=None):
    """JSON from HTTP. Whatever goes wrong is an `OSError`."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=2) as answer:
        return json.load(answer)


class Etcd:
    """Three members, one in each region."""

    @staticmethod
    def title(leader):
        where = "the region that is lost" if leader == WRITER else "the third region"
        return f"etcd, a member in each region, default timing, its leader in {where}"

    def __init__(self, world):
        self._world = world

    def url(self, region):
        return f"http://{self._world.address(region)}:2379"

    def urls(self):
        return [self.url(region) for region in REGIONS]

    def start(self):
        peer = {region: f"http://{self._world.address(region)}:2380" for region in REGIONS}
        for region in REGIONS:
            self._world.spawn(region, "etcd", [
                "etcd", "--name", region, "--data-dir", self._world.directory(region) / "etcd",
                "--listen-client-urls", self.url(region), "--advertise-client-urls", self.url(region),
                "--listen-peer-urls", peer[region], "--initial-advertise-peer-urls", peer[region],
                "--initial-cluster", ",".join(f"{name}={url}" for name, url in peer.items()),
                "--initial-cluster-state", "new",
            ])
        self._world.until("etcd's members are healthy", lambda: all(self._healthy(region) for region in REGIONS))

    def _healthy(self, region):
        return ask(f"{self.url(region)}/health")["health"] == "true"

    def lead_from(self, region):
        """Moves etcd's leader there. Where the region is lost in which it is, etcd has to elect another before it takes writes,
        and the new one gives every lease its whole time again."""
        wanted = self._status(region)["header"]["member_id"]

        def led():
            leader = self._status(region)["leader"]
            if leader == wanted:
                return True
            for other in REGIONS:
                if self._status(other)["header"]["member_id"] == leader:
                    ask(f"{self.url(other)}/v3/maintenance/transfer-leadership", {"targetID": wanted})
            return False

        self._world.until(f"etcd's leader is in {region}", led)

    def _status(self, region):
        return ask(f"{self.url(region)}/v3/maintenance/status", {})
