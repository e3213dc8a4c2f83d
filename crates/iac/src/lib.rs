//! The generators of infrastructure as code.
