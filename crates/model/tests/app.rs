//! What a right file becomes: the example, and the defaults.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_model::app::{
    CheckTarget, FailoverMode, Kind, Pattern, Provider, Reads, Replication, RoutePolicy, StoreChoice, WithoutStandby,
};
use lifeboat_model::{App, parse, parse_bytes};

fn parsed(text: &str) -> App {
    parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_local_example_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/local/lifeboat.yaml");
    let app = parsed(&std::fs::read_to_string(path).unwrap());
    assert_eq!(app.name.as_str(), "shop");
    assert_eq!(app.objectives.rto, Some(Duration::from_secs(15)));
    assert_eq!(app.objectives.rpo, Some(Duration::ZERO));
    assert_eq!(app.data_regions().map(|id| id.as_str()).collect::<Vec<_>>(), ["frankfurt", "stockholm"]);
    assert_eq!(app.regions["stockholm"].address, Some(IpAddr::from([127, 0, 10, 1])));
    assert_eq!(app.regions["stockholm"].data, PathBuf::from("lifeboat-data/stockholm"));

    let orders = &app.components["orders"];
    assert_eq!((orders.kind, orders.pattern), (Kind::Postgres, Some(Pattern::WarmStandby)));
    assert_eq!(orders.writer.as_ref().map(|region| region.as_str()), Some("stockholm"));
    assert_eq!(orders.standbys["frankfurt"], Replication::Synchronous);
    assert_eq!((orders.confirmations, orders.port), (1, Some(25432)));
    assert_eq!(orders.objectives, app.objectives);

    let web = &app.components["web"];
    assert_eq!(web.run.as_deref(), Some("$SHOP --db $ORDERS_URL --listen $ADDRESS:8080"));
    assert_eq!(web.regions.len(), 2);
    assert!(web.needs.contains("orders"));
    let check = web.check.as_ref().unwrap();
    assert_eq!(check.target, CheckTarget::Http("/healthz".into()));
    assert_eq!((check.every, check.timeout), (Duration::from_millis(250), Duration::from_millis(500)));

    let route = &app.routes["shop.example.test"];
    assert_eq!((route.policy, route.ttl), (RoutePolicy::Failover, Duration::from_secs(1)));
    assert_eq!(app.store, StoreChoice::File("lifeboat.db".into()));
    assert_eq!(app.dns.port, 5300);
}

#[test]
fn what_is_left_out_has_its_default() {
    let app = parsed(
        "app: shop\nregions: {a: {place: kubernetes/arn:aws:eks:eu-north-1:1:cluster/a}}\n\
         components: {db: {kind: postgres}, web: {kind: asg, check: {http: 'http://localhost:81/'}}}\n\
         routes: {Shop.Example.Test.: {to: web}}\n",
    );
    let region = &app.regions["a"];
    assert_eq!(region.place.provider, Provider::Kubernetes);
    assert_eq!(region.place.name, "arn:aws:eks:eu-north-1:1:cluster/a");
    assert_eq!((region.address, region.api_port, region.preference), (None, 7400, 0));
    let db = &app.components["db"];
    assert_eq!((db.pattern, db.writer.as_ref(), db.standbys.len(), db.confirmations), (None, None, 0, 0));
    assert_eq!((db.without_standby, db.reads, db.port), (WithoutStandby::Continue, Reads::Stale, Some(5432)));
    assert!(db.regions.is_empty());
    assert_eq!(app.components["web"].port, Some(81));
    assert_eq!(app.routes["shop.example.test"].ttl, Duration::from_secs(1));
    assert_eq!(app.failover.mode, FailoverMode::Automatic);
    assert_eq!((app.failover.hold_down, app.failover.max_loss), (Duration::from_secs(60), None));
    assert_eq!((app.detection.every, app.detection.timeout), (Duration::from_millis(200), Duration::from_millis(400)));
    assert_eq!((app.detection.refused, app.detection.silent, app.detection.recovered), (3, 3, 3));
    assert_eq!(app.detection.lease, Duration::from_secs(3));
    assert_eq!(app.store, StoreChoice::File("lifeboat.db".into()));
    assert_eq!(app.dns.port, 5353);
}

#[test]
fn checks_by_https_are_read() {
    let app = parsed(
        "app: shop\nregions: {a: {place: aws/eu-north-1}}\ncomponents:\n  web: {kind: asg, check: {https: /healthz?full=1}}\n  \
         api: {kind: asg, check: {https: /, ca: secrets/ca.pem, name: API.Example.Test, timeout: 1s}}\n",
    );
    let check = |component: &str| app.components[component].check.clone().unwrap();
    let bare = CheckTarget::Https { path: "/healthz?full=1".into(), ca: None, name: None };
    assert_eq!(check("web").target, bare);
    let (ca, name) = (Some("secrets/ca.pem".into()), Some("api.example.test".into()));
    assert_eq!(check("api").target, CheckTarget::Https { path: "/".into(), ca, name });
    assert_eq!(check("api").timeout, Duration::from_secs(1));
}

#[test]
fn a_component_inherits_what_it_does_not_tighten() {
    let app = parsed(
        "app: shop\nobjectives: {rto: 15s, rpo: 1m, residency: [EU], availability: 99.9%}\n\
         regions: {a: {place: aws/eu-north-1}}\n\
         components: {web: {kind: asg, objectives: {rto: 5s, residency: [SE], cost: 100.5 EUR/month}}}\n\
         store: {etcd: ['https://10.0.0.1:2379']}\n",
    );
    let own = &app.components["web"].objectives;
    assert_eq!((own.rto, own.rpo), (Some(Duration::from_secs(5)), Some(Duration::from_secs(60))));
    assert_eq!(own.residency.iter().collect::<Vec<_>>(), ["SE"]);
    assert_eq!(own.availability, Some(0.999));
    assert_eq!(own.cost.as_ref().map(ToString::to_string).as_deref(), Some("100.5 EUR/month"));
    let StoreChoice::Etcd(etcd) = &app.store else { panic!("{:?}", app.store) };
    assert_eq!(
        (etcd.endpoints.as_slice(), etcd.timeout),
        (&["https://10.0.0.1:2379".to_owned()][..], Duration::from_secs(1))
    );
    assert_eq!((&etcd.ca, &etcd.cert, &etcd.user), (&None, &None, &None));
}

#[test]
fn sizes_are_read() {
    let app = parsed(
        "app: shop\nregions: {a: {place: azure/northeurope}}\ncomponents:\n  web:\n    kind: vmss\n    \
         size: {instance: Standard_D2s_v5, count: 3, storage: 64GiB, writes: 20GB/day, requests: 12.5, image: 'web:1.2'}\n",
    );
    let size = &app.components["web"].size;
    assert_eq!((size.instance.as_deref(), size.count), (Some("Standard_D2s_v5"), Some(3)));
    assert_eq!((size.storage, size.writes_per_day), (Some(64 << 30), Some(20_000_000_000)));
    assert_eq!((size.requests, size.image.as_deref()), (Some(12.5), Some("web:1.2")));
}

#[test]
fn bytes_that_are_no_text_are_pointed_at() {
    let problems = parse_bytes(b"app: shop\n# caf\xe9\n").unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (2, 6));
    assert_eq!(problems.len(), 1);
    let utf16: Vec<u8> = "app: shop".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse_bytes(&utf16).is_err());
}

#[test]
fn tls_of_nodes_is_a_directory_or_files_or_none() {
    use lifeboat_model::app::{Tls, TlsFiles};
    let of = |nodes: &str| {
        let text = "app: shop\nregions: {a: {place: aws/eu-north-1}}\ncomponents: {web: {kind: asg}}\n";
        parsed(&format!("{text}{nodes}")).nodes.tls
    };
    assert_eq!(of(""), Tls::LoopbackOnly);
    assert_eq!(of("nodes: {tls: none}\n"), Tls::Off);
    let Tls::Files(files) = of("nodes: {tls: certs/}\n") else { panic!("a directory") };
    assert_eq!(files.of(&"a".into()), ["certs/ca.pem", "certs/a.pem", "certs/a.key"].map(PathBuf::from));
    let own = TlsFiles { ca: "/etc/ca.pem".into(), cert: "own/{region}.crt".into(), key: "node.key".into() };
    assert_eq!(
        of("nodes:\n  tls:\n    ca: /etc/ca.pem\n    cert: own/{region}.crt\n    key: node.key\n"),
        Tls::Files(own)
    );
}
