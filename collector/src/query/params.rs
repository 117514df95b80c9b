//! Takes SQL with ClickHouse's parameters, `{name:Type}`, and their values.
//! Gives SQL for DataFusion, the values written as literals of that type.
//! Never lets a value be read as anything but a value.

use std::fmt::Write as _;

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    Text(String),
    Number(u64),
    /// Nanoseconds since 1970.
    Time(i64),
}

/// Why the SQL and the values do not go together. These are our own texts: a mistake of ours, not of a user.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParamError {
    #[error("the parameter {0} has no value")]
    Missing(String),
    #[error("the parameter {name} is no {kind}")]
    Kind { name: String, kind: String },
    #[error("a parameter does not end")]
    Open,
}

/// Replaces every parameter by its value.
///
/// # Errors
///
/// When a value is missing or of another type.
pub fn bind(sql: &str, params: &[(&str, Param)]) -> Result<String, ParamError> {
    let mut bound = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').ok_or(ParamError::Open)?;
        let (name, kind) = inside.split_once(':').ok_or(ParamError::Open)?;
        let value = params.iter().find(|(known, _)| *known == name);
        let (_, value) = value.ok_or_else(|| ParamError::Missing(name.to_owned()))?;
        bound.push_str(before);
        literal(&mut bound, value, kind).ok_or_else(|| ParamError::Kind {
            name: name.to_owned(),
            kind: kind.to_owned(),
        })?;
        rest = after;
    }
    bound.push_str(rest);
    Ok(bound)
}

fn literal(out: &mut String, value: &Param, kind: &str) -> Option<()> {
    match value {
        Param::Text(text) if kind == "String" => {
            // Standard SQL: a quote is the only special character, and doubled it is none.
            write!(out, "'{}'", text.replace('\'', "''")).ok()
        }
        Param::Number(number) if kind.starts_with("UInt") => write!(out, "{number}").ok(),
        Param::Time(nanos) if kind.starts_with("DateTime64") => write!(
            out,
            "arrow_cast({nanos}, 'Timestamp(Nanosecond, Some(\"UTC\"))')"
        )
        .ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_stays_a_text() {
        let params = [("tenant", Param::Text("' OR '' = '{x:String}".into()))];
        assert_eq!(
            bind("a = {tenant:String}", &params).unwrap(),
            "a = ''' OR '''' = ''{x:String}'"
        );
    }

    #[test]
    fn a_value_must_be_there_and_of_its_type() {
        let params = [("limit", Param::Text("5".into()))];
        assert_eq!(
            bind("{limit:UInt64}", &params),
            Err(ParamError::Kind {
                name: "limit".into(),
                kind: "UInt64".into()
            })
        );
        assert_eq!(
            bind("{tool:String}", &params),
            Err(ParamError::Missing("tool".into()))
        );
        assert_eq!(bind("{tool", &params), Err(ParamError::Open));
    }
}
