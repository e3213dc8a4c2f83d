//! What people have asked for and what becomes of it: who else has to agree, and when it is too late.

use std::time::Duration;

use lifeboat_model::ComponentId;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::state::{Transaction, Write};
use lifeboat_model::status::RequestStatus;

use crate::brain::Brain;
use crate::record::{self, Request};
use crate::store::put;

/// For how long a person's request is tried, once everybody has approved it.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// For how long it waits for those who have to.
const APPROVAL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// So much later a request runs out that is not this node's to carry out: its target may be gone.
const ELSEWHERE: Duration = Duration::from_secs(10);

impl Brain {
    /// How many more people have to agree to a request.
    pub(crate) fn missing_approvals(&self, request: &Request) -> usize {
        self.app.failover.approvals.saturating_sub(1 + request.approved.len())
    }

    /// Whether a failover may be asked for like this, where others have to approve it.
    pub(crate) fn may_ask(&self, database: &ComponentId, request: &Request) -> Result<(), String> {
        let needed = self.app.failover.approvals;
        if needed < 2 {
            return Ok(());
        }
        if request.token.is_none() {
            return Err(format!(
                "{needed} people have to agree to a failover (`failover.approvals`), and they are told apart by their tokens: \
                 `lifeboat token create --role operator --name NAME`"
            ));
        }
        match self.requests.get(database) {
            Some(waiting) if waiting.token != request.token => Err(format!(
                "{} has asked for a failover of {database} already: `lifeboat approve {database}` lets it go",
                waiting.by
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Approves what another person has asked for.
    pub(crate) fn approve(&mut self, ticket: u64, database: &ComponentId, by: String) -> Result<(), String> {
        let Some(mut request) = self.requests.get(database).cloned() else {
            return Err(format!("nobody has asked for a failover of {database}, or it has run out: ask for it"));
        };
        let Some(to) = request.to.clone() else { return Err("it names no region".into()) };
        let asker = request.by.clone();
        if self.missing_approvals(&request) == 0 {
            return Err(format!("the failover of {database} that {asker} asked for needs nobody else's approval"));
        }
        if request.token.as_ref() == Some(&by) {
            return Err(format!("{by} has asked for it: somebody else has to approve"));
        }
        if !request.approved.insert(by.clone()) {
            return Err(format!("{by} has approved it already: somebody else has to"));
        }
        let missing = self.missing_approvals(&request);
        let readiness = self.readiness(database, &to).reason;
        let (why, answer) = if missing == 0 {
            (readiness, format!("{to} takes over {database}"))
        } else {
            (format!("{readiness}; {}", more(missing)), more(missing))
        };
        let key = record::request_key(database);
        let when = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
        let what = format!("{by} approves the failover of {database} to {to}{} that {asker} asks for", terms(&request));
        self.note(EntryKind::Request, Some(database), what, why);
        self.transact(Transaction { when, then: vec![put(key, &request, None)] }, Some((ticket, answer)));
        Ok(())
    }

    /// Remembers since when a request waits, and drops one that could not be met in time, rather than have it carried out when nobody
    /// expects it any more. Counts by this node's own clock, from when it has seen the request as it is.
    pub(crate) fn watch_request(&mut self, database: &ComponentId) {
        let now = self.clock.now;
        let request = self.requests.get(database).cloned();
        let Some(local) = self.locals.get_mut(database) else { return };
        let Some(request) = request else {
            local.request_seen = None;
            return;
        };
        let since = match &local.request_seen {
            Some((seen, since)) if *seen == request => *since,
            _ => {
                local.request_seen = Some((request.clone(), now));
                now
            }
        };
        let missing = self.missing_approvals(&request);
        let limit = if missing == 0 { REQUEST_LIMIT } else { APPROVAL_LIMIT };
        let late = if request.to.as_ref() == Some(&self.me) { Duration::ZERO } else { ELSEWHERE };
        if self.has_lasted(since, limit + late) && self.may_transact() {
            let why = if missing == 0 {
                format!("it could not be met within {} s", limit.as_secs())
            } else {
                format!("{} within {} min", more(missing), limit.as_secs() / 60)
            };
            let what = format!("{}'s request for a failover of {database} dropped", request.by);
            self.note(EntryKind::Request, Some(database), what, why);
            let key = record::request_key(database);
            let when = vec![self.unchanged(key.clone())];
            self.transact(Transaction { when, then: vec![Write::Delete { key }] }, None);
        }
    }

    /// The requests that wait, for people.
    pub(crate) fn request_status(&self, request: &Request) -> Option<RequestStatus> {
        Some(RequestStatus {
            to: request.to.clone()?,
            by: request.by.clone(),
            approved: request.approved.iter().cloned().collect(),
            missing: self.missing_approvals(request),
        })
    }
}

/// How many more people have to agree, in words.
pub(crate) fn more(missing: usize) -> String {
    match missing {
        1 => "one more person has to approve".to_owned(),
        more => format!("{more} more people have to approve"),
    }
}

/// What else was asked for, as it stands behind the region in a sentence.
pub(crate) fn terms(request: &Request) -> &'static str {
    match (request.accept_loss, request.vouch) {
        (false, false) => "",
        (true, false) => ", accepting the loss",
        (false, true) => ", vouching that the old writer is stopped",
        (true, true) => ", accepting the loss and vouching that the old writer is stopped",
    }
}
