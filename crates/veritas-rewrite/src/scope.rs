//! Which column a name means.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, TableFactor,
    TableWithJoins, Visit, Visitor,
};

use crate::{
    Dialect,
    schema::{Column, Schema, Table},
};

/// One item of a `FROM`.
#[derive(Debug, Clone)]
pub(crate) struct Source<'s> {
    /// The name by which its columns are qualified, folded.
    pub(crate) alias: String,
    /// That name as it is written.
    pub(crate) written: Ident,
    /// The table; `None` where it is something else, of which the columns are not known.
    pub(crate) table: Option<&'s Table>,
    /// Whether an outer join may put `NULL`s in its place.
    pub(crate) nullable: bool,
}

/// The names that a `SELECT` brings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope<'s> {
    pub(crate) sources: Vec<Source<'s>>,
    /// Whether it brings names that we do not know.
    pub(crate) opaque: bool,
}

/// Scopes from the outermost to the innermost.
#[derive(Debug, Clone)]
pub(crate) struct Scopes<'s> {
    pub(crate) stack: Vec<Scope<'s>>,
    pub(crate) schema: &'s Schema,
    pub(crate) dialect: Dialect,
    /// Names of common table expressions anywhere in the statement: they are no tables.
    pub(crate) shadowed: Vec<String>,
}

/// A column that a name means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Resolved<'s> {
    /// How many scopes outside: 0 is the innermost.
    pub(crate) depth: usize,
    /// Which item of that scope.
    pub(crate) source: usize,
    pub(crate) table: &'s Table,
    pub(crate) column: &'s Column,
    /// Whether it may be `NULL` here: by its declaration, or by an outer join.
    pub(crate) nullable: bool,
}

impl<'s> Scopes<'s> {
    pub(crate) fn new(schema: &'s Schema, dialect: Dialect, query: &Query) -> Self {
        Self { stack: Vec::new(), schema, dialect, shadowed: expressions_named(query, dialect) }
    }

    /// Returns the scopes within `select`.
    pub(crate) fn within(&self, select: &Select) -> Self {
        let mut scopes = self.clone();
        scopes.stack.push(self.scope(select));
        scopes
    }

    pub(crate) fn innermost(&self) -> &Scope<'s> {
        static EMPTY: Scope<'static> = Scope { sources: Vec::new(), opaque: true };
        self.stack.last().unwrap_or(&EMPTY)
    }

    fn scope(&self, select: &Select) -> Scope<'s> {
        let mut scope = Scope::default();
        for item in &select.from {
            self.add(item, &mut scope);
        }
        scope
    }

    fn add(&self, item: &TableWithJoins, scope: &mut Scope<'s>) {
        let first = scope.sources.len();
        self.add_factor(&item.relation, scope);
        for join in &item.joins {
            let before = scope.sources.len();
            self.add_factor(&join.relation, scope);
            let (left, right) = match &join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => (false, false),
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
                JoinOperator::FullOuter(_) => (true, true),
                _ => {
                    scope.opaque = true;
                    (true, true)
                }
            };
            for (index, source) in scope.sources.iter_mut().enumerate().skip(first) {
                source.nullable |= if index < before { left } else { right };
            }
        }
    }

    fn add_factor(&self, factor: &TableFactor, scope: &mut Scope<'s>) {
        match factor {
            TableFactor::Table { name, alias, args: None, sample: None, .. } => {
                let table = self.table(name);
                let Some(written) =
                    alias.as_ref().map(|alias| alias.name.clone()).or_else(|| last_name(name).cloned())
                else {
                    scope.opaque = true;
                    return;
                };
                // Columns that an alias renames are not the table's.
                let renamed = alias.as_ref().is_some_and(|alias| !alias.columns.is_empty());
                let table = if renamed { None } else { table };
                scope.opaque |= table.is_none();
                let alias = fold(&written, self.dialect);
                scope.sources.push(Source { alias, written, table, nullable: false });
            }
            TableFactor::Derived { alias: Some(alias), .. } => {
                scope.opaque = true;
                let (written, alias) = (alias.name.clone(), fold(&alias.name, self.dialect));
                scope.sources.push(Source { alias, written, table: None, nullable: false });
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.add(table_with_joins, scope);
            }
            _ => scope.opaque = true,
        }
    }

    /// Returns the table that a name in a `FROM` means.
    pub(crate) fn table(&self, name: &ObjectName) -> Option<&'s Table> {
        let parts = name.0.iter().map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(fold(ident, self.dialect)),
            ObjectNamePart::Function(_) => None,
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let same = |written: &str, known: &str| match self.dialect {
            Dialect::PostgreSql => written == known,
            Dialect::Sqlite | Dialect::MySql => written.eq_ignore_ascii_case(known),
        };
        let mut found = self.schema.tables.iter().filter(|table| match parts.as_slice() {
            [name] => same(name, &table.name) && !self.shadowed.contains(name),
            [schema, name] => {
                same(name, &table.name) && table.schema.as_ref().is_some_and(|known| same(schema, known))
            }
            _ => false,
        });
        let table = found.next()?;
        found.next().is_none().then_some(table)
    }

    /// Returns the column that an expression is, if it is one and there is no doubt.
    pub(crate) fn resolve(&self, expr: &Expr) -> Option<Resolved<'s>> {
        match expr {
            Expr::Identifier(name) => self.resolve_bare(&fold(name, self.dialect)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => {
                    self.resolve_qualified(&fold(qualifier, self.dialect), &fold(name, self.dialect))
                }
                _ => None,
            },
            Expr::Nested(inner) => self.resolve(inner),
            _ => None,
        }
    }

    fn resolve_bare(&self, name: &str) -> Option<Resolved<'s>> {
        for (depth, scope) in self.stack.iter().rev().enumerate() {
            if scope.opaque {
                return None;
            }
            let mut found = (0..scope.sources.len()).filter_map(|index| self.column(depth, index, name));
            if let Some(column) = found.next() {
                return found.next().is_none().then_some(column);
            }
        }
        None
    }

    fn resolve_qualified(&self, qualifier: &str, name: &str) -> Option<Resolved<'s>> {
        for (depth, scope) in self.stack.iter().rev().enumerate() {
            let mut found = scope.sources.iter().enumerate().filter(|(_, source)| source.alias == qualifier);
            if let Some((index, _)) = found.next() {
                return if found.next().is_none() { self.column(depth, index, name) } else { None };
            }
        }
        None
    }

    fn column(&self, depth: usize, source: usize, name: &str) -> Option<Resolved<'s>> {
        let from = self.stack.iter().rev().nth(depth)?.sources.get(source)?;
        let table = from.table?;
        let column = table.columns.iter().find(|column| match self.dialect {
            Dialect::PostgreSql => column.name == name,
            Dialect::Sqlite | Dialect::MySql => column.name.eq_ignore_ascii_case(name),
        })?;
        Some(Resolved { depth, source, table, column, nullable: column.nullable || from.nullable })
    }

    /// Returns every column that a tree without subqueries names; `None` where one is
    /// not known, or there is a subquery.
    pub(crate) fn columns<T: Visit>(&self, tree: &T) -> Option<Vec<Resolved<'s>>> {
        struct Columns<'a, 's>(&'a Scopes<'s>, Vec<Resolved<'s>>);
        impl Visitor for Columns<'_, '_> {
            type Break = ();
            fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
                ControlFlow::Break(())
            }
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                match expr {
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_) => match self.0.resolve(expr) {
                        Some(column) => {
                            self.1.push(column);
                            ControlFlow::Continue(())
                        }
                        None => ControlFlow::Break(()),
                    },
                    Expr::CompoundFieldAccess { .. } | Expr::QualifiedWildcard(..) => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        let mut columns = Columns(self, Vec::new());
        match tree.visit(&mut columns) {
            ControlFlow::Continue(()) => Some(columns.1),
            ControlFlow::Break(()) => None,
        }
    }
}

/// Returns a name as the engine compares it.
pub(crate) fn fold(name: &Ident, dialect: Dialect) -> String {
    match (dialect, name.quote_style) {
        (Dialect::PostgreSql, Some(_)) => name.value.clone(),
        (Dialect::PostgreSql, None) => name.value.to_lowercase(),
        (Dialect::Sqlite | Dialect::MySql, _) => name.value.to_ascii_lowercase(),
    }
}

fn last_name(name: &ObjectName) -> Option<&Ident> {
    match name.0.last()? {
        ObjectNamePart::Identifier(ident) => Some(ident),
        ObjectNamePart::Function(_) => None,
    }
}

/// Returns whether any join of `select` merges columns (`USING`, `NATURAL`): then a bare
/// name or a `*` means other columns than the tables have.
pub(crate) fn merges_columns(select: &Select) -> bool {
    fn merges(item: &TableWithJoins) -> bool {
        let nested = |factor: &TableFactor| match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => merges(table_with_joins),
            _ => false,
        };
        nested(&item.relation)
            || item.joins.iter().any(|join| {
                nested(&join.relation)
                    || matches!(
                        constraint(&join.join_operator),
                        Some(JoinConstraint::Using(_) | JoinConstraint::Natural)
                    )
            })
    }
    select.from.iter().any(merges)
}

/// Returns the condition of a join.
pub(crate) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

fn expressions_named(query: &Query, dialect: Dialect) -> Vec<String> {
    struct Named(Vec<String>, Dialect);
    impl Visitor for Named {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            for table in query.with.iter().flat_map(|with| &with.cte_tables) {
                self.0.push(fold(&table.alias.name, self.1));
            }
            ControlFlow::Continue(())
        }
    }
    let mut named = Named(Vec::new(), dialect);
    let _: ControlFlow<()> = query.visit(&mut named);
    named.0
}
