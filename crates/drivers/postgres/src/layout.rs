//! Where things lie in a supervised directory, who owns them, and how a file is replaced so that it survives a power cut.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::error::{At as _, Error};

/// `sun_path` holds 108 bytes; PostgreSQL and libpq refuse what does not fit.
const LONGEST_SOCKET_PATH: usize = 99;

/// The user that PostgreSQL runs as, where that is not our own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    /// `postgres` where we are root, which PostgreSQL refuses to run as; `None` otherwise.
    pub fn find() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).at(passwd)?;
        let line = text.lines().find_map(|line| line.strip_prefix("postgres:")).ok_or(Error::NoUser)?;
        let mut fields = line.split(':').skip(1);
        let mut number = || fields.next().and_then(|field| field.parse().ok()).ok_or(Error::NoUser);
        Ok(Some(Self { uid: number()?, gid: number()? }))
    }
}

/// The directory of one supervised server.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    pub owner: Option<Owner>,
}

impl Layout {
    /// Makes the directory and what is always in it.
    pub fn make(directory: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        fs::create_dir_all(directory).at(directory)?;
        let root = fs::canonicalize(directory).at(directory)?;
        if owner.is_some() {
            for above in root.ancestors().skip(1) {
                if fs::metadata(above).at(above)?.mode() & 0o001 == 0 {
                    return Err(Error::Unreachable(above.to_owned()));
                }
            }
        }
        let layout = Self { root, owner };
        layout.claim(&layout.root, 0o700)?;
        for inside in [layout.conf(), layout.log(), layout.divergent()] {
            layout.make_directory(&inside)?;
        }
        Ok(layout)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The data directory: complete whenever it exists.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }
    /// A data directory in the making. One that is found was interrupted and is made anew.
    pub fn new_data(&self) -> PathBuf {
        self.root.join("data.new")
    }
    /// What a fresh copy replaces, until the copy is complete.
    pub fn old_data(&self) -> PathBuf {
        self.root.join("data.old")
    }
    /// Exists while `data` is being rewound: what is there meanwhile can be neither started nor rewound again.
    pub fn rewinding(&self) -> PathBuf {
        self.root.join("rewinding")
    }
    pub fn conf(&self) -> PathBuf {
        self.root.join("conf")
    }
    pub fn settings(&self) -> PathBuf {
        self.conf().join("postgresql.conf")
    }
    pub fn hba(&self) -> PathBuf {
        self.conf().join("pg_hba.conf")
    }
    pub fn passfile(&self) -> PathBuf {
        self.conf().join("pgpass")
    }
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }
    pub fn server_log(&self) -> PathBuf {
        self.log().join("server.log")
    }
    pub fn programs_log(&self) -> PathBuf {
        self.log().join("programs.log")
    }
    pub fn divergent(&self) -> PathBuf {
        self.root.join("divergent")
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub fn standby_signal(&self) -> PathBuf {
        self.data().join("standby.signal")
    }

    /// A directory named `name` for a server's socket: inside ours where the path is short enough, otherwise a private one.
    pub fn socket_directory(&self, name: &str) -> Result<PathBuf, Error> {
        let inside = self.root.join(name);
        if inside.join(".s.PGSQL.65535.lock").as_os_str().len() <= LONGEST_SOCKET_PATH {
            self.make_directory(&inside)?;
            return Ok(inside);
        }
        let above =
            std::env::var_os("XDG_RUNTIME_DIR").filter(|_| self.owner.is_none()).unwrap_or_else(|| "/tmp".into());
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string())).at(Path::new("/tmp"))?;
        let private = Path::new(&above).join(format!("lifeboat-{:016x}", u64::from_ne_bytes(bytes)));
        fs::DirBuilder::new().mode(0o700).create(&private).at(&private)?;
        self.claim(&private, 0o700)?;
        Ok(private)
    }

    /// Whether a socket directory lies outside ours, and so has to be removed with its server.
    pub fn is_private(&self, sockets: &Path) -> bool {
        !sockets.starts_with(&self.root)
    }

    pub fn make_directory(&self, path: &Path) -> Result<(), Error> {
        fs::create_dir_all(path).at(path)?;
        self.claim(path, 0o700)
    }

    /// Gives a file or directory to the server's user.
    pub fn claim(&self, path: &Path, mode: u32) -> Result<(), Error> {
        if let Some(Owner { uid, gid }) = self.owner {
            chown(path, Some(uid), Some(gid)).at(path)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).at(path)
    }

    /// Replaces a file (mode 0600) so that after a power cut there is the old or the new, whole.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside).at(&aside)?;
        self.claim(&aside, 0o600)?;
        file.write_all(text.as_bytes()).at(&aside)?;
        file.sync_all().at(&aside)?;
        rename(&aside, path)
    }

    /// A log to append to, cut off first where it has grown beyond a bound: the rest is kept as `.1`.
    pub fn open_log(&self, path: &Path) -> Result<File, Error> {
        bound_log(path)?;
        let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).at(path)?;
        self.claim(path, 0o600)?;
        Ok(file)
    }
}

/// A log is cut at this size, so that it and its predecessor together take at most about twice as much.
const LOG_BOUND: u64 = 8 << 20;

/// Copies a log that has grown too big to `.1` and empties it. The server keeps its open file: it appends, so that it goes on
/// at the new end.
pub(crate) fn bound_log(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if found.len() > LOG_BOUND => {
            fs::copy(path, path.with_extension("log.1")).at(path)?;
            fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)).at(path)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at(path),
    }
}

/// Renames durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).at(from)?;
    sync_directory(to.parent().unwrap_or(Path::new("/")))
}

/// Removes a file durably; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => {
            other.at(path)?;
            sync_directory(path.parent().unwrap_or(Path::new("/")))
        }
    }
}

/// Removes a directory with all that is in it; one that is not there is as good.
pub(crate) fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at(path),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).at(path)
}
