//! Explores the protocol by hand: `lifeboat-protocol --help`.

use std::process::ExitCode;
use std::time::Instant;

use lifeboat_protocol::config::{Config, Mutation, Opening, UNBOUNDED};
use lifeboat_protocol::explore::explore;
use lifeboat_protocol::rules::Protocol;

const HELP: &str = "\
Explores every state that the failover protocol can reach, and asks every promise of each.

usage: lifeboat-protocol [OPTIONS]

  --regions N        regions with data, 2 or 3 [2]
  --confirmations K  how many standbys confirm a commit [1]
  --writes N         writes of clients, at most 7 [2]
  --epochs N         the newest epoch that may be claimed, at most 7 [3]
  --crashes N        crashes of servers, or `any` [any]
  --restarts N       restarts of nodes, which forget, or `any` [1]
  --losses N         lost answers of the store, or `any` [1]
  --behind-peers     epochs open once standbys follow (`without-standby: stop`), not alone
  --no-promises      nodes promise each other nothing
  --break RULE       with a rule broken; may be given several times
  --mutations        every rule broken, one at a time
  --limit N          states after which to give up [1000000000]

RULE is one of
";

fn main() -> ExitCode {
    match read(std::env::args().skip(1)) {
        Ok(Some(asked)) => run(&asked),
        Ok(None) => {
            print!("{HELP}");
            for (mutation, what) in Mutation::ALL {
                println!("  {:20} {what}", format!("{mutation:?}"));
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}; see --help");
            ExitCode::from(2)
        }
    }
}

struct Asked {
    config: Config,
    each_mutation: bool,
    limit: usize,
}

fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let mut asked = Asked { config: Config::new(2), each_mutation: false, limit: 1_000_000_000 };
    while let Some(arg) = args.next() {
        let config = &mut asked.config;
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        let number = |text: String, least: usize, most: usize| match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("`{arg} {text}`: expected a number from {least} to {most}")),
        };
        let small = |text: String, least, most| number(text, least, most).map(|number| number as u8);
        let budget = |text: String| if text == "any" { Ok(UNBOUNDED) } else { small(text, 0, 200) };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--regions" => config.regions = number(value()?, 2, 3)?,
            "--confirmations" => config.confirmations = number(value()?, 1, 2)?,
            "--writes" => config.writes = small(value()?, 0, 7)?,
            "--epochs" => config.epochs = small(value()?, 1, 7)?,
            "--crashes" => config.crashes = budget(value()?)?,
            "--restarts" => config.restarts = budget(value()?)?,
            "--losses" => config.losses = budget(value()?)?,
            "--behind-peers" => config.opening = Opening::BehindPeers,
            "--no-promises" => config.promises = false,
            "--mutations" => asked.each_mutation = true,
            "--limit" => asked.limit = number(value()?, 1, 4_000_000_000)?,
            "--break" => {
                let name = value()?;
                let all = Mutation::ALL.iter().map(|(mutation, _)| *mutation);
                let mutation = all.clone().find(|mutation| format!("{mutation:?}").eq_ignore_ascii_case(&name));
                *config = config.breaking(mutation.ok_or_else(|| format!("`{name}` is no rule"))?);
            }
            _ => return Err(format!("`{arg}` is no option")),
        }
    }
    Ok(Some(asked))
}

fn run(asked: &Asked) -> ExitCode {
    if !asked.each_mutation {
        return tell("", &asked.config, asked.limit, true);
    }
    let mut worst = ExitCode::SUCCESS;
    for (mutation, what) in Mutation::ALL {
        // That a broken rule breaks no promise is the news here.
        if tell(&format!("{what}: "), &asked.config.breaking(mutation), asked.limit, false) == ExitCode::SUCCESS {
            worst = ExitCode::FAILURE;
        }
    }
    worst
}

fn tell(what: &str, config: &Config, limit: usize, story: bool) -> ExitCode {
    let begun = Instant::now();
    let explored = explore(&Protocol::new(*config), limit);
    let size = format!(
        "{} states, {} steps tried, depth {}, {:.1} s",
        explored.states,
        explored.steps,
        explored.depth,
        begun.elapsed().as_secs_f32()
    );
    match explored.broken {
        None if explored.complete => println!("{what}every promise held: {size}"),
        None => println!("{what}every promise held so far, given up at the limit: {size}"),
        Some((broken, way)) => {
            println!("{what}{broken}, after {} steps: {size}", way.len());
            if story {
                way.iter().for_each(|step| println!("  {step}"));
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
