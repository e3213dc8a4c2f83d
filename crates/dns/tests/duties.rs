//! What an authoritative server owes to a query, over UDP and TCP alike: RFC 8906's table, then the content of zones.

mod common;

use common::{Query, Running, describe, zones};
use domain::base::iana::Rtype;
use lifeboat_dns::{Transport, answer};

const SOA: &str = "answer example.test 60 SOA ns-a.example.test. hostmaster.example.test. 7 86400 7200 3600000 1";
const DENIAL: &str = "authority example.test 1 SOA ns-a.example.test. hostmaster.example.test. 7 86400 7200 3600000 1";

fn soa() -> Query {
    Query::of("example.test", Rtype::SOA)
}

/// Each query with the description of its response; `-` for none. `SOA` and `DENIAL` stand for the record.
async fn check(cases: &[(&str, Query, &str)]) {
    let server = Running::start(zones()).await;
    for (what, query, expected) in cases {
        let expected = expected.replace("SOA!", SOA).replace("DENIAL!", DENIAL);
        for (transport, response) in
            [("UDP", server.by_udp(&query.bytes()).await), ("TCP", server.by_tcp(&query.bytes()).await)]
        {
            let found = response.as_deref().map_or_else(|| "-".into(), describe);
            assert_eq!(found, expected, "{what} by {transport}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn every_query_of_rfc_8906_gets_its_response() {
    let plain = "NOERROR aa | example.test SOA | SOA!";
    let edns = "NOERROR aa | example.test SOA | SOA! | edns 0 1232";
    let ecs_nsid_cookie_expire =
        b"\x00\x08\x00\x07\x00\x01\x18\x00\xC0\x00\x02\x00\x03\x00\x00\x00\x0A\x00\x0812345678\x00\x09\x00\x00";
    let unknown_option = b"\x00\x64\x00\x03abc";
    check(&[
        ("plain", soa(), plain),
        ("EDNS 0", soa().opt(1232, 0, 0, b""), edns),
        ("EDNS 0 with DO", soa().opt(1232, 0, 0x8000, b""), &format!("{edns} do")),
        ("EDNS 0 in 0 bytes", soa().opt(0, 0, 0, b""), edns),
        (
            "DNSKEY in 512 bytes",
            Query::of("example.test", Rtype::DNSKEY).opt(512, 0, 0x8000, b""),
            "NOERROR aa | example.test DNSKEY | DENIAL! | edns 0 1232 do",
        ),
        ("EDNS 100", soa().opt(1232, 100, 0, b""), "BADVERS | example.test SOA | edns 0 1232"),
        (
            "EDNS 100 with an unknown option",
            soa().opt(1232, 100, 0, unknown_option),
            "BADVERS | example.test SOA | edns 0 1232",
        ),
        ("an unknown option", soa().opt(1232, 0, 0, unknown_option), edns),
        ("an unknown EDNS flag", soa().opt(1232, 0, 0x0040, b""), edns),
        ("four options", soa().opt(1232, 0, 0, ecs_nsid_cookie_expire), edns),
        ("AA", soa().flags(0x0400), plain),
        ("AD", soa().flags(0x0020), plain),
        ("CD", soa().flags(0x0010), "NOERROR aa cd | example.test SOA | SOA!"),
        ("Z", soa().flags(0x0040), plain),
        ("RD", soa().flags(0x0100), "NOERROR aa rd | example.test SOA | SOA!"),
        ("TC", soa().flags(0x0200), plain),
        ("RA", soa().flags(0x0080), plain),
        ("a response code", soa().flags(0x0003), plain),
        ("opcode 15", soa().flags(0x7800), "NOTIMP opcode 15 | example.test SOA"),
        (
            "opcode 15 with EDNS",
            soa().flags(0x7800).opt(1232, 0, 0, b""),
            "NOTIMP opcode 15 | example.test SOA | edns 0 1232",
        ),
        ("NOTIFY", soa().flags(0x2000), "NOTIMP opcode 4 | example.test SOA"),
        ("UPDATE", soa().flags(0x2800), "NOTIMP opcode 5 | example.test SOA"),
        (
            "an unknown type",
            Query::of("example.test", Rtype::from_int(1000)),
            "NOERROR aa | example.test TYPE1000 | DENIAL!",
        ),
        ("DS at the apex", Query::of("example.test", Rtype::DS), "NOERROR aa | example.test DS | DENIAL!"),
        ("ANY", Query::of("example.test", Rtype::ANY), "NOERROR aa | example.test ANY | SOA!"),
        ("another zone", Query::of("example.org", Rtype::SOA), "REFUSED | example.org SOA"),
        ("above the zone", Query::of("test", Rtype::SOA), "REFUSED | test SOA"),
        ("the root", Query::of("", Rtype::NS), "REFUSED |  NS"),
        ("two OPTs", soa().opt(1232, 0, 0, b"").opt(1232, 0, 0, b""), "FORMERR | example.test SOA"),
        ("bytes behind the message", soa().tail(b"junk"), plain),
    ])
    .await;
}

#[tokio::test]
async fn the_malformed_and_the_unserved_are_told_so() {
    let mut no_question = soa();
    no_question.header[5] = 0;
    let mut two_questions = soa().tail(&soa().body);
    two_questions.header[5] = 2;
    let mut missing_record = soa();
    missing_record.header[11] = 1;
    let pointer_to_itself = Query { header: soa().header, body: vec![0xC0, 12, 0, 6, 0, 1] };
    let cut_short = Query { header: soa().header, body: vec![7, b'e', b'x'] };
    let chaos = Query::of("version.bind", Rtype::TXT).class(3);
    let edns = " | edns 0 1232";
    check(&[
        ("a response", soa().flags(0x8000), "-"),
        ("no question", no_question, "FORMERR"),
        ("two questions", two_questions, "FORMERR"),
        ("a record that is not there", missing_record, "FORMERR | example.test SOA"),
        ("a pointer to itself", pointer_to_itself, "FORMERR"),
        ("a name cut short", cut_short, "FORMERR"),
        (
            "an option longer than its record",
            soa().opt(1232, 0, 0, b"\x00\x64\x00\x09abc"),
            &format!("FORMERR | example.test SOA{edns}"),
        ),
        ("a record longer than the message", soa().opt_of_length(1232, 0, 0, b"", 50), "FORMERR | example.test SOA"),
        ("CHAOS", chaos, "REFUSED | version.bind TXT"),
        ("class ANY", soa().class(255), "REFUSED | example.test SOA"),
        ("AXFR", Query::of("example.test", Rtype::AXFR), "REFUSED | example.test AXFR"),
        ("IXFR", Query::of("example.test", Rtype::IXFR), "REFUSED | example.test IXFR"),
        ("type OPT", Query::of("example.test", Rtype::OPT), "FORMERR | example.test OPT"),
        ("type NXNAME", Query::of("example.test", Rtype::NXNAME), "FORMERR | example.test NXNAME"),
        ("type MAILB", Query::of("example.test", Rtype::MAILB), "NOTIMP | example.test MAILB"),
    ])
    .await;
}

#[tokio::test]
async fn zones_are_answered_from() {
    let of = Query::of;
    check(&[
        (
            "an address, in the case asked",
            of("sHoP.eXample.TEST", Rtype::A),
            "NOERROR aa | sHoP.eXample.TEST A | answer sHoP.eXample.TEST 1 A 127.0.20.1",
        ),
        ("AAAA", of("both.example.test", Rtype::AAAA), "NOERROR aa | both.example.test AAAA | answer both.example.test 1 AAAA ::1"),
        ("ANY: one set", of("both.example.test", Rtype::ANY), "NOERROR aa | both.example.test ANY | answer both.example.test 1 A 127.0.20.1"),
        ("no AAAA", of("shop.example.test", Rtype::AAAA), "NOERROR aa | shop.example.test AAAA | DENIAL!"),
        ("no HTTPS", of("shop.example.test", Rtype::HTTPS), "NOERROR aa | shop.example.test HTTPS | DENIAL!"),
        ("every region is down", of("down.example.test", Rtype::A), "NOERROR aa | down.example.test A | DENIAL!"),
        ("no such name", of("nothing.example.test", Rtype::A), "NXDOMAIN aa | nothing.example.test A | DENIAL!"),
        ("nothing below a name", of("a.b.shop.example.test", Rtype::A), "NXDOMAIN aa | a.b.shop.example.test A | DENIAL!"),
        ("an empty non-terminal", of("under.example.test", Rtype::A), "NOERROR aa | under.example.test A | DENIAL!"),
        ("one within", of("deep.down.under.example.test", Rtype::A), "NOERROR aa | deep.down.under.example.test A | DENIAL!"),
        ("beside one", of("x.under.example.test", Rtype::A), "NXDOMAIN aa | x.under.example.test A | DENIAL!"),
        (
            "NS, with those addresses that are ours to give",
            of("example.test", Rtype::NS),
            "NOERROR aa | example.test NS | answer example.test 60 NS ns-a.example.test., example.test 60 NS ns.elsewhere.test. \
             | additional ns-a.example.test 60 A 127.0.20.1",
        ),
        ("a name server", of("ns-a.example.test", Rtype::A), "NOERROR aa | ns-a.example.test A | answer ns-a.example.test 60 A 127.0.20.1"),
        (
            "an alias",
            of("WWW.example.test", Rtype::A),
            "NOERROR aa | WWW.example.test A | answer WWW.example.test 2 CNAME shop.example.test., shop.example.test 1 A 127.0.20.1",
        ),
        (
            "the alias itself",
            of("www.example.test", Rtype::CNAME),
            "NOERROR aa | www.example.test CNAME | answer www.example.test 2 CNAME shop.example.test.",
        ),
        (
            "an alias of what has no AAAA",
            of("www.example.test", Rtype::AAAA),
            "NOERROR aa | www.example.test AAAA | answer www.example.test 2 CNAME shop.example.test. | DENIAL!",
        ),
        (
            "an alias into another zone",
            of("far.example.test", Rtype::A),
            "NOERROR aa | far.example.test A | answer far.example.test 2 CNAME www.other.test., www.other.test 1 A 127.0.20.9",
        ),
        (
            "an alias of what is served elsewhere",
            of("out.example.test", Rtype::A),
            "NOERROR aa | out.example.test A | answer out.example.test 2 CNAME host.of.somebody.test.",
        ),
        (
            "an alias of nothing",
            of("gone.example.test", Rtype::A),
            "NXDOMAIN aa | gone.example.test A | answer gone.example.test 2 CNAME nothing.example.test. | DENIAL!",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_is_cut_and_fetched_by_stream() {
    let server = Running::start(zones()).await;
    let plain = Query::of("many.example.test", Rtype::A);
    for (query, expected) in [
        (plain.clone(), "NOERROR aa tc | many.example.test A"),
        (plain.clone().opt(4096, 0, 0, b""), "NOERROR aa tc | many.example.test A | edns 0 1232"),
    ] {
        let response = server.by_udp(&query.bytes()).await.unwrap();
        assert_eq!(describe(&response), expected);
    }
    let response = server.by_tcp(&plain.bytes()).await.unwrap();
    assert_eq!(describe(&response).matches(" A 10.0.0.").count(), 100);
    server.stop().await;
}

#[test]
fn a_limit_is_kept_to_the_byte() {
    // 12 for the header, 23 for the question, 16 for each address.
    let zones = zones();
    for (limit, options, whole) in [(1635, false, true), (1634, false, false), (1646, true, true), (1645, true, false)]
    {
        let mut query = Query::of("many.example.test", Rtype::A).opt(u16::MAX, 0, 0, b"");
        let mut transport = Transport::Udp;
        if !options {
            query = Query::of("many.example.test", Rtype::A);
            transport = Transport::Tcp;
        }
        let response = answer(&zones, &query.bytes(), transport, limit).unwrap();
        assert_eq!(response.len() == limit, whole, "{limit}: {} bytes", response.len());
        let refusal = if options { "NOERROR aa tc" } else { "SERVFAIL" };
        assert_eq!(describe(&response).starts_with(refusal), !whole, "{limit}: {}", describe(&response));
    }
}

#[test]
fn long_texts_are_split_and_sets_are_turned() {
    let zones = zones();
    let ask = |query: &Query| answer(&zones, &query.bytes(), Transport::Tcp, 65_535).unwrap();
    let response = ask(&Query::of("text.example.test", Rtype::TXT));
    assert!(response.windows(256).any(|bytes| bytes[0] == 255 && bytes[1..].iter().all(|byte| *byte == b'x')));
    assert_eq!(ask(&Query::of("round.example.test", Rtype::A))[7], 8, "a circle of aliases ends");

    let mut first: Vec<u8> = (0..100)
        .map(|id| ask(&Query::of("many.example.test", Rtype::A).id(id)))
        .map(|response| response[12 + 23 + 15])
        .collect();
    first.sort_unstable();
    assert_eq!(first, (1..=100).collect::<Vec<u8>>(), "each of the hundred addresses comes first once");
}
