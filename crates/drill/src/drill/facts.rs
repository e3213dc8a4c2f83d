//! What of the file matters to a drill.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lifeboat_model::app::{Component, Kind, Provider};
use lifeboat_model::{ComponentId, HostName, RegionId};

use crate::report::Objective;
use crate::{Error, Options};

/// What the file says that matters here.
pub(crate) struct Facts {
    pub host: HostName,
    pub port: u16,
    /// The database behind the route.
    pub database: ComponentId,
    /// Its writer by the file: the fault happens there, and there writing returns.
    pub home: RegionId,
    pub objective: Objective,
    pub addresses: BTreeMap<RegionId, IpAddr>,
    pub regions: BTreeMap<IpAddr, RegionId>,
}

impl Facts {
    pub(super) fn of(options: &Options) -> Result<Self, Error> {
        let app = &options.app;
        let unsuitable = |why: String| Error::Unsuitable(why);
        for (id, region) in &app.regions {
            if region.place.provider != Provider::Local {
                return Err(unsuitable(format!("region {id} is {}, and only local ones are started", region.place)));
            }
        }
        let addresses: BTreeMap<RegionId, IpAddr> = app
            .regions
            .iter()
            .map(|(id, region)| {
                let address = region.address.ok_or_else(|| unsuitable(format!("region {id} has no address")))?;
                Ok((id.clone(), address))
            })
            .collect::<Result<_, Error>>()?;
        let (host, route) = app.routes.iter().next().ok_or_else(|| unsuitable("it has no route".into()))?;
        let target: &Component =
            app.components.get(&route.to).ok_or_else(|| unsuitable(format!("{host} leads nowhere")))?;
        let port = target.port.ok_or_else(|| unsuitable(format!("{} has no port", route.to)))?;
        let (database, component) = app
            .databases_behind(&route.to)
            .into_iter()
            .filter_map(|id| app.components.get(&id).map(|component| (id, component)))
            .find(|(_, component)| component.kind == Kind::Postgres)
            .ok_or_else(|| unsuitable(format!("{} needs no database of kind postgres", route.to)))?;
        let home = component.writer.clone().ok_or_else(|| unsuitable(format!("{database} has no writer")))?;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            host: host.clone(),
            port,
            database,
            home,
            objective: Objective {
                rto_ms: component.objectives.rto.map(millis),
                rpo_ms: component.objectives.rpo.map(millis),
            },
            regions: addresses.iter().map(|(region, address)| (*address, region.clone())).collect(),
            addresses,
        })
    }
}
