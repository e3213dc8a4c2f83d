//! Observations from `terraform show -json`: of the generated modules, which are known by their addresses. A state that was refreshed
//! says what is, not what was applied.

use serde_json::Value as Json;

use crate::design::Design;
use crate::{Observations, Observed};

/// Every component's resources in each region.
pub(super) fn observations(design: &Design, values: &Json) -> Observations {
    let mut found = Observations::new();
    let Some(root) = values.get("root_module") else { return found };
    for part in &design.parts {
        for region in &part.regions {
            let Some(site) = design.site(region) else { continue };
            let address = format!("module.{}_{}", part.key(), site.key());
            let mut observed = Observed::default();
            let mut instances = 0;
            for resource in resources(root, &address) {
                read(resource, &mut observed, &mut instances);
            }
            // Beside the module, for the image is in a region before anything runs there.
            let copy = format!("aws_ami_copy.{}_{}", part.key(), site.key());
            let beside = root["resources"].as_array().into_iter().flatten();
            for resource in beside.filter(|resource| resource["address"] == copy) {
                read(resource, &mut observed, &mut instances);
            }
            if instances > 0 {
                observed.size = Some(instances);
            }
            if observed != Observed::default() {
                found.entry(part.id.clone()).or_default().insert((*region).clone(), observed);
            }
        }
    }
    found
}

/// The resources of a module: `module.web_stockholm`, or one that is made later, `module.web_stockholm[0]`.
fn resources<'a>(root: &'a Json, address: &str) -> Vec<&'a Json> {
    let is_it = |module: &&Json| {
        let rest = module["address"].as_str().and_then(|found| found.strip_prefix(address));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    };
    let modules = root["child_modules"].as_array().into_iter().flatten().filter(is_it);
    modules.flat_map(|module| module["resources"].as_array().into_iter().flatten()).collect()
}

fn read(resource: &Json, observed: &mut Observed, instances: &mut u32) {
    let values = &resource["values"];
    let text = |path: &str| values.pointer(path).and_then(Json::as_str).map(str::to_owned);
    let number = |path: &str| values.pointer(path).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok());
    match resource["type"].as_str().unwrap_or_default() {
        "aws_launch_template" => {
            observed.instance = text("/instance_type");
            observed.image = observed.image.take().or_else(|| text("/image_id"));
        }
        // Every region has a copy of its own, so the one it was copied from is what they have in common.
        "aws_ami_copy" => observed.image = text("/source_ami_id"),
        "aws_autoscaling_group" => observed.size = number("/min_size"),
        // The least number; how many there are now is for autoscaling to say.
        "aws_appautoscaling_target" => observed.size = number("/min_capacity"),
        "aws_ecs_task_definition" => {
            let containers = text("/container_definitions").and_then(|text| serde_json::from_str::<Json>(&text).ok());
            observed.image = containers.and_then(|all| Some(all.pointer("/0/image")?.as_str()?.to_owned()));
        }
        "aws_eks_cluster" => observed.version = text("/version"),
        "aws_eks_node_group" => {
            observed.size = number("/scaling_config/0/min_size");
            observed.instance = text("/instance_types/0");
        }
        "aws_rds_cluster" => observed.version = text("/engine_version"),
        "aws_rds_cluster_instance" => {
            *instances += 1;
            observed.instance = text("/instance_class");
        }
        "aws_db_instance" => {
            observed.version = text("/engine_version");
            observed.instance = text("/instance_class");
        }
        "aws_rds_cluster_parameter_group" | "aws_db_parameter_group" => {
            for parameter in values["parameter"].as_array().into_iter().flatten() {
                if let (Some(name), Some(value)) = (parameter["name"].as_str(), parameter["value"].as_str()) {
                    observed.parameters.insert(name.into(), value.into());
                }
            }
        }
        "azurerm_linux_virtual_machine_scale_set" => {
            observed.instance = text("/sku");
            observed.image = text("/source_image_id");
        }
        // Autoscale keeps the number within its limits.
        "azurerm_monitor_autoscale_setting" => observed.size = number("/profile/0/capacity/0/minimum"),
        "azurerm_kubernetes_cluster" => observed.version = text("/kubernetes_version"),
        "azurerm_kubernetes_cluster_node_pool" => {
            observed.instance = text("/vm_size");
            observed.size = number("/min_count");
        }
        "azurerm_postgresql_flexible_server" => {
            observed.version = text("/version");
            // Terraform puts the tier before it.
            observed.instance =
                text("/sku_name").map(|sku| sku.split_once('_').map_or(sku.clone(), |(_, size)| size.into()));
        }
        "azurerm_mssql_server" => observed.version = text("/version"),
        _ => {}
    }
}
