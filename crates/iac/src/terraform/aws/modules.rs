//! The modules per component kind: HCL files beside this one, written out as they are.

use std::collections::BTreeSet;

macro_rules! files {
    ($($module:literal: [$($file:literal),*]),* $(,)?) => {
        &[$(($module, &[$(($file, include_str!(concat!("modules/", $module, "/", $file)))),*])),*]
    };
}

type Module = (&'static str, &'static [(&'static str, &'static str)]);

const MODULES: &[Module] = files! {
    "asg": ["load_balancer.tf", "main.tf", "outputs.tf", "variables.tf"],
    "aurora-global": ["main.tf", "outputs.tf", "variables.tf"],
    "backup": ["main.tf", "variables.tf"],
    "dynamodb": ["main.tf", "outputs.tf", "variables.tf"],
    "ecs": ["load_balancer.tf", "main.tf", "outputs.tf", "variables.tf"],
    "eks": ["main.tf", "outputs.tf", "pods.tf", "variables.tf"],
    "network": ["main.tf", "outputs.tf", "variables.tf"],
    "node": ["main.tf", "outputs.tf", "role.tf", "start.sh.tftpl", "variables.tf"],
    "peering": ["main.tf", "variables.tf"],
    "rds": ["main.tf", "outputs.tf", "variables.tf"],
    "s3": ["main.tf", "outputs.tf", "variables.tf"],
    "steering": ["main.tf", "outputs.tf", "variables.tf"],
};

/// Path below `modules/` and content of every file of the named modules.
pub(super) fn files<'a>(names: &'a BTreeSet<&str>) -> impl Iterator<Item = (String, &'static str)> + 'a {
    MODULES
        .iter()
        .filter(|(module, _)| names.contains(module))
        .flat_map(|(module, files)| files.iter().map(move |(file, content)| (format!("{module}/{file}"), *content)))
}
