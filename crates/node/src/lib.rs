//! The daemon of one region: wires probe, control, store, drivers and dns.
