//! A deterministic simulator of whole fleets, with the promises as checks.
