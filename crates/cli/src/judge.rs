//! `lifeboat assess` and `lifeboat regions`: the right pattern, the right regions, at a known price.

use std::process::ExitCode;

use lifeboat_assess::report::Standing;
use lifeboat_assess::{
    Assessment, Inputs, WhatIf, assess as plainly, assess_fully, compare, frontier, html, regions as places, text,
    what_if, write,
};
use lifeboat_atlas::{Atlas, PriceBook};
use lifeboat_model::App;
use lifeboat_model::app::{Place, Provider};
use serde::Serialize;

use crate::command::{Assess, Regions};
use crate::exit::Failure;
use crate::{evidence, file};

/// `lifeboat assess`
pub fn assess(assess: &Assess) -> Result<ExitCode, Failure> {
    let app = file::read(&assess.file)?;
    let mut inputs = Inputs::new(Atlas::embedded());
    inputs.keep_pins = !assess.anew;
    inputs.history = evidence::history(&app, &assess.measured)?;
    if let Some(path) = &assess.prices {
        let csv = String::from_utf8_lossy(&file::bytes(path)?).into_owned();
        let declared = PriceBook::parse_declared(&csv)
            .map_err(|error| Failure::Wrong(format!("lifeboat: {}: {error}", path.display())))?;
        inputs.declared = declared;
    }
    if !assess.what_if.is_empty() {
        for question in &assess.what_if {
            let question = WhatIf::parse(question).map_err(|why| Failure::Wrong(format!("lifeboat: {why}")))?;
            let difference =
                what_if(&app, &inputs, &question).map_err(|error| Failure::Wrong(format!("lifeboat: {error}")))?;
            say(assess.json, &difference, || text::difference(&difference))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if assess.compare || assess.frontier {
        if assess.compare {
            let rows = compare(&app, &inputs);
            say(assess.json, &rows, || text::patterns(&rows))?;
        }
        if assess.frontier {
            let points = frontier(&app, &inputs);
            say(assess.json, &points, || text::frontier(&points))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let answer = if app.components.len() > ENORMOUS { of_enormous(&app, &inputs) } else { assess_fully(&app, &inputs) };
    say(assess.json, &answer, || text::render(&answer))?;
    if let Some(path) = &assess.html {
        let page = html::page(&answer, app.objectives.rto.map(|rto| rto.as_secs_f64()));
        std::fs::write(path, page).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    }
    if assess.write {
        let before = String::from_utf8_lossy(&file::bytes(&assess.file)?).into_owned();
        let after = write::write(&before, &answer)
            .map_err(|error| Failure::Failed(format!("{}: {error}", assess.file.display())))?;
        let aside = assess.file.with_extension("yaml.new");
        std::fs::write(&aside, after)
            .and_then(|()| std::fs::rename(&aside, &assess.file))
            .map_err(|error| Failure::Failed(format!("{}: {error}", assess.file.display())))?;
    }
    Ok(if answer.summary.standing == Standing::Unattainable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// With more components, the tables that take many assessments are made only when they are asked for.
const ENORMOUS: usize = 1000;

fn of_enormous(app: &App, inputs: &Inputs<'_>) -> Assessment {
    let mut answer = plainly(app, inputs);
    answer.notes.push(format!(
        "With more than {ENORMOUS} components the table of patterns and the frontier are left out; `--compare` and `--frontier` make them."
    ));
    answer
}

/// `lifeboat regions`
pub fn regions(regions: &Regions) -> Result<ExitCode, Failure> {
    let atlas = Atlas::embedded();
    let primary = regions.primary.as_deref().map(place).transpose()?;
    if regions.text.as_deref() == Some("suggest") {
        let primary = primary
            .ok_or_else(|| Failure::Wrong("lifeboat: suggest for which region? --primary aws/eu-north-1".into()))?;
        let found = places::suggest(atlas, &primary, regions.other_clouds).ok_or_else(|| {
            Failure::Wrong(format!("lifeboat: no region `{primary}` is known; `lifeboat regions` lists them"))
        })?;
        say(regions.json, &found, || places::render_suggestions(&found))?;
        return Ok(ExitCode::SUCCESS);
    }
    let filter = places::Filter {
        text: regions.text.clone(),
        within: regions.within.clone(),
        at_most_km: regions.at_most_km,
        from: primary,
        ..places::Filter::default()
    };
    let rows = places::search(atlas, &filter);
    say(regions.json, &rows, || places::render(&rows))?;
    Ok(if rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn place(text: &str) -> Result<Place, Failure> {
    let parsed = text.split_once('/').and_then(|(provider, name)| {
        let provider = Provider::ALL.into_iter().find(|known| known.as_str() == provider)?;
        Some(Place { provider, name: name.to_owned() })
    });
    parsed.ok_or_else(|| {
        Failure::Wrong(format!("lifeboat: `{text}` is no place; expected such as aws/eu-north-1 or azure/northeurope"))
    })
}

fn say<T: Serialize>(json: bool, answer: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(answer).map_err(|error| Failure::Failed(error.to_string()))?);
    } else {
        print!("{}", text());
    }
    Ok(())
}
