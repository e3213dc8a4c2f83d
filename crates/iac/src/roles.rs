//! Who writes and who serves now: read from the role files of a tree, brought up to what the nodes and people say, and written back by
//! [`generate`](crate::generate) with [`Options::roles`](crate::Options).

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::app::{Kind, Pattern, RoutePolicy};
use lifeboat_model::status::Status;
use lifeboat_model::{App, ComponentId, HostName, RegionId};
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::design::{Design, Part};

mod files;

pub use files::Said;
pub(crate) use files::say_the_same;

/// What the role files say. A component that is not in it has its first role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Which region writes, by database.
    #[serde(default)]
    pub writers: BTreeMap<ComponentId, RegionId>,
    /// Which regions serve, by compute component.
    #[serde(default)]
    pub serving: BTreeMap<ComponentId, BTreeSet<RegionId>>,
}

/// How things are now, as far as somebody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Which region writes, by database.
    pub writers: BTreeMap<ComponentId, RegionId>,
    /// Which regions a route leads to.
    pub routes: BTreeMap<HostName, BTreeSet<RegionId>>,
}

impl Now {
    /// What a node says. A database without a record in the store is not among it.
    pub fn of(status: &Status) -> Self {
        let writers = status.databases.iter();
        let routes = status.routes.iter();
        Self {
            writers: writers.filter_map(|(id, database)| Some((id.clone(), database.writer.clone()?))).collect(),
            routes: routes.map(|(host, answer)| (host.clone(), answer.regions.iter().cloned().collect())).collect(),
        }
    }
}

impl Roles {
    /// The same with the compute that it does not name, where the databases behind it are written. Nothing at all stays nothing: that is
    /// what everything starts as.
    ///
    /// # Errors
    /// As [`after`](Self::after).
    pub fn completed(&self, app: &App) -> Result<Self, Vec<Problem>> {
        if *self == Self::default() {
            return Ok(self.clone());
        }
        let now = Now { writers: self.writers.clone(), routes: BTreeMap::new() };
        let (after, _) = self.after(app, &now)?;
        let mut roles = self.clone();
        for (id, regions) in after.serving {
            roles.serving.entry(id).or_insert(regions);
        }
        Ok(roles)
    }

    /// The same after what is known now. Compute serves where the databases behind it are written; without databases, where its routes lead;
    /// a cluster, where its deployments do. What nothing is known of stays, and so does compute whose databases are written in different
    /// regions: the second value says of which and why.
    ///
    /// # Errors
    /// What the app cannot be generated for, or a writer that has no such database.
    pub fn after(&self, app: &App, now: &Now) -> Result<(Self, Vec<String>), Vec<Problem>> {
        let design = Design::of(app)?;
        let mut roles = self.clone();
        let mut kept = Vec::new();
        for (id, region) in &now.writers {
            match design.part(id).filter(|part| part.component.kind.is_database()) {
                Some(part) if part.regions.contains(&region) => _ = roles.writers.insert(id.clone(), region.clone()),
                Some(part) => {
                    let known: Vec<&str> = part.regions.iter().map(|region| region.as_str()).collect();
                    return Err(vec![Problem::new(
                        format!("components.{id}"),
                        format!("{id} has no copy in {region}"),
                        if part.component.kind == Kind::AzureSql {
                            format!("it is in {}: a failover group of Azure SQL has one partner", known.join(", "))
                        } else {
                            format!("it is in {}", known.join(", "))
                        },
                    )]);
                }
                None => {
                    let known: Vec<&str> = app.databases().map(|(id, _)| id.as_str()).collect();
                    return Err(vec![Problem::new(
                        "components",
                        format!("`{id}` is no database of the app"),
                        format!("its databases: {}", known.join(", ")),
                    )]);
                }
            }
        }
        let (clusters, others): (Vec<&Part>, Vec<&Part>) = design
            .parts
            .iter()
            .filter(|part| !part.component.kind.is_database() && part.pattern != Pattern::ActiveActive)
            .partition(|part| matches!(part.component.kind, Kind::Eks | Kind::Aks));
        let mut deployments = BTreeSet::new();
        for part in others {
            let Some(regions) = roles.of_compute(app, part, now, &mut kept) else { continue };
            if part.component.kind == Kind::Deployment {
                deployments.extend(regions.iter().cloned());
            }
            roles.serving.insert(part.id.clone(), regions);
        }
        for part in clusters {
            let regions: BTreeSet<RegionId> =
                deployments.iter().filter(|region| part.regions.contains(region)).cloned().collect();
            if !regions.is_empty() {
                roles.serving.insert(part.id.clone(), regions);
            }
        }
        Ok((roles, kept))
    }

    /// Where compute serves now; `None`: nothing new is known.
    fn of_compute(&self, app: &App, part: &Part, now: &Now, kept: &mut Vec<String>) -> Option<BTreeSet<RegionId>> {
        let behind = app.writers_behind(part.id);
        if behind.iter().any(|database| now.writers.contains_key(database)) {
            let writers: BTreeSet<&RegionId> =
                behind.iter().filter_map(|database| self.writers.get(database)).collect();
            return match writers.iter().copied().collect::<Vec<_>>().as_slice() {
                [one] if part.regions.contains(one) => Some([(*one).clone()].into()),
                several => {
                    let several: Vec<&str> = several.iter().map(|region| region.as_str()).collect();
                    kept.push(format!(
                        "{}: its databases are written in {}; its role is left as it was",
                        part.id,
                        several.join(" and ")
                    ));
                    None
                }
            };
        }
        if !behind.is_empty() {
            return None;
        }
        let leads_here = |from: &ComponentId| {
            let mut seen = vec![from];
            let mut at = 0;
            while let Some(id) = seen.get(at).copied() {
                let needs = app.components.get(id).into_iter().flat_map(|component| &component.needs);
                seen.extend(needs.filter(|need| !seen.contains(need)).collect::<Vec<_>>());
                at += 1;
            }
            seen.contains(&part.id)
        };
        let routes: Vec<_> = app.routes.iter().filter(|(_, route)| leads_here(&route.to)).collect();
        if routes.iter().any(|(_, route)| route.policy == RoutePolicy::Spread) {
            return None;
        }
        let answers = routes.iter().filter_map(|(host, _)| now.routes.get(*host)).flatten();
        let regions: BTreeSet<RegionId> = answers.filter(|region| part.regions.contains(region)).cloned().collect();
        (!regions.is_empty()).then_some(regions)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;
    use crate::{Options, generate};

    fn app() -> App {
        lifeboat_model::parse(
            "app: shop\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-central-1}\n  c: {place: aws/eu-west-1, role: witness}\n\
             components:\n  orders: {kind: aurora-global, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}\n  \
             stock: {kind: rds, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}\n  \
             web: {kind: asg, pattern: warm-standby, needs: [orders], size: {count: 6, image: ami-0a1b2c3d4e5f60718}}\n  \
             both: {kind: asg, pattern: warm-standby, needs: [orders, stock], size: {image: ami-0a1b2c3d4e5f60718}}\n  \
             pages: {kind: deployment, pattern: warm-standby, size: {count: 6, image: pages}}\n  \
             platform: {kind: eks, pattern: warm-standby}\n  \
             edge: {kind: asg, pattern: active-active, size: {image: ami-0a1b2c3d4e5f60718}}\n\
             routes:\n  pages.example.com: {to: pages, policy: failover}\n",
        )
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn kept(app: &App, roles: Roles) -> BTreeMap<String, String> {
        let tree = generate(app, &Options { roles, ..Options::default() }).unwrap();
        tree.files.into_iter().filter(|(path, _)| tree.kept.contains(path)).collect()
    }

    #[test]
    fn what_is_written_is_read_back_and_follows_what_moves() {
        let app = app();
        let first = kept(&app, Roles::default());
        let roles = Said::read(&app, &first).unwrap().roles;
        assert_eq!(kept(&app, roles.clone()), first, "reading and writing changes nothing");
        assert_eq!(roles.after(&app, &Now::default()).unwrap(), (roles.clone(), vec![]));

        let now = Now {
            writers: [("orders".into(), "b".into())].into(),
            routes: [("pages.example.com".into(), ["b".into()].into())].into(),
        };
        let (moved, notes) = roles.after(&app, &now).unwrap();
        assert_eq!(notes, ["both: its databases are written in a and b; its role is left as it was"]);
        let serves = |roles: &Roles, id: &str| -> String {
            roles.serving[&ComponentId::from(id)].iter().map(|region| region.as_str()).collect()
        };
        let found = ["web", "both", "pages", "platform", "edge"].map(|id| serves(&moved, id));
        assert_eq!(found, ["b", "a", "b", "b", "ab"]);
        assert_eq!(moved.writers[&ComponentId::from("stock")], RegionId::from("a"));

        // Every tool's own form says the same when it is read alone.
        let files = kept(&app, moved.clone());
        for (path, text) in &files {
            assert_ne!(first[path], *text, "{path}");
        }
        for folder in ["terraform/", "cloudformation/", "kubernetes/"] {
            let own = files.clone().into_iter().filter(|(path, _)| path.starts_with(folder)).collect();
            let read = Said::read(&app, &own).unwrap().roles;
            assert!(!read.serving.is_empty(), "{folder}");
            for (id, regions) in &read.serving {
                assert_eq!(moved.serving[id], *regions, "{folder} {id}");
            }
        }
    }

    #[test]
    fn a_region_without_a_copy_does_not_become_the_writer() {
        let app = app();
        for (database, region, expected) in
            [("orders", "c", "orders has no copy in c"), ("web", "a", "`web` is no database of the app")]
        {
            let now = Now { writers: [(database.into(), region.into())].into(), ..Now::default() };
            assert_eq!(Roles::default().after(&app, &now).unwrap_err()[0].message, expected);
        }
    }

    #[test]
    fn what_is_added_after_a_failover_follows_what_it_needs_and_what_is_gone_is_named() {
        let app = app();
        let mut smaller = app.clone();
        smaller.components.remove("web");
        let now = Now { writers: [("orders".into(), "b".into())].into(), ..Now::default() };
        let (moved, _) =
            Said::read(&smaller, &kept(&smaller, Roles::default())).unwrap().roles.after(&smaller, &now).unwrap();
        let before = kept(&smaller, moved);
        let said = Said::read(&app, &before).unwrap();
        assert!(!said.roles.serving.contains_key("web"));
        let after = kept(&app, said.roles);
        let read = Said::read(&app, &after).unwrap();
        assert_eq!((&read.roles.serving["web"], &read.roles.writers["orders"]), (&["b".into()].into(), &"b".into()));
        assert_eq!((read.gone, read.disagreements), (BTreeSet::new(), vec![]));

        let gone = Said::read(&smaller, &after).unwrap().gone;
        let paths: Vec<(&str, &str)> = gone.iter().map(|(path, id)| (path.as_str(), id.as_str())).collect();
        assert_eq!(paths, [("cloudformation/roles.json", "Web"), ("terraform/aws/roles.auto.tfvars.json", "web")]);
    }

    #[test]
    fn role_files_that_disagree_are_named() {
        let app = app();
        let mut files = kept(&app, Roles::default());
        let text = files.get_mut("terraform/aws/roles.auto.tfvars.json").unwrap();
        *text = text.replace("\"web\": [\"a\"]", "\"web\": [\"b\"]");
        let said = Said::read(&app, &files).unwrap();
        let expected = "web serves in a by cloudformation/roles.json, b by terraform/aws/roles.auto.tfvars.json";
        assert_eq!(said.disagreements, [expected]);
    }

    #[test]
    fn a_role_file_that_would_lose_something_is_refused() {
        let app = app();
        let terraform = "terraform/aws/roles.auto.tfvars.json";
        let (stack, pods) = ("cloudformation/roles.json", "kubernetes/roles/a/kustomization.yaml");
        for (path, text, expected) in [
            (terraform, "", "it is empty"),
            (terraform, "[]", "[]; expected an object with `writers`, `serving`"),
            (terraform, "{\"mine\": 1}", "line 1, column 10: mine: unknown, and lost"),
            (
                terraform,
                "{\"serving\": {\n\"web\": [\"mars\"]}}",
                "line 2, column 1: serving.web: web is not in \"mars\"; expected one of a, b",
            ),
            (terraform, "{\"writers\": {\"orders\": \"c\"}}", "orders is not in \"c\""),
            (terraform, "{\"writers\": {\"orders\": \"a\", \"orders\": \"b\"}}", "`orders` is there twice at line 1"),
            (terraform, "{\"serving\": {\"web\": \"a\"}}", "expected a list of regions"),
            (stack, "{}", "{}; expected a list of"),
            (stack, "[{\"a\": 1}]", "entry 1: {\"a\":1}; expected"),
            (
                stack,
                "[{\"ParameterKey\": \"WebServesA\", \"ParameterValue\": \"yes\"}]",
                "entry 1: WebServesA is \"yes\"; expected",
            ),
            (stack, "[{\"ParameterKey\": \"Mine\", \"ParameterValue\": \"1\"}]", "entry 1: Mine is no role"),
            (pods, "garbage", "it is no Kustomize component"),
        ] {
            let said = Said::read(&app, &[(path.to_owned(), text.to_owned())].into()).unwrap_err();
            assert!(said.starts_with(path) && said.contains(expected), "{text}: {said}");
        }
    }
}
