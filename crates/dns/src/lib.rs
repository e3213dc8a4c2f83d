//! The authoritative DNS server that answers from live state.
