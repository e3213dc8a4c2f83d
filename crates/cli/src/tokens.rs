//! `lifeboat token`: the tokens by which nodes know people, made and ended on the nodes' machine.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lifeboat_node::tokens::Tokens;

use crate::command::{CreateToken, RevokeToken, Token, TokenVerb, WhichTokens};
use crate::exit::Failure;
use crate::local;

/// `lifeboat token`
pub fn token(token: &Token) -> Result<ExitCode, Failure> {
    match &token.verb {
        TokenVerb::Create(create) => self::create(create),
        TokenVerb::List(which) => list(which),
        TokenVerb::Revoke(revoke) => self::revoke(revoke),
    }
}

fn of(which: &WhichTokens) -> Result<Tokens, Failure> {
    if !which.file.is_file() && which.directory.is_none() {
        return Err(Failure::Wrong(format!("lifeboat: {}: no such file", which.file.display())));
    }
    Tokens::of(&local::directory(&which.file, which.directory.as_ref())).map_err(failed)
}

fn failed(error: lifeboat_node::Error) -> Failure {
    Failure::Failed(error.to_string())
}

fn create(create: &CreateToken) -> Result<ExitCode, Failure> {
    let now = now();
    let expires = create.expires.map(|span| now + span.as_secs());
    let made = of(&create.which)?.create(&create.name, create.role, now, expires).map_err(failed)?;
    if create.which.json {
        let json = serde_json::json!({ "name": create.name, "role": create.role, "expires": expires, "token": made });
        println!("{json}");
    } else {
        // The token alone on standard output, so that it can be led elsewhere than to a screen.
        println!("{made}");
        eprintln!("\nShown this once. {} gives it to `lifeboat` in the variable LIFEBOAT_TOKEN.", create.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(which: &WhichTokens) -> Result<ExitCode, Failure> {
    let tokens = of(which)?.list().map_err(failed)?;
    let now = now();
    if which.json {
        let shown: Vec<_> = tokens
            .iter()
            .map(|t| serde_json::json!({ "name": t.name, "role": t.role, "created": t.created, "expires": t.expires }))
            .collect();
        println!("{}", serde_json::Value::from(shown));
        return Ok(ExitCode::SUCCESS);
    }
    let width = tokens.iter().map(|token| token.name.chars().count()).max().unwrap_or(0);
    for token in &tokens {
        let end = match token.expires {
            None => "until it is revoked".to_owned(),
            Some(_) if token.has_expired(now) => "EXPIRED".to_owned(),
            Some(expires) => format!("for {} more hours", (expires - now).div_ceil(3600)),
        };
        println!("{:width$}  {:8}  {end}", token.name, token.role);
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(revoke: &RevokeToken) -> Result<ExitCode, Failure> {
    if of(&revoke.which)?.revoke(&revoke.name).map_err(failed)? {
        println!("the token of {} is worth nothing any more", revoke.name);
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::Failed(format!(
        "there is no token of {}; `lifeboat token list` shows those that there are",
        revoke.name
    )))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
