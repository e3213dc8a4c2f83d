//! What Azure keeps geo-redundantly lies in the region that it pairs with the home, whatever standby is named.

use lifeboat_atlas::Atlas;
use lifeboat_model::app::{Component, Kind, Pattern};
use lifeboat_model::{App, ComponentId, RegionId};

use crate::Problem;

/// What is wrong with a component that Azure copies to a pair: there is none (`Err`), or it is no region of the component (`Ok`).
pub(crate) fn judge(
    app: &App,
    id: &ComponentId,
    component: &Component,
    regions: &[&RegionId],
) -> Option<Result<Problem, Problem>> {
    let copied = match component.kind {
        Kind::AzureStorage => true,
        // Otherwise replicas are servers of their own, anywhere.
        Kind::AzurePostgres => component.pattern == Some(Pattern::BackupRestore),
        _ => false,
    };
    let (home, others) = regions.split_first().filter(|_| copied)?;
    let place = &app.regions.get(*home)?.place;
    let field = format!("components.{id}");
    let Some(pair) = Atlas::embedded().pair(place) else {
        let message =
            format!("Azure pairs {home} ({place}) with no region, and keeps geo-redundant copies in a pair only");
        return Some(Err(Problem::new(
            field,
            message,
            "write in a region that has a pair, or use another kind or pattern",
        )));
    };
    let there = others.iter().any(|id| app.regions.get(*id).is_some_and(|region| region.place == *pair));
    (!there).then(|| {
        let message = format!("Azure copies it to {pair}, the pair of {home}, whatever standby is named");
        Ok(Problem::new(field, message, "check that data may be there, and name that region as the standby"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(home: &str, kind: &str) -> Option<Result<String, String>> {
        let text = format!(
            "app: x\nfailover: {{mode: approve}}\nregions:\n  a: {{place: azure/{home}}}\n  b: {{place: azure/northeurope}}\ncomponents:\n  \
             files: {{kind: {kind}, writer: a, standbys: {{b: asynchronous}}}}\n"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let (id, component) = app.components.iter().next().unwrap();
        let regions: Vec<&RegionId> = component.writer.iter().chain(component.standbys.keys()).collect();
        let told = judge(&app, id, component, &regions)?;
        Some(told.map(|problem| problem.message).map_err(|problem| problem.message))
    }

    #[test]
    fn copies_lie_in_the_pair() {
        assert_eq!(verdict("westeurope", "azure-storage"), None);
        let elsewhere = verdict("swedencentral", "azure-storage").unwrap().unwrap();
        assert!(elsewhere.contains("azure/swedensouth"), "{elsewhere}");
        let none = verdict("polandcentral", "azure-storage").unwrap().unwrap_err();
        assert!(none.contains("with no region"), "{none}");
        assert_eq!(verdict("polandcentral", "azure-postgres"), None);
        assert!(verdict("polandcentral", "azure-postgres, pattern: backup-restore").unwrap().is_err());
    }
}
