//! Parsing within the stack: `sqlparser` recurses, and a stack that overflows
//! takes the whole process with it.

use sqlparser::{
    ast::Statement,
    dialect::Dialect,
    parser::{Parser, ParserError},
};

/// Brackets nested deeper are not parsed: in an unoptimized build a level of
/// them takes more than 80 KiB of stack.
pub(crate) const DEEPEST: u32 = 8;
/// Levels of recursion that the parser may use; brackets are not its only way down.
const RECURSION: usize = 16;

/// Parses `sql`.
///
/// # Errors
///
/// As the parser says; [`ParserError::RecursionLimitExceeded`] for what nests too deeply.
pub(crate) fn parse(dialect: &dyn Dialect, sql: &str) -> Result<Vec<Statement>, ParserError> {
    if depth(sql) > DEEPEST {
        return Err(ParserError::RecursionLimitExceeded);
    }
    Parser::new(dialect).with_recursion_limit(RECURSION).try_with_sql(sql)?.parse_statements()
}

/// Returns how deeply brackets nest. Those inside strings count too, which errs
/// on the side of not parsing.
fn depth(sql: &str) -> u32 {
    let mut depth = 0_u32;
    let mut deepest = 0;
    for byte in sql.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::SQLiteDialect;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("SELECT {}1{}", "(".repeat(levels), ")".repeat(levels))
    }

    #[test]
    fn what_nests_too_deeply_is_refused_before_the_stack_is_used_up() {
        assert_eq!(parse(&SQLiteDialect {}, &nested(4)).map(|statements| statements.len()), Ok(1));
        for levels in [9, 24, 100_000] {
            let refused = parse(&SQLiteDialect {}, &nested(levels));
            assert_eq!(refused, Err(ParserError::RecursionLimitExceeded), "{levels}");
        }
        let chained = format!("SELECT {}", "NOT ".repeat(100_000));
        assert!(parse(&SQLiteDialect {}, &chained).is_err());
    }
}
