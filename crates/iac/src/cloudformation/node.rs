//! The region's Lifeboat node: its machine, what it reads at boot, and what it may do.

use std::collections::BTreeMap;

use lifeboat_model::app::Provider;

use super::{Stacks, makes};
use crate::boot::{self, Needed, Parts};
use crate::design::Site;
use crate::fragment::{fill, indent, json};
use crate::lifeboat::secret_name;
use crate::{members, permissions};

/// The values of the boot script as `Fn::Sub` has them, and where it takes them from.
const VALUES: [(&str, &str); 10] = [
    ("region", "AWS::Region"),
    ("allocation_id", "NodeAddress.AllocationId"),
    ("address", "Address"),
    ("file", "File"),
    ("secret", "Certificates"),
    ("etcd.environment", "Etcd"),
    ("etcd.image", "EtcdImage"),
    ("image", "LifeboatImage"),
    ("node", "Id"),
    ("member", "Member"),
];

impl Stacks<'_> {
    /// What the machines of the regions differ in.
    pub(super) fn node_mapping(&self) -> String {
        let mut out = String::from("  Nodes:\n");
        let has_members = self.has_members();
        for site in &self.sites {
            let name = self.node_name(site);
            out += &format!(
                "    {}:\n      Name: {name}\n      File: /{name}/lifeboat.yaml\n      Address: {}\n      Port: {}\n",
                site.place(),
                members::private_address(site),
                site.region.api_port
            );
            if self.has_certificates() {
                out += &format!("      Certificates: {}\n", secret_name(self.design, site));
            }
            if !has_members {
                continue;
            }
            let member = members::member(self.design, site);
            let (client, peer) = member.as_ref().map_or((2379, 2380), |member| (member.port, member.peer_port()));
            out += &format!("      EtcdClients: {client}\n      EtcdPeers: {peer}\n");
            if self.needs_etcd() == Needed::Where(HAS_MEMBER) {
                out += &format!("      Member: \"{}\"\n", member.is_some());
            }
            match member {
                Some(member) => {
                    let mut environment = members::environment(self.design, &member, &members::private_address(site));
                    // In the order that Terraform's maps have, so that the machines' scripts are the same.
                    environment.sort_unstable();
                    let lines = environment.iter().map(|(name, value)| format!("{name}={value}\n"));
                    out += &format!("      Etcd: |-\n{}", indent(&lines.collect::<String>(), 8));
                }
                None => out += "      Etcd: \"\"\n",
            }
        }
        out
    }

    pub(super) fn node_name(&self, site: &Site) -> String {
        format!("{}-lifeboat-{}", self.name(), site.id)
    }

    fn has_certificates(&self) -> bool {
        self.sites.iter().any(|site| members::is_given_certificates(self.design, site))
    }

    fn needs_etcd(&self) -> Needed {
        let with = self.sites.iter().filter(|site| members::member(self.design, site).is_some()).count();
        if with > 0 && with < self.sites.len() { Needed::Where(HAS_MEMBER) } else { (with > 0).into() }
    }

    pub(super) fn node(&self) -> String {
        let parts = Parts {
            certificates: self.has_certificates().into(),
            tls: self.sites.iter().any(|site| members::speaks_tls(self.design, site)).into(),
            etcd: self.needs_etcd(),
        };
        // What is left of `${` is the shell's.
        let script = boot::script(boot::AWS, parts, |text| text.replace("${", "${!"));
        let script =
            VALUES.iter().fold(script, |text, (from, to)| text.replace(&format!("${{{from}}}"), &format!("${{{to}}}")));
        let found = |name: &str| script.contains(&format!("${{{name}}}"));
        let values: String = ["Address", "File", "Certificates", "Etcd", "Member"]
            .into_iter()
            .filter(|name| found(name))
            .map(|name| format!("              {name}: !FindInMap [Nodes, !Ref AWS::Region, {name}]\n"))
            .collect();
        let secret = if self.has_certificates() { include_str!("node-secret.yaml") } else { "" };
        let peers: String = if parts.etcd == Needed::Never {
            String::new()
        } else {
            self.sites.iter().map(|site| peer(site)).collect()
        };
        self.node_role()
            + &fill(
                include_str!("node.yaml"),
                &[("secret", secret), ("peers", &peers), ("script", &indent(&script, 14)), ("values", &values)],
            )
    }

    fn node_role(&self) -> String {
        let secret = if self.has_certificates() {
            "              - Sid: OwnCertificates\n                Effect: Allow\n                Action: secretsmanager:GetSecretValue\n                \
             Resource: !Ref NodeCertificates\n"
        } else {
            ""
        };
        fill(include_str!("node-role.yaml"), &[("secret", secret)]) + &self.node_statements()
    }

    /// What moving the components takes: one statement for all regions, with each region's own names.
    fn node_statements(&self) -> String {
        self.statements(&self.sites, |site| permissions::aws_statements(self.design, site))
    }

    /// The same statements for all of these regions.
    pub(super) fn statements(&self, sites: &[&Site], of: impl Fn(&Site) -> Vec<permissions::Statement>) -> String {
        let mut statements: Vec<permissions::Statement> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for site in sites {
            for mut statement in of(site) {
                statement.resources = statement.resources.iter().map(|arn| self.policy_arn(arn, site)).collect();
                match places.get(&statement.sid).and_then(|place| statements.get_mut(*place)) {
                    Some(known) => {
                        known.actions.extend(
                            statement
                                .actions
                                .iter()
                                .filter(|action| !known.actions.contains(action))
                                .collect::<Vec<_>>(),
                        );
                        let new = |arn: &String| !known.resources.contains(arn);
                        let new: Vec<String> = statement.resources.into_iter().filter(new).collect();
                        known.resources.extend(new);
                    }
                    None => {
                        places.insert(statement.sid.clone(), statements.len());
                        statements.push(statement);
                    }
                }
            }
        }
        let list =
            |items: &[String]| items.iter().map(|item| format!("                  - {item}\n")).collect::<String>();
        let text = |statement: permissions::Statement| {
            let mut actions: Vec<String> = statement.actions.iter().map(|action| (*action).to_owned()).collect();
            actions.sort_unstable();
            format!(
                "              - Sid: {}\n                Effect: Allow\n                Action:\n{}                Resource:\n{}",
                statement.sid,
                list(&actions),
                list(&statement.resources)
            )
        };
        statements.into_iter().map(text).collect()
    }

    /// An ARN of the plain policies with CloudFormation's own values and names, as the node of a region has it.
    fn policy_arn(&self, arn: &str, site: &Site) -> String {
        if arn == "*" {
            return "\"*\"".into();
        }
        let place = |other: &Site| if other.id == site.id { "${AWS::Region}".into() } else { other.place().to_owned() };
        // `app-component-region`, or a region.
        let component_in = |word: &str, other: &Site| {
            let id = word
                .strip_prefix(self.name())?
                .strip_prefix('-')?
                .strip_suffix(other.id.as_str())?
                .strip_suffix('-')?;
            let part = self.design.part(&id.into())?;
            (part.provider == Provider::Aws && makes(part.component.kind)).then_some(part)
        };
        let word = |word: &str| {
            let renamed = self.sites.iter().find_map(|other| {
                let component =
                    component_in(word, other).map(|part| format!("{}-{}-{}", self.name(), part.id, place(other)));
                component.or_else(|| (other.place() == word).then(|| place(other)))
            });
            renamed.unwrap_or_else(|| word.into())
        };
        let resource: Vec<String> = arn
            .replace("@{partition}", "${AWS::Partition}")
            .replace("@{account}", "${AWS::AccountId}")
            .split('/')
            .map(|path| path.split(':').map(word).collect::<Vec<_>>().join(":"))
            .collect();
        format!("!Sub {}", json(&resource.join("/")))
    }
}

/// Where the regions differ in whether they have a member of the state store: told by the mapping.
const HAS_MEMBER: &str = "${member}";

/// The other members of etcd, and the nodes, ask the region's member.
fn peer(site: &Site) -> String {
    format!(
        "        - Description: etcd, from {}\n          IpProtocol: tcp\n          FromPort: !FindInMap [Nodes, !Ref AWS::Region, EtcdClients]\n          \
         ToPort: !FindInMap [Nodes, !Ref AWS::Region, EtcdPeers]\n          CidrIp: {}\n",
        site.id,
        site.cidr()
    )
}
