//! Weak points of what has to be in the recovery region beforehand, and of the law that holds there.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_atlas::{Grade, Price};
use lifeboat_model::ComponentId;
use lifeboat_model::app::{Component, Kind, Provider};

use super::Finder;
use crate::optimise::{Placed, objectives};
use crate::regions::first_within;
use crate::report::Severity;

impl Finder<'_> {
    /// Images, credentials, keys and certificates that the app has and that belong to one region.
    pub(super) fn prerequisites(&mut self) {
        let images = self.images();
        if !images.is_empty() {
            let named: Vec<String> = images.iter().map(|(_, image, home)| format!("{image} ({home})")).collect();
            self.add(
                Severity::High,
                images.into_iter().map(|(id, ..)| id).collect(),
                &format!("an image is in one region only: {}", named.join(", ")),
                "an image that exists only at home is gone with it, and then nothing starts",
                "copy it to every region where it has to start, and name the copies; `lifeboat generate` replicates images of a private ECR registry, once they are pushed again",
            );
        }
        let secrets = self.there(|component, _| {
            matches!(component.kind, Kind::AuroraGlobal | Kind::Rds | Kind::AzureSql | Kind::AzurePostgres)
        });
        if !secrets.is_empty() {
            self.add(
                Severity::Medium,
                secrets,
                "credentials and encryption keys of databases belong to one region",
                "a password that is kept only at home is gone with it; a snapshot or replica that is encrypted with a key of its home's cannot be opened elsewhere",
                "replicate the secrets, and make the keys multi-region or give each region one of its own; `lifeboat generate` writes them",
            );
        }
        let app = self.setting.app;
        let reached: BTreeSet<&ComponentId> = app.routes.values().map(|route| &route.to).collect();
        let certificates = self.there(|component, id| {
            matches!(component.kind, Kind::Asg | Kind::Ecs | Kind::Eks | Kind::Vmss | Kind::Aks) && reached.contains(id)
        });
        if !certificates.is_empty() {
            self.add(
                Severity::Medium,
                certificates,
                "the certificate of a route's host belongs to one region",
                "load balancers take certificates of their own region only; one that exists only at home leaves the other without TLS",
                "issue or import the certificate in every region that may serve the route",
            );
        }
    }

    /// Components of such a kind that recover in another region of a cloud.
    fn there(&self, of: impl Fn(&Component, &ComponentId) -> bool) -> Vec<String> {
        let cloud = |placed: &Placed| {
            placed.elsewhere().any(|site| matches!(self.provider(site), Provider::Aws | Provider::Azure))
        };
        self.placed
            .iter()
            .filter(|(id, placed)| {
                cloud(placed) && self.setting.app.components.get(*id).is_some_and(|component| of(component, id))
            })
            .map(|(id, _)| id.to_string())
            .collect()
    }

    /// Component, image and the region that the image is in, where a target is another one.
    fn images(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for (id, placed) in self.placed {
            let image = self.setting.app.components.get(id).and_then(|component| component.size.image.as_deref());
            let Some(image) = image else { continue };
            let targets = placed.elsewhere().map(|site| &self.ground.sites[site].place);
            let aws: Vec<&str> =
                targets.filter(|place| place.provider == Provider::Aws).map(|place| place.name.as_str()).collect();
            let home = &self.ground.sites[placed.home].place.name;
            let Some(region) = region_of(image, home) else { continue };
            if aws.iter().any(|target| *target != region) {
                found.push((id.to_string(), image.to_owned(), region.to_owned()));
            }
        }
        found
    }

    /// Machine types of which it is not known whether the recovery region has them.
    pub(super) fn machine_types(&mut self) {
        let unknown = self.placed.iter().any(|(id, placed)| {
            let Some(component) = self.setting.app.components.get(id) else { return false };
            let Some(instance) = &component.size.instance else { return false };
            placed.targets.iter().any(|target| {
                let place = &self.ground.sites[*target].place;
                let prefix = match place.provider {
                    Provider::Aws => "ec2/",
                    Provider::Azure => "vm/",
                    Provider::Local | Provider::Kubernetes => return false,
                };
                let compute = matches!(component.kind, Kind::Asg | Kind::Eks | Kind::Vmss | Kind::Aks);
                compute
                    && match self.ground.book().instance(place, &format!("{prefix}{instance}")) {
                        Price::Known(figure) => figure.grade == Grade::Estimated,
                        Price::Unknown { .. } => true,
                    }
            })
        });
        if unknown {
            self.add(
                Severity::Low,
                vec!["app".into()],
                "whether the machine type exists in the recovery region is not in the data",
                "new machine types come to large regions first",
                "check it, or name a type that both regions have",
            );
        }
    }

    /// Data that leave the law of their home although no `residency` says that they may.
    pub(super) fn jurisdictions(&mut self) {
        let atlas = self.setting.atlas;
        let mut leaving: BTreeMap<(usize, String), (Vec<String>, BTreeSet<String>)> = BTreeMap::new();
        for (id, placed) in self.placed {
            let Some(component) = self.setting.app.components.get(id) else { continue };
            if !component.kind.is_database() || !objectives(self.setting.app, component).residency.is_empty() {
                continue;
            }
            let law = |site: usize| atlas.region(&self.ground.sites[site].place).map(|facts| facts.residency());
            let Some(home) = law(placed.home) else { continue };
            let others = placed.elsewhere().filter_map(law).filter(|other| *other != home);
            let others: BTreeSet<String> = others.map(str::to_owned).collect();
            if !others.is_empty() {
                let (who, laws) = leaving.entry((placed.home, home.to_owned())).or_default();
                who.push(id.to_string());
                laws.extend(others);
            }
        }
        for ((home, law), (who, laws)) in leaving {
            let laws = laws.into_iter().collect::<Vec<_>>().join(", ");
            let add = self.there_is(home, &law).map_or_else(String::new, |place| {
                format!(", and add a region in {law} to recover in, such as {place}")
            });
            self.add(
                Severity::Medium,
                who,
                &format!("data leave {law} for {laws}"),
                "no `residency` says where they may be, so the cheapest region was taken; laws on personal data (in the EU the GDPR) restrict such transfers, copies and backups included",
                &format!("say where they may be, such as `residency: [{law}]`{add}"),
            );
        }
    }

    /// A region under a law to which a home could recover.
    fn there_is(&self, home: usize, law: &str) -> Option<String> {
        first_within(self.setting.atlas, &self.ground.sites[home].place, law, |_| true)
    }
}

/// The region of AWS that an image belongs to: an AMI to that of its user's home, one of a private registry to the registry's.
/// `None`: none, or not known.
fn region_of<'a>(image: &'a str, home: &'a str) -> Option<&'a str> {
    if image.starts_with("ami-") {
        return Some(home);
    }
    let (_, rest) = image.split_once(".dkr.ecr.")?;
    rest.split_once('.').map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_belong_to_a_region_or_to_none() {
        for (image, region) in [
            ("ami-0a1b2c3d4e5f60718", Some("eu-north-1")),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:1", Some("eu-west-1")),
            ("public.ecr.aws/example/social:2026.11", None),
            ("nginx:1.27", None),
        ] {
            assert_eq!(region_of(image, "eu-north-1"), region, "{image}");
        }
    }
}
