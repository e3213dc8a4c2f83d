//! The `lifeboat` command: reads the words, calls the crate that does it, tells the outcome.
//!
//! Exit codes: 0 all is well, 1 it was tried and failed or an objective was missed, 2 the command or the file is wrong,
//! 3 nobody could be asked.

mod ask;
mod certs;
mod command;
mod disk;
mod evidence;
mod exit;
mod file;
mod infra;
mod judge;
mod local;
mod roles;
mod show;
mod tokens;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::{Arguments, Verb};
use crate::exit::Failure;

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => exit::despite_its_readers(|| run(arguments)),
        // Help, the version, or what is wrong with the words.
        Err(said) => match said.print() {
            Err(error) if !said.use_stderr() => exit::lost(&format!("failed printing to stdout: {error}")),
            Ok(()) | Err(_) => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
        },
    }
}

fn run(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.verb {
        Verb::Validate(validate) => local::validate(&validate),
        Verb::Schema => local::schema(),
        Verb::Assess(assess) => judge::assess(&assess),
        Verb::Regions(regions) => judge::regions(&regions),
        Verb::Generate(generate) => infra::generate(&generate),
        Verb::Diff(diff) => runtime().and_then(|runtime| runtime.block_on(infra::diff(&diff))),
        Verb::Roles(words) => runtime().and_then(|runtime| runtime.block_on(roles::roles(&words))),
        Verb::Completions { shell } => local::completions(shell),
        Verb::Token(token) => tokens::token(&token),
        Verb::Certs(certs) => certs::certs(&certs),
        Verb::Plan(plan) => runtime().and_then(|runtime| runtime.block_on(ask::plan(&plan))),
        Verb::Node(node) => runtime().and_then(|runtime| {
            let ended = runtime.block_on(local::node(node));
            // A driver's order that goes on in a thread of its own ends with the process.
            runtime.shutdown_timeout(std::time::Duration::from_millis(100));
            ended
        }),
        Verb::Drill(drill) => runtime().and_then(|runtime| runtime.block_on(local::drill(drill))),
        Verb::Status(which) => runtime().and_then(|runtime| runtime.block_on(ask::status(&which))),
        Verb::Events(events) => runtime().and_then(|runtime| runtime.block_on(ask::events(&events))),
        Verb::Failover(request) => runtime().and_then(|runtime| runtime.block_on(ask::request(&request, "failover"))),
        Verb::Approve(approve) => runtime().and_then(|runtime| runtime.block_on(ask::approve(&approve))),
        Verb::Done(done) => runtime().and_then(|runtime| runtime.block_on(ask::done(&done))),
        Verb::Switchover(request) => {
            runtime().and_then(|runtime| runtime.block_on(ask::request(&request, "switchover")))
        }
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            failure.tell();
            failure.code()
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))
}
