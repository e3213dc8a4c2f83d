//! The CloudFormation templates against cfn-lint, with the schemas of every region and each region's own parameters; and what
//! cfn-lint does not see.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{boot, examples, said, tool, tree_of, write};
use lifeboat_iac::{Options, Roles, Said, drift, generate, observe};
use serde_json::Value as Json;

mod common;

fn lint(cfn_lint: &Path, folder: &Path, arguments: &[&str]) -> Output {
    common::run(Command::new(cfn_lint).args(arguments).current_dir(folder))
}

/// The regions that a stack set puts the regional template into.
fn regions(stack_set: &str) -> Vec<String> {
    let order = stack_set.lines().find_map(|line| line.trim().strip_prefix("RegionOrder: [")).unwrap();
    order.trim_end_matches(']').split(", ").map(str::to_owned).collect()
}

/// More regions than a condition can list at once; components in some of them only, and members of the state store in three.
fn in_many_regions() -> lifeboat_model::App {
    let places = "eu-north-1 eu-central-1 eu-west-1 eu-west-2 eu-west-3 eu-south-1 us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1";
    let regions: String = places.split(' ').map(|place| format!("  at-{place}: {{place: aws/{place}}}\n")).collect();
    let text = format!(
        "app: many\nregions:\n{regions}  vote: {{place: aws/ap-south-1, role: witness}}\ncomponents:\n  \
         orders: {{kind: aurora-global, pattern: warm-standby, writer: at-eu-north-1, standbys: {{at-eu-west-1: asynchronous}}}}\n  \
         web: {{kind: asg, pattern: warm-standby, needs: [orders], size: {{image: ami-0a1b2c3d4e5f60718}}}}\n  \
         api: {{kind: ecs, pattern: pilot-light, needs: [orders], regions: [at-eu-north-1, at-eu-west-1], size: {{image: api}}}}\n\
         routes:\n  www.example.com: {{to: web}}\nfailover: {{mode: approve}}\nstore: {{etcd: [\"https://node.at-eu-north-1.many.internal:2379\", \
         \"https://node.at-eu-west-1.many.internal:2379\", \"https://node.vote.many.internal:2379\"]}}\n"
    );
    lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn every_template_passes_in_every_region_of_its_app() {
    let Some(cfn_lint) = tool("cfn-lint") else { return };
    for (name, app) in examples(&["aws", "kubernetes"]).into_iter().chain([("many".into(), in_many_regions())]) {
        let tree = tree_of(&app);
        let Some(stack_set) = tree.files.get("cloudformation/stackset.yaml") else { continue };
        let folder = tempfile::tempdir().unwrap();
        write(&tree, folder.path());
        let mut arguments = vec!["--regions"];
        let regions = regions(stack_set);
        arguments.extend(regions.iter().map(String::as_str));
        arguments.extend(["--", "cloudformation/regional.yaml", "cloudformation/stackset.yaml"]);
        arguments.extend(tree.files.contains_key("cloudformation/global.yaml").then_some("cloudformation/global.yaml"));
        let output = lint(&cfn_lint, folder.path(), &arguments);
        assert!(output.status.success(), "{name}\n{}", said(&output));
    }
}

#[test]
fn a_mistake_in_a_template_is_caught() {
    let Some(cfn_lint) = tool("cfn-lint") else { return };
    let tree = tree_of(&common::example("aws/warm-standby"));
    let folder = tempfile::tempdir().unwrap();
    write(&tree, folder.path());
    let good = &tree.files["cloudformation/regional.yaml"];
    for (right, wrong) in [
        ("MinSize:", "MinSizes:"),
        ("HealthCheckGracePeriod: 120", "HealthCheckGracePeriod: soon"),
        ("Engine: aurora-postgresql", "Engine: aurora-postgrezql"),
        ("!Ref WebTargets", "!Ref WebTarget"),
        ("PeerVpcId:", "PeerVpc:"),
        ("Condition: LinkedToIreland", "Condition: LinkedToAtlantis"),
        ("!Ref NodeCertificates", "!Ref Certificates"),
        ("VpcEndpointType: Gateway", "VpcEndpointType: Door"),
        // What is made on a condition is used by what is there always.
        (
            "    Condition: HasComponents\n    Properties:\n      DBSubnetGroupDescription",
            "    Condition: NeedsNat\n    Properties:\n      DBSubnetGroupDescription",
        ),
    ] {
        assert!(good.contains(right), "{right}");
        std::fs::write(folder.path().join("wrong.yaml"), good.replace(right, wrong)).unwrap();
        let output = lint(&cfn_lint, folder.path(), &["--", "wrong.yaml"]);
        assert!(!output.status.success(), "{wrong} passed");
    }
}

/// A section of a template that has no tags.
fn section(template: &str, name: &str) -> Json {
    let body = template.split(&format!("\n{name}:\n")).nth(1).unwrap_or_default();
    let lines: Vec<&str> = body.lines().take_while(|line| line.is_empty() || line.starts_with(' ')).collect();
    let text = lines.join("\n");
    if text.trim().is_empty() { Json::Null } else { serde_saphyr::from_str(&text).unwrap() }
}

fn keys(value: &Json) -> BTreeSet<String> {
    value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The names after every `before`, up to `after`.
fn named<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(after).next().unwrap()).collect()
}

/// What the linter misses: keys of mappings, parameters of a template behind a URL and where all of them come from, policies of records.
fn unseen_mistakes(files: &BTreeMap<String, String>) -> Vec<String> {
    let file = |name: &str| files.get(&format!("cloudformation/{name}")).map_or("", String::as_str);
    let (regional, stack_set, global) = (file("regional.yaml"), file("stackset.yaml"), file("global.yaml"));
    let mut found = Vec::new();

    // FindInMap: every region has every key, also where it is not used.
    let mappings = section(regional, "Mappings");
    for used in named(regional, "!FindInMap [", ']') {
        let arguments: Vec<&str> = used.split(", ").collect();
        for region in regions(stack_set) {
            if mappings[arguments[0]][&region][arguments[2]].is_null() {
                found.push(format!("mapping {} has no {} for {region}", arguments[0], arguments[2]));
            }
        }
    }

    // What the stack set gives is what the template behind the URL takes; what has no default is given to the set itself.
    let wanted = section(regional, "Parameters");
    let (common, groups) = stack_set.split_once("StackInstancesGroup:").unwrap();
    let common: BTreeSet<&str> = named(common, "ParameterKey: ", ',').into_iter().collect();
    for (name, parameter) in wanted.as_object().unwrap() {
        if parameter["Default"].is_null() && !common.contains(name.as_str()) {
            found.push(format!("{name} has no value in the stack set"));
        }
    }
    for name in named(groups, "ParameterKey: ", ',').into_iter().chain(common) {
        if wanted[name].is_null() {
            found.push(format!("the template has no parameter {name}"));
        }
    }

    // Every parameter of the two stacks has a source, and every value a parameter.
    let entries = |name: &str| -> BTreeSet<String> {
        let file: Json = serde_json::from_str(file(name)).unwrap();
        file.as_array().unwrap().iter().map(|entry| entry["ParameterKey"].as_str().unwrap().to_owned()).collect()
    };
    let mut given = entries("roles.json");
    for name in &given {
        if section(stack_set, "Parameters")[name].is_null() {
            found.push(format!("{name} in roles.json is no parameter"));
        }
    }
    given.extend(entries("parameters.example.json"));
    for command in ["\nknown ", "\ncopy_image "] {
        given.extend(named(file("prepare.sh"), command, ' ').into_iter().map(str::to_owned));
    }
    let outputs = regional.split_once("\nOutputs:\n").unwrap().1;
    let outputs: Vec<&str> = outputs.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':')).collect();
    for region in regions(stack_set) {
        let id: String = mappings["Regions"][&region]["Id"].as_str().map(pascal).unwrap();
        given.extend(outputs.iter().map(|output| match *output {
            "NodeAddress" => format!("Node{id}"),
            output => format!("{output}{id}"),
        }));
    }
    for (template, text) in [("stackset", stack_set), ("global", global)] {
        for (name, parameter) in section(text, "Parameters").as_object().into_iter().flatten() {
            if parameter["Default"].is_null() && !given.contains(name) {
                found.push(format!("nothing gives {name} of {template}.yaml"));
            }
        }
    }
    let taken: BTreeSet<String> =
        [stack_set, global].iter().flat_map(|text| keys(&section(text, "Parameters"))).collect();
    found.extend(entries("parameters.example.json").difference(&taken).map(|name| format!("nothing takes {name}")));

    for role in named(global, "Failover: ", '\n').into_iter().filter(|role| !["PRIMARY", "SECONDARY"].contains(role)) {
        found.push(format!("failover {role}"));
    }
    found
}

/// `north-sea` as `NorthSea`.
fn pascal(id: &str) -> String {
    id.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[test]
fn what_the_linter_does_not_see_is_right_too() {
    let mut caught = BTreeSet::new();
    for (name, app) in examples(&["aws", "kubernetes"]).into_iter().chain([("many".into(), in_many_regions())]) {
        let files = tree_of(&app).files;
        if !files.contains_key("cloudformation/stackset.yaml") {
            continue;
        }
        assert_eq!(unseen_mistakes(&files), [] as [String; 0], "{name}");
        for region in regions(&files["cloudformation/stackset.yaml"]) {
            let script = boot::of_cloudformation(&files["cloudformation/regional.yaml"], &region, "eipalloc-1");
            assert!(!script.contains("${"), "{name} {region}: {script}");
            boot::check_syntax(&script);
        }

        // The checks can fail.
        for (file, right, wrong) in [
            ("regional.yaml", "Full: ", "Fool: "),
            ("regional.yaml", "      Port: 7400\n", ""),
            ("regional.yaml", "  CertificateArn:\n", "  CertificateArm:\n"),
            ("stackset.yaml", "        - {ParameterKey: LifeboatImage", "        - {ParameterKey: LifeboatImages"),
            ("stackset.yaml", "            - {ParameterKey: LinkTo", "            - {ParameterKey: LinksTo"),
            ("parameters.example.json", "LifeboatImage", "LifeboatImages"),
            ("prepare.sh", "known TemplateUrl", "known Template"),
            ("roles.json", "Serves", "Server"),
            ("global.yaml", "Failover: PRIMARY", "Failover: FIRST"),
            ("global.yaml", "Parameters:\n", "Parameters:\n  NodeAtlantis:\n    Type: String\n"),
        ] {
            let mut broken = files.clone();
            let Some(text) = broken.get_mut(&format!("cloudformation/{file}")) else { continue };
            let changed = text.replacen(right, wrong, 1);
            // Not every app has everything.
            if *text != changed {
                *text = changed;
                assert!(!unseen_mistakes(&broken).is_empty(), "{name}: {wrong:?}");
                caught.insert(right);
            }
        }
    }
    assert_eq!(caught.len(), 10, "{caught:?}");
}

/// A resource of the regional template, as text.
fn resource<'a>(template: &'a str, id: &str) -> &'a str {
    let start = template.find(&format!("\n  {id}:\n    Type: ")).unwrap_or_else(|| panic!("no {id}")) + 1;
    let rest = &template[start..];
    let end = rest.match_indices("\n  ").find(|(at, _)| !rest[at + 3..].starts_with([' ', '#'])).map(|(at, _)| at);
    &rest[..end.unwrap_or(rest.len())]
}

fn regional(app: &lifeboat_model::App) -> String {
    tree_of(app).files["cloudformation/regional.yaml"].clone()
}

/// Machines read at boot where their data are, and none starts before that is known.
#[test]
fn machines_are_told_where_their_data_are() {
    let template = regional(&common::example("aws/warm-standby"));
    let machines = resource(&template, "WebTemplate");
    for text in [
        "path: /etc/default/web",
        "ORDERS_HOST=${OrdersHost}",
        "OrdersHost: !Ref OrdersHost",
        "ORDERS_USER=${OrdersUser}",
    ] {
        assert!(machines.contains(text), "{text}: {machines}");
    }
    assert!(
        resource(&template, "Web").contains("MinSize: !If [WebReady, !If [WebServes, "),
        "{}",
        resource(&template, "Web")
    );
    let template = regional(&common::example("aws/shop"));
    assert!(resource(&template, "WebTemplate").contains("ApiHost: !FindInMap [Hosts, !Ref AWS::Region, Api]"));
    assert!(template.contains("    eu-central-1: {Api: api.frankfurt.shop.internal}\n"));
    let global = &tree_of(&common::example("aws/shop")).files["cloudformation/global.yaml"];
    assert!(resource(global, "InternalApiFrankfurt").contains("Name: api.frankfurt.shop.internal"));
}

/// AWS takes no least number of nodes above the desired one: they are raised together.
#[test]
fn a_cluster_is_raised_whole() {
    let template = regional(&common::example("aws/active-active"));
    let nodes = resource(&template, "PlatformNodes");
    let size = |name: &str| {
        nodes.split(&format!("        {name}: ")).nth(1).unwrap().split("Size: ").next().unwrap().to_owned()
    };
    let trimmed = |text: String| {
        text.lines().filter(|line| !line.trim().is_empty()).take(4).map(str::trim).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(trimmed(size("DesiredSize")), trimmed(size("MinSize")), "{nodes}");
}

/// Where backups are all that another region has, they are there within what `assess` counts on, and somebody hears of those that fail.
#[test]
fn backups_reach_the_region_that_has_nothing_else() {
    let app = lifeboat_model::parse(
        "app: shop\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-west-1}\ncomponents:\n  \
         orders: {kind: aurora-global, pattern: backup-restore, writer: a, standbys: {b: asynchronous}, size: {count: 2}}\n  \
         ledger: {kind: rds, pattern: backup-restore, writer: a, standbys: {b: asynchronous}}\nfailover: {mode: approve}\n",
    )
    .unwrap();
    let template = regional(&app);
    assert!(!template.contains("AWS::RDS::GlobalCluster"), "what is restored could not be in it");
    let plan = resource(&template, "OrdersCopyPlan");
    assert!(plan.contains("cron(0 * * * ? *)") && plan.contains(":backup-vault:shop-eu-west-1"), "{plan}");
    assert!(resource(&template, "OrdersCopySelection").contains(":cluster:shop-orders-${AWS::Region}"));
    let ledger = resource(&template, "Ledger");
    assert!(
        ledger.contains("AutomaticBackupReplicationRegion: !If [LinkedToB, eu-west-1, !Ref AWS::NoValue]"),
        "{ledger}"
    );
    assert!(resource(&template, "BackupCopyFailed").contains("NumberOfCopyJobsFailed"));
    // By kind, or only what the account has opted in to would be.
    assert!(resource(&template, "BackupSelection").contains(":rds:*:*:cluster:*"));
}

/// The instances of Aurora follow the role, which the stack set is told.
#[test]
fn aurora_is_sized_by_its_role() {
    let mut app = common::example("aws/warm-standby");
    app.components.get_mut("orders").unwrap().size.standby = Some(1);
    let path = "cloudformation/roles.json";
    assert!(resource(&regional(&app), "OrdersInstance2").contains("Condition: OrdersWrites\n"));
    let moved = Roles { writers: [("orders".into(), "frankfurt".into())].into(), ..Roles::default() };
    let options = Options { roles: moved.clone(), ..Options::default() };
    let text = generate(&app, &options).unwrap().files[path].clone();
    let read = |text: &str| Said::read(&app, &[(path.to_owned(), text.to_owned())].into());
    assert_eq!(read(&text).unwrap().roles.writers, moved.writers, "{text}");
    let twice = text.replace(
        "\"OrdersWritesStockholm\", \"ParameterValue\": \"false\"",
        "\"OrdersWritesStockholm\", \"ParameterValue\": \"true\"",
    );
    assert!(read(&twice).unwrap_err().contains("expected one region that writes"), "{twice}");
}

/// An emulator of AWS that ends with the test.
struct Emulator {
    process: Child,
    endpoint: String,
}

impl Emulator {
    /// `None`: moto is not to be had.
    fn start() -> Option<Self> {
        let has_moto = |python: &PathBuf| {
            common::run(Command::new(python).args(["-c", "import moto.moto_server.threaded_moto_server"]))
                .status
                .success()
        };
        let Some(python) = common::tools("python3").find(has_moto) else {
            common::skipped("no python3 has moto");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator.py");
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        // By this name moto knows itself, where a template's URL is looked for.
        Some(Self { process, endpoint: format!("http://localhost:{}", port.trim()) })
    }

    /// A program that talks to it instead of to AWS, from a region that the app is not in.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "x")
            .env("AWS_SECRET_ACCESS_KEY", "x")
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }

    fn succeed(&self, command: &mut Command) -> String {
        let output = common::run(command);
        assert!(output.status.success(), "{command:?}\n{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the `aws` program answers.
    fn ask(&self, region: &str, question: &str, query: &str) -> Json {
        let mut command = self.command("aws");
        command.args(question.split(' ')).args(["--region", region, "--output", "json", "--query", query]);
        serde_json::from_str(&self.succeed(&mut command)).unwrap()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Kinds that moto's CloudFormation can make. It knows no Aurora instances; its RDS takes no parameter group of the same template; it names
/// load balancers, without which no group of machines and no service of ECS is made here, as AWS would not let it.
const ON_THE_EMULATOR: &str = r#"
app: em
regions:
  stockholm: {place: aws/eu-north-1, address: 10.19.0.10}
  frankfurt: {place: aws/eu-central-1, address: 10.17.0.10}
  ireland: {place: aws/eu-west-1, address: 10.22.0.10, role: witness}
components:
  sessions: {kind: dynamodb, writer: stockholm, standbys: {frankfurt: asynchronous}}
  files: {kind: s3, writer: stockholm, standbys: {frankfurt: asynchronous}}
  platform: {kind: eks, pattern: warm-standby, needs: [files], size: {count: 6}}
failover: {mode: approve}
nodes: {tls: /etc/lifeboat/tls}
store:
  etcd: ["https://node.stockholm.em.internal:2379", "https://node.frankfurt.em.internal:2379", "https://10.22.0.10:2379"]
  ca: /etc/lifeboat/tls/ca.pem
  cert: "/etc/lifeboat/tls/{region}.pem"
  key: "/etc/lifeboat/tls/{region}.key"
"#;

/// The generated scripts, with the `aws` program itself: regions, links between them, names, nodes; and a failover.
#[test]
fn the_stacks_are_applied_on_an_emulator() {
    let (Some(_), Some(_)) = (tool("aws"), tool("jq")) else { return };
    let Some(emulator) = Emulator::start() else { return };
    let app = lifeboat_model::parse(ON_THE_EMULATOR).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tree = tree_of(&app);
    write(&tree, folder.path());
    std::fs::write(folder.path().join("lifeboat.yaml"), ON_THE_EMULATOR).unwrap();
    let stacks = folder.path().join("cloudformation");
    std::fs::copy(stacks.join("parameters.example.json"), stacks.join("parameters.json")).unwrap();
    let script = |name: &str, arguments: &[&str]| {
        let mut command = emulator.command("sh");
        emulator.succeed(command.arg(stacks.join(name)).args(arguments).current_dir(folder.path()))
    };
    emulator.succeed(emulator.command("aws").args(["s3", "mb", "s3://infra"]));
    script("prepare.sh", &["lifeboat.yaml", "infra"]);
    let applied = script("apply.sh", &["infra"]);
    assert_eq!(applied.matches("Successfully created/updated stack - em-regions").count(), 3, "rounds\n{applied}");

    let serves = |place: &str| {
        let query = "Stacks[0].Parameters[?ParameterKey=='PlatformServes'].ParameterValue";
        emulator.ask(place, "cloudformation describe-stacks", query)
    };
    for (id, place, network, serving, buckets) in [
        ("stockholm", "eu-north-1", 19, "true", 1),
        ("frankfurt", "eu-central-1", 17, "false", 1),
        ("ireland", "eu-west-1", 22, "false", 0),
    ] {
        assert_eq!(
            emulator.ask(place, "cloudformation describe-stacks", "Stacks[].StackStatus"),
            serde_json::json!(["UPDATE_COMPLETE"])
        );
        assert_eq!(serves(place), serde_json::json!([serving]), "{id}");
        let networks = emulator.ask(place, "ec2 describe-vpcs", "Vpcs[?!IsDefault].CidrBlock");
        assert_eq!(networks, serde_json::json!([format!("10.{network}.0.0/16")]));
        let query = format!("length(Buckets[?Name=='em-files-{place}-123456789012'])");
        assert_eq!(emulator.ask(place, "s3api list-buckets", &query), buckets, "{id}");

        // From every subnet to both of the others, over connections that are there.
        let active = emulator.ask(
            place,
            "ec2 describe-vpc-peering-connections",
            "VpcPeeringConnections[?Status.Code=='active'].VpcPeeringConnectionId",
        );
        let routes = emulator.ask(
            place,
            "ec2 describe-route-tables",
            "RouteTables[].Routes[] | [?VpcPeeringConnectionId].[DestinationCidrBlock, VpcPeeringConnectionId]",
        );
        let routes = routes.as_array().unwrap();
        assert_eq!(routes.len(), 6, "{id}: {routes:?}");
        for other in [19, 17, 22].into_iter().filter(|other| *other != network) {
            let leads = |route: &&Json| {
                route[0] == format!("10.{other}.0.0/16") && active.as_array().unwrap().contains(&route[1])
            };
            assert_eq!(routes.iter().filter(leads).count(), 3, "{id} to {other}: {routes:?} {active}");
        }

        let group = emulator.ask(
            place,
            "autoscaling describe-auto-scaling-groups",
            "AutoScalingGroups[].[AutoScalingGroupName, MinSize, MaxSize]",
        );
        assert_eq!(group, serde_json::json!([[format!("em-lifeboat-{id}"), 1, 1]]));
        let file = emulator.ask(
            place,
            &format!("ssm get-parameter --with-decryption --name /em-lifeboat-{id}/lifeboat.yaml"),
            "Parameter.[Type, Value]",
        );
        assert_eq!(file, serde_json::json!(["SecureString", ON_THE_EMULATOR]));
        let template = emulator.ask(place, "ec2 describe-launch-templates", "LaunchTemplates[0].LaunchTemplateId");
        let question =
            format!("ec2 describe-launch-template-versions --launch-template-id {}", template.as_str().unwrap());
        let data = emulator.ask(place, &question, "LaunchTemplateVersions[0].LaunchTemplateData.UserData");
        assert_eq!(boot::check(&app, data.as_str().unwrap()), id);
    }
    let zone = emulator.ask(
        "us-east-1",
        "route53 list-hosted-zones",
        "HostedZones[?starts_with(Name, 'em.internal')].Id | [0]",
    );
    let question = format!("route53 list-resource-record-sets --hosted-zone-id {}", zone.as_str().unwrap());
    let names = emulator.ask("us-east-1", &question, "ResourceRecordSets[?Type=='A'].[Name, ResourceRecords[0].Value]");
    let expected = [["node.frankfurt.em.internal", "10.17.0.10"], ["node.stockholm.em.internal", "10.19.0.10"]];
    assert_eq!(names, serde_json::json!(expected));

    // What is there, as CloudFormation finds it; then one region as somebody has made it.
    let differences = || -> Vec<String> {
        let seen = observe(&app, None, &script("observe.sh", &[])).unwrap();
        assert_eq!(seen.observations["platform"].len(), 2);
        drift(&app, &seen).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(differences(), [""; 0]);
    let template = std::fs::read_to_string(stacks.join("regional.yaml")).unwrap();
    let (_, version) = template.split_once("      Version: \"1.").unwrap();
    let version = version.split_once('"').unwrap().0;
    let by_hand = template
        .replace(&format!("Version: \"1.{version}\""), "Version: \"1.2\"")
        .replace("InstanceTypes: [", "InstanceTypes: [x.large, ")
        .replace("          - !FindInMap [Sizes, !Ref AWS::Region, PlatformStandby]", "          - 1");
    std::fs::write(stacks.join("by-hand.yaml"), &by_hand).unwrap();
    let stack = emulator.ask("eu-central-1", "cloudformation describe-stacks", "Stacks[0].StackId");
    let mut update = emulator.command("aws");
    update.args([
        "cloudformation",
        "update-stack",
        "--region",
        "eu-central-1",
        "--stack-name",
        stack.as_str().unwrap(),
    ]);
    emulator.succeed(update.args(["--template-body", "file://by-hand.yaml"]).current_dir(&stacks));
    let found = differences();
    assert_eq!(found.len(), 3, "{found:?}");
    for expected in [
        "platform in frankfurt: size is 1, 2 in the file".to_owned(),
        format!("platform in frankfurt: version is 1.2, 1.{version} in stockholm"),
        "platform in frankfurt: instance is x.large, ".to_owned(),
    ] {
        assert!(found.iter().any(|line| line.starts_with(&expected)), "{expected}: {found:?}");
    }

    // A failover: the roles change, and nothing else does. What is linked is left alone, in one round.
    let (roles, links) = (stacks.join("roles.json"), stacks.join("links.json"));
    let before = std::fs::read_to_string(&links).unwrap();
    let text = std::fs::read_to_string(&roles).unwrap();
    let moved = text.replace("true", "x").replace("false", "true").replace('x', "false");
    std::fs::write(&roles, moved).unwrap();
    let applied = script("apply.sh", &["infra"]);
    assert_eq!(applied.matches("Successfully created/updated stack - em-regions").count(), 1, "{applied}");
    assert_eq!(std::fs::read_to_string(&links).unwrap(), before);
    assert_eq!(
        (serves("eu-north-1"), serves("eu-central-1")),
        (serde_json::json!(["false"]), serde_json::json!(["true"]))
    );
}
