//! Which region reaches which, and how long that takes.

use std::time::Duration;

use super::RegionIndex;

#[derive(Debug)]
pub(super) struct Network {
    regions: usize,
    cut: Vec<bool>,
    delay: Vec<Duration>,
    isolated: Vec<bool>,
}

impl Network {
    pub fn new(regions: usize) -> Self {
        Self {
            regions,
            cut: vec![false; regions * regions],
            delay: vec![Duration::ZERO; regions * regions],
            isolated: vec![false; regions],
        }
    }

    /// Whether anything gets from one region to another.
    pub fn is_linked(&self, from: RegionIndex, to: RegionIndex) -> bool {
        from == to || !self.isolated[from] && !self.isolated[to] && !self.cut[from * self.regions + to]
    }

    /// Whether both reach each other.
    pub fn is_whole(&self, one: RegionIndex, other: RegionIndex) -> bool {
        self.is_linked(one, other) && self.is_linked(other, one)
    }

    /// Whether every region reaches every other, as quickly as it should.
    pub fn is_undisturbed(&self) -> bool {
        !self.cut.contains(&true) && !self.isolated.contains(&true) && self.delay.iter().all(Duration::is_zero)
    }

    pub fn is_isolated(&self, region: RegionIndex) -> bool {
        self.isolated[region]
    }

    /// How much longer one way takes than it should.
    pub fn delay(&self, from: RegionIndex, to: RegionIndex) -> Duration {
        self.delay[from * self.regions + to]
    }

    pub fn cut(&mut self, from: RegionIndex, to: RegionIndex) {
        self.cut[from * self.regions + to] = true;
    }

    pub fn isolate(&mut self, region: RegionIndex) {
        self.isolated[region] = true;
    }

    pub fn slow_down(&mut self, one: RegionIndex, other: RegionIndex, by: Duration) {
        self.delay[one * self.regions + other] = by;
        self.delay[other * self.regions + one] = by;
    }

    pub fn heal(&mut self) {
        self.cut.fill(false);
        self.isolated.fill(false);
        self.delay.fill(Duration::ZERO);
    }
}
