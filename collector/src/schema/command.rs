//! Takes `schema print` and `schema apply`.
//! Gives the DDL as text, or a ClickHouse database that has it.
//! Never changes anything on `print`.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::clickhouse;
use crate::sink::clickhouse::{ApplyError, Database, Step, Target, TargetError};

/// The ClickHouse schema: show it, or bring a database to it.
///
/// It has no `Debug`: a URL may hold a password.
#[derive(Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    pub command: SchemaCommand,
}

#[derive(Subcommand)]
pub enum SchemaCommand {
    /// Print the statements that make the newest version.
    #[command(after_help = "Example:\n  toolspan-collector schema print > schema.sql")]
    Print {
        /// The database the statements name.
        #[arg(long, default_value = clickhouse::DATABASE)]
        database: String,
    },
    /// Create the schema in a database, or upgrade it. May be run again at any time.
    #[command(
        after_help = "Example:\n  toolspan-collector schema apply --clickhouse-url http://default@127.0.0.1:8123"
    )]
    Apply {
        /// The server: http://user:password@host:8123/?database=toolspan
        #[arg(
            long,
            value_name = "URL",
            env = "TOOLSPAN_COLLECTOR_CLICKHOUSE_URL",
            hide_env_values = true
        )]
        clickhouse_url: String,
        /// The database, should the URL not name it.
        #[arg(long)]
        database: Option<String>,
    },
}

/// Why `schema` failed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("--clickhouse-url: {0}")]
    Target(TargetError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
///
/// When the server refuses, or the database belongs to a newer program.
pub async fn run(args: SchemaArgs) -> Result<(), SchemaError> {
    match args.command {
        SchemaCommand::Print { database } => {
            io::stdout().write_all(clickhouse::print(&database).as_bytes())?;
        }
        SchemaCommand::Apply {
            clickhouse_url,
            database,
        } => {
            // Not by clap: its errors repeat the value, and with it the password.
            let mut target: Target = clickhouse_url.parse().map_err(SchemaError::Target)?;
            if let Some(database) = database {
                target.database = database;
            }
            for step in Database::new(&target).apply().await? {
                writeln!(io::stdout(), "{target}: {}", said(&step))?;
            }
        }
    }
    Ok(())
}

fn said(step: &Step) -> String {
    match step {
        Step::Created { version } => format!("created schema version {version}"),
        Step::Upgraded { version } => format!("upgraded to schema version {version}"),
        Step::UpToDate { version } => format!("schema version {version} is there already"),
    }
}
