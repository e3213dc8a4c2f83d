//! `lifeboat assess` and `lifeboat regions`: the right pattern, the right regions, at a known price.

use std::process::ExitCode;

use lifeboat_assess::report::{FrontierPoint, PatternRow, Standing};
use lifeboat_assess::{
    Assessment, Inputs, WhatIf, assess as plainly, assess_fully, compare, frontier, html, regions as places,
    text as report, what_if, write,
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
    let (app, text) = file::read_with_text(&assess.file)?;
    let unknown = file::unknown_places(&app, &text);
    if !unknown.is_empty() {
        return Err(Failure::Wrong(file::render(&assess.file, &text, &unknown)));
    }
    spare(assess)?;
    let mut inputs = Inputs::new(Atlas::embedded());
    inputs.keep_pins = !assess.anew;
    inputs.history = evidence::history(&app, &assess.measured)?;
    if let Some(path) = &assess.prices {
        let declared = PriceBook::parse_declared(&file::text(path)?)
            .map_err(|error| Failure::Wrong(format!("lifeboat: {}: {error}", path.display())))?;
        inputs.declared = declared;
    }
    if !assess.what_if.is_empty() {
        let differences = assess
            .what_if
            .iter()
            .map(|question| {
                let question = WhatIf::parse(question).map_err(|why| Failure::Wrong(format!("lifeboat: {why}")))?;
                what_if(&app, &inputs, &question).map_err(|error| Failure::Wrong(format!("lifeboat: {error}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        say(assess.json, &differences, || differences.iter().map(report::difference).collect())?;
        return Ok(ExitCode::SUCCESS);
    }
    if assess.compare || assess.frontier {
        let asked = Asked {
            patterns: assess.compare.then(|| compare(&app, &inputs)),
            frontier: assess.frontier.then(|| frontier(&app, &inputs)),
        };
        say(assess.json, &asked, || asked.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = if app.components.len() > ENORMOUS { of_enormous(&app, &inputs) } else { assess_fully(&app, &inputs) };
    say(assess.json, &answer, || report::render(&answer))?;
    if let Some(path) = &assess.html {
        let page = html::page(&answer, app.objectives.rto.map(|rto| rto.as_secs_f64()));
        file::put(path, page.as_bytes())?;
    }
    if assess.write {
        put_back(assess, &text, &answer)?;
    }
    Ok(if answer.summary.standing == Standing::Unattainable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The tables that were asked for, under their names in the whole assessment.
#[derive(Serialize)]
struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    patterns: Option<Vec<PatternRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontier: Option<Vec<FrontierPoint>>,
}

impl Asked {
    fn text(&self) -> String {
        let patterns = self.patterns.as_deref().map(report::patterns);
        let frontier = self.frontier.as_deref().map(report::frontier);
        patterns.into_iter().chain(frontier).collect()
    }
}

/// Refuses before any work what would cost the user a file.
fn spare(assess: &Assess) -> Result<(), Failure> {
    if let Some(page) = &assess.html {
        let read = [&assess.file].into_iter().chain(&assess.prices).chain(&assess.measured);
        if let Some(read) = read.into_iter().find(|read| file::is_same(read, page)) {
            return Err(Failure::Wrong(format!(
                "lifeboat: --html {}: this is {}, which is read; expected another file for the page",
                page.display(),
                read.display()
            )));
        }
    }
    if assess.write && !assess.file.is_file() {
        let file = assess.file.display();
        return Err(Failure::Wrong(format!("lifeboat: {file}: nothing can be put back into a pipe; expected a file")));
    }
    Ok(())
}

/// `--write`: nothing is written where it would not help, or where somebody else wrote meanwhile.
fn put_back(assess: &Assess, before: &str, answer: &Assessment) -> Result<(), Failure> {
    let failed = |why: String| Failure::Failed(format!("{}: nothing is written: {why}", assess.file.display()));
    let after = write::write(before, answer, !assess.anew).map_err(|error| failed(error.to_string()))?;
    if after == before {
        return Ok(());
    }
    if file::declaration(&assess.file)? != before.as_bytes() {
        return Err(failed("it was changed while it was being assessed".into()));
    }
    file::put(&assess.file, after.as_bytes())
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
        if !regions.service.is_empty() {
            let expected = "expected `lifeboat regions --service SERVICE`";
            return Err(Failure::Wrong(format!("lifeboat: --service is for the list; {expected}")));
        }
        let limits = places::Limits {
            other_clouds: regions.other_clouds,
            within: regions.within.clone(),
            at_most_km: regions.at_most_km,
        };
        let found = places::suggest(atlas, &primary, &limits).ok_or_else(|| unknown(&primary))?;
        say(regions.json, &found, || places::render_suggestions(&found))?;
        return Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    if regions.other_clouds {
        let expected = "expected `lifeboat regions suggest --primary PLACE --other-clouds`";
        return Err(Failure::Wrong(format!("lifeboat: --other-clouds is for suggestions; {expected}")));
    }
    if let Some(primary) = primary.as_ref().filter(|primary| atlas.region(primary).is_none()) {
        return Err(unknown(primary));
    }
    let filter = places::Filter {
        services: regions.service.clone(),
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

fn unknown(place: &Place) -> Failure {
    Failure::Wrong(format!("lifeboat: no region `{place}` is known; `lifeboat regions` lists them"))
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
