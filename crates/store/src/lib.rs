//! The state store: the trait, its conformance suite, and the embedded store in one SQLite file.
