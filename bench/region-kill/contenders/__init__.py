"""Who stands side by side. Each contender starts itself in a world, says when it is ready, and where its servers are."""

from machine import WRITER

from .lifeboat import Lifeboat
from .patroni import Patroni
from .pg_auto_failover import PgAutoFailover

CONTENDERS = {
    contender.name: contender
    for contender in (
        Lifeboat("sqlite", synchronous=True),
        Lifeboat("sqlite", synchronous=False),
        Lifeboat("etcd", synchronous=True),
        Lifeboat("etcd", synchronous=True, leader=WRITER),
        Lifeboat("etcd", synchronous=False),
        Patroni("default", synchronous=True),
        Patroni("default", synchronous=False),
        Patroni("fast", synchronous=True),
        Patroni("fast", synchronous=True, leader=WRITER),
        Patroni("fast", synchronous=False),
        PgAutoFailover("default"),
        PgAutoFailover("fast"),
    )
}
