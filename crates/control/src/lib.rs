//! The brain, without I/O: events in, commands out.
