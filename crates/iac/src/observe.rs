//! What can be seen of the regions without asking a cloud: in the words of the tools that the team has. Each tells it in JSON:
//! `terraform show -json`, `cloudformation/observe.sh`, `az resource show`, `kubectl get … --output json`, or a file of observations that anybody
//! can write (`docs/observations.schema.json`).

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{App, ComponentId, RegionId};
use serde_json::Value as Json;

use crate::design::Design;
use crate::{Observations, Problem, strict};

mod azure;
mod cloudformation;
mod file;
pub(crate) mod kubernetes;
mod terraform;

/// What one file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// By component and region.
    pub observations: Observations,
    /// Which regions serve, as far as it says.
    pub serving: BTreeMap<ComponentId, BTreeSet<RegionId>>,
    /// Where databases are written, as far as it says.
    pub writers: BTreeMap<ComponentId, RegionId>,
}

impl Seen {
    /// Adds what another file tells; of the same component in the same region the later one counts.
    pub fn add(&mut self, other: Self) {
        for (component, regions) in other.observations {
            self.observations.entry(component).or_default().extend(regions);
        }
        self.serving.extend(other.serving);
        self.writers.extend(other.writers);
    }
}

/// Reads what a tool has said; what it is, is told by its form. `region`: whose cluster `kubectl` was asked.
///
/// # Errors
/// Text that is none of these, says a thing twice, or speaks of what the app has not: line, field, and what was expected.
pub fn observe(app: &App, region: Option<&RegionId>, text: &str) -> Result<Seen, String> {
    let json: Json = strict::json(text).map_err(|why| format!("not JSON: {why}"))?;
    let design =
        Design::of(app).map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))?;
    let seen = if json.get("observed").is_some() {
        file::read(&design, text, &json)?
    } else if let Some(state) = ["/values", "/prior_state/values"].iter().find_map(|path| json.pointer(path)) {
        Seen { observations: terraform::observations(&design, state), ..Seen::default() }
    } else if json.get("items").is_some_and(Json::is_array) {
        let region = region.ok_or("whose cluster is this? name it: --observed REGION=FILE")?;
        Seen { observations: kubernetes::observations(&design, region, &json), ..Seen::default() }
    } else if json.get("StackResourceDrifts").is_some() {
        Seen { observations: cloudformation::observations(&design, &json)?, ..Seen::default() }
    } else if let Some(resources) = azure::resources(&json) {
        Seen { observations: azure::observations(&design, &resources)?, ..Seen::default() }
    } else {
        let expected = "expected what `terraform show -json`, `cloudformation/observe.sh`, `az resource show` or `kubectl get --output json` \
                        prints, or an object with `observed`";
        return Err(if json.get("format_version").is_some() {
            "a state without resources".into()
        } else {
            expected.into()
        });
    };
    for (component, regions) in &seen.observations {
        for region in regions.keys() {
            if !app.components.contains_key(component) || !app.regions.contains_key(region) {
                return Err(format!("the file has no {component} in {region}"));
            }
        }
    }
    Ok(seen)
}
