"""The client that every contender is measured with: it inserts rows one after the other and remembers which were acknowledged.

It finds the writer itself, by asking all servers in turn whether they take writes, so that nobody's DNS or proxy is measured. Libpq
is driven by hand, because its own connection timeout is two seconds at least, and because a cancelled commit that waits for
a standby would be committed nevertheless.

    client.py FIRST-ID MEMORY REGION=CONNINFO…

At SIGTERM the memory is complete: a line of JSON per insert, `[id, region, sent, ended, outcome]`, in seconds of CLOCK_MONOTONIC. Outcomes:
`acknowledged`; `warned` (committed, but the server warned that no standby may have it); `failed`; `unknown` (no answer in time).
"""

import json
import select
import signal
import sys
import time

import psycopg
from psycopg import pq

# Seconds. How long a server may take to be reached and to say whether it takes writes; how long an insert may take.
CONNECT_LIMIT, INSERT_LIMIT = 0.5, 1.0
# Seconds between two inserts, and between two servers that are asked.
PAUSE = 0.005
TAKES_WRITES = b"SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool"


class Session:
    """One connection."""

    def __init__(self, conninfo):
        self.warned = False
        self._connection = pq.PGconn.connect_start(conninfo.encode())
        self._connection.notice_handler = self._notice

    def _notice(self, result):
        # 01000: "canceling wait for synchronous replication"; the other warnings of an insert are of no class of their own.
        self.warned |= result.error_field(pq.DiagnosticField.SQLSTATE) == b"01000"

    def open(self, deadline):
        """Whether the connection stands in time."""
        wait = pq.PollingStatus.WRITING
        try:
            while wait != pq.PollingStatus.OK:
                if wait == pq.PollingStatus.FAILED or not self._ready(wait == pq.PollingStatus.READING, deadline):
                    return False
                wait = self._connection.connect_poll()
            self._connection.nonblocking = 1
        except psycopg.Error:  # It failed so early that there is no socket to wait for.
            return False
        return True

    def ask(self, statement, deadline):
        """The results, or None where there was no answer in time."""
        try:
            self._connection.send_query(statement)
            while self._connection.flush():
                if not self._ready(False, deadline):
                    return None
            results = []
            while True:
                while self._connection.is_busy():
                    if not self._ready(True, deadline):
                        return None
                    self._connection.consume_input()
                result = self._connection.get_result()
                if result is None:
                    return results
                results.append(result)
        except psycopg.Error:  # The connection is gone, and nothing is known of the statement.
            return None

    def _ready(self, to_read, deadline):
        """Whether the socket is ready in time."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        at = [self._connection.socket]
        return any(select.select(at if to_read else [], [] if to_read else at, [], left))

    def close(self):
        self._connection.finish()


class Client:
    def __init__(self, first, memory, servers):
        self._next, self._memory, self._servers = first, memory, servers
        self._stopping = False

    def stop(self, *_signal):
        self._stopping = True

    def work(self):
        turn = 0
        while not self._stopping:
            region, conninfo = self._servers[turn % len(self._servers)]
            session = Session(conninfo)
            try:
                if self._is_writer(session):
                    while not self._stopping and self._insert(session, region):
                        time.sleep(PAUSE)
            finally:
                session.close()
            turn += 1
            time.sleep(PAUSE)

    @staticmethod
    def _is_writer(session):
        deadline = time.monotonic() + CONNECT_LIMIT
        if not session.open(deadline):
            return False
        results = session.ask(TAKES_WRITES, deadline)
        return bool(results) and results[0].status == pq.ExecStatus.TUPLES_OK and results[0].get_value(0, 0) == b"t"

    def _insert(self, session, region):
        """Whether it was acknowledged; if not, this connection is not used again."""
        number, self._next = self._next, self._next + 1
        session.warned = False
        sent = time.monotonic()
        results = session.ask(f"INSERT INTO rows VALUES ({number})".encode(), sent + INSERT_LIMIT)
        ended = time.monotonic()
        if results is None or not results:
            outcome = "unknown"
        elif results[0].status != pq.ExecStatus.COMMAND_OK:
            outcome = "failed"
        else:
            outcome = "warned" if session.warned else "acknowledged"
        # Lines are flushed one by one: the harness reads along.
        self._memory.write(json.dumps([number, region, sent, ended, outcome]) + "\n")
        self._memory.flush()
        return outcome == "acknowledged"


def main():
    first, path, *servers = sys.argv[1:]
    with open(path, "w", encoding="utf-8") as memory:
        client = Client(int(first), memory, [tuple(server.split("=", 1)) for server in servers])
        signal.signal(signal.SIGTERM, client.stop)
        client.work()


if __name__ == "__main__":
    main()
