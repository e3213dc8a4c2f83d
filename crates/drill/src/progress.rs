//! What a drill tells while it goes on, and who is told.

use std::path::Path;
use std::time::Duration;

use crate::Fault;
use crate::report::{Report, TimelineEntry};

/// What a drill tells while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// It begins.
    Began {
        /// The app's name.
        app: &'a str,
        /// What will go wrong.
        fault: Fault,
        /// Where.
        region: &'a str,
        /// Which repetition of how many.
        repetition: (u32, u32),
    },
    /// Something on the way to a running app.
    Preparing(&'a str),
    /// Something happened, the fault included; its time counts from the fault or from the request of the switchover.
    Happened(&'a TimelineEntry),
    /// A sign of life, some 50 times a second.
    Pulse(Pulse<'a>),
    /// Everything is about to be ended and removed.
    Cleaning,
    /// It is over.
    Finished(&'a Report),
    /// The run directory was kept.
    Kept(&'a Path),
}

/// How things stand at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Pulse<'a> {
    /// What is awaited.
    pub doing: &'a str,
    /// Since the fault or the request, or since the beginning.
    pub since: Duration,
    /// Orders acknowledged so far.
    pub acknowledged: usize,
    /// Orders acknowledged in the last second.
    pub per_second: usize,
}

/// Who is told.
pub trait Progress: Send {
    /// Takes note. Must not block for long: the drill goes on only afterwards.
    fn tell(&mut self, news: News<'_>);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&mut self, _: News<'_>) {}
}
