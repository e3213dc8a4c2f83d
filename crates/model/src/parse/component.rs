//! One component of a file: its fields, the references in it, and the rules among its own fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use crate::app::{
    Check, CheckTarget, Component, Kind, Objectives, Pattern, Provider, Reads, Replication, Size, WithoutStandby,
};
use crate::fields::{CHECK, OBJECTIVES, SIZE};
use crate::problem::{Problems, Spot, listed};
use crate::quantity::format_duration;
use crate::{ComponentId, RegionId, compute, fargate};

use super::app::{Declared, read_objectives};
use super::typed::{Fields, Named, Typing, word};

/// A component, of which something may be unreadable.
pub(super) struct Draft {
    pub id: ComponentId,
    pub fields: Rc<Fields>,
    pub kind: Option<Kind>,
    /// Where it runs or keeps data, as far as that can be told.
    pub regions: BTreeSet<RegionId>,
    /// Of compute: its list of regions is empty.
    pub runs_nowhere: bool,
    /// What it needs, with where that is said.
    pub needs: Vec<(ComponentId, Spot)>,
    pub port: Option<u16>,
    pub component: Option<Component>,
}

/// The app's objectives, which a component's own may tighten.
pub(super) struct AppObjectives<'a> {
    pub fields: &'a Fields,
    pub values: &'a Objectives,
}

/// A component's name and kind, for those who refer to it.
pub(super) fn kind_of(entry: &Named) -> (ComponentId, Option<Kind>) {
    let kind = match &entry.value.content {
        Typing::Object(fields) => kind(fields),
        _ => None,
    };
    (entry.name.as_str().into(), kind)
}

fn kind(fields: &Fields) -> Option<Kind> {
    fields.word("kind", &Kind::ALL, Kind::as_str)
}

/// Reads a component. `None`: it is no mapping.
pub(super) fn read(
    entry: &Named,
    declared: &Declared,
    app: &AppObjectives<'_>,
    problems: &mut Problems,
) -> Option<Draft> {
    let Typing::Object(fields) = &entry.value.content else { return None };
    let kind = kind(fields);
    if let Some(kind) = kind {
        refuse_fields_of_other_kinds(fields, kind, problems);
    }
    let objectives = objectives(fields, declared, app, problems);
    let database = database(fields, declared, problems);
    if kind.is_some_and(Kind::is_database) {
        judge_rpo(fields, kind, &objectives, &database, app, problems);
    }
    if kind == Some(Kind::Postgres) {
        need_writer(&entry.name, fields, declared, problems);
    }
    let compute_regions = compute_regions(fields, kind, declared, problems);
    let needs = needs(fields, declared, problems);
    let check = match fields.get("check") {
        Some(_) => check(&fields.fields("check", &CHECK)).map(Some),
        None => Some(None),
    };
    let port = port(fields, kind, check.as_ref().and_then(Option::as_ref));
    if kind == Some(Kind::Process) {
        judge_process(fields, port, check.as_ref().and_then(Option::as_ref), problems);
    }

    let mut regions = compute_regions.clone();
    regions.extend(database.writer.iter().chain(database.standbys.keys()).cloned());
    let component = || {
        Some(Component {
            kind: kind?,
            pattern: fields.word("pattern", Pattern::ALL, Pattern::as_str),
            objectives,
            writer: database.writer,
            standbys: database.standbys,
            confirmations: database.confirmations,
            without_standby: fields.word("without-standby", WithoutStandby::ALL, WithoutStandby::as_str)?,
            reads: fields.word("reads", Reads::ALL, Reads::as_str)?,
            needs: needs.iter().map(|(id, _)| id.clone()).collect(),
            regions: compute_regions,
            run: fields.text("run"),
            check: check?,
            port,
            size: size(&fields.fields("size", &SIZE)),
        })
    };
    let component = component();
    if let Some(component) = &component {
        judge_size(&fields.fields("size", &SIZE), component, problems);
    }
    Some(Draft {
        id: entry.name.as_str().into(),
        kind,
        regions,
        runs_nowhere: fields.list("regions").is_some_and(|regions| regions.is_empty()),
        needs,
        port,
        component,
        fields: Rc::clone(fields),
    })
}

fn refuse_fields_of_other_kinds(fields: &Fields, kind: Kind, problems: &mut Problems) {
    for (name, spot) in fields.given() {
        let Some(field) = fields.object().field(name) else { continue };
        if !field.applies.to(kind) {
            let message = format!("`{name}` has no meaning for kind `{}`", kind.as_str());
            problems.push(spot, message, format!("this field in {} only", field.applies.describe()));
        }
    }
}

/// The component's own objectives where it has any, the app's otherwise.
fn objectives(fields: &Fields, declared: &Declared, app: &AppObjectives<'_>, problems: &mut Problems) -> Objectives {
    let own_fields = fields.fields("objectives", &OBJECTIVES);
    let own = read_objectives(&own_fields, declared, problems);
    let mut looser = |name: &str, own: String, app: String, expected: String| {
        let message = format!("{own} is looser than the app's {app}; a component may only tighten");
        problems.push(&own_fields.spot_of(name), message, expected);
    };
    for (name, own, app) in [("rto", own.rto, app.values.rto), ("rpo", own.rpo, app.values.rpo)] {
        if let (Some(own), Some(app)) = (own, app)
            && own > app
        {
            let app = format_duration(app);
            looser(name, format_duration(own), app.clone(), format!("at most {app}"));
        }
    }
    if let (Some(own), Some(app)) = (own.availability, app.values.availability)
        && own < app
    {
        looser("availability", own.to_string(), app.to_string(), format!("at least {app}"));
    }
    if let (Some(own), Some(app)) = (&own.cost, &app.values.cost)
        && (own.amount > app.amount || own.currency != app.currency)
    {
        if own.currency == app.currency {
            looser("cost", own.to_string(), app.to_string(), format!("at most {app}"));
        } else {
            let message = format!("{own} cannot be compared with the app's {app}");
            problems.push(&own_fields.spot_of("cost"), message, format!("an amount in {}", app.currency));
        }
    }
    let allowed = &app.values.residency;
    if let Some(added) = own.residency.difference(allowed).next()
        && !allowed.is_empty()
        && own.residency.is_superset(allowed)
    {
        let message = format!("all that the app allows is listed, and `{added}` besides; a component may only tighten");
        let expected = format!("a part of {}", listed(allowed.iter().map(String::as_str), "and"));
        problems.push(&own_fields.spot_of("residency"), message, expected);
    }
    Objectives {
        rto: own.rto.or(app.values.rto),
        rpo: own.rpo.or(app.values.rpo),
        residency: if own.residency.is_empty() { allowed.clone() } else { own.residency },
        availability: own.availability.or(app.values.availability),
        cost: own.cost.or_else(|| app.values.cost.clone()),
    }
}

/// Who keeps a database's data.
struct Replicas {
    writer: Option<RegionId>,
    standbys: BTreeMap<RegionId, Replication>,
    confirmations: usize,
}

impl Replicas {
    fn synchronous(&self) -> usize {
        self.standbys.values().filter(|replication| **replication == Replication::Synchronous).count()
    }
}

fn database(fields: &Fields, declared: &Declared, problems: &mut Problems) -> Replicas {
    let writer_name = fields.text("writer");
    let writer = writer_name
        .as_deref()
        .and_then(|name| declared.data_region(name, &fields.spot_of("writer"), "write", problems));
    let mut standbys = BTreeMap::new();
    let mut unreadable = fields.get("standbys").is_some_and(|value| matches!(value.content, Typing::Unreadable));
    for entry in fields.map("standbys") {
        if writer_name.as_ref() == Some(&entry.name) {
            let message = format!("`{}` is the writer itself", entry.name);
            problems.push(&entry.spot, message, "another region: a standby shares nothing with its writer");
            unreadable = true;
            continue;
        }
        let region = declared.data_region(&entry.name, &entry.spot, "keep a standby", problems);
        let replication = match &entry.value.content {
            Typing::Scalar(value) => word(value, Replication::ALL, Replication::as_str),
            _ => None,
        };
        match (region, replication) {
            (Some(region), Some(replication)) => drop(standbys.insert(region, replication)),
            _ => unreadable = true,
        }
    }
    if !standbys.is_empty() && fields.get("writer").is_none() {
        let spot = fields.given().find(|(name, _)| *name == "standbys").map_or(&fields.spot, |(_, spot)| spot);
        problems.push(spot, "there are standbys but no writer that they follow", "`writer: REGION` as well");
    }
    let mut replicas = Replicas { writer, standbys, confirmations: 0 };
    replicas.confirmations = replicas.synchronous();
    if let Some(wanted) = fields.get("confirmations").and_then(|_| fields.integer::<usize>("confirmations")) {
        let most = replicas.synchronous();
        if wanted > most && !unreadable {
            let message = format!(
                "{} cannot come from {}",
                counted(wanted, "confirmation"),
                counted(most, "synchronous standby")
            );
            let expected = match most {
                0 => "no `confirmations`, or a `synchronous` standby".to_owned(),
                1 => "1".to_owned(),
                _ => format!("a number from 1 to {most}"),
            };
            problems.push(&fields.spot_of("confirmations"), message, expected);
        }
        replicas.confirmations = wanted;
    }
    replicas
}

/// S2 cannot be kept where no commit ever waits for a standby.
fn judge_rpo(
    fields: &Fields,
    kind: Option<Kind>,
    objectives: &Objectives,
    replicas: &Replicas,
    app: &AppObjectives<'_>,
    problems: &mut Problems,
) {
    let all_readable = replicas.standbys.len() == fields.map("standbys").len();
    let zero = objectives.rpo.is_some_and(|rpo| rpo.is_zero());
    if !zero || replicas.standbys.is_empty() || replicas.synchronous() > 0 || !all_readable {
        return;
    }
    let own = fields.fields("objectives", &OBJECTIVES);
    let demanded = if own.get("rpo").is_some() { own.spot_of("rpo") } else { app.fields.spot_of("rpo") };
    let message = format!(
        "`{}: 0s` (line {}) forbids losing any acknowledged write, but only asynchronous standbys are here: what has not \
         reached them yet is lost with the writer's region",
        demanded.path, demanded.at.line
    );
    let spot = fields.map("standbys").first().map_or(&fields.spot, |entry| &entry.value.spot);
    let suggestion = (kind == Some(Kind::Postgres)).then(|| Replication::Synchronous.as_str().to_owned());
    problems.push_with(spot, message, "a `synchronous` standby, or an `rpo` above 0s", || suggestion);
}

/// Lifeboat creates the database itself on machines that the user runs, and cannot guess where.
fn need_writer(name: &str, fields: &Fields, declared: &Declared, problems: &mut Problems) {
    let mut local = declared.data_regions().filter(|(_, region)| region.provider == Some(Provider::Local)).peekable();
    if fields.get("writer").is_none() && local.peek().is_some() {
        let expected = format!("`writer: REGION` with {}", listed(local.map(|(id, _)| id.as_str()), "or"));
        problems.push(
            &fields.spot,
            format!("`{name}` has no writer, which PostgreSQL in `local/` places needs"),
            expected,
        );
    }
}

/// Of compute, where it runs; empty for a database.
fn compute_regions(
    fields: &Fields,
    kind: Option<Kind>,
    declared: &Declared,
    problems: &mut Problems,
) -> BTreeSet<RegionId> {
    let given = fields.list("regions").map(|regions| {
        let resolve = |(name, spot): (&str, &Spot)| declared.data_region(name, spot, "run a component", &mut *problems);
        regions.into_iter().filter_map(resolve).collect()
    });
    match (kind, fields.get("regions")) {
        (Some(kind), None) if !kind.is_database() => declared.data_regions().map(|(id, _)| id.clone()).collect(),
        _ => given.unwrap_or_default(),
    }
}

fn needs(fields: &Fields, declared: &Declared, problems: &mut Problems) -> Vec<(ComponentId, Spot)> {
    let names = fields.list("needs").unwrap_or_default();
    names
        .into_iter()
        .filter_map(|(name, spot)| Some((declared.component(name, spot, problems)?.0, spot.clone())))
        .collect()
}

fn check(fields: &Fields) -> Option<Check> {
    let target = if fields.get("http").is_some() {
        CheckTarget::Http(fields.text("http")?)
    } else if fields.get("https").is_some() {
        CheckTarget::Https {
            path: fields.text("https")?,
            ca: fields.text("ca").map(PathBuf::from),
            name: fields.text("name").map(|name| name.as_str().into()),
        }
    } else {
        fields.get("tcp").map(|_| CheckTarget::Tcp)?
    };
    Some(Check { target, every: fields.duration("every")?, timeout: fields.duration("timeout")? })
}

fn port(fields: &Fields, kind: Option<Kind>, check: Option<&Check>) -> Option<u16> {
    if fields.get("port").is_some() {
        return fields.integer("port");
    }
    match check {
        _ if kind == Some(Kind::Postgres) => Some(5432),
        Some(Check { target: CheckTarget::Http(target), .. }) => port_of_url(target),
        Some(Check { target: CheckTarget::Https { .. } | CheckTarget::Tcp, .. }) | None => None,
    }
}

/// Of `http://HOST:PORT/…` the port, 80 where there is none; of a mere path nothing.
fn port_of_url(target: &str) -> Option<u16> {
    let authority = target.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(80),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn judge_process(fields: &Fields, port: Option<u16>, check: Option<&Check>, problems: &mut Problems) {
    if fields.get("run").is_none() {
        problems.push(&fields.spot, "`run` is missing, without which a process cannot be started", "`run: COMMAND`");
    }
    if check.is_some() && port.is_none() && fields.get("port").is_none() {
        problems.push(&fields.spot_of("check"), "there is no port to check", "`port` beside `check`");
    }
}

/// How many instances stand by has to go with the pattern and the count; an instance type of ECS, with what runs there.
fn judge_size(fields: &Fields, component: &Component, problems: &mut Problems) {
    if component.kind == Kind::Ecs
        && let Some((message, expected)) = component.size.instance.as_deref().and_then(fargate::refusal)
    {
        problems.push(&fields.spot_of("instance"), message, expected);
    }
    let Some(standby) = component.size.standby else { return };
    let (kind, full) = (component.kind.as_str(), compute::full(component));
    let spot = fields.spot_of("standby");
    if !compute::has_standby_size(component.kind) {
        let message = format!("`standby` has no meaning for kind `{kind}`, of which a region has one or none");
        return problems.push(&spot, message, "`standby` of `aurora-global` and of compute that is no process");
    }
    let expected = match component.pattern {
        _ if standby > full => Some(format!("at most {full}, the whole `count`")),
        Some(Pattern::BackupRestore | Pattern::PilotLight) if standby > 0 => {
            Some("0, or `pattern: warm-standby`".into())
        }
        Some(Pattern::WarmStandby) if standby == 0 => Some("at least 1, or `pattern: pilot-light`".into()),
        Some(Pattern::ActiveActive) if standby < full => Some(format!("{full}, or `pattern: warm-standby`")),
        _ => None,
    };
    if let Some(expected) = expected {
        let pattern = component.pattern.map_or(String::new(), |pattern| format!(" and pattern `{}`", pattern.as_str()));
        let message = format!("{standby} standing by do not go with a count of {full}{pattern}");
        problems.push(&spot, message, expected);
    }
}

fn size(fields: &Fields) -> Size {
    Size {
        instance: fields.text("instance"),
        count: fields.integer("count"),
        standby: fields.integer("standby"),
        storage: fields.bytes("storage"),
        writes_per_day: fields.bytes("writes"),
        requests: fields.number("requests"),
        image: fields.text("image"),
    }
}
