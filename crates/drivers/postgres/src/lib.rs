//! Supervises a PostgreSQL server: create, seed, start, promote, fence, follow.
