//! A plan as people read it, without the literals of the statement.

use std::fmt::Write as _;

use super::{Node, NodeKind, Plan, Role};

/// Nodes beyond this are not written.
const MOST_NODES: usize = 500;

pub(super) fn of(plan: &Plan) -> String {
    let mut text = String::new();
    let mut left = MOST_NODES;
    write_node(&mut text, &plan.root, 0, &mut left);
    if left == 0 {
        text.push_str("…\n");
    }
    text
}

/// Takes the literals out of an expression as the server prints it in a plan.
///
/// Strings, with and without prefix, and numbers become `?`; names in double quotes,
/// `$1` and words stay. An unfinished string takes the rest with it.
pub fn without_literals(expression: &str) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut rest = expression.char_indices().peekable();
    let mut before = ' ';
    while let Some((_, letter)) = rest.next() {
        match letter {
            '\'' => {
                // The prefix of a string (`E'…'`, `B'…'`) says nothing of its value, but stands before it.
                while let Some((_, inner)) = rest.next() {
                    if inner == '\'' {
                        if rest.peek().is_some_and(|(_, next)| *next == '\'') {
                            let _quote = rest.next();
                        } else {
                            break;
                        }
                    } else if inner == '\\' && matches!(before, 'E' | 'e') {
                        let _escaped = rest.next();
                    }
                }
                if matches!(before, 'E' | 'e' | 'B' | 'b' | 'X' | 'x') {
                    let is_prefix = text
                        .chars()
                        .rev()
                        .nth(1)
                        .is_none_or(|letter| !(letter.is_alphanumeric() || letter == '_'));
                    if is_prefix {
                        let _prefix = text.pop();
                    }
                }
                text.push('?');
            }
            '"' => {
                text.push('"');
                for (_, inner) in rest.by_ref() {
                    text.push(inner);
                    if inner == '"' {
                        break;
                    }
                }
            }
            '0'..='9' if !(before.is_alphanumeric() || matches!(before, '_' | '$')) => {
                while rest.peek().is_some_and(|(_, next)| next.is_alphanumeric() || *next == '.') {
                    let _digit = rest.next();
                }
                text.push('?');
            }
            other => text.push(other),
        }
        before = letter;
    }
    text
}

fn write_node(text: &mut String, node: &Node, depth: usize, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let indent = depth * 6;
    if let Some(name) = node.subplan.as_deref().filter(|_| node.role != Role::Outer) {
        let _ok = writeln!(text, "{:indent$}{name}", "");
    }
    let arrow = if depth == 0 { "" } else { "->  " };
    let _ok = writeln!(
        text,
        "{:indent$}{arrow}{}  (cost={:.2}..{:.2} rows={:.0} width={:.0}){}",
        "",
        title(node),
        node.startup_cost,
        node.total_cost,
        node.rows,
        node.width,
        measured(node),
    );
    let indent = indent + if depth == 0 { 2 } else { 6 };
    for (name, keys) in
        [("Sort Key", &node.sort_key), ("Presorted Key", &node.presorted_key), ("Group Key", &node.group_key)]
    {
        if !keys.is_empty() {
            let _ok = writeln!(text, "{:indent$}{name}: {}", "", without_literals(&keys.join(", ")));
        }
    }
    for (name, condition) in [
        ("Index Cond", &node.index_condition),
        ("Recheck Cond", &node.recheck_condition),
        ("Hash Cond", &node.hash_condition),
        ("Merge Cond", &node.merge_condition),
        ("Join Filter", &node.join_filter),
        ("One-Time Filter", &node.one_time_filter),
        ("Filter", &node.filter),
    ] {
        if let Some(condition) = condition {
            let _ok = writeln!(text, "{:indent$}{name}: {}", "", without_literals(condition));
        }
    }
    if let Some(removed) = node.subplans_removed.filter(|removed| *removed > 0.0) {
        let _ok = writeln!(text, "{:indent$}Subplans Removed: {removed:.0}", "");
    }
    for child in &node.children {
        write_node(text, child, depth + 1, left);
    }
}

/// The first line of a node, as the server's text format has it.
fn title(node: &Node) -> String {
    let mut title = match (&node.kind, node.strategy.as_deref(), node.operation.as_deref()) {
        (NodeKind::Aggregate, Some("Hashed"), _) => "HashAggregate".to_owned(),
        (NodeKind::Aggregate, Some("Sorted"), _) => "GroupAggregate".to_owned(),
        (NodeKind::Aggregate, Some("Mixed"), _) => "MixedAggregate".to_owned(),
        (NodeKind::SetOp, Some("Hashed"), _) => "HashSetOp".to_owned(),
        (NodeKind::ModifyTable, _, Some(operation)) => operation.to_owned(),
        (kind, join, _) if kind.is_join() || join.is_none() => match node.join_type.as_deref() {
            Some("Inner") | None => kind.as_str().to_owned(),
            Some(join) if *kind == NodeKind::NestedLoop => format!("Nested Loop {join} Join"),
            Some(join) => kind.as_str().replace(" Join", &format!(" {join} Join")),
        },
        (kind, ..) => kind.as_str().to_owned(),
    };
    if let Some(mode) = &node.partial_mode {
        title.insert_str(0, &format!("{mode} "));
    }
    if node.parallel_aware {
        title.insert_str(0, "Parallel ");
    }
    if node.backward {
        title.push_str(" Backward");
    }
    if let Some(index) = &node.index {
        let word = if node.kind == NodeKind::BitmapIndexScan { "on" } else { "using" };
        let _ok = write!(title, " {word} {index}");
    }
    if let Some(relation) = &node.relation {
        let _ok = match relation.schema.as_str() {
            "" | "public" => write!(title, " on {}", relation.name),
            schema => write!(title, " on {schema}.{}", relation.name),
        };
    } else if let Some(source) = &node.source {
        let _ok = write!(title, " on {source}");
    }
    let named = node.relation.as_ref().map(|relation| &relation.name).or(node.source.as_ref());
    if let Some(alias) = node.alias.as_ref().filter(|alias| Some(*alias) != named) {
        let _ok = write!(title, "{} {alias}", if named.is_some() { "" } else { " on" });
    }
    title
}

fn measured(node: &Node) -> String {
    match &node.actual {
        Some(actual) if actual.loops > 0.0 => {
            format!(" (actual rows={:.0} loops={:.0})", actual.rows, actual.loops)
        }
        Some(_) => " (never executed)".to_owned(),
        None => String::new(),
    }
}
