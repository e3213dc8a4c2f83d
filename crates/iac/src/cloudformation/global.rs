//! The stack of what is global: the names by which members of the state store find each other, health checks on the steering
//! endpoints, and the records that follow them.

use lifeboat_model::app::{Provider, RoutePolicy};

use super::parameters::Parameter;
use super::{Stacks, is_made_later};
use crate::design::{Design, Part, STEERING_PATH, Site, Way, pascal};
use crate::{hosts, members};

/// The sections of the template.
#[derive(Default)]
struct Template {
    parameters: Vec<Parameter>,
    conditions: String,
    resources: String,
}

impl Template {
    fn parameter(&mut self, parameter: Parameter) {
        if self.parameters.iter().all(|known| known.name != parameter.name) {
            self.parameters.push(parameter);
        }
    }
}

impl Stacks<'_> {
    /// `None`: there is nothing global.
    pub(super) fn global(&self) -> Option<String> {
        let mut template = Template::default();
        self.private_zone(&mut template);
        for way in &self.ways {
            self.route(&mut template, way);
        }
        if template.resources.is_empty() {
            return None;
        }
        let parameters: String = template.parameters.iter().map(Parameter::render).collect();
        let conditions = match template.conditions.as_str() {
            "" => String::new(),
            conditions => format!("Conditions:\n{conditions}\n"),
        };
        Some(format!(
            "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: Names and routes of {}. Global, so create this stack outside the regions \
             that it leads to.\n\nParameters:\n{parameters}\n{conditions}Resources:\n{}",
            self.name(),
            template.resources
        ))
    }

    /// The names by which the file calls the members of the state store, and components those to which no route leads.
    fn private_zone(&self, template: &mut Template) {
        let named = members::named_internally(self.design, Provider::Aws);
        let needed = hosts::internal(self.design);
        if named.is_empty() && needed.is_empty() {
            return;
        }
        let mut networks = String::new();
        for site in &self.sites {
            let parameter = format!("Vpc{}", pascal(site.id.as_str()));
            networks += &format!("        - {{VPCId: !Ref {parameter}, VPCRegion: {}}}\n", site.place());
            template.parameter(Parameter::text(parameter, format!("Network in {}; from apply.sh", site.id)));
        }
        template.resources += &format!(
            "  # By these names the app's file calls the nodes, and components each other; every region's network knows them.\n  Internal:\n    Type: \
             AWS::Route53::HostedZone\n    Properties:\n      Name: {}\n      VPCs:\n{networks}",
            members::internal_domain(self.design)
        );
        for (site, host) in named {
            template.resources += &format!(
                "  InternalNode{}:\n    Type: AWS::Route53::RecordSet\n    Properties:\n      HostedZoneId: !Ref Internal\n      Name: {host}\n      \
                 Type: A\n      TTL: \"60\"\n      ResourceRecords: [{}]\n",
                pascal(site.id.as_str()),
                members::private_address(site)
            );
        }
        for (part, site, host) in needed {
            let (to, there) = (pascal(part.id.as_str()), pascal(site.id.as_str()));
            let condition = balancer_parameters(template, part, site.id.as_str());
            template.resources += &format!(
                "  Internal{to}{there}:\n    Type: AWS::Route53::RecordSet\n{condition}    Properties:\n      HostedZoneId: !Ref Internal\n      \
                 Name: {host}\n      Type: A\n      AliasTarget: {{DNSName: !Ref {to}DnsName{there}, HostedZoneId: !Ref {to}ZoneId{there}, \
                 EvaluateTargetHealth: false}}\n"
            );
        }
    }

    fn route(&self, template: &mut Template, way: &Way) {
        let nodes = self.node_sites();
        for site in &nodes {
            let text = format!("Public address of the Lifeboat node in {}; from apply.sh", site.id);
            template.parameter(Parameter::text(format!("Node{}", pascal(site.id.as_str())), text));
        }
        let id = pascal(way.host.as_str());
        let to = pascal(way.to.as_str());
        template.parameter(Parameter {
            kind: "AWS::Route53::HostedZone::Id",
            ..Parameter::text(format!("{id}Zone"), format!("Hosted zone of {}", way.zone()))
        });
        let later = self.design.part(way.to).is_some_and(|part| is_made_later(part));
        for region in &way.regions {
            if let Some(part) = self.design.part(way.to) {
                balancer_parameters(template, part, region.as_str());
            }
            template.resources += &steering(way, region.as_str(), &id, &nodes);
        }
        template.resources += &records(self.design, way, &id, &to, later);
    }
}

/// What is told of a load balancer in a region; and the condition, as a line, of what needs it to be there, where it is made later.
fn balancer_parameters(template: &mut Template, part: &Part, region: &str) -> String {
    let (to, there) = (pascal(part.id.as_str()), pascal(region));
    let later = is_made_later(part);
    for (field, text) in [("DnsName", "name"), ("ZoneId", "zone")] {
        let text = format!("The {text} of the load balancer in {region}; from apply.sh");
        let parameter = Parameter::text(format!("{to}{field}{there}"), text);
        template.parameter(if later { parameter.or("") } else { parameter });
    }
    if !later {
        return String::new();
    }
    let condition = format!("  {to}Is{there}: !Not [!Equals [!Ref {to}DnsName{there}, \"\"]]\n");
    if !template.conditions.contains(&condition) {
        template.conditions += &condition;
    }
    format!("    Condition: {to}Is{there}\n")
}

/// Every node is asked whether it wants the region served; a majority decides.
fn steering(way: &Way, region: &str, id: &str, nodes: &[&Site]) -> String {
    let there = pascal(region);
    let mut out = format!("  # {} to {region}: a failover changes what the nodes answer, not the records.\n", way.host);
    let mut children = String::new();
    for node in nodes {
        let name = format!("{id}{there}Says{}", pascal(node.id.as_str()));
        children += &format!("          - !Ref {name}\n");
        out += &format!(
            "  {name}:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig:\n        Type: HTTPS\n        IPAddress: \
             !Ref Node{}\n        Port: {}\n        ResourcePath: {STEERING_PATH}/{}/{region}\n        RequestInterval: 10\n        \
             FailureThreshold: 1\n        Regions: [eu-west-1, us-east-1, us-west-2, ap-southeast-1]\n      HealthCheckTags: [{{Key: Name, \
             Value: \"{} to {region}, says {}\"}}]\n",
            pascal(node.id.as_str()),
            node.region.api_port,
            way.host,
            way.host,
            node.id
        );
    }
    out + &format!(
        "  {id}{there}:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig:\n        Type: CALCULATED\n        \
         HealthThreshold: {}\n        ChildHealthChecks:\n{children}      HealthCheckTags: [{{Key: Name, Value: {} to {region}}}]\n",
        // Of two nodes the one in the lost region is silent, so the other has to do.
        if nodes.len() == 2 { 1 } else { nodes.len() / 2 + 1 },
        way.host
    )
}

/// Failover records, nested where there are more than two regions; or one record per region that is served. `later`: a region has no
/// load balancer before it is to serve.
fn records(design: &Design, way: &Way, id: &str, to: &str, later: bool) -> String {
    let mut out = String::new();
    let mut name = way.host.as_str().to_owned();
    for (index, region) in way.regions.iter().enumerate() {
        let there = pascal(region.as_str());
        let last = index + 1 == way.regions.len();
        let policy = match way.policy {
            RoutePolicy::Spread => format!("Region: {}", design.site(region).map_or("", |site| site.place())),
            RoutePolicy::Failover if last && index > 0 => "Failover: SECONDARY".into(),
            RoutePolicy::Failover => "Failover: PRIMARY".into(),
        };
        let condition = if later { format!("    Condition: {to}Is{there}\n") } else { String::new() };
        out += &format!(
            "  {id}To{there}:\n    Type: AWS::Route53::RecordSet\n{condition}    Properties:\n      HostedZoneId: !Ref {id}Zone\n      Name: {name}\n      \
             Type: A\n      SetIdentifier: {region}\n      {policy}\n      HealthCheckId: !Ref {id}{there}\n      AliasTarget: {{DNSName: !Ref \
             {to}DnsName{there}, HostedZoneId: !Ref {to}ZoneId{there}, EvaluateTargetHealth: false}}\n"
        );
        if way.policy == RoutePolicy::Failover && index + 2 < way.regions.len() {
            let next = format!("or-{}.{}", way.regions[index + 1], way.host);
            let following = pascal(way.regions[index + 1].as_str());
            let condition = if later { format!("    Condition: {to}Is{following}\n") } else { String::new() };
            out += &format!(
                "  {id}NotTo{there}:\n    Type: AWS::Route53::RecordSet\n{condition}    DependsOn: {id}To{following}\n    Properties:\n      HostedZoneId: !Ref \
                 {id}Zone\n      Name: {name}\n      Type: A\n      SetIdentifier: not-{region}\n      Failover: SECONDARY\n      AliasTarget: \
                 {{DNSName: {next}, HostedZoneId: !Ref {id}Zone, EvaluateTargetHealth: true}}\n"
            );
            name = next;
        }
    }
    out
}
