//! The links between the regions' networks. A connection needs the network's id of the region that is asked, and a route needs the
//! connection's id in both: neither is known to a template before the other region's stack is there. So both are parameters,
//! empty at first, and apply.sh fills them in from the stacks' outputs; the stack set is applied until nothing is empty.

use super::Stacks;
use super::parameters::Parameter;
use crate::design::{Site, pascal};
use crate::fragment::fill;

impl Stacks<'_> {
    /// By name: of two regions the first asks, whichever is home.
    fn linked(&self) -> Vec<&Site<'_>> {
        let mut sites: Vec<&Site> = self.sites.clone();
        sites.sort_by_key(|site| site.id);
        if sites.len() < 2 { Vec::new() } else { sites }
    }

    /// Regions that are asked by others.
    fn asked(&self) -> Vec<&Site<'_>> {
        self.linked().into_iter().skip(1).collect()
    }

    pub(super) fn link_parameters(&self) -> Vec<Parameter> {
        let asks = self.asked().into_iter().map(|site| {
            let text = format!("Network in {} that this region asks for a connection; empty: it does not", site.id);
            Parameter::text(format!("Ask{}", pascal(site.id.as_str())), text).or("")
        });
        let links = self.linked().into_iter().map(|site| {
            let text = format!("Connection of networks over which {} is reached; empty: none yet", site.id);
            Parameter::text(format!("LinkTo{}", pascal(site.id.as_str())), text).or("")
        });
        asks.chain(links).collect()
    }

    pub(super) fn stack_set_link_parameters(&self) -> Vec<Parameter> {
        let networks = self.asked().into_iter().map(|site| {
            let text = format!("Network in {}; from apply.sh", site.id);
            Parameter::text(format!("Vpc{}", pascal(site.id.as_str())), text).or("")
        });
        let linked = self.linked();
        let pairs = linked.iter().enumerate().flat_map(|(index, one)| {
            linked[index + 1..].iter().map(move |other| {
                let text = format!("Connection of the networks of {} and {}; from apply.sh", one.id, other.id);
                Parameter::text(link(one, other), text).or("")
            })
        });
        networks.chain(pairs).collect()
    }

    pub(super) fn link_overrides(&self, site: &Site) -> Vec<(String, String)> {
        let others = || self.linked().into_iter().filter(|other| other.id != site.id);
        let name = |prefix: &str, other: &Site| format!("{prefix}{}", pascal(other.id.as_str()));
        let asks = others().filter(|other| other.id > site.id).map(|other| (name("Ask", other), name("Vpc", other)));
        asks.chain(others().map(|other| (name("LinkTo", other), link(site, other)))).collect()
    }

    pub(super) fn link_conditions(&self) -> String {
        let set =
            |condition: &str, parameter: &str| format!("  {condition}: !Not [!Equals [!Ref {parameter}, \"\"]]\n");
        let of = |site: &&Site| pascal(site.id.as_str());
        let asks = self.asked();
        let asks = asks.iter().map(of).map(|id| set(&format!("Asks{id}"), &format!("Ask{id}")));
        let links = self.linked();
        let links = links.iter().map(of).map(|id| set(&format!("LinkedTo{id}"), &format!("LinkTo{id}")));
        asks.chain(links).collect()
    }

    pub(super) fn link_resources(&self) -> String {
        let mut out = String::new();
        for site in self.asked() {
            let values =
                [("Id", pascal(site.id.as_str())), ("place", site.place().into()), ("app", self.name().into())];
            out += &fill(include_str!("link.yaml"), &values.each_ref().map(|(name, value)| (*name, value.as_str())));
        }
        let linked = self.linked();
        if !linked.is_empty() {
            out += "  # From every subnet: applications reach a database that fails over, and nodes, which are in the public ones, their etcd.\n";
        }
        for site in linked {
            for table in ["PublicRoutes", "PrivateRoutes1", "PrivateRoutes2"] {
                let (id, cidr) = (pascal(site.id.as_str()), site.cidr());
                let values = [("table", table), ("Id", &id), ("cidr", &cidr)];
                out += &fill(include_str!("link-route.yaml"), &values);
            }
        }
        out
    }

    /// What apply.sh makes parameters of.
    pub(super) fn link_outputs(&self) -> String {
        let mut out = "  Vpc:\n    Description: The region's network, for those that link to it\n    Value: !Ref Vpc\n"
            .to_owned();
        for site in self.asked() {
            let id = pascal(site.id.as_str());
            out += &format!(
                "  PeeringTo{id}:\n    Description: The connection to the network of {}\n    Condition: Asks{id}\n    Value: !Ref PeeringTo{id}\n",
                site.id
            );
        }
        out
    }
}

/// The stack set's parameter for the connection of two regions.
fn link(one: &Site, other: &Site) -> String {
    let (first, second) = if one.id < other.id { (one, other) } else { (other, one) };
    format!("Link{}{}", pascal(first.id.as_str()), pascal(second.id.as_str()))
}
