//! Whatever a file holds, it is judged: no panic, positions inside the text, a bounded number of problems; and what the
//! parser accepts the schema accepts.

use std::fmt::Write;
use std::sync::LazyLock;

use lifeboat_model::{Problem, parse, parse_bytes, schema};
use proptest::prelude::*;
use serde_json::Value;

/// A file that uses every field.
const WHOLE: &str = "\
app: shop
objectives: {rto: 15s, rpo: 1m, residency: [EU, stockholm], availability: 99.99%, cost: 4000 USD/month}
regions:
  stockholm: {place: local/a, address: 127.0.10.1, data: here, api: 7401, preference: 2}
  frankfurt: {place: aws/eu-central-1, address: '2001:db8::1'}
  ireland: {place: kubernetes/context, role: witness}
components:
  orders:
    kind: postgres
    pattern: warm-standby
    objectives: {rpo: 0s}
    writer: stockholm
    standbys: {frankfurt: synchronous}
    confirmations: 1
    without-standby: stop
    reads: strict
    port: 25432
    size: {instance: db.r6g.large, storage: 100GB, writes: 20GB/day, count: 1}
  web:
    kind: process
    run: $SHOP --db $ORDERS_URL
    needs: [orders]
    regions: [stockholm, frankfurt]
    port: 8080
    check: {http: /healthz, every: 250ms, timeout: 1s}
    size: {requests: 12.5, image: 'shop:1'}
  admin: {kind: asg, check: {https: /healthz, ca: ca.pem, name: admin.example.test}}
  queue: {kind: asg, check: {tcp: true}}
routes:
  shop.example.test: {to: web, policy: failover, ttl: 1s}
failover: {mode: automatic, hold-down: 60s, max-loss: 30s}
detection: {every: 200ms, timeout: 400ms, refused: 2, silent: 3, recovered: 3, lease: 3s}
store: {etcd: ['https://10.0.0.1:2379']}
dns: {port: 5300}
prices:
  aws/eu-north-1/ec2/m6g.large: 0.066
  local/global/machine: {usd: 0.04, basis: power, date: 2026-10-01}
";

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).expect("the schema is one"));

/// Everything that must hold of any answer.
fn judged(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(_) => {
            let value: Value = serde_saphyr::from_str(text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let error = VALIDATOR.validate(&value).err().map(|error| format!("{}: {error}", error.instance_path()));
            prop_assert_eq!(error, None, "the parser accepts what the schema refuses");
        }
        Err(problems) => {
            prop_assert!((1..=101).contains(&problems.len()));
            let lines = text.split('\n').count();
            for problem in &problems {
                prop_assert!(
                    (1..=lines + 1).contains(&problem.line) && problem.column >= 1 && problem.length >= 1,
                    "{problem:?}"
                );
                prop_assert!(text.get(problem.byte_range(text)).is_some());
                prop_assert!(!problem.message.is_empty() && !problem.expected.is_empty());
            }
        }
    }
    Ok(())
}

#[test]
fn the_whole_file_is_right() {
    judged(WHOLE).unwrap();
    assert_eq!(parse(WHOLE).err(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_bytes(&bytes);
    }

    #[test]
    fn any_text_is_judged(text in "[-a-z0-9:{}\\[\\],#&*!|>'\"%@ \\n\\t\u{e9}]{0,200}") {
        judged(&text)?;
    }

    /// A stretch of a right file replaced by something else.
    #[test]
    fn mutated_files_are_judged(
        from in 0..WHOLE.len(),
        length in 0usize..12,
        with in "(|[-a-z0-9:{}\\[\\],.#&*!|>'\"%/ \\n]{1,8}|null|true|0|1e3|0x1F|: |\\{\\}|\\[\\]|99999999999999999999|\u{e9}\u{a0})",
    ) {
        let to = (from + length).min(WHOLE.len());
        judged(&format!("{}{with}{}", &WHOLE[..from], &WHOLE[to..]))?;
    }

    /// A whole value of a right file replaced by another's.
    #[test]
    fn shuffled_values_are_judged(from in 0usize..60, to in 0usize..60) {
        let words: Vec<&str> = WHOLE.split_inclusive([' ', ',', '}', '\n']).collect();
        let mut changed = words.clone();
        changed[to % words.len()] = words[from % words.len()];
        judged(&changed.concat())?;
    }
}

fn only(text: &str) -> Problem {
    let mut problems = parse(text).expect_err("this file is wrong");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn huge_files_are_refused() {
    let problem = only(&"a".repeat(10 << 20));
    assert_eq!(problem.message, "the file has 10485760 bytes");
}

#[test]
fn alias_bombs_are_refused() {
    let mut nodes = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        writeln!(nodes, "a{level}: &a{level} [{}]", vec![format!("*a{before}"); 10].join(", ")).unwrap();
    }
    assert_eq!(only(&nodes).message, "the file holds too many values, those that aliases repeat included");

    let text = format!("long: &long {}\nall: [{}]\n", "x".repeat(1 << 20), vec!["*long"; 100_000].join(", "));
    assert_eq!(only(&text).message, "the file holds too many values, those that aliases repeat included");

    let mut deep = String::from("a0: &a0 [x]\n");
    for level in 1..10_000 {
        writeln!(deep, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert_eq!(only(&deep).message, "aliases nest too deeply");
    assert_eq!(only("a: &a [*a]\n").message, "an alias stands inside its own anchor");
}

#[test]
fn deep_files_are_refused() {
    assert!(parse(&"[".repeat(1 << 20)).is_err());
    assert!(parse(&"{a: ".repeat(1 << 20)).is_err());
    assert!(parse(&"- ".repeat(1 << 20)).is_err());
    assert!(parse(&format!("{}: x", "k".repeat(1000))).is_err());
}

/// Each of these would take minutes if its cost grew with the square of the file.
#[test]
fn large_files_are_judged() {
    let mut text = String::from("app: shop\nregions: {a: {place: aws/eu-north-1}}\ncomponents:\n");
    for index in 0..20_000 {
        writeln!(text, "  c{index}: {{kind: asg, needs: [c{}]}}", index + 1).unwrap();
    }
    let circle = text.replace("[c20000]", "[c0]");
    assert!(only(&text).message.contains("there is no component `c20000`"));
    assert!(only(&circle).message.starts_with("a circle: `c0` needs `c1` needs `c2`"));
    assert_eq!(parse(&text.replace("c20000", "c19998")).unwrap_err().len(), 1);
    let right = text.replace(", needs: [c20000]", "");
    assert_eq!(parse(&right).unwrap().components.len(), 20_000);

    let wrong = parse(&right.replace("asg", "asgg").replace("kind", "kinds")).unwrap_err();
    assert_eq!(wrong.len(), 101);
    assert_eq!(wrong[100].message, "39900 more problems are not listed");
    let twice = format!("{right}{}", "  c7: {kind: asg}\n".repeat(20_000));
    assert_eq!(parse(&twice).unwrap_err().len(), 101);
}
