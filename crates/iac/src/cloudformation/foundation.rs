//! What lies under the components in every region: mappings and conditions, network, key, backups.

use lifeboat_model::app::{Kind, Pattern, RegionRole};

use super::{Stacks, is_balanced, is_made_later, is_sized_by_role, is_sql, on_condition};
use crate::design::{Part, Site, pascal};
use crate::fragment::{fill, yaml};
use crate::hosts;
use crate::registry::copies;

/// CloudFormation's `Or` takes ten at most; one is for what needs no role.
const MOST_ALTERNATIVES: usize = 9;

impl Stacks<'_> {
    /// Regions that run components.
    pub(super) fn data_sites(&self) -> Vec<&Site<'_>> {
        self.sites.iter().copied().filter(|site| site.region.role == RegionRole::Data).collect()
    }

    pub(super) fn mappings(&self) -> String {
        let mut out = String::from("Mappings:\n  Regions:\n");
        let data = self.data_sites();
        for site in &self.sites {
            // Every region has every key, also where it is of no use: CloudFormation looks them all up.
            let after = data.iter().position(|other| other.id == site.id).map_or(0, |index| index + 1);
            let next = data.get(after).or(data.first()).map_or("", |next| next.place());
            // The same subnets as Terraform's.
            let network = site.facts.map_or(0, |facts| facts.network);
            let nat = self.needs_nat(site) == Nat::Always;
            out += &format!(
                "    {}: {{Id: {}, Nat: \"{nat}\", Cidr: {}, Public1: 10.{network}.0.0/20, Public2: \
                 10.{network}.16.0/20, Private1: 10.{network}.128.0/20, Private2: 10.{network}.144.0/20, BackupsGoTo: {next}}}\n",
                site.place(),
                site.id,
                site.cidr(),
            );
        }
        out += &self.node_mapping();
        out += &self.rows("Sizes", |site| self.compute().flat_map(|part| sizes(part, site)).collect());
        let is_needed =
            |part: &&&Part| self.compute().any(|other| is_balanced(other) && other.component.needs.contains(part.id));
        let needed: Vec<&&Part> = self.compute().filter(|part| is_balanced(part)).filter(is_needed).collect();
        out += &self.rows("Hosts", |site| {
            let host =
                |part: &&&Part| Some(format!("{}: {}", pascal(part.id.as_str()), hosts::of(self.design, part, site)?));
            needed.iter().filter_map(host).collect()
        });
        out + "\n"
    }

    /// A mapping with a row for each region; nothing if there is nothing to say.
    fn rows(&self, name: &str, cells: impl Fn(&Site) -> Vec<String>) -> String {
        let rows: Vec<(&str, Vec<String>)> = self.sites.iter().map(|site| (site.place(), cells(site))).collect();
        if rows.iter().all(|(_, cells)| cells.is_empty()) {
            return String::new();
        }
        let rows = rows.iter().map(|(place, cells)| format!("    {place}: {{{}}}\n", cells.join(", ")));
        format!("  {name}:\n{}", rows.collect::<String>())
    }

    pub(super) fn conditions(&self) -> String {
        let mut out = String::new();
        let machines = self.node_sites();
        if !machines.is_empty() && machines.len() < self.sites.len() {
            let places: Vec<&str> = machines.iter().map(|site| site.place()).collect();
            out += &format!("  HasMachine: {}\n", is_one_of(&places));
        }
        if self.has_witness() {
            let places: Vec<&str> = self.data_sites().iter().map(|site| site.place()).collect();
            out += &format!("  HasComponents: {}\n", is_one_of(&places));
        }
        out += &self.nat_condition();
        for part in &self.parts {
            let id = pascal(part.id.as_str());
            let home = self.place_of(part);
            let is_home = format!("!Equals [!Ref AWS::Region, {home}]");
            if part.component.kind.is_database() {
                if is_sql(part) || part.component.kind == Kind::Dynamodb {
                    out += &format!("  {id}IsHome: {is_home}\n");
                }
                // Where backups are all that others have it is in its home region only, with all of its instances.
                if is_sized_by_role(part) {
                    let is_told = format!("!Equals [!Ref {id}Writes, \"true\"]");
                    out += &if self.is_conditional(part) {
                        format!("  {id}Writes: !And [!Condition {id}Here, {is_told}]\n")
                    } else {
                        format!("  {id}Writes: {is_told}\n")
                    };
                }
            } else {
                out += &format!("  {id}Serves: !Equals [!Ref {id}Serves, \"true\"]\n");
                out += &self.ready_condition(part);
                if is_balanced(part) && !self.design.is_public(part) {
                    out += &format!("  {id}HasCertificate: !Not [!Equals [!Ref {id}CertificateArn, \"\"]]\n");
                }
            }
            if is_made_later(part) {
                out += &format!("  {id}Here: !Or [{is_home}, !Condition {id}Serves]\n");
            } else if self.is_conditional(part) {
                let places = part.regions.iter().filter_map(|region| Some(self.design.site(region)?.place()));
                out += &format!("  {id}Here: {}\n", is_one_of(&places.collect::<Vec<_>>()));
            }
        }
        let images = copies(self.design);
        for registry in &images {
            if let Some(site) = self.data_sites().iter().find(|site| site.place() == registry.from) {
                out += &format!(
                    "  Copies{}: !And [!Equals [!Ref AWS::Region, {}], !Equals [!Ref ReplicateImages, \"true\"]]\n",
                    pascal(site.id.as_str()),
                    site.place()
                );
            }
        }
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::Eks) {
            let id = pascal(part.id.as_str());
            let is_given = "!Not [!Equals [!Ref ClusterAdmin, \"\"]]";
            out += &if is_made_later(part) || self.is_conditional(part) {
                format!("  {id}HasAdmin: !And [!Condition {id}Here, {is_given}]\n")
            } else {
                format!("  {id}HasAdmin: {is_given}\n")
            };
        }
        if self.has(|part| part.component.kind.is_database()) {
            out += "  IsTold: !Not [!Equals [!Ref AlarmTopic, \"\"]]\n";
        }
        if self.replicates_buckets() {
            out += "  IsPeered: !Equals [!Ref Peered, \"true\"]\n";
            for site in self.data_sites() {
                out += &format!("  In{}: !Equals [!Ref AWS::Region, {}]\n", pascal(site.id.as_str()), site.place());
            }
        }
        out += &self.link_conditions();
        if out.is_empty() { out } else { format!("Conditions:\n{out}\n") }
    }

    /// AWS name of the region where a component starts.
    pub(super) fn place_of(&self, part: &Part) -> &str {
        self.design.site(part.home).map_or("", |site| site.place())
    }

    pub(super) fn foundation(&self) -> String {
        let mut out = include_str!("network.yaml").to_owned();
        for (n, index) in [("1", "0"), ("2", "1")] {
            let values = [("n", n), ("index", index), ("app", self.name())];
            out += &fill(include_str!("zone.yaml"), &values);
            let nat = fill(include_str!("nat.yaml"), &values);
            out += &if self.has_nat_condition() { on_condition(&nat, "NeedsNat") } else { nat };
        }
        out += include_str!("endpoints.yaml");
        out += &fill(include_str!("key.yaml"), &[("app", self.name())]);
        let mut for_components = String::new();
        if self.has(is_sql) {
            for_components += include_str!("subnets.yaml");
        }
        if self.has(|part| part.component.kind.is_database()) {
            let (copies, copy_alarm) = if self.data_sites().len() > 1 {
                (include_str!("backup-copies.yaml"), include_str!("backup-copy-failed.yaml"))
            } else {
                ("", "")
            };
            let backup = fill(include_str!("backup.yaml"), &[("copies", copies), ("copy_alarm", copy_alarm)]);
            let backup = fill(&backup, &[("alarm", include_str!("alarm-actions.yaml"))]);
            for_components += &fill(&backup, &[("app", self.name())]);
        }
        for_components += &self.image_copies();
        out + &if self.has_witness() { on_condition(&for_components, "HasComponents") } else { for_components }
    }

    /// A registry is lost with its region: it copies to those of the others.
    fn image_copies(&self) -> String {
        let mut out = String::new();
        for registry in &copies(self.design) {
            let Some(site) = self.data_sites().into_iter().find(|site| site.place() == registry.from) else { continue };
            let rules: String = registry
                .rules
                .iter()
                .map(|(places, repositories)| {
                    let places =
                        places.iter().map(|place| format!("{{Region: {place}, RegistryId: \"{}\"}}", registry.account));
                    let repositories =
                        repositories.iter().map(|name| format!("{{Filter: {}, FilterType: PREFIX_MATCH}}", yaml(name)));
                    format!(
                        "          - Destinations: [{}]\n            RepositoryFilters: [{}]\n",
                        places.collect::<Vec<_>>().join(", "),
                        repositories.collect::<Vec<_>>().join(", ")
                    )
                })
                .collect();
            let there = pascal(site.id.as_str());
            out += &fill(include_str!("images.yaml"), &[("Site", &there), ("rules", &rules)]);
        }
        out
    }

    /// Gateways cannot wait until a failover: making them takes a control plane. Only where a failover restores everything from
    /// backups anyway are they made then.
    fn needs_nat(&self, site: &Site) -> Nat {
        let here: Vec<&&Part> = self.parts.iter().filter(|part| part.regions.contains(&site.id)).collect();
        let waits = |part: &&&Part| part.pattern == Pattern::BackupRestore && part.home != site.id;
        let later = self.parts.iter().filter(|part| is_made_later(part)).count();
        if site.region.role == RegionRole::Witness || here.is_empty() {
            Nat::Never
        } else if here.iter().all(waits) && later > 0 && later <= MOST_ALTERNATIVES {
            Nat::WhereItServes
        } else {
            Nat::Always
        }
    }

    fn has_nat_condition(&self) -> bool {
        self.sites.iter().any(|site| self.needs_nat(site) != Nat::Always)
    }

    fn nat_condition(&self) -> String {
        if !self.has_nat_condition() {
            return String::new();
        }
        let mapped = "!Equals [!FindInMap [Regions, !Ref AWS::Region, Nat], \"true\"]";
        if !self.sites.iter().any(|site| self.needs_nat(site) == Nat::WhereItServes) {
            return format!("  NeedsNat: {mapped}\n");
        }
        let later = self.parts.iter().filter(|part| is_made_later(part));
        let serves: Vec<String> = later.map(|part| format!("!Condition {}Serves", pascal(part.id.as_str()))).collect();
        format!("  NeedsNat: !Or [{mapped}, {}]\n", serves.join(", "))
    }
}

/// Whether the private subnets of a region reach the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nat {
    Always,
    Never,
    WhereItServes,
}

/// A condition on the region. `Or` takes two to ten.
fn is_one_of(places: &[&str]) -> String {
    let one = |place: &&str| format!("!Equals [!Ref AWS::Region, {place}]");
    match places {
        [place] => one(place),
        [first @ .., _] if first.len() < 10 => {
            format!("!Or [{}]", places.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        _ => {
            let (first, rest) = places.split_at(places.len().min(9));
            let first: Vec<String> = first.iter().map(one).collect();
            format!("!Or [{}, {}]", first.join(", "), is_one_of(rest))
        }
    }
}

/// Zero where the component does not exist.
fn sizes(part: &Part, site: &Site) -> [String; 3] {
    let id = pascal(part.id.as_str());
    let here = part.regions.contains(&site.id);
    let least = u32::from(part.component.kind == Kind::Eks);
    let of = |size: u32| if here { size.max(least) } else { 0 };
    [
        format!("{id}Full: {}", of(part.full)),
        format!("{id}Standby: {}", of(part.standby)),
        format!("{id}Most: {}", of(part.most())),
    ]
}
