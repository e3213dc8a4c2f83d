//! Timelines: how the histories of two servers are compared, and where they part.

use lifeboat_model::database::Lsn;

/// A stretch of a history: the WAL of one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub timeline: u32,
    pub begin: Lsn,
    /// Where the next timeline begins; `None`: it is the current one.
    pub end: Option<Lsn>,
}

/// The stretches of a server's history, oldest first, the current timeline last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History(Vec<Stretch>);

/// Where one history leaves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    /// The last timeline that both have.
    pub timeline: u32,
    /// The end of what both have.
    pub at: Lsn,
}

impl History {
    /// The name of the file that a server keeps of a timeline's ancestors, in `pg_wal`. The first has none.
    pub fn file(timeline: u32) -> String {
        format!("{timeline:08X}.history")
    }

    /// Reads such a file: a line for each ancestor, with its number and where it was left.
    pub fn parse(text: &str, timeline: u32) -> Option<Self> {
        let mut stretches = Vec::new();
        let mut begin = Lsn(0);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut fields = line.split_whitespace();
            let (ancestor, end) = (fields.next()?.parse().ok()?, Lsn::parse(fields.next()?)?);
            stretches.push(Stretch { timeline: ancestor, begin, end: Some(end) });
            begin = end;
        }
        stretches.push(Stretch { timeline, begin, end: None });
        Some(Self(stretches))
    }

    pub fn timeline(&self) -> u32 {
        self.0.last().map_or(0, |last| last.timeline)
    }

    /// Where this history leaves `other`; `None` where it is on `other`'s current timeline. `both_wrote`: both servers were
    /// primaries on their current timelines. Two such timelines of the same number are two: each server chose it for itself.
    pub fn fork(&self, other: &Self, both_wrote: bool) -> Option<Fork> {
        let same = |(a, b): &(&Stretch, &Stretch)| {
            let twins = both_wrote && a.end.is_none() && b.end.is_none();
            a.timeline == b.timeline && a.begin == b.begin && !twins
        };
        let (mine, theirs) = self.0.iter().zip(&other.0).take_while(same).last()?;
        let at = match (mine.end, theirs.end) {
            (Some(a), Some(b)) => a.min(b),
            (Some(end), None) | (None, Some(end)) => end,
            (None, None) => return None,
        };
        Some(Fork { timeline: mine.timeline, at })
    }

    /// What this history holds beyond a fork.
    pub fn beyond(&self, fork: Fork) -> Vec<Stretch> {
        let after = self.0.iter().skip_while(|stretch| stretch.timeline != fork.timeline);
        let cut = after.map(|stretch| Stretch { begin: stretch.begin.max(fork.at), ..stretch.clone() });
        cut.filter(|stretch| stretch.end.is_none_or(|end| end > stretch.begin)).collect()
    }
}

/// The name of the file of WAL that holds a position.
pub(crate) fn segment_file(timeline: u32, at: Lsn, segment: u64) -> String {
    let number = at.0 / segment;
    let per_id = (1 << 32) / segment;
    format!("{timeline:08X}{:08X}{:08X}", number / per_id, number % per_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str, timeline: u32) -> History {
        History::parse(text, timeline).unwrap()
    }

    #[test]
    fn finds_where_histories_part() {
        let first = history("", 1);
        let second = history("1\t0/300\tno recovery target specified\n", 2);
        let third = history("1\t0/300\tx\n\n2\t0/500\tx\n", 3);
        let other_third = history("1\t0/200\tx\n", 3);
        let fork = |timeline, at| Some(Fork { timeline, at: Lsn(at) });
        for (name, mine, theirs, both_wrote, expected) in [
            ("the writer was promoted from our timeline", &first, &second, true, fork(1, 0x300)),
            ("the writer was promoted twice since", &first, &third, true, fork(1, 0x300)),
            ("a standby of the writer's timeline", &second, &second, false, None),
            ("two promoted themselves to the same number", &second, &second, true, fork(1, 0x300)),
            ("both left the first timeline, at different places", &second, &other_third, true, fork(1, 0x200)),
            ("we are ahead of the writer", &second, &first, false, fork(1, 0x300)),
        ] {
            assert_eq!(mine.fork(theirs, both_wrote), expected, "{name}");
        }
    }

    #[test]
    fn what_lies_beyond_a_fork() {
        let third = history("1\t0/300\tx\n2\t0/500\tx\n", 3);
        let stretch = |timeline, begin, end: Option<u64>| Stretch { timeline, begin: Lsn(begin), end: end.map(Lsn) };
        let beyond = |timeline, at| third.beyond(Fork { timeline, at: Lsn(at) });
        assert_eq!(
            beyond(1, 0x200),
            [stretch(1, 0x200, Some(0x300)), stretch(2, 0x300, Some(0x500)), stretch(3, 0x500, None)]
        );
        assert_eq!(beyond(2, 0x500), [stretch(3, 0x500, None)]);
        assert_eq!(segment_file(3, Lsn(0x1_0200_0000), 16 << 20), "000000030000000100000002");
    }
}
