//! What nodes' machines run at boot, of whichever tool.

use std::io::Write as _;
use std::process::{Command, Stdio};

use lifeboat_model::App;
use serde_json::Value as Json;

/// What a program that succeeds prints about its input.
fn piped(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", super::said(&output));
    output.stdout
}

/// Of user data as a machine is given them.
pub fn decoded(user_data: &str) -> String {
    String::from_utf8(piped(Command::new("base64").arg("-d"), user_data.as_bytes())).unwrap()
}

/// A script that a shell can read, with everything that the node is started with, and small enough. Returns the region.
pub fn check<'a>(app: &'a App, user_data: &str) -> &'a str {
    // EC2's limit, of what is encoded.
    assert!(user_data.len() <= 16 * 1024 * 4 / 3, "{} bytes", user_data.len());
    let script = decoded(user_data);
    check_syntax(&script);
    let region = app.regions.keys().find(|region| script.contains(&format!("node --region {region} "))).unwrap();
    // A file on its way to `lifeboat assess` does not say yet where its nodes are; `generate` says that they then do not start.
    let Some(address) = app.regions[region].address.map(|address| address.to_string()) else { return region.as_str() };
    // On Azure a machine may have more addresses than that.
    let taken = ["ip address replace ", "for address in "].map(|before| script.contains(&format!("{before}{address}")));
    assert!(taken.contains(&true), "{address}\n{script}");
    for part in [
        "LIFEBOAT_CERTS=/etc/lifeboat/tls",
        &format!("ETCD_NAME={region}\n"),
        &format!("ETCD_LISTEN_CLIENT_URLS=https://{address}:2379\n"),
        "until sh /etc/etcd/member.sh",
    ] {
        assert!(script.contains(part), "{part}\n{script}");
    }
    region.as_str()
}

/// A shell can read it.
pub fn check_syntax(script: &str) {
    let read = piped(Command::new("sh").arg("-n"), script.as_bytes());
    assert_eq!(String::from_utf8_lossy(&read), "");
}

/// The script of CloudFormation's template in a region, with the values that `Fn::Sub` takes from mappings and parameters.
pub fn of_cloudformation(regional: &str, place: &str, allocation: &str) -> String {
    let script = regional.split("          Fn::Base64: !Sub\n            - |\n").nth(1).unwrap();
    let script = script.split("            - Id: ").next().unwrap();
    let script: String =
        script.lines().map(|line| format!("{}\n", line.strip_prefix("              ").unwrap_or(line))).collect();
    let mappings = regional.split("\nMappings:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mappings: Json = serde_saphyr::from_str(mappings).unwrap();
    let mut values = vec![
        ("AWS::Region".to_owned(), place.to_owned()),
        ("NodeAddress.AllocationId".into(), allocation.into()),
        ("LifeboatImage".into(), "registry.example.com/lifeboat:0.1".into()),
        ("EtcdImage".into(), "registry.example.com/etcd:3.5".into()),
    ];
    for map in ["Regions", "Nodes"] {
        let row = mappings[map][place].as_object().unwrap();
        values.extend(
            row.iter()
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
        );
    }
    let filled = values.iter().fold(script, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    filled.replace("${!", "${")
}
