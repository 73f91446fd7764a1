//! Candidates of a workload: what serves one access, what also holds all that is read
//! of the table, and what serves two accesses at once.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, SelectItem, Visit, Visitor};

use super::{
    super::{
        access::accesses,
        candidate::candidates,
        definition::{IndexDefinition, KeyColumn},
        schema::{Schema, Table},
    },
    Runnable,
};

/// More columns than these make an index nearly as large as its table.
const MOST_COLUMNS: usize = 6;

/// Returns the candidates, each once.
pub(super) fn of(statements: &[Runnable<'_>], schema: &Schema, most: usize) -> Vec<IndexDefinition> {
    let mut found: Vec<IndexDefinition> = Vec::new();
    let mut add = |definition: IndexDefinition| {
        if found.len() < most && !definition.columns.is_empty() && !found.contains(&definition) {
            found.push(definition);
        }
    };
    let mut covering = Vec::new();
    for statement in statements {
        let read = Read::of(&statement.tree);
        for access in accesses(&statement.tree, schema) {
            let Some(table) = schema.table(&access.table) else { continue };
            // Measured, not guessed: the order of equality columns is tried both ways round.
            for definition in candidates(&access, table, |_| 1) {
                covering.extend(read.covering(&definition, table));
                let mut turned = definition.clone();
                let equal = turned.columns.iter().take_while(|key| access.equal.contains(&key.name)).count();
                turned.columns[..equal].reverse();
                add(definition);
                add(turned);
            }
            // Reading an index in its order, without a look-up, may be worth it by itself.
            let bare = IndexDefinition { table: table.name.clone(), columns: Vec::new() };
            covering.extend(read.covering(&bare, table));
        }
    }
    covering.into_iter().for_each(&mut add);
    for merged in merged(&found) {
        if found.len() < most && !found.contains(&merged) {
            found.push(merged);
        }
    }
    found
}

/// Of two indexes of a table, the first with what only the second one has behind it.
fn merged(found: &[IndexDefinition]) -> Vec<IndexDefinition> {
    let mut merged = Vec::new();
    for one in found {
        for two in found.iter().filter(|two| two.table == one.table && *two != one) {
            if one.columns.first() != two.columns.first() {
                continue;
            }
            let more =
                two.columns.iter().filter(|key| one.columns.iter().all(|known| known.name != key.name));
            let columns: Vec<KeyColumn> = one.columns.iter().chain(more).cloned().collect();
            if columns.len() > one.columns.len() && columns.len() <= MOST_COLUMNS {
                merged.push(IndexDefinition { table: one.table.clone(), columns });
            }
        }
    }
    merged
}

/// The names that a statement reads; `None` when it reads whole rows.
struct Read {
    names: Vec<String>,
    whole: bool,
}

impl Read {
    fn of(tree: &ast::Statement) -> Self {
        let mut read = Self { names: Vec::new(), whole: false };
        let walked: ControlFlow<()> = tree.visit(&mut read);
        debug_assert!(walked.is_continue(), "the walk never breaks");
        read
    }

    /// Returns the index with every other column behind it that the statement names.
    fn covering(&self, definition: &IndexDefinition, table: &Table) -> Option<IndexDefinition> {
        if self.whole {
            return None;
        }
        let mut columns = definition.columns.clone();
        for name in &self.names {
            let Some(column) = table.column(name) else { continue };
            if !table.is_rowid(column) && columns.iter().all(|key| key.name != column) {
                columns.push(KeyColumn { name: column.to_owned(), descending: false });
            }
        }
        let fits = columns.len() > definition.columns.len() && columns.len() <= MOST_COLUMNS;
        fits.then(|| IndexDefinition { table: table.name.clone(), columns })
    }
}

impl Visitor for Read {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let name = match expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        if let Some(name) = name
            && !self.names.contains(&name.value)
        {
            self.names.push(name.value.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if let ast::SetExpr::Select(select) = query.body.as_ref() {
            self.whole |= select
                .projection
                .iter()
                .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
        }
        ControlFlow::Continue(())
    }
}

/// Returns the tables that a statement names, as the schema spells them.
pub(super) fn tables(tree: &ast::Statement, schema: &Schema) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    let walked: ControlFlow<()> = ast::visit_relations(tree, |relation| {
        let name = relation.0.last().and_then(|part| part.as_ident());
        if let Some(table) = name.and_then(|name| schema.table(&name.value))
            && !named.contains(&table.name)
        {
            named.push(table.name.clone());
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the walk never breaks");
    named
}

/// Returns whether some part of a statement stops after some rows.
pub(super) fn is_limited(tree: &ast::Statement) -> bool {
    struct Limits;
    impl Visitor for Limits {
        type Break = ();

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            if query.limit_clause.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    tree.visit(&mut Limits).is_break()
}
