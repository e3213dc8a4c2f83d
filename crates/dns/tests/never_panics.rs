//! Whatever arrives: no panic, no response to a response, nothing over the limit, and what is said can be parsed.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::LazyLock;

use common::{Query, zones};
use domain::base::Message;
use domain::base::iana::Rtype;
use lifeboat_dns::{Transport, Zones, answer};
use proptest::prelude::*;

static ZONES: LazyLock<Zones> = LazyLock::new(zones);

fn check(query: &[u8], limit: usize) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let response = answer(&ZONES, query, transport, limit);
        let owed = query.len() >= 12 && query[2] & 0x80 == 0;
        prop_assert_eq!(response.is_some(), owed);
        let Some(response) = response else { continue };
        prop_assert!(response.len() <= limit.max(512));
        prop_assert_eq!(&response[..2], &query[..2]);
        prop_assert_eq!(response[2] & 0x80, 0x80);
        let message = Message::from_octets(response.as_slice()).unwrap();
        let records = message.iter().filter(|record| record.is_ok()).count();
        let counts = message.header_counts();
        let promised = counts.ancount() + counts.nscount() + counts.arcount();
        prop_assert_eq!(records, usize::from(promised));
    }
    Ok(())
}

/// A good query for something of every kind.
fn good() -> impl Strategy<Value = Query> {
    let names = ["shop", "many", "www", "round", "gone", "under", "text", "no", "a.b.c.shop"];
    let types = [Rtype::A, Rtype::AAAA, Rtype::TXT, Rtype::NS, Rtype::SOA, Rtype::ANY, Rtype::CNAME];
    let of = |(name, rtype, size, edns): (&str, Rtype, u16, bool)| {
        let query = Query::of(&format!("{name}.example.test"), rtype);
        if edns { query.opt(size, 0, 0x8000, b"\x00\x0A\x00\x0812345678") } else { query }
    };
    (prop::sample::select(names.to_vec()), prop::sample::select(types.to_vec()), any::<u16>(), any::<bool>())
        .prop_map(of)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(query in prop::collection::vec(any::<u8>(), 0..600), limit in 0usize..70_000) {
        check(&query, limit)?;
    }

    #[test]
    fn any_bytes_after_a_fair_header(body in prop::collection::vec(any::<u8>(), 0..200), records in 0u8..4) {
        let mut header = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        header[11] = records;
        check(&[&header[..], &body].concat(), 1232)?;
    }

    #[test]
    fn good_queries_with_bytes_changed(
        query in good(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        kept in any::<prop::sample::Index>(),
        cut in prop::bool::weighted(0.2),
        limit in 0usize..2_000,
    ) {
        let mut bytes = query.bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        check(&bytes, limit)?;
    }
}
