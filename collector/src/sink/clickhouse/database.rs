//! Takes a target.
//! Gives its schema version, and brings an older or empty database to the newest.
//! Never touches a database of a newer program, and never upgrades one unasked.

use clickhouse::Client;
use clickhouse::error::Error;

use super::answer::describe;
use super::target::Target;
use crate::schema::{VERSION, clickhouse as ddl};
use crate::sink::SinkError;

/// One database on a server.
#[derive(Clone)]
pub struct Database {
    client: Client,
    name: String,
    shown: String,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client holds the password.
        out.debug_tuple("Database").field(&self.shown).finish()
    }
}

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or what an interrupted first `apply` left.
    Empty,
    /// Tables that are not ours.
    Foreign,
    Version(u32),
}

/// What `apply` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Created { version: u32 },
    Upgraded { version: u32 },
    UpToDate { version: u32 },
}

/// Why a database is not at the newest version.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{0}")]
    Server(String),
    #[error(
        "{database} has schema version {found}, newer than this program's {VERSION}: use a newer toolspan-collector"
    )]
    Newer { database: String, found: u32 },
    #[error(
        "{database} has schema version {found}, older than this program's {VERSION}: run `toolspan-collector schema apply --clickhouse-url URL`"
    )]
    Older { database: String, found: u32 },
    #[error(
        "{database} holds other tables and no toolspan schema: name another with ?database=, or run `toolspan-collector schema apply --clickhouse-url URL` to add it here"
    )]
    Foreign { database: String },
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        Self::Server(describe(&error))
    }
}

impl From<ApplyError> for SinkError {
    /// Every one of these ends when somebody does something; until then the log keeps the rows.
    fn from(error: ApplyError) -> Self {
        Self::Retry {
            what: error.to_string(),
        }
    }
}

impl Database {
    #[must_use]
    pub fn new(target: &Target) -> Self {
        let mut client = Client::default()
            .with_url(&target.url)
            .with_password(target.password.reveal())
            .with_product_info("toolspan-collector", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &target.user {
            client = client.with_user(user);
        }
        Self {
            client,
            name: target.database.clone(),
            shown: target.to_string(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For the sink: an empty database gets the schema, any other version than the newest is refused.
    pub(super) async fn prepare(&self) -> Result<(), ApplyError> {
        match self.found().await? {
            Found::Version(VERSION) => Ok(()),
            Found::Empty => self.apply().await.map(drop),
            Found::Version(found) if found < VERSION => Err(ApplyError::Older {
                database: self.shown.clone(),
                found,
            }),
            Found::Version(found) => Err(self.newer(found)),
            Found::Foreign => Err(ApplyError::Foreign {
                database: self.shown.clone(),
            }),
        }
    }

    /// Brings the database to the newest version. May be run again at any time.
    ///
    /// # Errors
    ///
    /// When the server refuses a statement, or the database belongs to a newer program.
    pub async fn apply(&self) -> Result<Vec<Step>, ApplyError> {
        match self.found().await? {
            Found::Version(VERSION) => Ok(vec![Step::UpToDate { version: VERSION }]),
            Found::Version(found) if found > VERSION => Err(self.newer(found)),
            Found::Version(found) => self.upgrade(found).await,
            Found::Empty | Found::Foreign => {
                self.run(&ddl::create(&self.name)).await?;
                self.record(VERSION).await?;
                Ok(vec![Step::Created { version: VERSION }])
            }
        }
    }

    async fn upgrade(&self, found: u32) -> Result<Vec<Step>, ApplyError> {
        let mut steps = Vec::new();
        for (version, statements) in ddl::upgrade(&self.name, found) {
            self.run(&statements).await?;
            self.record(version).await?;
            steps.push(Step::Upgraded { version });
        }
        Ok(steps)
    }

    /// Looks what is there.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub async fn found(&self) -> Result<Found, ApplyError> {
        let tables = "SELECT count() FROM system.tables WHERE database = ?";
        let all = self.client.query(tables).bind(&self.name);
        if all.fetch_one::<u64>().await? == 0 {
            return Ok(Found::Empty);
        }
        let ours = self.client.query(&format!("{tables} AND name = ?"));
        let ours = ours.bind(&self.name).bind(ddl::VERSION_TABLE);
        if ours.fetch_one::<u64>().await? == 0 {
            return Ok(Found::Foreign);
        }
        let table = format!("{}.{}", ddl::quoted(&self.name), ddl::VERSION_TABLE);
        let version = format!("SELECT max(Version) FROM {table}");
        match self.client.query_raw(&version).fetch_one::<u32>().await? {
            0 => Ok(Found::Empty),
            version => Ok(Found::Version(version)),
        }
    }

    async fn run(&self, statements: &[String]) -> Result<(), ApplyError> {
        for statement in statements {
            self.client.query_raw(statement).execute().await?;
        }
        Ok(())
    }

    async fn record(&self, version: u32) -> Result<(), ApplyError> {
        let program = concat!("toolspan-collector ", env!("CARGO_PKG_VERSION"));
        self.run(&[ddl::record(&self.name, version, program)]).await
    }

    fn newer(&self, found: u32) -> ApplyError {
        ApplyError::Newer {
            database: self.shown.clone(),
            found,
        }
    }
}
