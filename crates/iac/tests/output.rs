//! The output as a whole: kept to be reviewed as a diff, the same from run to run, and filled in.
//!
//! `UPDATE=1 cargo test -p lifeboat-iac --test output` rewrites what is kept.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use common::{example, examples, tree_of};
use lifeboat_iac::{DifferenceKind, MANIFEST, Manifest, Options, Problem, Said, Target, Tree, check, generate};
use lifeboat_model::app::{Kind, Pattern};

mod common;

const FOLDERS: [&str; 3] = ["aws", "azure", "kubernetes"];

fn manifest(files: &BTreeMap<String, String>) -> Manifest {
    Manifest::read(&files[MANIFEST]).unwrap()
}

/// Everything but the modules, which are kept once for all examples, and the hashes.
fn kept(tree: &Tree) -> String {
    let shown = |path: &&String| !path.contains("/modules/") && *path != MANIFEST;
    let mut out: String =
        tree.files.keys().filter(shown).map(|path| format!("==== {path}\n{}\n", tree.files[path])).collect();
    for warning in &tree.warnings {
        out += &format!("==== warning\n{warning}\n");
    }
    out
}

/// Every module that any of the trees has, once: it is the same in each.
fn kept_modules(trees: &[Tree]) -> String {
    let mut modules: BTreeMap<&String, &String> = BTreeMap::new();
    for (path, content) in trees.iter().flat_map(|tree| &tree.files).filter(|(path, _)| path.contains("/modules/")) {
        assert_eq!(*modules.entry(path).or_insert(content), content, "{path} differs between two examples");
    }
    modules.iter().map(|(path, content)| format!("==== {path}\n{content}\n")).collect()
}

#[test]
fn the_output_is_as_it_was_reviewed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let examples = examples(&FOLDERS);
    let trees: Vec<Tree> = examples.iter().map(|(_, app)| tree_of(app)).collect();
    let names = examples.iter().map(|(name, _)| format!("{}.txt", name.replace('/', "-")));
    let mut files: BTreeMap<String, String> = names.zip(trees.iter().map(kept)).collect();
    files.insert("modules.txt".into(), kept_modules(&trees));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, found) in &files {
            std::fs::write(folder.join(name), found).unwrap();
        }
    }
    let on_disk = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut changed: BTreeSet<String> = on_disk.filter(|name| !files.contains_key(name)).collect();
    for (name, found) in files {
        if std::fs::read_to_string(folder.join(&name)).unwrap_or_default() != found {
            changed.insert(name);
        }
    }
    assert!(changed.is_empty(), "changed: {changed:?}; run with UPDATE=1 and look at the diff");
}

/// No module is in the source that none of the examples uses: it would be in no snapshot and before no validator.
#[test]
fn every_module_is_in_an_example() {
    let trees: Vec<Tree> = examples(&FOLDERS).iter().map(|(_, app)| tree_of(app)).collect();
    for cloud in ["aws", "azure"] {
        let modules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/terraform/{cloud}/modules"));
        for module in std::fs::read_dir(modules).unwrap() {
            for file in std::fs::read_dir(module.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                let mut names = file.iter().rev().map(|name| name.to_str().unwrap());
                let (file, module) = (names.next().unwrap(), names.next().unwrap());
                let path = format!("terraform/{cloud}/modules/{module}/{file}");
                assert!(trees.iter().any(|tree| tree.files.contains_key(&path)), "{path} is in no example");
            }
        }
    }
}

#[test]
fn every_placeholder_is_filled_in() {
    for (name, app) in examples(&FOLDERS) {
        for (path, content) in &tree_of(&app).files {
            assert!(!content.contains("@{"), "{name} {path}");
            assert!(content.lines().all(|line| line == line.trim_end()), "{name} {path}: space at the end of a line");
            assert!(content.ends_with('\n') && !content.ends_with("\n\n"), "{name} {path}: end of the file");
        }
    }
}

#[test]
fn the_same_app_gives_the_same_tree() {
    for (name, app) in examples(&FOLDERS) {
        assert_eq!(tree_of(&app), tree_of(&app), "{name}");
    }
}

/// A diff shows just what changed.
#[test]
fn a_change_of_size_changes_the_sizes_only() {
    let app = example("aws/warm-standby");
    let before = tree_of(&app);
    let mut larger = app.clone();
    larger.components.get_mut("web").unwrap().size.count = Some(9);
    let paths: Vec<String> = check(&tree_of(&larger), &manifest(&before.files), &before.files)
        .into_iter()
        .map(|difference| difference.path)
        .collect();
    // The README says to which size a person makes it where no apply can.
    assert_eq!(paths, ["README.md", "cloudformation/regional.yaml", "terraform/aws/regions.auto.tfvars.json"]);
}

/// Every tool takes the size of a standby from the file.
#[test]
fn a_standby_is_as_large_as_the_file_says() {
    for (name, files) in [
        (
            "aws/warm-standby",
            [
                ("terraform/aws/regions.auto.tfvars.json", "\"standby\": 4"),
                ("cloudformation/regional.yaml", "WebStandby: 4"),
            ],
        ),
        (
            "azure/warm-standby",
            [
                ("terraform/azure/regions.auto.tfvars.json", "\"standby\": 4"),
                ("arm/parameters/netherlands.json", "\"standby\": 4"),
            ],
        ),
        (
            "kubernetes/warm-standby",
            [
                ("kubernetes/roles/ireland/kustomization.yaml", "/spec/minReplicas, value: 4"),
                ("kubernetes/roles/ireland/kustomization.yaml", "name: web"),
            ],
        ),
    ] {
        let mut app = example(name);
        app.components.get_mut("web").unwrap().size.standby = Some(4);
        let tree = tree_of(&app);
        for (path, says) in files {
            let text = tree.files.get(path).unwrap_or_else(|| panic!("{path} is none of {:?}", tree.files.keys()));
            assert!(text.contains(says), "{name}: {path} does not say {says}");
        }
    }
}

#[test]
fn adding_a_region_leaves_the_addresses_of_the_others() {
    let app = example("aws/warm-standby");
    let mut larger = app.clone();
    let mut region = larger.regions["frankfurt"].clone();
    region.place.name = "af-south-1".into();
    larger.regions.insert("africa".into(), region);
    let cidrs = |tree: &Tree| -> BTreeMap<String, String> {
        let values: serde_json::Value =
            serde_json::from_str(&tree.files["terraform/aws/regions.auto.tfvars.json"]).unwrap();
        values["regions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(id, region)| (id.clone(), region["cidr"].to_string()))
            .collect()
    };
    let (before, after) = (cidrs(&tree_of(&app)), cidrs(&tree_of(&larger)));
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(id, cidr)| after[id] == *cidr));
}

#[test]
fn an_edit_and_a_role_survive_generating_again() {
    let app = example("aws/warm-standby");
    let mut disk = tree_of(&app).files;
    let role = "terraform/aws/roles.auto.tfvars.json";
    disk.insert(
        role.into(),
        "{\"writers\": {\"orders\": \"frankfurt\"}, \"serving\": {\"web\": [\"frankfurt\"]}}\n".into(),
    );
    let files = [(role.to_owned(), disk[role].clone())].into();
    let roles = Said::read(&app, &files).unwrap().roles;
    let tree = generate(&app, &Options { roles, ..Options::default() }).unwrap();
    disk.insert("cloudformation/roles.json".into(), tree.files["cloudformation/roles.json"].clone());
    let before = manifest(&disk);
    assert_eq!(check(&tree, &before, &disk), []);
    disk.get_mut("terraform/aws/web.tf").unwrap().push_str("# by hand\n");
    let found = check(&tree, &before, &disk);
    assert_eq!(
        (found.len(), found[0].path.as_str(), found[0].kind),
        (1, "terraform/aws/web.tf", DifferenceKind::Edited)
    );
    assert!(found[0].kind.loses_an_edit());
}

#[test]
fn what_cannot_be_generated_is_said_all_at_once() {
    let app = lifeboat_model::parse(
        "app: wrong\nregions:\n  here: {place: aws/eu-north-9}\n  there: {place: azure/northeurope}\n\
         components:\n  web: {kind: asg, regions: [there]}\n  data: {kind: azure-sql, writer: there, standbys: {here: asynchronous}}\nfailover: {mode: approve}\n",
    )
    .unwrap();
    let problems: Vec<String> =
        generate(&app, &Default::default()).unwrap_err().iter().map(ToString::to_string).collect();
    for part in ["`aws/eu-north-9` is no region", "`asg` does not exist in there", "what to run"] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
}

/// A tool that was named and has nothing to do is a mistake; one that leaves something out says what.
#[test]
fn what_a_tool_cannot_say_is_said() {
    let app = example("aws/warm-standby");
    let only = |targets: &[Target]| Options { targets: targets.iter().copied().collect(), ..Options::default() };
    let problems = generate(&app, &only(&[Target::Arm])).unwrap_err();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["components: nothing of this app is for arm; --target terraform,cloudformation"]
    );
    let app = example("kubernetes/warm-standby");
    let warnings = generate(&app, &only(&[Target::Kubernetes])).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|text| text.starts_with("components.orders.kind: `aurora-global` is in none")), "{said:?}");
    assert!(!said.iter().any(|text| text.contains("deployment")), "{said:?}");
    let said = generate(&app, &only(&[Target::Terraform, Target::Kubernetes])).unwrap().warnings;
    assert!(!said.iter().any(|problem| problem.message.contains("is in none")), "{said:?}");
    // What nodes have no driver for waits for a person, and the file is where that is learnt.
    let drives = |problem: &Problem| problem.field == "components.orders.kind" && problem.message.contains("no driver");
    assert!(said.iter().any(drives), "{said:?}");
}

/// Who reads the tree before the night learns what waits for them in it.
#[test]
fn the_readme_says_who_moves_what_and_how() {
    let readme = |name: &str| tree_of(&example(name)).files["README.md"].clone();
    let warm = readme("aws/warm-standby");
    for line in [
        "| orders | `aurora-global` | a person, as below |",
        "    aws rds failover-global-cluster --region eu-central-1 --global-cluster-identifier shop-orders ",
        "    lifeboat done orders --writer frankfurt\n",
        "    aws rds switchover-global-cluster --region eu-north-1 ",
        "--auto-scaling-group-name shop-web-frankfurt --min-size 6 --desired-capacity 6",
    ] {
        assert!(warm.contains(line), "{line}: {warm}");
    }
    let everywhere = readme("aws/active-active");
    assert!(everywhere.contains("| sessions | `dynamodb` | nobody: it is written in every region |"), "{everywhere}");
    assert!(!everywhere.contains("lifeboat done sessions"), "{everywhere}");
    assert!(
        readme("azure/warm-standby").contains("az sql failover-group set-primary --name booking-reservations-$UNIQUE")
    );
}

/// Who wants no TLS gets nodes that neither speak it nor wait for certificates; a store that wants certificates still has them.
#[test]
fn certificates_are_where_something_uses_them() {
    let text = |nodes: &str, store: &str| {
        format!(
            "app: shop\nregions:\n  a: {{place: aws/eu-north-1, address: 10.19.0.10}}\n  b: {{place: azure/northeurope, address: 10.135.0.10}}\n  \
             c: {{place: kubernetes/c, address: 192.0.2.3}}\ncomponents:\n  web: {{kind: deployment, regions: [c], size: {{image: web}}}}\n  \
             vms: {{kind: vmss, regions: [b], size: {{image: web}}}}\n\
             failover: {{mode: approve}}\n{nodes}store: {{etcd: [{store}]}}\n"
        )
    };
    let own = "nodes: {tls: /etc/lifeboat/tls}\n";
    let none = "nodes: {tls: none}\n";
    let plain = "\"http://10.19.0.10:2379\", \"http://10.135.0.10:2379\", \"http://192.0.2.3:2379\"";
    let secure = plain.replace("http:", "https:");
    for (nodes, store, speaks, given) in
        [(own, plain, true, true), (none, plain, false, false), (none, &secure, false, true)]
    {
        let app = lifeboat_model::parse(&text(nodes, store)).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let tree = tree_of(&app);
        let holds = |path: &str, what: &str| tree.files[path].contains(what);
        let case = format!("{nodes}{store}");
        assert_eq!(holds("lifeboat/a/lifeboat.service", "LIFEBOAT_CERTS"), speaks, "{case}");
        assert_eq!(holds("lifeboat/a/install.sh", "$certificates/$name"), given, "{case}");
        assert_eq!(holds("lifeboat/c/node.yaml", "LIFEBOAT_CERTS"), speaks, "{case}");
        assert_eq!(holds("lifeboat/c/node.yaml", "name: lifeboat-tls"), given, "{case}");
        assert_eq!(holds("arm/regional.json", "LIFEBOAT_CERTS"), speaks, "{case}");
        assert_eq!(holds("arm/regional.json", "no certificates yet"), given, "{case}");
        assert!(!holds("arm/regional.json", "%{"), "{case}");
        assert_eq!(tree.files.contains_key("lifeboat/hand-out.sh"), given, "{case}");
        for cloud in ["aws", "azure"] {
            let says = |what: &str| {
                tree.files[&format!("terraform/{cloud}/lifeboat.tf")]
                    .lines()
                    .any(|line| line.split_whitespace().eq([what, "=", "false"]))
            };
            assert_eq!((says("tls"), says("certificates")), (!speaks, !given), "{cloud} {case}");
        }
    }
}

/// Whatever a file holds arrives as it is, in every syntax.
#[test]
fn hostile_texts_arrive_as_they_are() {
    let tree = tree_of(&common::hostile());
    for (path, content) in &tree.files {
        if path.ends_with(".json") {
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(content);
            assert!(parsed.is_ok(), "{path}: {parsed:?}");
        }
    }
    let holds = |path: &str, pointer: &str| {
        let text = &tree.files[path];
        let value: serde_json::Value = if path.ends_with(".json") {
            serde_json::from_str(text).unwrap()
        } else {
            serde_saphyr::from_str(text.split("\n---\n").next().unwrap()).unwrap()
        };
        value.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let container = "/spec/template/spec/containers/0";
    let pods = "kubernetes/base/pods.yaml";
    assert_eq!(holds(pods, &format!("{container}/image")), common::HOSTILE);
    assert_eq!(holds(pods, &format!("{container}/readinessProbe/httpGet/path")), "/healthz?a=%7Bb%7D&c=$d");
    assert_eq!(holds("terraform/aws/regions.auto.tfvars.json", "/regions/a/sizes/group/instance"), common::HOSTILE);
    assert_eq!(holds("arm/parameters/b.json", "/parameters/sizes/value/scale/instance"), common::HOSTILE);
    let arm = &tree.files["arm/regional.json"];
    assert!(arm.contains(&serde_json::to_string(common::HOSTILE).unwrap()), "{arm}");
}

/// Two hundred components; how long it takes is for the benchmark.
/// A region's node has one home. In AKS it is a pod with an identity, certificates out of the vault, and disks that outlive it; where the cluster
/// is made only when the region is to serve, or machines have to be steered to, the node keeps its machine.
#[test]
fn a_node_on_azure_has_one_home() {
    let text = |pattern: &str, route: &str| {
        format!(
            "app: desk\nregions:\n  a: {{place: azure/northeurope, address: 10.135.0.10}}\n  b: {{place: azure/westus, address: 10.157.0.10}}\n\
             components:\n  platform: {{kind: aks, pattern: {pattern}}}\n  web: {{kind: deployment, pattern: {pattern}, size: {{image: x}}}}\n  \
             old: {{kind: vmss, pattern: {pattern}, size: {{image: x}}}}\nroutes: {{desk.example.com: {{to: {route}}}}}\n\
             failover: {{mode: approve}}\nnodes: {{tls: /etc/lifeboat/tls}}\n"
        )
    };
    for (pattern, route, pods) in
        [("pilot-light", "web", &["a", "b"][..]), ("backup-restore", "web", &["a"]), ("pilot-light", "old", &[])]
    {
        let files =
            generate(&lifeboat_model::parse(&text(pattern, route)).unwrap(), &Options::default()).unwrap().files;
        let (nodes, hand_out) = (&files["terraform/azure/lifeboat.tf"], &files["lifeboat/hand-out.sh"]);
        for region in ["a", "b"] {
            let is_pod = pods.contains(&region);
            let case = format!("{pattern} {route} {region}");
            assert_eq!(nodes.contains(&format!("module \"pod_{region}\"")), is_pod, "{case}");
            assert_eq!(nodes.contains(&format!("module \"node_{region}\"")), !is_pod, "{case}");
            assert_eq!(hand_out.contains(&format!("to_pod {region} \"lb-desk-{region}-$unique\"")), is_pod, "{case}");
            let manifest = &files[&format!("lifeboat/{region}/node.yaml")];
            assert_eq!(manifest.contains("driver: secrets-store.csi.k8s.io"), is_pod, "{case}");
            assert_eq!(manifest.contains("azure.workload.identity/use"), is_pod, "{case}");
            assert_eq!(manifest.contains("secretName: lifeboat-file"), is_pod, "{case}");
            assert!(
                manifest.contains("storageClassName: lifeboat") && manifest.contains("reclaimPolicy: Retain"),
                "{case}"
            );
            // Only where the region has zones can a disk be in all of them.
            assert_eq!(manifest.contains("skuName: Premium_ZRS"), region == "a", "{case}");
            assert!(manifest.contains("key: CriticalAddonsOnly"), "{case}: it runs where no application does");
        }
    }
}

/// A cluster that cannot be asked is not taken for one without a node: the others are handed theirs, and the end is a failure. The real
/// kubectl asks an address at which nobody answers; of `az` only that certificates come is wanted.
#[test]
fn certificates_are_handed_out_aloud() {
    if common::tool("kubectl").is_none() {
        return;
    }
    let text = "app: desk\nregions:\n  a: {place: azure/northeurope, address: 10.135.0.10}\n  b: {place: azure/westeurope, address: 10.155.0.10}\n\
                components:\n  platform: {kind: aks, pattern: pilot-light}\n  web: {kind: deployment, pattern: pilot-light, size: {image: x}}\n  \
                old: {kind: vmss, pattern: pilot-light, size: {image: x}}\nroutes: {desk.example.com: {to: old}}\n\
                failover: {mode: approve}\nnodes: {tls: /etc/lifeboat/tls}\n";
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    common::write(&tree_of(&lifeboat_model::parse(text).unwrap()), &at("infra"));
    std::fs::create_dir_all(at("certs")).unwrap();
    for name in ["ca.pem", "a.pem", "a.key", "b.pem", "b.key"] {
        std::fs::write(at("certs").join(name), name).unwrap();
    }
    std::fs::create_dir_all(at("bin")).unwrap();
    let az = at("bin/az");
    std::fs::write(&az, "#!/bin/sh\ncat >/dev/null\necho \"$*\" >>\"$ASKED\"\necho 00000000-0000\n").unwrap();
    std::fs::set_permissions(&az, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let contexts =
        ["a", "b"].map(|region| format!("{{name: desk-platform-{region}, context: {{cluster: c, user: ''}}}}"));
    std::fs::write(
        at("kubeconfig"),
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{shut}'}}}}]\ncontexts: [{}]\n",
            contexts.join(", ")
        ),
    )
    .unwrap();
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let output = common::run(
        std::process::Command::new("sh")
            .arg(at("infra/lifeboat/hand-out.sh"))
            .arg(at("certs"))
            .env("PATH", path)
            .env("KUBECONFIG", at("kubeconfig"))
            .env("ASKED", at("asked"))
            .stdin(std::process::Stdio::null()),
    );
    let said = common::said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for region in ["a", "b"] {
        assert!(said.contains(&format!("{region}: the cluster desk-platform-{region} does not say")), "{said}");
        let vault = format!("keyvault secret set --vault-name lb-desk-{region}-");
        assert!(std::fs::read_to_string(at("asked")).unwrap().contains(&vault), "{said}");
    }
}

#[test]
fn a_large_app_is_generated() {
    let mut app = example("aws/warm-standby");
    let (orders, web) = (app.components["orders"].clone(), app.components["web"].clone());
    for index in 0..100 {
        app.components.insert(format!("orders-{index}").into(), orders.clone());
        let mut web = web.clone();
        web.needs = [format!("orders-{index}").into()].into();
        web.kind = if index % 2 == 0 { Kind::Asg } else { Kind::Ecs };
        web.pattern = Some(Pattern::PilotLight);
        app.components.insert(format!("web-{index}").into(), web);
    }
    let tree = tree_of(&app);
    assert!(tree.files.contains_key("terraform/aws/web-99.tf"));
    // A template that AWS refuses is none: it is left out, and refused to whoever asks for it.
    assert!(!tree.files.keys().any(|path| path.starts_with("cloudformation/")));
    let said = |problems: &[Problem]| problems.iter().any(|problem| problem.message.starts_with("no CloudFormation: "));
    assert!(said(&tree.warnings), "{:?}", tree.warnings);
    let only = Options { targets: [Target::CloudFormation].into(), ..Options::default() };
    assert!(said(&generate(&app, &only).unwrap_err()));
}

/// An app on machines of one's own needs nothing but the nodes.
#[test]
fn a_local_app_gets_its_nodes() {
    let tree = tree_of(&example("local/lifeboat"));
    assert!(
        tree.files["lifeboat/stockholm/lifeboat.service"].contains("CapabilityBoundingSet="),
        "it starts PostgreSQL as another user"
    );
    assert!(tree.files["lifeboat/ireland/lifeboat.service"].contains("User=lifeboat"), "it only votes");
    assert!(tree.files.keys().all(|path| path.starts_with("lifeboat/") || path == "README.md" || path == MANIFEST));
}

/// Where a backup is all that another region has, it does not lie in the lost one alone.
#[test]
fn backups_of_postgresql_on_azure_leave_their_region() {
    for (pattern, terraform, arm) in [("backup-restore", true, "Enabled"), ("warm-standby", false, "Disabled")] {
        let text = format!(
            "app: shop\nregions:\n  a: {{place: azure/northeurope}}\n  b: {{place: azure/westeurope}}\ncomponents:\n  \
             orders: {{kind: azure-postgres, pattern: {pattern}, writer: a, standbys: {{b: asynchronous}}}}\nfailover: {{mode: approve}}\n"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let files = tree_of(&app).files;
        let main = &files["terraform/azure/orders.tf"];
        assert_eq!(
            main.contains("geo_redundant_backup  = true") || main.contains("geo_redundant_backup = true"),
            terraform,
            "{main}"
        );
        assert!(files["arm/regional.json"].contains(&format!("\"geoRedundantBackup\": \"{arm}\"")), "{pattern}");
    }
}

/// What a component needs is found without a look through all of them: eight times as many take some eight times as long, not sixty-four.
#[test]
fn many_components_are_generated_in_little_time() {
    let time = |count: usize| {
        let parts: String = (0..count)
            .map(|n| {
                format!(
                    "  d{n}: {{kind: aurora-global, writer: a, standbys: {{b: asynchronous}}, pattern: warm-standby}}\n  \
                     s{n}: {{kind: ecs, needs: [d{n}], regions: [a, b], pattern: warm-standby, size: {{count: 3, image: shop/api:1}}}}\n"
                )
            })
            .collect();
        let text = format!(
            "app: big\nfailover: {{mode: approve}}\nnodes: {{tls: none}}\nregions:\n  a: {{place: aws/eu-north-1}}\n  \
             b: {{place: aws/eu-central-1}}\ncomponents:\n{parts}"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let began = std::time::Instant::now();
        assert!(tree_of(&app).files.len() > 2 * count);
        began.elapsed()
    };
    // Others use the machine as well: the quickest of several.
    let best = |count| (0..3).map(|_| time(count)).min().unwrap_or_default();
    let (few, many) = (best(50), best(400));
    assert!(many < few * 32, "{few:?} for 50, {many:?} for 400");
}

/// Backups that are older than the file allows are said to be.
#[test]
fn backups_that_are_too_old_are_said() {
    let said = |kind: &str, rpo: &str| {
        let text = format!(
            "app: shop\nobjectives: {{rpo: {rpo}}}\nregions:\n  a: {{place: aws/eu-north-1}}\n  b: {{place: aws/eu-west-1}}\ncomponents:\n  \
             orders: {{kind: {kind}, pattern: backup-restore, writer: a, standbys: {{b: asynchronous}}}}\nfailover: {{mode: approve}}\n"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let warnings = tree_of(&app).warnings;
        let of_backups = warnings.into_iter().filter(|warning| warning.field == "components.orders.pattern");
        of_backups.map(|warning| warning.message).collect::<Vec<_>>().join("; ")
    };
    for (kind, rpo, expected) in [
        ("rds", "1h", ""),
        ("rds", "5m", "up to 15m can be lost"),
        ("aurora-global", "2h", ""),
        ("aurora-global", "1h", "up to 2h can be lost by backup-restore, the file allows 1h"),
        ("dynamodb", "24h", "`dynamodb` is replicated all the same"),
    ] {
        let found = said(kind, rpo);
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{kind} {rpo}: {found}");
    }
}

/// Pods in EKS act as a role that has leave for what they need in that region, and for nothing else.
#[test]
fn pods_in_eks_may_use_what_they_need() {
    let text = |needs: &str| {
        format!(
            "app: shop\nregions:\n  a: {{place: aws/eu-north-1}}\n  b: {{place: aws/eu-central-1}}\ncomponents:\n  platform: {{kind: eks}}\n  \
             carts: {{kind: dynamodb, writer: a, standbys: {{b: asynchronous}}}}\n  files: {{kind: s3, writer: a, standbys: {{b: asynchronous}}}}\n  \
             web: {{kind: deployment, needs: [{needs}], size: {{image: x}}}}\nfailover: {{mode: approve}}\nnodes: {{tls: none}}\n"
        )
    };
    let files = |needs: &str| tree_of(&lifeboat_model::parse(&text(needs)).unwrap()).files;
    let needing = files("carts");
    let (terraform, template) = (&needing["terraform/aws/platform.tf"], &needing["cloudformation/regional.yaml"]);
    assert_eq!(terraform.matches("UseCarts").count(), 2, "in each region");
    assert!(!terraform.contains("UseFiles") && !template.contains("UseFiles"), "what nobody needs");
    assert!(template.contains("AWS::EKS::PodIdentityAssociation") && template.contains("UseCarts"));
    assert!(files("carts, files")["terraform/aws/platform.tf"].contains("UseFiles"));
}
