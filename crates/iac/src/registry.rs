//! Container images of ECR. A private registry belongs to one region and is lost with it, so every region pulls from its own, to which
//! images are copied.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::app::{Kind, Provider};

use crate::design::{Design, Part, Site};

/// An image in a private registry: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image<'a> {
    pub(crate) account: &'a str,
    pub(crate) place: &'a str,
    /// What follows the region, up to the repository: `.amazonaws.com/`.
    domain: &'a str,
    pub(crate) repository: &'a str,
    /// `:TAG`, `@DIGEST` or nothing.
    version: &'a str,
}

impl<'a> Image<'a> {
    /// `None`: it comes from elsewhere.
    pub(crate) fn of(image: &'a str) -> Option<Self> {
        let (host, path) = image.split_once('/')?;
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let (place, _) = rest.split_once('.')?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_place = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let domain = &image[host.len() - rest.len() + place.len()..=host.len()];
        let end = path.find([':', '@']).unwrap_or(path.len());
        let (repository, version) = path.split_at(end);
        let is_whole = !repository.is_empty() && domain.starts_with(".amazonaws.com");
        (is_account && is_place && is_whole).then_some(Self { account, place, domain, repository, version })
    }

    /// The same image in a region's own registry.
    pub(crate) fn at(&self, place: &str) -> String {
        format!("{}.dkr.ecr.{place}{}{}{}", self.account, self.domain, self.repository, self.version)
    }
}

/// What one registry copies to others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copies<'a> {
    /// The region of the registry.
    pub(crate) from: &'a str,
    pub(crate) account: &'a str,
    pub(crate) rules: Rules<'a>,
}

/// Repositories by the regions that need them.
type Rules<'a> = BTreeMap<Vec<&'a str>, BTreeSet<&'a str>>;

impl Part<'_> {
    /// The image as each region pulls it. `None`: all pull the same, which lies in no registry of a region of this app.
    pub(crate) fn image_of_each_region<'a>(&'a self, design: &Design) -> Option<Image<'a>> {
        let image = Image::of(self.image()).filter(|_| self.component.kind == Kind::Ecs)?;
        design.sites_of(Provider::Aws).any(|site| site.place() == image.place).then_some(image)
    }

    /// The image as a region pulls it.
    pub(crate) fn image_in(&self, design: &Design, site: &Site) -> String {
        self.image_of_each_region(design).map_or_else(|| self.image().to_owned(), |image| image.at(site.place()))
    }
}

/// Every registry whose images other regions of the app need.
pub(crate) fn copies<'a>(design: &'a Design<'a>) -> Vec<Copies<'a>> {
    let mut found: BTreeMap<(&str, &str), Rules> = BTreeMap::new();
    for part in &design.parts {
        let Some(image) = part.image_of_each_region(design) else { continue };
        let places = part.regions.iter().filter_map(|region| Some(design.site(region)?.place()));
        let mut others: Vec<&str> = places.filter(|place| *place != image.place).collect();
        others.sort_unstable();
        if !others.is_empty() {
            found.entry((image.place, image.account)).or_default().entry(others).or_default().insert(image.repository);
        }
    }
    found.into_iter().map(|((from, account), rules)| Copies { from, account, rules }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_private_registry_is_told_apart_from_others() {
        let of = |image| Image::of(image).map(|found| found.at("eu-west-1"));
        for (image, elsewhere) in [
            (
                "123456789012.dkr.ecr.eu-north-1.amazonaws.com/shop/api:2026.11",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api:2026.11",
            ),
            (
                "123456789012.dkr.ecr.eu-north-1.amazonaws.com/api@sha256:ab",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/api@sha256:ab",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn/api",
            ),
        ] {
            assert_eq!(of(image).as_deref(), Some(elsewhere));
        }
        for image in [
            "",
            "/",
            "public.ecr.aws/example/social:2026.11",
            "registry.example.com/api:1",
            "api",
            "1234.dkr.ecr.eu-north-1.amazonaws.com/api",
            "123456789012.dkr.ecr.eu-north-1.amazonaws.com/",
            "123456789012.dkr.ecr..amazonaws.com/api",
            "123456789012.dkr.ecr.x.example.com/api",
            "123456789012.dkr.ecr.é.amazonaws.com/api",
            "123456789012.dkr.ecr.eu-north-1",
        ] {
            assert_eq!(of(image), None, "{image}");
        }
    }

    #[test]
    fn images_are_copied_to_the_regions_that_run_them() {
        let app = lifeboat_model::parse(
            "app: shop\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-west-1}\n  c: {place: aws/eu-central-1}\ncomponents:\n  \
             api: {kind: ecs, pattern: warm-standby, size: {image: '123456789012.dkr.ecr.eu-north-1.amazonaws.com/api:1'}}\n  \
             jobs: {kind: ecs, regions: [a, b], pattern: warm-standby, size: {image: '123456789012.dkr.ecr.eu-north-1.amazonaws.com/jobs:1'}}\n  \
             far: {kind: ecs, pattern: warm-standby, size: {image: '123456789012.dkr.ecr.us-east-1.amazonaws.com/far:1'}}\n\
             failover: {mode: approve}\n",
        )
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let design = Design::of(&app).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let rules = [
            (vec!["eu-central-1", "eu-west-1"], BTreeSet::from(["api"])),
            (vec!["eu-west-1"], BTreeSet::from(["jobs"])),
        ];
        let expected = Copies { from: "eu-north-1", account: "123456789012", rules: rules.into() };
        assert_eq!(copies(&design), [expected]);
        let pulled = |part: &str, region: &str| {
            let part = design
                .part(&part.into())
                .map(|part| part.image_in(&design, design.site(&region.into()).expect(region)));
            part.unwrap_or_default()
        };
        assert_eq!(pulled("api", "b"), "123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:1");
        // Nobody but its owner can copy what lies in a region that is not of this app.
        assert_eq!(pulled("far", "b"), "123456789012.dkr.ecr.us-east-1.amazonaws.com/far:1");
    }
}
