//! All templates of an app deployed, by the commands of the generated README, into a subscription that only takes notes:
//! what each resource is with its expressions evaluated, and whether what it names was there before it.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_iac::Tree;
use lifeboat_model::App;
use serde_json::{Map, Value as Json, json};

use super::expression::{SUBSCRIPTION, Scope};

/// What was made, by id, and everything that went wrong.
#[derive(Default)]
pub struct Subscription {
    pub resources: BTreeMap<String, Json>,
    /// With the template in which it was seen.
    pub mistakes: Vec<String>,
}

impl Subscription {
    /// What the deployments make that the tree's own README asks for, in its order.
    pub fn of(app: &App, tree: &Tree) -> Self {
        Self::with_file(app, tree, &format!("app: {}\n", app.name))
    }

    /// The same with the text of the app's file, which nodes are started with.
    pub fn with_file(app: &App, tree: &Tree, text: &str) -> Self {
        let mut this = Self::default();
        let commands = tree.files["README.md"].lines().filter_map(|line| line.strip_prefix("    az deployment "));
        for command in commands {
            let words: Vec<&str> = command.split_whitespace().collect();
            let group = (words[0] == "group").then(|| {
                let place = words.iter().position(|word| *word == "-g").unwrap();
                words[place + 1].to_owned()
            });
            let mut template = None;
            let mut given = Map::new();
            for pair in words.windows(2) {
                match (pair[0], pair[1].split_once('=')) {
                    ("-f", _) => template = parsed(tree, &format!("arm/{}", pair[1])),
                    ("-p", Some((name, value))) => {
                        given.insert(name.to_owned(), value.into());
                        if name == "dnsResourceGroup" {
                            this.add_zones(app, value);
                        }
                    }
                    ("-p", None) => {
                        for (name, value) in filled_in(tree, text, &pair[1].replacen('@', "arm/", 1)) {
                            if given.insert(name.clone(), value).is_some() {
                                this.mistakes.push(format!("{command}: {name} is given twice"));
                            }
                        }
                    }
                    _ => {}
                }
            }
            match template {
                Some(template) => this.deploy(command, &template, given, group),
                None => this.mistakes.push(format!("{command}: there is no such template")),
            }
        }
        this
    }

    /// The public zones, which are there before the app.
    fn add_zones(&mut self, app: &App, group: &str) {
        let name = group;
        let group = format!("{SUBSCRIPTION}/resourceGroups/{group}");
        for zone in app.routes.keys().filter_map(|host| Some(host.as_str().split_once('.')?.1)) {
            self.resources.insert(
                format!("{group}/providers/Microsoft.Network/dnsZones/{zone}"),
                json!({"type": "Microsoft.Network/dnsZones", "apiVersion": "2018-05-01", "name": zone, "location": "global", "properties": {}}),
            );
        }
        self.resources.insert(
            group,
            json!({"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": name, "location": "westeurope"}),
        );
    }

    /// One template into a resource group, or (none) into the subscription.
    pub fn deploy(&mut self, what: &str, template: &Json, given: Map<String, Json>, group: Option<String>) {
        self.check_parameters(what, template, &given);
        let scope = Scope::new(template, given, group.clone());
        let base = group.map_or(SUBSCRIPTION.into(), |group| format!("{SUBSCRIPTION}/resourceGroups/{group}"));
        // A resource may be named by one that stands before it; the deployment sorts them.
        let mut here = BTreeSet::new();
        let mut nested = Vec::new();
        let mut waits_for = Vec::new();
        for resource in template["resources"].as_array().unwrap() {
            match self.resource(&scope, resource, &base, "", &mut here) {
                Ok(Some((id, resource))) => {
                    waits_for.push((id, resource["dependsOn"].clone()));
                    if resource["type"] == "Microsoft.Resources/deployments" {
                        nested.push(resource);
                    }
                }
                Ok(None) => {}
                Err(problem) => self.mistakes.push(format!("{what}: {problem}")),
            }
        }
        for (id, depends) in waits_for {
            let own = id.rsplit_once("/providers/").map_or("", |(_, own)| own);
            let parent = id.rsplitn(3, '/').nth(2).unwrap_or_default();
            if own.matches('/').count() > 2 && !self.has(parent) {
                self.mistakes.push(format!("{what}: {id} is a part of what is not there"));
            }
            for other in depends.as_array().into_iter().flatten().filter_map(Json::as_str) {
                if !here.contains(other) {
                    self.mistakes.push(format!("{what}: {id} waits for {other}, which is not in the template"));
                }
            }
        }
        for deployment in nested {
            let values = deployment["properties"]["parameters"].as_object().into_iter().flatten();
            let values = values.map(|(name, value)| (name.clone(), value["value"].clone())).collect();
            let group = deployment["resourceGroup"].as_str().map(str::to_owned);
            let name = format!("{what} {}", deployment["name"].as_str().unwrap());
            self.deploy(&name, &deployment["properties"]["template"], values, group);
        }
        for output in template["outputs"].as_object().into_iter().flat_map(Map::values) {
            let made = output.get("condition").map_or(Ok(Json::Bool(true)), |condition| scope.resolve(condition));
            if made == Ok(Json::Bool(true))
                && let Err(problem) = scope.resolve(&output["value"])
            {
                self.mistakes.push(format!("{what}: {problem}"));
            }
        }
        for id in scope.named.into_inner().iter().chain(scope.read.borrow().iter()) {
            if !self.has(id) && !here.contains(id) {
                self.mistakes.push(format!("{what}: {id} is not there yet"));
            }
        }
        for id in scope.read.borrow().iter().filter(|id| !self.resources.contains_key(*id)) {
            self.mistakes.push(format!("{what}: {id} is asked for and not made"));
        }
    }

    /// Notes one, if its condition holds, and what lies in it. `here` learns its id in any case.
    fn resource(
        &mut self,
        scope: &Scope,
        resource: &Json,
        base: &str,
        parent: &str,
        here: &mut BTreeSet<String>,
    ) -> Result<Option<(String, Json)>, String> {
        let name = scope.resolve(&resource["name"])?;
        let name = name.as_str().ok_or("a name is a text")?.to_owned();
        let kind = resource["type"].as_str().ok_or("a type is a text")?;
        let on = resource.get("scope").map_or(Ok(Json::Null), |scoped| scope.resolve(scoped))?;
        let group = resource.get("resourceGroup").map_or(Ok(Json::Null), |group| scope.resolve(group))?;
        let base = group.as_str().map_or(base.to_owned(), |group| format!("{SUBSCRIPTION}/resourceGroups/{group}"));
        let id = if parent.is_empty() {
            id_of(on.as_str().unwrap_or(&base), kind, &name)?
        } else {
            format!("{parent}/{kind}/{name}")
        };
        if !here.insert(id.clone()) {
            return Err(format!("{id} is there twice"));
        }
        let holds = resource.get("condition").map_or(Ok(Json::Bool(true)), |condition| scope.resolve(condition))?;
        let is_made = holds.as_bool().ok_or_else(|| format!("{id}: a condition that is {holds}"))?;
        for inner in resource["resources"].as_array().into_iter().flatten() {
            if let Some((inner, resolved)) = self.resource(scope, inner, &base, &id, here)? {
                for other in resolved["dependsOn"].as_array().into_iter().flatten().filter_map(Json::as_str) {
                    if other != id {
                        return Err(format!("{inner} lies in {id} and waits for {other}"));
                    }
                }
            }
        }
        if !is_made {
            return Ok(None);
        }
        // A template inside is evaluated in its own scope.
        let mut outer = resource.clone();
        let template = outer["properties"].as_object_mut().and_then(|properties| properties.remove("template"));
        let mut resolved = scope.resolve(&outer)?;
        if let Some(template) = template {
            if resolved["properties"]["expressionEvaluationOptions"]["scope"] != "Inner" {
                return Err(format!("{id}: its template is not evaluated in a scope of its own"));
            }
            resolved["properties"]["template"] = template;
        }
        if kind == "Microsoft.Resources/resourceGroups" {
            self.resources.insert(format!("{SUBSCRIPTION}/resourceGroups/{name}"), resolved.clone());
        } else if !self.resources.contains_key(&base) && base != SUBSCRIPTION {
            return Err(format!("{id}: its resource group is not there"));
        }
        self.resources.insert(id.clone(), resolved.clone());
        Ok(Some((id, resolved)))
    }

    /// Whether a resource is there, or a part of one: a subnet of a network, a pool of a load balancer.
    fn has(&self, id: &str) -> bool {
        if self.resources.contains_key(id) {
            return true;
        }
        let Some((rest, name)) = id.rsplit_once('/') else { return false };
        let Some((whole, kind)) = rest.rsplit_once('/') else { return false };
        self.resources
            .get(whole)
            .and_then(|whole| whole["properties"][kind].as_array())
            .is_some_and(|parts| parts.iter().any(|part| part["name"] == name))
    }

    /// What is given, against what the template declares.
    fn check_parameters(&mut self, what: &str, template: &Json, given: &Map<String, Json>) {
        let none = Map::new();
        let declared = template["parameters"].as_object().unwrap_or(&none);
        for (name, parameter) in declared {
            let fits = given.get(name).is_some_and(|value| match parameter["type"].as_str().unwrap() {
                "string" | "securestring" => value.is_string(),
                "int" => value.is_i64(),
                "bool" => value.is_boolean(),
                "array" => value.is_array(),
                _ => value.is_object(),
            });
            if !fits {
                self.mistakes.push(format!("{what}: {name} is missing or of the wrong type"));
            }
        }
        let undeclared = given.keys().filter(|name| !declared.contains_key(*name));
        self.mistakes.extend(undeclared.map(|name| format!("{what}: {name} is not declared")));
    }
}

fn id_of(base: &str, kind: &str, name: &str) -> Result<String, String> {
    let (namespace, kinds) = kind.split_once('/').ok_or("a type is NAMESPACE/TYPE")?;
    let (kinds, names): (Vec<&str>, Vec<&str>) = (kinds.split('/').collect(), name.split('/').collect());
    if kinds.len() != names.len() {
        return Err(format!("{kind} is not named by {name}"));
    }
    let path: String = kinds.iter().zip(names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
    Ok(format!("{base}/providers/{namespace}{path}"))
}

/// A parameter file's values, with what only the user knows as Terraform's example and its tests have it.
fn filled_in(tree: &Tree, text: &str, path: &str) -> Map<String, Json> {
    let file = parsed(tree, path).unwrap_or_else(|| panic!("no {path}"));
    let value = |name: &str, given: &Json| match name {
        "administratorId" => "00000000-0000-0000-0000-000000000003".into(),
        "actionGroups" => {
            vec!["/subscriptions/0/resourceGroups/ops/providers/Microsoft.Insights/actionGroups/ops"].into()
        }
        "administratorAddresses" => vec!["203.0.113.7"].into(),
        "etcdImage" => "registry.example.com/etcd:3.5".into(),
        "lifeboatImage" => "registry.example.com/lifeboat:0.1".into(),
        "lifeboatFile" => text.into(),
        _ => given.clone(),
    };
    let given = file["parameters"].as_object().unwrap().iter();
    given.map(|(name, parameter)| (name.clone(), value(name, &parameter["value"]))).collect()
}

/// A generated file.
pub fn parsed(tree: &Tree, path: &str) -> Option<Json> {
    Some(serde_json::from_str(tree.files.get(path)?).unwrap_or_else(|error| panic!("{path}: {error}")))
}
