//! Templates and parameter files as texts: ARM's JSON, laid out as a person would.

use crate::fragment::{indent, json};

const TEMPLATE: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const SUBSCRIPTION_TEMPLATE: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";
const PARAMETERS: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#";

/// A parameter of a template: name, type, what it is for.
pub(super) type Parameter = (&'static str, &'static str, &'static str);

/// The one parameter that more than one template has.
pub(super) const ROLES: Parameter =
    ("roles", "object", "Which region writes and which serve; from roles.json, which `lifeboat roles` writes.");

/// A template.
#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) parameters: Vec<Parameter>,
    /// Name and value, which is JSON.
    pub(super) variables: Vec<(String, String)>,
    /// One fragment may hold several, with commas in between.
    pub(super) resources: Vec<String>,
    /// Name, type, value and perhaps a condition, which are expressions.
    pub(super) outputs: Vec<String>,
}

impl Template {
    /// For the scope of a resource group.
    pub(super) fn render(&self) -> String {
        self.render_for(TEMPLATE)
    }

    /// For the scope of a subscription.
    pub(super) fn render_for_subscription(&self) -> String {
        self.render_for(SUBSCRIPTION_TEMPLATE)
    }

    fn render_for(&self, schema: &str) -> String {
        let parameters = self.parameters.iter().map(|(name, kind, description)| {
            format!(
                "    {}: {{\n      \"type\": {},\n      \"metadata\": {{ \"description\": {} }}\n    }}",
                json(name),
                json(kind),
                json(description)
            )
        });
        let variables = self.variables.iter().map(|(name, value)| format!("    {}: {value}", json(name)));
        let resources = self.resources.iter().map(|text| indent(text, 4).trim_end().to_owned());
        let sections = [
            section("parameters", '{', parameters.collect(), '}'),
            section("variables", '{', variables.collect(), '}'),
            section("resources", '[', resources.collect(), ']'),
            section("outputs", '{', self.outputs.clone(), '}'),
        ];
        format!(
            "{{\n  \"$schema\": {},\n  \"contentVersion\": \"1.0.0.0\",\n{}\n}}\n",
            json(schema),
            sections.into_iter().flatten().collect::<Vec<_>>().join(",\n")
        )
    }
}

fn section(name: &str, opening: char, entries: Vec<String>, closing: char) -> Option<String> {
    let text = || format!("  \"{name}\": {opening}\n{}\n  {closing}", entries.join(",\n"));
    (!entries.is_empty()).then(text)
}

/// A deployment from within a template into another resource group. It sees nothing of the template around it but what it is given.
#[derive(Debug)]
pub(super) struct Nested<'a> {
    /// An expression or a name.
    pub(super) name: &'a str,
    pub(super) comments: &'a str,
    /// An expression; empty: always.
    pub(super) condition: &'a str,
    pub(super) group: &'a str,
    /// Name, type, and the value: an expression.
    pub(super) parameters: &'a [(&'a str, &'a str, &'a str)],
    pub(super) resources: Vec<String>,
    /// Expressions.
    pub(super) depends: &'a [&'a str],
}

impl Nested<'_> {
    pub(super) fn render(&self) -> String {
        let values = self
            .parameters
            .iter()
            .map(|(name, _, value)| format!("      {}: {{ \"value\": {} }}", json(name), json(value)));
        let kinds =
            self.parameters.iter().map(|(name, kind, _)| format!("    {}: {{ \"type\": {} }}", json(name), json(kind)));
        let resources = self.resources.iter().map(|text| indent(text, 4).trim_end().to_owned());
        let sections =
            [section("parameters", '{', kinds.collect(), '}'), section("resources", '[', resources.collect(), ']')];
        let template = format!(
            "{{\n  \"$schema\": {},\n  \"contentVersion\": \"1.0.0.0\",\n{}\n}}",
            json(TEMPLATE),
            sections.into_iter().flatten().collect::<Vec<_>>().join(",\n")
        );
        let values: Vec<String> = values.collect();
        let values = if values.is_empty() {
            String::new()
        } else {
            format!("    \"parameters\": {{\n{}\n    }},\n", values.join(",\n"))
        };
        let condition = if self.condition.is_empty() {
            String::new()
        } else {
            format!("  \"condition\": {},\n", json(self.condition))
        };
        let depends: Vec<String> = self.depends.iter().map(|one| format!("    {}", json(one))).collect();
        let depends = if depends.is_empty() {
            String::new()
        } else {
            format!(",\n  \"dependsOn\": [\n{}\n  ]", depends.join(",\n"))
        };
        format!(
            "{{\n  \"type\": \"Microsoft.Resources/deployments\",\n  \"apiVersion\": \"2025-04-01\",\n  \"name\": {},\n  \"comments\": {},\n{condition}  \
             \"resourceGroup\": {},\n  \"properties\": {{\n    \"mode\": \"Incremental\",\n    \"expressionEvaluationOptions\": {{ \"scope\": \
             \"Inner\" }},\n{values}    \"template\": {}\n  }}{depends}\n}}",
            json(self.name),
            json(self.comments),
            json(self.group),
            indent(&template, 4).trim()
        )
    }
}

/// A parameter file.
pub(super) fn parameter_file(values: &[(&str, String)]) -> String {
    let values: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("    {}: {{\n      \"value\": {value}\n    }}", json(name)))
        .collect();
    format!(
        "{{\n  \"$schema\": {},\n  \"contentVersion\": \"1.0.0.0\",\n  \"parameters\": {{\n{}\n  }}\n}}\n",
        json(PARAMETERS),
        values.join(",\n")
    )
}

/// A text that is none of ARM's expressions, whatever it begins with.
pub(super) fn literal(text: &str) -> String {
    if text.starts_with('[') { format!("[{text}") } else { text.into() }
}
