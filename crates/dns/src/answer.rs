//! The protocol of an authoritative server: from a table and a query to the response, a pure function.
//!
//! The rules are RFC 1034 and 1035 with 2308 (negative answers), 4343 (case), 6604 (response code behind an alias),
//! 6891 (EDNS), 8020 (nothing below a missing name), 8482 (ANY) and 9619 (one question); RFC 8906 says how to treat
//! what is unknown or malformed.

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message_builder::{
    AdditionalBuilder, AnswerBuilder, AuthorityBuilder, PushError, RecordSectionBuilder,
};
use domain::base::name::ToName;
use domain::base::opt::Opt;
use domain::base::rdata::ComposeRecordData;
use domain::base::wire::ParseError;
use domain::base::{Header, Message, MessageBuilder, ParsedName, Question, StaticCompressor, Ttl};
use domain::rdata::{A, Aaaa, Cname, Ns, Txt};

use crate::table::{Apex, Content, Lookup, Node, Set, WireName, Zones};

/// The largest response that is sent in a datagram: it fits the smallest packet that IPv6 must carry, so it is
/// never fragmented (RFC 9715, and DNS flag day 2020 for the figure).
pub const LARGEST_UDP_RESPONSE: usize = 1232;

/// What every client takes in a datagram (RFC 1035, section 4.2.1).
const SMALLEST_UDP_LIMIT: usize = 512;

/// The root name, type, size, flags and length of an OPT record without options (RFC 6891, section 6.1.2).
const OPT_LENGTH: usize = 11;

/// How many aliases are followed within the table; longer chains are left to the resolver.
const MOST_ALIASES: usize = 8;

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: a response that does not fit is cut short and says so.
    Udp,
    /// A stream.
    Tcp,
}

/// The response to a query, at most `limit` bytes long (and never cut below 512); over UDP at most what the client
/// said that it takes. `None`: silence, the only answer to what is itself a response or has no whole header.
#[must_use]
pub fn answer(zones: &Zones, query: &[u8], transport: Transport, limit: usize) -> Option<Vec<u8>> {
    let message = Message::from_slice(query).ok()?;
    if message.header().qr() {
        return None;
    }
    let query = Query::read(message);
    let limit = match transport {
        Transport::Udp => limit.min(query.edns.map_or(SMALLEST_UDP_LIMIT, |edns| usize::from(edns.payload_size))),
        Transport::Tcp => limit.min(usize::from(u16::MAX)),
    };
    compose(&query, &Verdict::of(zones, &query), transport, limit.max(SMALLEST_UDP_LIMIT)).ok()
}

/// A query as far as it could be read.
struct Query<'q> {
    header: Header,
    question: Option<Question<ParsedName<&'q [u8]>>>,
    edns: Option<Edns>,
    fault: Option<OptRcode>,
}

/// What matters of a query's OPT record.
#[derive(Clone, Copy)]
struct Edns {
    payload_size: u16,
    dnssec_ok: bool,
    version: u8,
}

impl<'q> Query<'q> {
    fn read(message: &'q Message<[u8]>) -> Self {
        let mut query = Self { header: message.header(), question: None, edns: None, fault: None };
        let read = query.read_sections(message);
        query.fault = if query.header.opcode() != Opcode::QUERY {
            Some(OptRcode::NOTIMP)
        } else if read.is_err() || query.question.is_none() {
            Some(OptRcode::FORMERR)
        } else if query.edns.is_some_and(|edns| edns.version != 0) {
            Some(OptRcode::BADVERS)
        } else {
            None
        };
        query
    }

    /// Bytes behind the last record are not looked at.
    fn read_sections(&mut self, message: &'q Message<[u8]>) -> Result<(), Malformed> {
        if message.header_counts().qdcount() != 1 {
            return Err(Malformed);
        }
        self.question = message.question().next().transpose()?;
        for record in message.additional()? {
            let record = record?;
            if record.rtype() != Rtype::OPT {
                continue;
            }
            // RFC 6891, section 6.1.1: more than one OPT record is malformed.
            if self.edns.take().is_some() || !record.owner().is_root() {
                return Err(Malformed);
            }
            // The header of an OPT record is an ordinary one whose class and TTL carry other things.
            let [_, version, flags, _] = record.ttl().as_secs().to_be_bytes();
            self.edns = Some(Edns { payload_size: record.class().to_int(), dnssec_ok: flags & 0x80 != 0, version });
            record.into_record::<Opt<_>>()?;
        }
        Ok(())
    }
}

/// The message cannot be read; it does not matter where.
struct Malformed;

impl From<ParseError> for Malformed {
    fn from(_: ParseError) -> Self {
        Self
    }
}

/// What is to be said.
enum Verdict<'z> {
    /// Nothing from a zone.
    Error(OptRcode),
    /// The end of the way from the name asked for through aliases.
    Found { aliases: Vec<(Ttl, &'z WireName)>, end: End<'z> },
}

/// What stands at the end of the aliases.
enum End<'z> {
    A(&'z Set<A>),
    Aaaa(&'z Set<Aaaa>),
    Txt(&'z Set<Txt<Vec<u8>>>),
    Soa(&'z Apex),
    /// With the nodes of those name servers whose names are served here.
    NameServers {
        apex: &'z Apex,
        addresses: Vec<(&'z WireName, &'z Node)>,
    },
    /// The alias itself was asked for, or leads out of the zones, or in a circle.
    Alias,
    /// The name has nothing of the type.
    NoData(&'z Apex),
    /// There is no such name.
    NoName(&'z Apex),
}

impl<'z> Verdict<'z> {
    fn of(zones: &'z Zones, query: &Query<'_>) -> Self {
        if let Some(fault) = query.fault {
            return Self::Error(fault);
        }
        let Some(question) = &query.question else { return Self::Error(OptRcode::FORMERR) };
        match question.qtype() {
            // Nothing is transferred from here.
            Rtype::AXFR | Rtype::IXFR => return Self::Error(OptRcode::REFUSED),
            // Records that only ever accompany a message, and one that only ever denies (RFC 9824, section 3.5).
            Rtype::OPT | Rtype::TSIG | Rtype::TKEY | Rtype::NXNAME => return Self::Error(OptRcode::FORMERR),
            Rtype::MAILA | Rtype::MAILB => return Self::Error(OptRcode::NOTIMP),
            _ => {}
        }
        if question.qclass() != Class::IN {
            return Self::Error(OptRcode::REFUSED);
        }
        match zones.find(question.qname()) {
            Lookup::Elsewhere => Self::Error(OptRcode::REFUSED),
            first => Self::follow(zones, first, question.qtype()),
        }
    }

    fn follow(zones: &'z Zones, first: Lookup<'z>, rtype: Rtype) -> Self {
        let mut aliases = Vec::new();
        let mut lookup = first;
        let end = loop {
            match lookup {
                Lookup::Elsewhere => break End::Alias,
                Lookup::Missing(apex) => break End::NoName(apex),
                Lookup::Node(apex, node) => match &node.content {
                    Content::Data { .. } => break End::of(zones, apex, node, rtype),
                    Content::Alias { ttl, target } => {
                        aliases.push((*ttl, target));
                        if matches!(rtype, Rtype::CNAME | Rtype::ANY) || aliases.len() == MOST_ALIASES {
                            break End::Alias;
                        }
                        lookup = zones.find(target);
                    }
                },
            }
        };
        Self::Found { aliases, end }
    }

    fn rcode(&self) -> OptRcode {
        match self {
            Self::Error(rcode) => *rcode,
            Self::Found { end: End::NoName(_), .. } => OptRcode::NXDOMAIN,
            Self::Found { .. } => OptRcode::NOERROR,
        }
    }
}

impl<'z> End<'z> {
    fn of(zones: &'z Zones, apex: &'z Apex, node: &'z Node, rtype: Rtype) -> Self {
        let Content::Data { a, aaaa, txt } = &node.content else { return Self::Alias };
        // RFC 8482, section 4.1: one of the sets is answer enough for ANY.
        let asked = |present: Rtype| rtype == present || rtype == Rtype::ANY;
        if asked(Rtype::A) && !a.values.is_empty() {
            Self::A(a)
        } else if asked(Rtype::AAAA) && !aaaa.values.is_empty() {
            Self::Aaaa(aaaa)
        } else if asked(Rtype::TXT) && !txt.values.is_empty() {
            Self::Txt(txt)
        } else if asked(Rtype::SOA) && node.is_apex {
            Self::Soa(apex)
        } else if rtype == Rtype::NS && node.is_apex {
            let served = |name| match zones.find(name) {
                Lookup::Node(_, node) => Some((name, node)),
                Lookup::Missing(_) | Lookup::Elsewhere => None,
            };
            Self::NameServers { apex, addresses: apex.name_servers.iter().filter_map(served).collect() }
        } else {
            Self::NoData(apex)
        }
    }
}

/// Writes the response. Fails only if header, question and OPT alone do not fit, which 512 bytes always hold.
fn compose(query: &Query<'_>, verdict: &Verdict<'_>, transport: Transport, limit: usize) -> Result<Vec<u8>, PushError> {
    let Ok(mut start) = MessageBuilder::from_target(StaticCompressor::new(Vec::with_capacity(SMALLEST_UDP_LIMIT)));
    let room_for_opt = if query.edns.is_some() { OPT_LENGTH } else { 0 };
    // The builder takes what is shorter than its limit.
    start.set_push_limit(limit - room_for_opt + 1);
    let mut questions = start.question();
    if let Some(question) = &query.question {
        questions.push(question)?;
    }

    let mut rcode = verdict.rcode();
    let mut truncated = false;
    let answers = questions.answer();
    let mut additional = match (verdict, &query.question) {
        (Verdict::Found { aliases, end }, Some(question)) => {
            let turn = usize::from(query.header.id());
            let (mut additional, complete) = push_sections(answers, question.qname(), aliases, end, turn);
            match transport {
                Transport::Udp => truncated = !complete,
                // A stream has no next larger transport to send the client to.
                Transport::Tcp if !complete => rcode = OptRcode::SERVFAIL,
                Transport::Tcp => {}
            }
            additional.header_mut().set_aa(true);
            additional
        }
        (Verdict::Error(_), _) | (_, None) => answers.additional(),
    };

    if let Some(edns) = query.edns {
        additional.set_push_limit(limit + 1);
        additional.opt(|opt| {
            opt.set_udp_payload_size(LARGEST_UDP_RESPONSE as u16);
            opt.set_dnssec_ok(edns.dnssec_ok);
            opt.set_rcode(rcode);
            Ok(())
        })?;
    }
    let header = additional.header_mut();
    header.set_id(query.header.id());
    header.set_qr(true);
    header.set_opcode(query.header.opcode());
    header.set_tc(truncated);
    header.set_rd(query.header.rd());
    // RFC 4035, section 3.1.6.
    header.set_cd(query.header.cd());
    header.set_rcode(rcode.rcode());
    Ok(additional.finish().into_target())
}

type Target = StaticCompressor<Vec<u8>>;

/// Fills the three sections; says whether all that matters fitted. If not, they are empty.
fn push_sections(
    mut answers: AnswerBuilder<Target>,
    name: &impl ToName,
    aliases: &[(Ttl, &WireName)],
    end: &End<'_>,
    turn: usize,
) -> (AdditionalBuilder<Target>, bool) {
    if push_answers(&mut answers, name, aliases, end, turn).is_err() {
        answers.rewind();
        return (answers.additional(), false);
    }
    let mut authority = answers.authority();
    if push_denial(&mut authority, end).is_err() {
        let mut answers = authority.answer();
        answers.rewind();
        return (answers.additional(), false);
    }
    let mut additional = authority.additional();
    if let End::NameServers { addresses, .. } = end {
        for (name, node) in addresses {
            // Only a convenience at an apex, so what does not fit is left out in silence.
            let _ = push_addresses(&mut additional, name, node, turn);
        }
    }
    (additional, true)
}

fn push_answers(
    answers: &mut AnswerBuilder<Target>,
    name: &impl ToName,
    aliases: &[(Ttl, &WireName)],
    end: &End<'_>,
    turn: usize,
) -> Result<(), PushError> {
    let mut previous: Option<&WireName> = None;
    for (ttl, target) in aliases {
        // The name asked for is repeated in the case in which it was asked.
        match previous {
            None => answers.push((name, *ttl, Cname::new(target)))?,
            Some(alias) => answers.push((alias, *ttl, Cname::new(target)))?,
        }
        previous = Some(target);
    }
    match previous {
        None => push_end(answers, name, end, turn),
        Some(alias) => push_end(answers, alias, end, turn),
    }
}

fn push_end(
    answers: &mut AnswerBuilder<Target>,
    owner: &impl ToName,
    end: &End<'_>,
    turn: usize,
) -> Result<(), PushError> {
    match end {
        End::A(set) => push_set(answers, owner, set, turn),
        End::Aaaa(set) => push_set(answers, owner, set, turn),
        End::Txt(set) => push_set(answers, owner, set, turn),
        End::Soa(apex) => answers.push((owner, apex.ttl, &apex.soa)),
        End::NameServers { apex, .. } => {
            apex.name_servers.iter().try_for_each(|server| answers.push((owner, apex.ttl, Ns::new(server))))
        }
        End::Alias | End::NoData(_) | End::NoName(_) => Ok(()),
    }
}

/// RFC 2308, section 3: what is not there is denied with the zone's SOA, whose time to live bounds the denial's.
fn push_denial(authority: &mut AuthorityBuilder<Target>, end: &End<'_>) -> Result<(), PushError> {
    match end {
        End::NoData(apex) | End::NoName(apex) => authority.push((&apex.name, apex.negative_ttl, &apex.soa)),
        End::A(_) | End::Aaaa(_) | End::Txt(_) | End::Soa(_) | End::NameServers { .. } | End::Alias => Ok(()),
    }
}

fn push_addresses(
    additional: &mut AdditionalBuilder<Target>,
    name: &WireName,
    node: &Node,
    turn: usize,
) -> Result<(), PushError> {
    match &node.content {
        Content::Alias { .. } => Ok(()),
        Content::Data { a, aaaa, .. } => {
            push_set(additional, name, a, turn)?;
            push_set(additional, name, aaaa, turn)
        }
    }
}

/// Begins with another record from query to query, for many clients take the first one.
fn push_set<D: ComposeRecordData>(
    section: &mut impl RecordSectionBuilder<Target>,
    owner: &impl ToName,
    set: &Set<D>,
    turn: usize,
) -> Result<(), PushError> {
    let (after, before) = set.values.split_at(turn.checked_rem(set.values.len()).unwrap_or(0));
    before.iter().chain(after).try_for_each(|value| section.push((owner, set.ttl, value)))
}
