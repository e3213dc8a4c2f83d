//! Every field of a `lifeboat.yaml`: its name, its meaning, its default, and the kind of its value.
//!
//! The one table from which the parser reads the file and [`crate::schema()`] describes it to editors.

use std::time::Duration;

use crate::app::{FailoverMode, Kind, Pattern, Reads, RegionRole, Replication, RoutePolicy, WithoutStandby};
use crate::scalar::Scalar;

/// What may stand in a place of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A single value.
    Scalar(Scalar),
    /// A mapping of the fields of this object.
    Object(&'static Object),
    /// A mapping of names that the user chooses, or refers to, with at least so many entries.
    Map { key: Scalar, value: &'static Shape, least: usize },
    /// A list of at least so many values.
    List { item: Scalar, least: usize },
    /// A single value, or a mapping.
    Either(Scalar, &'static Object),
}

/// A mapping with known fields.
#[derive(Debug)]
pub(crate) struct Object {
    pub name: &'static str,
    pub about: &'static str,
    pub fields: &'static [Field],
    /// Fields of which exactly one must be given; empty: no such rule.
    pub one_of: &'static [&'static str],
}

/// A field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub about: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// The value, as it would stand in the file, that is taken where the field is left out.
    pub default: Option<&'static str>,
    /// Of a component: the kinds for which the field has a meaning.
    pub applies: Applies,
    /// Another field of the object, without which this one has no meaning.
    pub beside: Option<&'static str>,
}

/// Which kinds of component a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applies {
    All,
    Databases,
    Compute,
    Process,
}

impl Applies {
    pub fn to(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Databases => kind.is_database(),
            Self::Compute => !kind.is_database(),
            Self::Process => kind == Kind::Process,
        }
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::All => "any component",
            Self::Databases => "a database",
            Self::Compute => "compute",
            Self::Process => "kind `process`",
        }
    }
}

impl Object {
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, shape, required: false, default: None, applies: Applies::All, beside: None }
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn of(mut self, applies: Applies) -> Self {
        self.applies = applies;
        self
    }

    const fn beside(mut self, other: &'static str) -> Self {
        self.beside = Some(other);
        self
    }
}

/// The words of an enum of [`crate::app`], for a table that is made at compile time.
macro_rules! words_of {
    ($type:ident) => {{
        const WORDS: [&str; $type::ALL.len()] = {
            let mut words = [""; $type::ALL.len()];
            let mut index = 0;
            while index < words.len() {
                words[index] = $type::ALL[index].as_str();
                index += 1;
            }
            words
        };
        Shape::Scalar(Scalar::Word(&WORDS))
    }};
}

const TEXT: Shape = Shape::Scalar(Scalar::Text);
const NAME: Shape = Shape::Scalar(Scalar::Name);
const PORT: Shape = Shape::Scalar(Scalar::Integer(1, 65_535));
/// Any duration.
const SPAN: Shape = Shape::Scalar(Scalar::Duration(Duration::ZERO, Duration::MAX));
/// Between two probes, or until one is given up: quicker than 10 ms measures the prober's own machine.
const PACE: Shape = Shape::Scalar(Scalar::Duration(Duration::from_millis(10), Duration::from_secs(3600)));
const PROBES: Shape = Shape::Scalar(Scalar::Integer(1, 100));

/// The whole file.
pub(crate) static FILE: Object = Object {
    name: "file",
    about: "What an app is made of, where it runs, and how much downtime and data loss it may suffer.",
    one_of: &[],
    fields: &[
        field("app", NAME, "The app's name.").required(),
        field("objectives", Shape::Object(&OBJECTIVES), "What must be reached by the app as a whole."),
        field(
            "regions",
            Shape::Map { key: Scalar::Name, value: &Shape::Object(&REGION), least: 1 },
            "The places that fail as one, by names of your own. At least two that keep data for a failover to be possible, and three in all for it to be automatic.",
        )
        .required(),
        field(
            "components",
            Shape::Map { key: Scalar::Name, value: &Shape::Object(&COMPONENT), least: 1 },
            "The things of the app that exist per region: databases, and compute.",
        )
        .required(),
        field(
            "routes",
            Shape::Map { key: Scalar::Host, value: &Shape::Object(&ROUTE), least: 0 },
            "The host names that clients ask for.",
        ),
        field("failover", Shape::Object(&FAILOVER), "When a failover happens."),
        field("detection", Shape::Object(&DETECTION), "How quickly, and how surely, a region is found to be down."),
        field(
            "store",
            Shape::Either(Scalar::Text, &STORE),
            "Where the nodes keep what they share: one SQLite file, shared by the nodes of one machine, or etcd across regions.",
        )
        .or("lifeboat.db"),
        field("dns", Shape::Object(&DNS), "The built-in DNS server."),
        field("nodes", Shape::Object(&NODES), "How the nodes speak with each other and with people."),
        field(
            "prices",
            Shape::Map { key: Scalar::PriceKey, value: &Shape::Either(Scalar::Price, &PRICE), least: 0 },
            "Prices of your own, which go before the list that `assess` knows, by `PROVIDER/REGION/SKU`; `global` is every region of the provider.",
        ),
    ],
};

/// `prices.KEY`, where it is more than a number.
pub(crate) static PRICE: Object = Object {
    name: "price",
    about: "A price with where it comes from.",
    one_of: &[],
    fields: &[
        field(
            "usd",
            Shape::Scalar(Scalar::Price),
            "US dollars per unit of the SKU: an hour of a machine, a GB a month of storage, a GB of traffic.",
        )
        .required(),
        field("basis", TEXT, "Where it comes from, such as a contract."),
        field("date", Shape::Scalar(Scalar::Date), "Since when it holds, such as `2026-10-01`."),
    ],
};

/// `objectives`, of the app and of a component.
pub(crate) static OBJECTIVES: Object = Object {
    name: "objectives",
    about: "What must be reached; what is left out is not demanded. A component's own may only tighten the app's.",
    one_of: &[],
    fields: &[
        field("rto", SPAN, "Longest time without service, from the onset of the fault as a client sees it."),
        field("rpo", SPAN, "Longest span of acknowledged writes that may be lost; `0s`: none."),
        field(
            "residency",
            Shape::List { item: Scalar::Text, least: 1 },
            "Where data may be: jurisdictions such as `EU` or `SE`, or regions of this file.",
        ),
        field("availability", Shape::Scalar(Scalar::Share), "Share of time in service, such as `99.99%`."),
        field("cost", Shape::Scalar(Scalar::Cost), "Ceiling of the cost, such as `4000 USD/month`."),
    ],
};

/// `regions.NAME`.
pub(crate) static REGION: Object = Object {
    name: "region",
    about: "A place that fails as one.",
    one_of: &[],
    fields: &[
        field(
            "place",
            Shape::Scalar(Scalar::Place),
            "Where it lies: `local/NAME` for machines that you run, `aws/REGION`, `azure/REGION`, `kubernetes/CONTEXT`.",
        )
        .required(),
        field(
            "role",
            words_of!(RegionRole),
            "`data` runs components; `witness` only watches and votes.",
        )
        .or("data"),
        field(
            "address",
            Shape::Scalar(Scalar::Address),
            "Where this region's node, DNS server and supervised servers listen, and where the others reach them. Needed in `local/` places that run components.",
        ),
        field(
            "data",
            TEXT,
            "The directory for what this region's node and its servers keep. Left out: `lifeboat-data/REGION` beside the file.",
        ),
        field("api", PORT, "TCP port of the node's API.").or("7400"),
        field(
            "preference",
            Shape::Scalar(Scalar::Integer(-1000, 1000)),
            "Among equally good targets of a failover the higher one is taken.",
        )
        .or("0"),
    ],
};

/// `components.NAME`.
pub(crate) static COMPONENT: Object = Object {
    name: "component",
    about: "A thing of the app that exists per region: a database (whatever keeps data) or compute.",
    one_of: &[],
    fields: &[
        field("kind", words_of!(Kind), "What keeps or processes data.").required(),
        field("pattern", words_of!(Pattern), "How it is protected. Left out: `lifeboat assess` chooses."),
        field(
            "objectives",
            Shape::Object(&OBJECTIVES),
            "Its own objectives, where they are tighter than the app's.",
        ),
        field(
            "writer",
            NAME,
            "The region that writes at first, and is home. Left out: `lifeboat assess` chooses.",
        )
        .of(Applies::Databases),
        field(
            "standbys",
            Shape::Map { key: Scalar::Name, value: &words_of!(Replication), least: 0 },
            "How each other region is kept up to date: a commit waits for a `synchronous` one; an `asynchronous` one follows as it can.",
        )
        .of(Applies::Databases),
        field(
            "confirmations",
            Shape::Scalar(Scalar::Integer(1, 1000)),
            "How many synchronous standbys must confirm a commit. Left out: all of them.",
        )
        .of(Applies::Databases),
        field(
            "without-standby",
            words_of!(WithoutStandby),
            "What a writer does when too few synchronous standbys are left: `continue` alone, after that is recorded and no failover to a lost standby is automatic any more; or `stop` confirming commits.",
        )
        .or("continue")
        .of(Applies::Databases),
        field(
            "reads",
            words_of!(Reads),
            "`stale`: a writer that was cut off may serve stale reads until its lease runs out; `strict`: never, and a failover waits for the lease.",
        )
        .or("stale")
        .of(Applies::Databases),
        field(
            "needs",
            Shape::List { item: Scalar::Name, least: 0 },
            "Components that must serve before this one can.",
        ),
        field(
            "regions",
            Shape::List { item: Scalar::Name, least: 0 },
            "Where it runs. Left out: in every data region.",
        )
        .of(Applies::Compute),
        field(
            "run",
            TEXT,
            "The command line. No shell; `$NAME` is replaced from the environment that Lifeboat gives: `$ADDRESS`, `$REGION`, and `$<DATABASE>_URL` for each database that it needs.",
        )
        .of(Applies::Process),
        field("check", Shape::Object(&CHECK), "How its health is probed.").of(Applies::Compute),
        field("port", PORT, "Where it listens in each region. Left out: 5432 for `postgres`, the port of the check's URL for compute."),
        field("size", Shape::Object(&SIZE), "How large it is in the region that serves, for `assess` and `generate`."),
    ],
};

/// `components.NAME.check`.
pub(crate) static CHECK: Object = Object {
    name: "check",
    about: "How health is probed: by one of `http`, `https` and `tcp`.",
    one_of: &["http", "https", "tcp"],
    fields: &[
        field(
            "http",
            Shape::Scalar(Scalar::HttpTarget),
            "A GET that must answer 2xx: a path on the component's port, or a whole URL.",
        ),
        field(
            "https",
            Shape::Scalar(Scalar::Path),
            "A path on the component's port: a GET by TLS that must answer 2xx, with a certificate that clients would accept.",
        ),
        field("tcp", Shape::Scalar(Scalar::True), "`true`: a connection to the component's port that is accepted."),
        field(
            "ca",
            TEXT,
            "A PEM file of the authorities to trust instead of the public ones; a relative path starts at the node's directory, `lifeboat-data` beside the file or `--directory`.",
        )
        .beside("https"),
        field(
            "name",
            Shape::Scalar(Scalar::Host),
            "The host name that the certificate must be for and that is asked for. Left out: the region's address.",
        )
        .beside("https"),
        field("every", PACE, "From one probe to the next.").or("250ms"),
        field("timeout", PACE, "Silence for so long is a failed probe.").or("500ms"),
    ],
};

/// `components.NAME.size`.
pub(crate) static SIZE: Object = Object {
    name: "size",
    about: "How large a component is in the region that serves.",
    one_of: &[],
    fields: &[
        field("instance", TEXT, "The provider's name of the machine, such as `db.r6g.large`."),
        field(
            "count",
            Shape::Scalar(Scalar::Integer(1, 100_000)),
            "Instances. Left out: 1 of a database or a process, 2 of other compute.",
        ),
        field(
            "standby",
            Shape::Scalar(Scalar::Integer(0, 100_000)),
            "Of `aurora-global` and compute, instances in each region that does not serve. Left out: none in a pilot light, in a warm standby a third of compute and one of a database, all of them where every region is active. `lifeboat assess --write` puts it there.",
        ),
        field("storage", Shape::Scalar(Scalar::Bytes), "Data kept, such as `100GB`."),
        field(
            "writes",
            Shape::Scalar(Scalar::BytesPerDay),
            "Data changed, which replication carries, such as `20GB/day`.",
        ),
        field("requests", Shape::Scalar(Scalar::Amount), "Requests per second at peak."),
        field("image", TEXT, "Of compute, what runs: a machine image or a container image."),
    ],
};

/// `routes.HOST`.
pub(crate) static ROUTE: Object = Object {
    name: "route",
    about: "How clients that ask for a host name reach the regions.",
    one_of: &[],
    fields: &[
        field("to", NAME, "The compute component behind it.").required(),
        field(
            "policy",
            words_of!(RoutePolicy),
            "`failover`: the region that writes the databases behind it, without databases the most preferred healthy one; `spread`: every healthy region.",
        )
        .or("failover"),
        field(
            "ttl",
            Shape::Scalar(Scalar::Duration(Duration::ZERO, Duration::from_secs(86_400))),
            "For how long an answer may be kept while all is well, in whole seconds.",
        )
        .or("1s"),
    ],
};

/// `failover`.
pub(crate) static FAILOVER: Object = Object {
    name: "failover",
    about: "When a failover happens.",
    one_of: &[],
    fields: &[
        field(
            "mode",
            words_of!(FailoverMode),
            "`automatic`: Lifeboat decides, which takes three regions; `approve`: a person does, whom Lifeboat tells what it would do.",
        )
        .or("automatic"),
        field(
            "approvals",
            Shape::Scalar(Scalar::Integer(1, 5)),
            "Where a person decides: how many people have to agree, the one who asks among them, each with a token of their own.",
        )
        .or("1"),
        field("hold-down", SPAN, "After a change of writer no further automatic one for so long.").or("60s"),
        field(
            "max-loss",
            SPAN,
            "The most that an automatic failover of an asynchronous database may lose; never more than the RPO. Left out: the RPO.",
        ),
    ],
};

/// `detection`.
pub(crate) static DETECTION: Object = Object {
    name: "detection",
    about: "How quickly, and how surely, a region is found to be down.",
    one_of: &[],
    fields: &[
        field("every", PACE, "From one probe of a region's node and databases to the next while all is well.")
            .or("200ms"),
        field("timeout", PACE, "Silence for so long is a failed probe.").or("400ms"),
        field("refused", PROBES, "Failed probes in a row, the connection refused, until a target counts as down.")
            .or("3"),
        field("silent", PROBES, "Failed probes in a row, no answer, until a target counts as down.").or("3"),
        field("recovered", PROBES, "Good probes in a row until it counts as up again.").or("3"),
        field("lease", SPAN, "How long a writer's right to confirm commits alone lasts; more than twice `timeout`.")
            .or("3s"),
    ],
};

/// `store`, where it is not a file.
pub(crate) static STORE: Object = Object {
    name: "store",
    about: "Where the nodes keep what they share, beyond one machine.",
    one_of: &[],
    fields: &[
        field(
            "etcd",
            Shape::List { item: Scalar::Endpoint, least: 1 },
            "The client URLs of an etcd cluster's members, in as many regions. A node asks the one on its own region's address first, or else the one whose host name names its region.",
        )
        .required(),
        field("ca", TEXT, "A PEM file of the authorities that sign the members' certificates. Relative paths start at the node's directory; `{region}` stands for its region.")
            .beside("etcd"),
        field("cert", TEXT, "A PEM file with the node's own certificate, for members that ask for one.").beside("key"),
        field("key", TEXT, "A PEM file with the key of `cert`.").beside("cert"),
        field("user", TEXT, "Whom to log in as.").beside("password-file"),
        field("password-file", TEXT, "A file with the password of `user`.").beside("user"),
        field("timeout", PACE, "How long a request may take over all members; one that is silent for half of it is passed over.").or("1s"),
    ],
};

/// `dns`.
pub(crate) static DNS: Object = Object {
    name: "dns",
    about: "The built-in DNS server.",
    one_of: &[],
    fields: &[field("port", PORT, "UDP and TCP port, on each region's address.").or("5353")],
};

/// `nodes`.
pub(crate) static NODES: Object = Object {
    name: "nodes",
    about: "How the nodes speak with each other and with people.",
    one_of: &[],
    fields: &[field(
        "tls",
        Shape::Either(Scalar::Text, &TLS),
        "The directory in which `lifeboat certs` put certificates, beside the file, or the files one by one. `none`: the API is not encrypted, wherever it listens. Left out: not encrypted, and only on loopback.",
    )],
};

/// `nodes.tls`, file by file.
pub(crate) static TLS: Object = Object {
    name: "tls",
    about: "PEM files, for an authority of your own. In each path `{region}` stands for the region's name.",
    one_of: &[],
    fields: &[
        field("ca", TEXT, "The authorities: whoever has a certificate of theirs that names a region is its node.").required(),
        field(
            "cert",
            TEXT,
            "The node's certificate, for its region's name (as a DNS name), fit for servers and for clients; then those between it and the authority.",
        )
        .required(),
        field("key", TEXT, "Its private key.").required(),
    ],
};
