"""From what the clients remember to figures. Pure: no clock, no server."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Attempt:
    """One insert; moments in seconds of one monotonic clock."""

    number: int
    region: str
    sent: float
    ended: float
    outcome: str

    @property
    def acknowledged(self):
        return self.outcome == "acknowledged"


def longest_gap(attempts, since, until):
    """The longest time between two neighbouring acknowledgements, of which the later came after `since` and the earlier before
    `until`. None: nothing was acknowledged after `since`."""
    moments = sorted(attempt.ended for attempt in attempts if attempt.acknowledged)
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:]) if later >= since and earlier <= until]
    return max(gaps, default=None)


def lost(attempts, there):
    """Rows that were acknowledged and are not there."""
    return [attempt for attempt in attempts if attempt.acknowledged and attempt.number not in there]


def second_writer(attempts, writer, since):
    """What the old writer acknowledged although another region had begun to: (rows, seconds from that beginning to the last of them).

    Only inserts count that were *sent* after the other's first acknowledgement had arrived: an answer under way is no second writer."""
    begun = min((a.ended for a in attempts if a.acknowledged and a.region != writer and a.ended >= since), default=None)
    if begun is None:
        return 0, 0.0
    late = [a for a in attempts if a.acknowledged and a.region == writer and a.sent > begun]
    return len(late), max((a.ended - begun for a in late), default=0.0)


def spread(values):
    """(median, least, greatest), or None where there is nothing."""
    known = [value for value in values if value is not None]
    return (median(known), min(known), max(known)) if known else None
