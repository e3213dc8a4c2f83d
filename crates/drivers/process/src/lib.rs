//! Supervises a local process.
