//! The stack of what is global: health checks on the steering endpoints, and the records that follow them.

use lifeboat_model::app::{Provider, RoutePolicy};

use super::Stacks;
use crate::design::{Design, STEERING_PATH, Site, Way, pascal};

impl Stacks<'_> {
    pub(super) fn global(&self) -> String {
        let mut parameters = String::new();
        let mut resources = String::new();
        let nodes: Vec<&Site> = self.design.sites_of(Provider::Aws).collect();
        for site in &nodes {
            parameters += &format!(
                "  Node{}:\n    Type: String\n    Description: Public address of the Lifeboat node in {}\n",
                pascal(site.id.as_str()),
                site.id
            );
        }
        for way in &self.ways {
            let id = pascal(way.host.as_str());
            let to = pascal(way.to.as_str());
            parameters += &format!(
                "  {id}Zone:\n    Type: AWS::Route53::HostedZone::Id\n    Description: Hosted zone of {}\n",
                way.zone()
            );
            for region in &way.regions {
                let there = pascal(region.as_str());
                for (field, text) in [("DnsName", "name"), ("ZoneId", "zone")] {
                    let parameter = format!("  {to}{field}{there}:\n");
                    if !parameters.contains(&parameter) {
                        parameters += &format!(
                            "{parameter}    Type: String\n    Description: The {text} of the load balancer in {region}, an output of its stack\n"
                        );
                    }
                }
                resources += &steering(way, region.as_str(), &id, &nodes);
            }
            resources += &records(self.design, way, &id, &to);
        }
        format!(
            "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: Routes of {}. Global, so create this stack outside the regions that it \
             leads to.\n\nParameters:\n{parameters}\nResources:\n{resources}",
            self.name()
        )
    }
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
             FailureThreshold: 1\n        Regions: [eu-west-1, us-east-1, us-west-2, ap-southeast-1]\n",
            pascal(node.id.as_str()),
            node.region.api_port,
            way.host
        );
    }
    out + &format!(
        "  {id}{there}:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig:\n        Type: CALCULATED\n        \
         HealthThreshold: {}\n        ChildHealthChecks:\n{children}",
        // Of two nodes the one in the lost region is silent, so the other has to do.
        if nodes.len() == 2 { 1 } else { nodes.len() / 2 + 1 }
    )
}

/// Failover records, nested where there are more than two regions; or one record per region that is served.
fn records(design: &Design, way: &Way, id: &str, to: &str) -> String {
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
        out += &format!(
            "  {id}To{there}:\n    Type: AWS::Route53::RecordSet\n    Properties:\n      HostedZoneId: !Ref {id}Zone\n      Name: {name}\n      \
             Type: A\n      SetIdentifier: {region}\n      {policy}\n      HealthCheckId: !Ref {id}{there}\n      AliasTarget: {{DNSName: !Ref \
             {to}DnsName{there}, HostedZoneId: !Ref {to}ZoneId{there}, EvaluateTargetHealth: false}}\n"
        );
        if way.policy == RoutePolicy::Failover && index + 2 < way.regions.len() {
            let next = format!("or-{}.{}", way.regions[index + 1], way.host);
            out += &format!(
                "  {id}NotTo{there}:\n    Type: AWS::Route53::RecordSet\n    DependsOn: {id}To{}\n    Properties:\n      HostedZoneId: !Ref \
                 {id}Zone\n      Name: {name}\n      Type: A\n      SetIdentifier: not-{region}\n      Failover: SECONDARY\n      AliasTarget: \
                 {{DNSName: {next}, HostedZoneId: !Ref {id}Zone, EvaluateTargetHealth: true}}\n",
                pascal(way.regions[index + 1].as_str())
            );
            name = next;
        }
    }
    out
}
