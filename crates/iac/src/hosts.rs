//! By which names the components of an app find each other on AWS: that of the route where one leads, else a name of the app's
//! private zone, for the name of a load balancer is AWS's and in no certificate.

use lifeboat_model::app::Kind;

use crate::design::{Design, Part, Site};
use crate::members::internal_domain;

/// The host by which applications in `site` reach a component with a load balancer; `None`: it has none. Where it is not in that
/// region it is reached in its home region.
pub(crate) fn of(design: &Design, needed: &Part, site: &Site) -> Option<String> {
    if !is_balanced(needed) {
        return None;
    }
    match design.ways.iter().find(|way| way.to == needed.id) {
        Some(way) => Some(way.host.to_string()),
        None => {
            let region = if needed.regions.contains(&site.id) { site.id } else { needed.home };
            Some(format!("{}.{region}.{}", needed.id, internal_domain(design)))
        }
    }
}

/// The names that the private zone has to know: of load balancers which others need and to which no route leads, by region.
pub(crate) fn internal<'a>(design: &'a Design<'a>) -> Vec<(&'a Part<'a>, &'a Site<'a>, String)> {
    let is_needed =
        |part: &&Part| design.parts.iter().any(|other| is_balanced(other) && other.component.needs.contains(part.id));
    let balancers = design.parts.iter().filter(|part| is_balanced(part) && !design.is_public(part)).filter(is_needed);
    balancers
        .flat_map(|part| {
            part.regions.iter().filter_map(move |id| {
                let site = design.site(id)?;
                Some((part, site, of(design, part, site)?))
            })
        })
        .collect()
}

fn is_balanced(part: &Part) -> bool {
    matches!(part.component.kind, Kind::Asg | Kind::Ecs)
}
