//! Takes the text of a query.
//! Gives the one statement in it, should it only read.
//! Never trusts a list of what is forbidden: only what is known to read passes.

use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::dialect::GenericDialect;

/// Why a query does not run.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Syntax(Box<DataFusionError>),
    #[error("one statement at a time: there are {0}")]
    Several(usize),
    #[error(
        "{0} is refused: a query only reads. SELECT, WITH, EXPLAIN, SHOW and DESCRIBE are allowed"
    )]
    Writes(String),
}

/// Parses `text` and refuses everything that could change something.
pub(super) fn parse(text: &str) -> Result<Statement, Refused> {
    let dialect = GenericDialect {};
    let parsed = DFParserBuilder::new(text)
        .with_dialect(&dialect)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| Refused::Syntax(Box::new(error)))?;
    if statements.len() > 1 {
        return Err(Refused::Several(statements.len()));
    }
    let statement = statements.pop_front().ok_or(Refused::Several(0))?;
    reads(&statement)?;
    Ok(statement)
}

fn reads(statement: &Statement) -> Result<(), Refused> {
    match statement {
        Statement::Statement(sql) => match sql.as_ref() {
            Sql::Query(_)
            | Sql::ExplainTable { .. }
            | Sql::ShowTables { .. }
            | Sql::ShowColumns { .. }
            | Sql::ShowVariable { .. }
            | Sql::ShowFunctions { .. } => Ok(()),
            other => Err(Refused::Writes(first_words(&other.to_string()))),
        },
        Statement::Explain(explain) => reads(&explain.statement),
        other => Err(Refused::Writes(first_words(&other.to_string()))),
    }
}

fn first_words(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ")
}

/// The engine's own check of the plan: a second look, for what hides inside a query.
pub(super) fn options() -> SQLOptions {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
}
