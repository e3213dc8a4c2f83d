//! Who may do what: tokens with names and roles, kept hashed in a file that the nodes of a machine share.
//!
//! The file is read at each request that shows a token, so that one that is revoked is worth nothing at once. What is kept of a
//! token does not give it back: it is 32 random bytes, and their SHA-256 is all that is written down.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::shared::secrets_directory;

/// What tokens begin with, so that scanners for secrets find them where they should not be.
const PREFIX: &str = "lifeboat_";
const FILE: &str = "tokens.json";

/// What somebody may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Ask for failovers and switchovers, and approve them.
    Operator,
    /// Accept losses, and vouch that a lost region is really stopped.
    Admin,
}

impl Role {
    /// All of them, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no role; expected viewer, operator or admin"))
    }
}

/// A token as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is: what the journal says.
    pub name: String,
    /// What its owner may do.
    pub role: Role,
    sha256: String,
    /// When it was made, in seconds since 1970 UTC.
    pub created: u64,
    /// From when on it is worth nothing, in the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Token {
    /// Whether it is worth nothing any more.
    pub fn has_expired(&self, now_unix: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_unix)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    tokens: Vec<Token>,
}

/// The tokens of a machine.
#[derive(Clone, Debug)]
pub struct Tokens {
    secrets: PathBuf,
}

impl Tokens {
    /// Those below a node's directory.
    ///
    /// # Errors
    /// A directory of secrets that cannot be made.
    pub fn of(directory: &Path) -> Result<Self, Error> {
        Ok(Self { secrets: secrets_directory(directory)? })
    }

    /// All of them, in the order in which they were made.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what was written.
    pub fn list(&self) -> Result<Vec<Token>, Error> {
        let path = self.path();
        let failed = |source| Error::File { path: path.clone(), source };
        match fs::read(&path) {
            Ok(text) => {
                let kept: Kept = serde_json::from_slice(&text).map_err(|error| {
                    failed(io::Error::other(format!("not a file of tokens (line {})", error.line())))
                })?;
                Ok(kept.tokens)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes one, and returns it: it is shown this once.
    ///
    /// # Errors
    /// A name that is taken or would not do in a journal; a file that cannot be written.
    pub fn create(&self, name: &str, role: Role, now_unix: u64, expires: Option<u64>) -> Result<String, Error> {
        let wrong = |why: String| Error::Token { name: name.to_owned(), why };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
        if name.is_empty() || name.chars().count() > 64 || !name.chars().all(fits) {
            return Err(wrong("a name has at most 64 letters, digits and `-_.@+`".into()));
        }
        self.change(|tokens| {
            tokens.retain(|token| token.name != name || !token.has_expired(now_unix));
            if tokens.iter().any(|token| token.name == name) {
                return Err(wrong("there is such a token; revoke it first, or take another name".into()));
            }
            let mut random = [0_u8; 32];
            getrandom::fill(&mut random).map_err(|error| wrong(error.to_string()))?;
            let made: String = PREFIX.chars().chain(random.iter().flat_map(|byte| hex(*byte))).collect();
            tokens.push(Token {
                name: name.to_owned(),
                role,
                sha256: hash(&made).into_iter().flat_map(hex).collect(),
                created: now_unix,
                expires,
            });
            Ok(made)
        })
    }

    /// Ends one. False: there is none of that name.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn revoke(&self, name: &str) -> Result<bool, Error> {
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            Ok(tokens.len() < before)
        })
    }

    /// The token that was shown, expired or not. Every one that is kept is compared, whole.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn find(&self, shown: &str) -> Result<Option<Token>, Error> {
        let shown: String = hash(shown).into_iter().flat_map(hex).collect();
        let mut found = None;
        for token in self.list()? {
            if is_same(&shown, &token.sha256) {
                found = Some(token);
            }
        }
        Ok(found)
    }

    fn path(&self) -> PathBuf {
        self.secrets.join(FILE)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Token>) -> Result<T, Error>) -> Result<T, Error> {
        let path = self.path();
        let failed = |source: io::Error| Error::File { path: path.clone(), source };
        // One at a time; the kernel lets go of the lock with the file.
        let lock = open(&self.secrets.join(".tokens.lock")).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let mut tokens = self.list()?;
        let result = change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Kept { tokens }).map_err(|error| failed(io::Error::other(error)))?;
        let aside = self.secrets.join(".tokens.new");
        let written = open(&aside).and_then(|mut file| {
            file.set_len(0)?;
            file.write_all(&text)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&aside, &path)).map_err(failed)?;
        Ok(result)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0'))
}

/// Compares in a time that does not depend on where they differ.
pub fn is_same(given: &str, token: &str) -> bool {
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_found_until_it_is_revoked_and_is_not_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(directory.path()).unwrap();
        assert_eq!(tokens.find("anything").unwrap(), None);
        let alice = tokens.create("alice", Role::Operator, 100, None).unwrap();
        let bob = tokens.create("bob", Role::Admin, 100, Some(200)).unwrap();
        assert!(alice.starts_with("lifeboat_") && alice.len() == 9 + 64 && alice != bob);
        let found = tokens.find(&alice).unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.role), ("alice", Role::Operator));
        let bob = tokens.find(&bob).unwrap().unwrap();
        assert!(!bob.has_expired(199) && bob.has_expired(200));
        for near in ["", "lifeboat_", &alice[..72], &alice.to_uppercase()] {
            assert_eq!(tokens.find(near).unwrap(), None, "{near}");
        }
        let path = directory.path().join("secrets/tokens.json");
        let file = fs::read_to_string(&path).unwrap();
        assert!(!file.contains(&alice[9..]) && !format!("{tokens:?} {found:?}").contains(&alice[9..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(tokens.revoke("alice").unwrap());
        assert!(!tokens.revoke("alice").unwrap());
        assert_eq!(tokens.find(&alice).unwrap(), None);
        assert_eq!(tokens.list().unwrap().len(), 1);
    }

    #[test]
    fn names_are_unique_and_fit_for_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(directory.path()).unwrap();
        tokens.create("alice", Role::Viewer, 100, Some(200)).unwrap();
        let error = tokens.create("alice", Role::Admin, 150, None).unwrap_err().to_string();
        assert!(error.contains("there is such a token"), "{error}");
        tokens.create("alice", Role::Admin, 200, None).unwrap();
        assert_eq!(tokens.list().unwrap().len(), 1, "an expired one makes place");
        for name in ["", "a b", "x\n", &"n".repeat(65)] {
            assert!(tokens.create(name, Role::Viewer, 0, None).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_file_that_was_not_written_here_is_named_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(directory.path()).unwrap();
        fs::write(directory.path().join("secrets/tokens.json"), "{\"tokens\": [\"lifeboat_hidden\"]}").unwrap();
        let error = format!("{:?} {}", tokens.list().unwrap_err(), tokens.list().unwrap_err());
        assert!(error.contains("tokens.json") && !error.contains("hidden"), "{error}");
        assert!(tokens.create("alice", Role::Viewer, 0, None).is_err(), "it is left as it is");
    }
}
