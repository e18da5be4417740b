//! Where the data is: a data folder, or a running server.
//!
//! Flags win over `NEXUSBASE_SERVER`, which wins over `NEXUSBASE_DATA`. Without any of them there
//! is nothing to guess: a command that guessed wrong would read the wrong data.

use std::path::{Path, PathBuf};

use nexusbase::{Database, Documents, Options};
use nexusbase_db::{IDENTITY_FILE, LOCK_FILE};
use nexusbase_io::Env;

use super::args::{FolderArgs, TargetArgs};
use super::failure::{Failure, Outcome};
use super::http::{ApiKey, Client};
use super::shell;
use super::store::Store;

/// What happens if the folder holds no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// That is an error.
    Refuse,
    /// One is created.
    Create,
}

/// What was named, opened.
pub(super) enum Target {
    /// A database, and the folder that it is in.
    Folder(Database, PathBuf),
    /// A server.
    Server(Client),
}

impl TargetArgs {
    /// Opens the documents that the arguments and the environment name.
    pub(super) fn open(&self, missing: Missing) -> Outcome<Store> {
        Ok(match self.open_any(missing)? {
            Target::Folder(db, _) => Store::Folder(Documents::new(&db)),
            Target::Server(client) => Store::Server(client),
        })
    }

    /// Opens what the arguments and the environment name.
    pub(super) fn open_any(&self, missing: Missing) -> Outcome<Target> {
        if let Some(client) = self.server()? {
            return Ok(Target::Server(client));
        }
        let Some(folder) = self.named_folder() else {
            return Err(Failure::usage("it is not said where the data is")
                .hint("add --data DIR for a data folder, or --server URL for a running server"));
        };
        let env = Env::os();
        if missing == Missing::Refuse {
            check_folder(&env, &folder)?;
        }
        let options = Options {
            env,
            ..Options::default()
        };
        let db = Database::open_with(&folder, options)?;
        Ok(Target::Folder(db, folder))
    }

    /// The server that the arguments or the environment name, if they name one.
    pub(super) fn server(&self) -> Outcome<Option<Client>> {
        let server = self.named_server();
        let Some(server) = server else {
            return Ok(None);
        };
        let key = match (&self.api_key, variable("NEXUSBASE_API_KEY")) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(text)) => Some(text.parse::<ApiKey>().map_err(|error| {
                Failure::usage(format_args!(
                    "the variable NEXUSBASE_API_KEY is no key: {error}"
                ))
            })?),
            (None, None) => None,
        };
        Client::new(&server, key).map(Some)
    }

    /// The same target as flags, for a command that is suggested.
    pub(super) fn flags(&self) -> String {
        match (self.named_server(), self.named_folder()) {
            (Some(server), _) => format!("--server {}", shell::quote(&server)),
            (None, Some(folder)) => format!("--data {}", shell::quote(&folder.to_string_lossy())),
            (None, None) => String::new(),
        }
    }

    fn named_server(&self) -> Option<String> {
        if self.data.is_some() {
            return None;
        }
        self.server.clone().or_else(|| variable("NEXUSBASE_SERVER"))
    }

    fn named_folder(&self) -> Option<PathBuf> {
        let named = self.data.clone();
        named.or_else(|| variable("NEXUSBASE_DATA").map(PathBuf::from))
    }
}

impl FolderArgs {
    /// The data folder that the arguments or the environment name; it holds a database.
    pub(super) fn existing(&self, env: &Env) -> Outcome<PathBuf> {
        let named = self.data.clone();
        let Some(folder) = named.or_else(|| variable("NEXUSBASE_DATA").map(PathBuf::from)) else {
            return Err(
                Failure::usage("it is not said which data folder is meant").hint("add --data DIR")
            );
        };
        check_folder(env, &folder).map_err(Failure::cannot_run)?;
        Ok(folder)
    }
}

/// A variable of the environment, if it says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Refuses a folder that holds no database, before anything could be created in it.
pub(super) fn check_folder(env: &Env, folder: &Path) -> Outcome {
    let shown = folder.display();
    if !env.fs.exists(folder)? {
        return Err(
            Failure::new(format_args!("the folder {shown} does not exist"))
                .hint("check the path; `nexusbase import`, `kv create`, `serve` and `demo` create databases"),
        );
    }
    if !env.fs.exists(&folder.join(IDENTITY_FILE))? {
        let failure = Failure::new(format_args!("{shown} is not a NexusBase data folder"));
        return Err(if env.fs.exists(&folder.join(LOCK_FILE))? {
            failure.hint("its creation was interrupted; `nexusbase serve --data` finishes it")
        } else {
            failure.hint(format_args!(
                "a data folder contains a file {IDENTITY_FILE}; name the folder that was given \
                 to `serve`, `import`, `kv create` or `demo`"
            ))
        });
    }
    Ok(())
}
