//! Facts of the world, embedded as data files.
