//! What the store in etcd does when members are gone, frozen or protected, and how it keeps itself small.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_model::Moment;
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{Change, Condition, Outcome, Revision, Transaction, Write};
use lifeboat_store::{Error, Executed, Store, journal};
use lifeboat_store_etcd::{Bounds, Config, Etcd, Maintained};

use self::cluster::{Cluster, installed};

mod cluster;

fn put(key: &str, value: &str) -> Transaction {
    Transaction { when: vec![], then: vec![Write::Put { key: key.into(), value: value.into(), lease: None }] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_the_store_is_unreachable_and_then_goes_on() {
    if !installed("without_a_majority_the_store_is_unreachable_and_then_goes_on") {
        return;
    }
    let mut cluster = Cluster::start(3, "http", &[]).await;
    let store = cluster.store(0);
    assert!(matches!(store.transact(put("key", "1")).await, Ok(Outcome::Committed(_))));
    let mut watch = store.watch("key", store.list("").await.unwrap().0).await.unwrap();
    cluster.members[1].kill();
    cluster.members[2].kill();
    let asked = Instant::now();
    let error = store.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { executed: Executed::No, .. }), "{error}");
    assert!(asked.elapsed() >= Duration::from_secs(2), "it was tried until the time was up");
    for member in &cluster.members {
        assert!(error.to_string().contains(&member.address.to_string()), "{error}");
    }
    let error = store.transact(put("key", "2")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    cluster.start_member(1);
    let begun = Instant::now();
    while let Err(error) = store.transact(put("key", "3")).await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
    }
    let mut last = Vec::new();
    while last != b"3" {
        for change in watch.next().await.unwrap_or_default() {
            let Change::Put(entry) = change else { panic!("nothing was deleted") };
            last = entry.value;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_that_share_a_cluster_do_not_see_each_other() {
    if !installed("apps_that_share_a_cluster_do_not_see_each_other") {
        return;
    }
    let cluster = Cluster::start(1, "http", &[]).await;
    let of = |app: &str| Etcd::new(Config { space: format!("lifeboat/{app}/"), ..cluster.config(0) }).unwrap();
    let (shop, bank) = (of("shop"), of("bank"));
    let mut watch = bank.watch("state/", bank.list("").await.unwrap().0).await.unwrap();
    let created = Transaction { when: vec![Condition::Absent("state/a".into())], ..put("state/a", "shop") };
    let Outcome::Committed(revision) = shop.transact(created).await.unwrap() else { panic!("there was nothing") };
    let absent = Transaction { when: vec![Condition::Absent("state/a".into())], ..put("state/a", "bank") };
    assert!(matches!(bank.transact(absent).await.unwrap(), Outcome::Committed(_)));
    let unchanged =
        Transaction { when: vec![Condition::Unchanged("state/a".into(), revision)], ..put("state/a", "shop 2") };
    assert!(matches!(shop.transact(unchanged).await.unwrap(), Outcome::Committed(_)));
    for (store, expected) in [(&shop, "shop 2"), (&bank, "bank")] {
        let (_, entries) = store.list("").await.unwrap();
        let found: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_slice())).collect();
        assert_eq!(found, [("state/a", expected.as_bytes())]);
        assert_eq!(store.get("state/a").await.unwrap().unwrap().value, expected.as_bytes());
    }
    let changes = watch.next().await.unwrap();
    assert!(
        matches!(&changes[..], [Change::Put(entry)] if entry.key == "state/a" && entry.value == b"bank"),
        "{changes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_frozen_member_owes_is_unknown_and_the_others_go_on() {
    if !installed("an_answer_that_a_frozen_member_owes_is_unknown_and_the_others_go_on") {
        return;
    }
    let cluster = Cluster::start(3, "http", &[]).await;
    let (store, other) = (cluster.store(0), cluster.store(1));
    let member = cluster.config(0).endpoints[..1].to_vec();
    let alone = Etcd::new(Config { endpoints: member, ..cluster.config(0) }).unwrap();
    for store in [&*store, &alone] {
        assert!(matches!(store.transact(put("key", "1")).await, Ok(Outcome::Committed(_))));
    }
    let mut watch = store.watch("key", store.list("").await.unwrap().0).await.unwrap();
    // Begins the stream at the member that will be frozen.
    let waiting = tokio::time::timeout(Duration::from_secs(1), watch.next()).await;
    assert!(waiting.is_err(), "nothing has happened yet: {waiting:?}");
    cluster.members[0].freeze();
    let error = alone.transact(put("lost", "2")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { executed: Executed::Unknown, .. }), "{error}");
    let begun = Instant::now();
    while let Err(error) = store.transact(put("key", "3")).await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
    }
    assert_eq!(other.get("key").await.unwrap().unwrap().value, b"3");
    let changes = tokio::time::timeout(Duration::from_secs(60), watch.next()).await.unwrap().unwrap();
    assert!(matches!(&changes[..], [Change::Put(entry)] if entry.value == b"3"), "{changes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_at_a_time_keeps_the_store_small() {
    if !installed("one_node_at_a_time_keeps_the_store_small") {
        return;
    }
    let cluster = Cluster::start(1, "http", &[]).await;
    let (store, other) = (cluster.store(0), cluster.store(0));
    let entry = |number| JournalEntry {
        region: "a".into(),
        number,
        unix_ms: 0,
        at: Moment(0),
        kind: EntryKind::Refrain,
        component: None,
        epoch: None,
        run: None,
        previous: None,
        what: String::new(),
        why: String::new(),
    };
    for number in 1..=300 {
        let then = vec![journal::write(&entry(number)).unwrap()];
        store.transact(Transaction { when: vec![], then }).await.unwrap();
    }
    let bounds = Bounds { period: Duration::from_secs(2), history_revisions: 10, journal_entries: 20 };
    let (one, two) = tokio::join!(store.maintain(bounds), other.maintain(bounds));
    let done = Maintained::Done { compacted: Revision(0), trimmed: 280 };
    let (mut first, elsewhere) = (one.unwrap(), two.unwrap());
    if first == Maintained::Elsewhere {
        first = elsewhere;
    } else {
        assert_eq!(elsewhere, Maintained::Elsewhere);
    }
    assert_eq!(first, done, "nothing is compacted the first time");
    let (_, kept) = journal::read_after(&*store, Revision(0)).await.unwrap();
    assert_eq!(kept.iter().map(|(_, entry)| entry.number).collect::<Vec<_>>(), (281..=300).collect::<Vec<_>>());
    let mut slow = store.watch("", Revision(1)).await.unwrap();
    assert_eq!(slow.next().await.map(|changes| changes.is_empty()), Ok(false), "the whole history is there");

    let mut second = Maintained::Elsewhere;
    while second == Maintained::Elsewhere {
        second = other.maintain(bounds).await.unwrap();
        store.transact(put("key", "v")).await.unwrap();
    }
    let Maintained::Done { compacted, trimmed: 0 } = second else { panic!("{second:?}") };
    assert!(compacted > Revision(300), "{compacted:?}");
    assert_eq!(store.watch("", Revision(1)).await.unwrap().next().await, Err(Error::Compacted));
    assert!(store.watch("", compacted).await.unwrap().next().await.is_ok());
    let future = Revision(1_000_000);
    assert_eq!(store.watch("", future).await.unwrap().next().await, Err(Error::Compacted), "another past");
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let good = Config {
        endpoints: vec!["http://127.0.0.1:2379".into()],
        ca: None,
        cert: None,
        key: None,
        user: None,
        password_file: None,
        space: "lifeboat/test/".into(),
        timeout: Duration::from_secs(1),
    };
    assert!(Etcd::new(good.clone()).is_ok());
    for (bad, why) in [
        (Config { endpoints: vec![], ..good.clone() }, "must be an endpoint"),
        (Config { endpoints: vec!["10.0.0.1:2379".into()], ..good.clone() }, "10.0.0.1:2379"),
        (Config { endpoints: vec!["ftp://a:2379".into()], ..good.clone() }, "must begin with https://"),
        (Config { user: Some("root".into()), ..good.clone() }, "belong together"),
        (Config { cert: Some("/cert".into()), ..good.clone() }, "belong together"),
        (Config { ca: Some("/no/such/ca.pem".into()), ..good.clone() }, "/no/such/ca.pem"),
    ] {
        let error = Etcd::new(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// A certificate authority, and certificates that it has signed, made by `openssl`.
fn certificates(directory: &Path, address: &str) -> Option<PathBuf> {
    let script = format!(
        "set -e; cd '{}'
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=ca
         for name in server client; do
           openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
           printf 'subjectAltName=IP:{address}\\nextendedKeyUsage=serverAuth,clientAuth\\n' > $name.ext
           openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem
         done",
        directory.display()
    );
    let made = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success()).then(|| directory.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_passwords_are_used() {
    if !installed("certificates_and_passwords_are_used") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let address = cluster::free_address();
    let Some(made) = certificates(files.path(), &address.to_string()) else {
        let _ = writeln!(std::io::stderr(), "skipped certificates_and_passwords_are_used: openssl is not installed");
        return;
    };
    let file = |name: &str| made.join(name);
    let option = |name: &str, path: &str| [name.to_owned(), file(path).display().to_string()];
    let options = [
        option("--cert-file", "server.pem"),
        option("--key-file", "server.key"),
        option("--trusted-ca-file", "ca.pem"),
    ]
    .concat();
    let options = [options, vec!["--client-cert-auth".into()]].concat();
    let password_file = file("password");
    std::fs::write(&password_file, "a secret\n").unwrap();
    let protected = Config {
        endpoints: vec![format!("https://{address}:2379")],
        ca: Some(file("ca.pem")),
        cert: Some(file("client.pem")),
        key: Some(file("client.key")),
        user: None,
        password_file: None,
        space: "lifeboat/test/".into(),
        timeout: Duration::from_secs(3),
    };
    let _cluster = Cluster::start_at(vec![address], "https", &options, |_| protected.clone()).await;

    let etcdctl = |arguments: &[&str]| {
        let flag = |name: &str, path: &str| format!("{name}={}", file(path).display());
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args([flag("--cacert", "ca.pem"), flag("--cert", "client.pem"), flag("--key", "client.key")])
            .arg(format!("--endpoints=https://{address}:2379"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    etcdctl(&["user", "add", "root:a secret"]);
    etcdctl(&["role", "add", "root"]);
    etcdctl(&["user", "grant-role", "root", "root"]);
    etcdctl(&["auth", "enable"]);

    let user = |password_file: &Path| Config {
        user: Some("root".into()),
        password_file: Some(password_file.to_owned()),
        ..protected.clone()
    };
    let store = Etcd::new(user(&password_file)).unwrap();
    let Outcome::Committed(revision) = store.transact(put("key", "1")).await.unwrap() else { panic!("no condition") };
    assert_eq!(store.get("key").await.unwrap().unwrap().revision, revision);
    let mut watch = store.watch("key", Revision(revision.0 - 1)).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 1);
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.renew(lease).await, Ok(()));

    let wrong = file("wrong");
    std::fs::write(&wrong, "not it").unwrap();
    let untrusting = Config { ca: None, ..user(&password_file) };
    let nameless = Config { cert: None, key: None, ..user(&password_file) };
    for refused in [user(&wrong), untrusting, nameless, Config { user: None, password_file: None, ..protected.clone() }]
    {
        let error = Etcd::new(refused.clone()).unwrap().transact(put("key", "2")).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { executed: Executed::No, .. }), "{refused:?}: {error}");
    }
    assert_eq!(store.get("key").await.unwrap().unwrap().revision, revision);
}
