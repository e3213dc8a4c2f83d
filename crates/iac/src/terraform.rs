//! Terraform and OpenTofu: a root module per cloud. The root is written for the app; the modules per component kind are
//! plain HCL files beside this one, the same for every app.

use crate::design::{Design, Part, Site};
use crate::fragment::json as json_text;
use crate::hcl::{Body, list, object, quote};
use crate::members::{self, Member};
use crate::tree::Tree;

mod aws;
mod azure;

/// Writes `terraform/CLOUD/` for every cloud that the app is in.
pub(crate) fn write(design: &Design, tree: &mut Tree) {
    aws::write(design, tree);
    azure::write(design, tree);
}

/// Whether there is a module for this kind.
pub(crate) fn makes(kind: lifeboat_model::app::Kind) -> bool {
    aws::module_of(kind).is_some() || azure::module_of(kind).is_some()
}

/// Databases of which one region is the writer; the others are written everywhere.
fn has_writer(part: &Part) -> bool {
    use lifeboat_model::app::Kind;
    match part.component.kind {
        Kind::AuroraGlobal | Kind::Rds | Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres => true,
        Kind::Dynamodb
        | Kind::S3
        | Kind::AzureStorage
        | Kind::Postgres
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Vmss
        | Kind::Aks
        | Kind::Deployment => false,
    }
}

/// `roles.auto.tfvars.json`.
fn role_values(parts: &[&Part]) -> String {
    let writers: Vec<String> = parts
        .iter()
        .filter(|part| has_writer(part))
        .map(|part| format!("    {}: {}", json_text(part.id.as_str()), json_text(part.writer.as_str())))
        .collect();
    let serving: Vec<String> = parts
        .iter()
        .filter(|part| !part.component.kind.is_database())
        .map(|part| {
            let regions: Vec<String> = part.serves.iter().map(|id| json_text(id.as_str())).collect();
            format!("    {}: [{}]", json_text(part.id.as_str()), regions.join(", "))
        })
        .collect();
    let block = |name: &str, lines: Vec<String>| {
        if lines.is_empty() {
            format!("  \"{name}\": {{}}")
        } else {
            format!("  \"{name}\": {{\n{}\n  }}", lines.join(",\n"))
        }
    };
    format!("{{\n{},\n{}\n}}\n", block("writers", writers), block("serving", serving))
}

/// A variable of the root module.
fn variable(file: &mut Body, name: &str, description: &str, kind: &str, default: Option<&str>) {
    file.blank().block(format!("variable {}", quote(name)), |body| {
        body.attribute("description", quote(description)).attribute("type", kind);
        if let Some(default) = default {
            body.attribute("default", default);
        }
    });
}

/// What a node's module is told of certificates and of the member of etcd beside it.
fn member_attributes(body: &mut Body, design: &Design, site: &Site) {
    for (name, uses) in
        [("certificates", members::is_given_certificates(design, site)), ("tls", members::speaks_tls(design, site))]
    {
        if !uses {
            body.attribute(name, "false");
        }
    }
    if let Some(member) = members::member(design, site) {
        body.attribute("etcd", member_values(design, site, &member));
    }
}

/// A member of the state store, as the node modules take it.
fn member_values(design: &Design, site: &Site, member: &Member) -> String {
    object(|body| {
        body.attribute("image", "var.etcd_image");
        body.attribute("ports", list([member.port.to_string(), member.peer_port().to_string()]));
        body.attribute(
            "environment",
            object(|map| {
                for (name, value) in members::environment(design, member, &members::private_address(site)) {
                    map.attribute(name, quote(value));
                }
            }),
        );
    })
}

/// The variables that the role file sets.
fn role_variables(file: &mut Body) {
    for (name, description, kind) in [
        (
            "writers",
            "Which region writes, by database; from roles.auto.tfvars.json, which `lifeboat roles` writes.",
            "map(string)",
        ),
        ("serving", "Which regions serve, by compute component; from roles.auto.tfvars.json.", "map(list(string))"),
    ] {
        file.blank().block(format!("variable {}", quote(name)), |body| {
            body.attribute("description", quote(description)).attribute("type", kind).attribute("default", "{}");
        });
    }
}

/// The roles with their first values for components that the role file does not know yet.
fn role_locals(parts: &[&Part]) -> Body {
    let mut file = Body::default();
    file.comment(
        "Roles are data. They come from roles.auto.tfvars.json, which `lifeboat roles` writes when a component has moved; the values\nhere \
         hold for a component that the file does not mention yet. Do not edit either to fail over: use `lifeboat`.",
    );
    file.block("locals", |body| {
        let merged = |fill: &dyn Fn(&mut Body), variable: &str| match object(fill).as_str() {
            "{}" => variable.to_owned(),
            first => format!("merge({first}, {variable})"),
        };
        let writers = |map: &mut Body| {
            for part in parts.iter().filter(|part| has_writer(part)) {
                map.attribute(quote(part.id.as_str()), quote(part.home.as_str()));
            }
        };
        let serving = |map: &mut Body| {
            for part in parts.iter().filter(|part| !part.component.kind.is_database()) {
                map.attribute(quote(part.id.as_str()), list(part.serving().iter().map(|id| quote(id.as_str()))));
            }
        };
        body.attribute("writers", merged(&writers, "var.writers")).blank();
        body.attribute("serving", merged(&serving, "var.serving"));
    });
    file
}

/// `versions.tf` of a module: which provider it means; the root decides on the version.
fn module_versions(provider: &str) -> String {
    let mut file = Body::default();
    file.block("terraform", |body| {
        body.block("required_providers", |body| {
            body.attribute(
                provider,
                object(|named| {
                    named.attribute("source", quote(format!("hashicorp/{provider}")));
                }),
            );
        });
    });
    file.render()
}
