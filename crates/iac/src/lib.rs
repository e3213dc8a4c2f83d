//! The generators of infrastructure as code: one file in, a tree of files for the tool that the team already uses out.
//!
//! [`generate`] works the app out once (`design`) and hands that to one module per tool; [`check`] compares a tree with
//! what lies on disk and tells a hand edit from an old generation. Pure: nothing here reads or writes a file, and the
//! same app gives the same tree to the byte.
//!
//! Which region writes is nowhere in the generated code but in one small file per tool ([`Tree::kept`]), which [`Roles`] brings up to
//! what the nodes say, so that a plan after a failover is empty.

use std::collections::BTreeSet;

use lifeboat_model::App;
use lifeboat_model::app::Kind;

mod arm;
mod aws_backups;
mod backups;
mod boot;
mod cloudformation;
mod design;
mod drift;
mod environment;
mod fragment;
mod geography;
mod hcl;
mod hosts;
mod kubernetes;
mod lifeboat;
mod members;
mod names;
mod observe;
mod pairs;
mod permissions;
mod places;
mod problem;
mod readme;
mod registry;
mod roles;
mod strict;
mod tables;
mod terraform;
mod tree;
mod versions;

pub use drift::{Observations, Observed, drift};
pub use members::member_names;
pub use observe::{Seen, observe};
pub use problem::Problem;
pub use roles::{Now, Roles, Said};
pub use tree::{Difference, DifferenceKind, MANIFEST, Manifest, Tree, check};

use design::Design;

/// A tool for which code can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A root module per cloud, for Terraform or OpenTofu.
    Terraform,
    /// A template for all regions and a stack set, with the scripts that apply them; of what is on AWS.
    CloudFormation,
    /// Templates with a parameter file per region; of what is on Azure.
    Arm,
    /// Manifests with an overlay per region, for Argo CD and Flux; of deployments.
    Kubernetes,
    /// The nodes of Lifeboat itself, their state store, certificates and roles.
    Lifeboat,
}

impl Target {
    /// All of them, in the order in which they are listed to users.
    pub const ALL: [Self; 5] = [Self::Terraform, Self::CloudFormation, Self::Arm, Self::Kubernetes, Self::Lifeboat];

    /// Whether Lifeboat's own nodes are part of it.
    fn makes_nodes(self) -> bool {
        match self {
            Self::Terraform | Self::CloudFormation | Self::Arm | Self::Lifeboat => true,
            Self::Kubernetes => false,
        }
    }

    /// Whether components of this kind are among what is generated for it.
    fn makes(self, kind: Kind) -> bool {
        match self {
            Self::Terraform => terraform::makes(kind),
            Self::CloudFormation => cloudformation::makes(kind),
            Self::Arm => arm::makes(kind),
            Self::Kubernetes => kind == Kind::Deployment,
            Self::Lifeboat => matches!(kind, Kind::Postgres | Kind::Process),
        }
    }

    /// As on the command line, and as the folder of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::CloudFormation => "cloudformation",
            Self::Arm => "arm",
            Self::Kubernetes => "kubernetes",
            Self::Lifeboat => "lifeboat",
        }
    }
}

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For which tools.
    pub targets: BTreeSet<Target>,
    /// URL of the Git repository into which the tree is committed, for Argo CD and Flux.
    pub repository: String,
    /// Container image of Lifeboat.
    pub image: String,
    /// Container image of etcd.
    pub etcd_image: String,
    /// What the role files say; nothing: what everything starts as.
    pub roles: Roles,
}

impl Default for Options {
    /// Everything, from a repository and an image that have to be named.
    fn default() -> Self {
        Self {
            targets: Target::ALL.into(),
            repository: "https://git.example.com/infra.git".into(),
            image: "registry.example.com/lifeboat:0.1".into(),
            etcd_image: "registry.example.com/etcd:3.5".into(),
            roles: Roles::default(),
        }
    }
}

/// Everything that the app needs in every region.
///
/// # Errors
/// Whatever of the file cannot be generated, all of it at once.
pub fn generate(app: &App, options: &Options) -> Result<Tree, Vec<Problem>> {
    let design = Design::of(app)?.with(&options.roles.completed(app)?);
    let mut tree = Tree { warnings: design.warnings.clone(), ..Tree::default() };
    if options.targets.iter().any(|target| target.makes_nodes()) {
        tree.warnings.extend(members::warnings(&design));
    }
    if options.targets.contains(&Target::Terraform) || options.targets.contains(&Target::Arm) {
        tree.warnings.extend(backups::warnings(&design));
    }
    for target in &options.targets {
        match target {
            Target::Terraform => terraform::write(&design, &mut tree),
            Target::CloudFormation => match cloudformation::write(&design, &mut tree) {
                Ok(()) => {}
                // Among everything that there is it is left out; whoever asks for it has to know before anything is written.
                Err(problem) if options.targets.len() == Target::ALL.len() => tree.warnings.push(problem),
                Err(problem) => return Err(vec![problem]),
            },
            Target::Arm => arm::write(&design, &mut tree),
            Target::Kubernetes => kubernetes::write(&design, &options.repository, &mut tree),
            Target::Lifeboat => lifeboat::write(&design, options, &mut tree),
        }
    }
    let unmade = unmade(&design, options, &tree);
    if !unmade.is_empty() {
        return Err(unmade);
    }
    let twice = names::twice(&design, &tree);
    if !twice.is_empty() {
        return Err(twice);
    }
    tree.warnings.extend(left_out(&design, options));
    tree.warnings.extend(aws_backups::warnings(&design));
    readme::write(&design, &mut tree);
    tree.seal(&app.name);
    Ok(tree)
}

/// Tools that were named, as distinct from all that there are, and for which there is nothing to generate.
fn unmade(design: &Design, options: &Options, tree: &Tree) -> Vec<Problem> {
    if options.targets.len() == Target::ALL.len() {
        return Vec::new();
    }
    let is_empty = |target: &&Target| {
        let folder = format!("{}/", target.as_str());
        !tree.files.keys().any(|path| path.starts_with(&folder))
    };
    let of_use = |target: &Target| design.parts.iter().any(|part| target.makes(part.component.kind));
    let others: Vec<&str> = Target::ALL.iter().filter(|target| of_use(target)).map(|target| target.as_str()).collect();
    let problem = |target: &Target| {
        let message = format!("nothing of this app is for {}", target.as_str());
        Problem::new("components", message, format!("--target {}", others.join(",")))
    };
    options.targets.iter().filter(is_empty).map(problem).collect()
}

/// Components that none of the named tools makes.
fn left_out(design: &Design, options: &Options) -> Vec<Problem> {
    let makes = |part: &&design::Part| options.targets.iter().any(|target| target.makes(part.component.kind));
    let only_nodes = options.targets.iter().all(|target| *target == Target::Lifeboat);
    design
        .parts
        .iter()
        .filter(|part| !only_nodes && !makes(part))
        .map(|part| {
            let kind = part.component.kind;
            let who = Target::ALL.iter().filter(|target| target.makes(kind)).map(|target| target.as_str());
            Problem::new(
                format!("components.{}.kind", part.id),
                format!("`{}` is in none of what is generated here", kind.as_str()),
                format!("--target {}", who.collect::<Vec<_>>().join(" or ")),
            )
        })
        .collect()
}
