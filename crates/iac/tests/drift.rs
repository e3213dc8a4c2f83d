//! Comparing regions with what tools say of them: clusters as `kubectl` lists them, and files of observations.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use common::{example, root, tree_of};
use lifeboat_iac::{Said, Seen, drift, observe};
use serde_json::{Value as Json, json};

mod common;

fn cluster(image: &str, least: u32, log: &str, password: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "store"}, "spec": {
            "replicas": 40,
            "template": {"spec": {"containers": [{"name": "web", "image": image, "env": [{"name": "LOG", "value": log}]}]}},
        }},
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "store"},
            "spec": {"minReplicas": least, "maxReplicas": 12}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-credentials", "namespace": "store"}, "data": {"url": password}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "other"}, "spec": {
            "replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "another:1"}]}}}},
    ]})
}

fn differences(frankfurt: Json, ireland: Json) -> Vec<String> {
    let app = example("kubernetes/warm-standby");
    let mut seen = Seen { serving: Said::read(&app, &tree_of(&app).files).unwrap().roles.serving, ..Seen::default() };
    for (region, list) in [("frankfurt", frankfurt), ("ireland", ireland)] {
        seen.add(observe(&app, Some(&region.into()), &list.to_string()).unwrap());
    }
    drift(&app, &seen).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn clusters_are_compared_with_the_file_and_with_each_other() {
    let image = "registry.example.com/store/web:4.2.0";
    assert_eq!(differences(cluster(image, 6, "info", "YQ=="), cluster(image, 2, "info", "YQ==")), [""; 0]);
    assert_eq!(
        differences(
            cluster(image, 5, "info", "YQ=="),
            cluster("registry.example.com/store/web:4.1.9", 2, "debug", "Yg==")
        ),
        [
            "orders in ireland: secret orders-credentials/url is 60f0, ff6c in frankfurt",
            "web in frankfurt: size is 5, 6 in the file",
            "web in ireland: image is registry.example.com/store/web:4.1.9, registry.example.com/store/web:4.2.0 in the file",
            "web in ireland: parameter LOG is debug, info in frankfurt",
        ]
    );
}

const STACKS: &str = "app: shop\nfailover: {mode: approve}\nregions:\n  stockholm: {place: aws/eu-north-1}\n  frankfurt: {place: aws/eu-central-1}\n\
                      components:\n  orders: {kind: aurora-global, writer: stockholm, standbys: {frankfurt: asynchronous}, pattern: warm-standby}\n  \
                      web: {kind: asg, needs: [orders], pattern: warm-standby, size: {count: 6, instance: m7g.large, image: ami-0123456789abcdef0}}\n  \
                      api: {kind: ecs, needs: [orders], pattern: warm-standby, size: {count: 3, image: shop/api:1}}\n";

/// What CloudFormation has found of a region's resources, and what EC2 says besides.
fn stacks(least: u32, template: &str, copy_of: &str, engine: &str, readers: u32) -> Json {
    let mut drifts = Vec::new();
    let mut add = |place: &str, name: &str, kind: &str, actual: Option<Json>| {
        let mut drift = json!({"StackId": format!("arn:aws:cloudformation:{place}:123456789012:stack/StackSet-shop-1/2"),
            "LogicalResourceId": name, "ResourceType": format!("AWS::{kind}"), "PhysicalResourceId": "x",
            "StackResourceDriftStatus": if actual.is_some() { "IN_SYNC" } else { "DELETED" }});
        if let Some(actual) = actual {
            drift["ActualProperties"] = actual.to_string().into();
        }
        drifts.push(drift);
    };
    let group = |least: &str, template: &str| {
        Some(json!({"MinSize": least, "LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}}))
    };
    let cluster = |version: &str| Some(json!({"Engine": "aurora-postgresql", "EngineVersion": version}));
    let instance = || Some(json!({"DBInstanceClass": "db.r7g.large", "Engine": "aurora-postgresql"}));
    let parameters = |size: &str| Some(json!({"Parameters": {"rds.force_ssl": "1", "work_mem": size}}));
    add("eu-north-1", "Web", "AutoScaling::AutoScalingGroup", group("6", "lt-1"));
    add("eu-north-1", "Orders", "RDS::DBCluster", cluster("16.8"));
    add("eu-north-1", "OrdersInstance1", "RDS::DBInstance", instance());
    add("eu-north-1", "OrdersInstance2", "RDS::DBInstance", instance());
    add("eu-north-1", "OrdersParameters", "RDS::DBClusterParameterGroup", parameters("4096"));
    add("eu-central-1", "Web", "AutoScaling::AutoScalingGroup", group(&least.to_string(), template));
    add("eu-central-1", "Orders", "RDS::DBCluster", cluster(engine));
    for number in 1..=2 {
        add(
            "eu-central-1",
            &format!("OrdersInstance{number}"),
            "RDS::DBInstance",
            (number <= readers).then(instance).flatten(),
        );
    }
    add(
        "eu-central-1",
        "OrdersParameters",
        "RDS::DBClusterParameterGroup",
        parameters(if engine == "16.8" { "4096" } else { "8192" }),
    );
    add("eu-north-1", "Node", "AutoScaling::AutoScalingGroup", group("1", "lt-9"));
    add("us-east-1", "Web", "AutoScaling::AutoScalingGroup", group("99", "lt-9"));
    let version = |id: &str, number: u32, image: &str, instance: &str| json!({"LaunchTemplateId": id, "VersionNumber": number, "LaunchTemplateData": {"ImageId": image, "InstanceType": instance}});
    json!({
        "StackResourceDrifts": drifts,
        "LaunchTemplateVersions": [version("lt-1", 1, "ami-old", "t3.micro"), version("lt-1", 2, "ami-0123456789abcdef0", "m7g.large"),
            version("lt-2", 2, "ami-copy", "m7g.large"), version("lt-3", 2, "ami-copy", "m7g.medium")],
        "Images": [{"ImageId": "ami-copy", "SourceImageId": copy_of}, {"ImageId": "ami-0123456789abcdef0", "SourceImageId": "ami-base"}],
    })
}

fn differences_of(app: &str, seen: &Json) -> Vec<String> {
    let app = lifeboat_model::parse(app).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let seen = observe(&app, None, &seen.to_string()).unwrap();
    drift(&app, &seen).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn stacks_are_compared_as_cloudformation_finds_them() {
    let image = "ami-0123456789abcdef0";
    assert_eq!(differences_of(STACKS, &stacks(2, "lt-2", image, "16.8", 1)), [""; 0]);
    assert_eq!(
        differences_of(STACKS, &stacks(3, "lt-3", "ami-00000000000000000", "16.6", 0)),
        [
            "orders in frankfurt: size is 0, 1 in the file",
            "orders in frankfurt: version is 16.6, 16.8 in stockholm",
            "orders in frankfurt: parameter work_mem is 8192, 4096 in stockholm",
            "web in frankfurt: image is ami-00000000000000000, ami-0123456789abcdef0 in the file",
            "web in frankfurt: instance is m7g.medium, m7g.large in the file",
            "web in frankfurt: size is 3, 2 in the file",
        ]
    );
    // An image whose origin nobody tells, and a template that was not asked for, are not seen.
    let mut unsaid = stacks(2, "lt-4", image, "16.8", 1);
    assert_eq!(differences_of(STACKS, &unsaid), [""; 0]);
    unsaid = stacks(2, "lt-2", image, "16.8", 1);
    unsaid["Images"] = json!([]);
    assert_eq!(differences_of(STACKS, &unsaid), [""; 0]);
}

#[test]
fn answers_of_cloudformation_that_are_none_are_told() {
    let app = lifeboat_model::parse(STACKS).unwrap();
    let whole = stacks(2, "lt-2", "ami-0123456789abcdef0", "16.8", 1);
    for (path, wrong, expected) in [
        (
            "/StackResourceDrifts/0/ActualProperties",
            json!("{"),
            "StackResourceDrifts.0.ActualProperties of Web: not JSON",
        ),
        ("/StackResourceDrifts/1/StackId", json!(1), "StackResourceDrifts.1.StackId: expected a text"),
        ("/StackResourceDrifts", json!({}), "StackResourceDrifts: expected a list"),
    ] {
        let mut broken = whole.clone();
        *broken.pointer_mut(path).unwrap() = wrong;
        let error = observe(&app, None, &broken.to_string()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let mut page = whole;
    page["NextToken"] = "more".into();
    assert!(observe(&app, None, &page.to_string()).unwrap_err().contains("one page of the answer"));
}

/// What the generated templates give a region, as `az resource show` prints it.
fn azure(least: u32, image: &str, kubernetes: &str, server: &str) -> Json {
    let one = |region: &str, name: &str, kind: &str, sku: &str, properties: Json| {
        json!({"id": format!("/subscriptions/1/resourceGroups/shop-{region}/providers/{kind}/shop-{region}-{name}"), "type": kind,
            "name": format!("shop-{region}-{name}"), "location": "x", "tags": null, "sku": {"name": sku}, "properties": properties})
    };
    let machines = |region: &str, image: &str| {
        let profile = json!({"virtualMachineProfile": {"storageProfile": {"imageReference": {"id": image}}}});
        one(region, "web", "Microsoft.Compute/virtualMachineScaleSets", "Standard_D4s_v5", profile)
    };
    let limits = |region: &str, least: u32| {
        let capacity = json!({"profiles": [{"capacity": {"minimum": least.to_string(), "maximum": "12", "default": least.to_string()}}]});
        one(region, "web", "microsoft.insights/autoscalesettings", "", capacity)
    };
    let cluster = |region: &str, version: &str, least: u32| {
        let pools = json!([{"name": "system", "vmSize": "Standard_D2s_v5", "minCount": 2}, {"name": "apps", "vmSize": "Standard_D4s_v5", "minCount": least}]);
        one(
            region,
            "platform",
            "Microsoft.ContainerService/managedClusters",
            "Base",
            json!({"kubernetesVersion": version, "agentPoolProfiles": pools}),
        )
    };
    let database = |region: &str, sku: &str| {
        one(region, "orders-0a1b2c", "Microsoft.DBforPostgreSQL/flexibleServers", sku, json!({"version": "17"}))
    };
    json!([
        machines("ireland", IMAGE),
        limits("ireland", 6),
        cluster("ireland", "1.34", 3),
        database("ireland", "Standard_D4ds_v5"),
        machines("sweden", image),
        limits("sweden", least),
        cluster("sweden", kubernetes, 1),
        database("sweden", server),
        one("sweden", "lifeboat", "Microsoft.Compute/virtualMachineScaleSets", "Standard_B2s", json!({})),
    ])
}

const IMAGE: &str =
    "/subscriptions/1/resourceGroups/images/providers/Microsoft.Compute/galleries/shop/images/web/versions/1.0.0";

#[test]
fn resources_on_azure_are_compared_as_they_are() {
    let app = format!(
        "app: shop\nfailover: {{mode: approve}}\nregions:\n  ireland: {{place: azure/northeurope}}\n  sweden: {{place: azure/swedencentral}}\n\
         components:\n  orders: {{kind: azure-postgres, writer: ireland, standbys: {{sweden: asynchronous}}, pattern: warm-standby, size: {{instance: Standard_D4ds_v5}}}}\n  \
         platform: {{kind: aks, pattern: warm-standby, size: {{count: 3}}}}\n  \
         web: {{kind: vmss, needs: [orders], pattern: warm-standby, size: {{count: 6, instance: Standard_D4s_v5, image: {IMAGE}}}}}\n"
    );
    let same =
        azure(2, &IMAGE.to_uppercase().replace("/SUBSCRIPTIONS/", "/subscriptions/"), "1.34", "Standard_D4ds_v5");
    assert_eq!(differences_of(&app, &same), [""; 0]);
    let found = differences_of(&app, &azure(3, &IMAGE.replace("1.0.0", "0.9.0"), "1.33", "Standard_D2ds_v5"));
    assert_eq!(
        found,
        [
            "orders in sweden: instance is Standard_D2ds_v5, Standard_D4ds_v5 in the file".to_owned(),
            "platform in sweden: version is 1.33, 1.34 in ireland".to_owned(),
            format!("web in sweden: image is {}, {IMAGE} in the file", IMAGE.replace("1.0.0", "0.9.0")),
            "web in sweden: size is 3, 2 in the file".to_owned(),
        ]
    );
    // One resource is printed without a list; a list of resources says nothing of what they are.
    assert_eq!(differences_of(&app, &same[0]), [""; 0]);
    let mut listed = same;
    listed.as_array_mut().unwrap().iter_mut().for_each(|one| one["properties"] = Json::Null);
    let app = lifeboat_model::parse(&app).unwrap();
    let error = observe(&app, None, &listed.to_string()).unwrap_err();
    assert!(error.contains("expected what `az resource show --ids` prints"), "{error}");
}

/// The schema that is shipped and what is read are one.
#[test]
fn a_file_of_observations_is_as_its_schema_says() {
    let app = example("kubernetes/warm-standby");
    let schema: Json =
        serde_json::from_slice(&std::fs::read(root().join("docs/observations.schema.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let right = json!({
        "observed": {"web": {"frankfurt": {
            "image": "registry.example.com/store/web:4.2.0", "instance": "x", "size": 6, "version": "1",
            "parameters": {"LOG": "info"}, "secrets": {"token": "5e88"},
        }, "ireland": {}}},
        "serving": {"web": ["frankfurt"]},
    });
    assert!(validator.is_valid(&right));
    let seen = observe(&app, None, &right.to_string()).unwrap();
    assert_eq!(seen.observations["web"]["frankfurt"].size, Some(6));
    for (path, wrong) in [
        ("/observed/web/frankfurt/size", json!("six")),
        ("/observed/web/frankfurt/parameters", json!(["LOG"])),
        ("/observed/web/frankfurt", json!({"imgae": "x"})),
        ("/serving/web", json!("frankfurt")),
        ("", json!({"observed": {}, "served": {}})),
    ] {
        let mut value = right.clone();
        *value.pointer_mut(path).unwrap() = wrong;
        assert!(!validator.is_valid(&value), "{path}");
        assert!(observe(&app, None, &value.to_string()).is_err(), "{path}");
    }
    for (text, said) in [
        ("{\"observed\": {\"web\": {\"paris\": {}}}}", "no web in paris"),
        ("{\"items\": []}", "whose cluster"),
        ("{}", "expected what"),
        ("{\"format_version\": \"1.0\"}", "without resources"),
        ("", "not JSON"),
    ] {
        let error = observe(&app, None, text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}
