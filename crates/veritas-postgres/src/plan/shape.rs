//! What a plan does, as a hash that costs and values do not change.

use std::collections::BTreeSet;

use veritas_model::stable_hash;

use super::{Node, NodeKind};

pub(super) fn of(root: &Node) -> u64 {
    stable_hash(describe(root, Names::Whole).as_bytes())
}

/// How tables and indexes are named.
#[derive(Clone, Copy)]
enum Names {
    /// As they are.
    Whole,
    /// Partitions are told apart by numbers in their names (`orders_2024_07`): numbers
    /// are left out, so that a new month is no new plan.
    WithoutNumbers,
}

impl Names {
    fn write(self, text: &mut String, name: &str) {
        match self {
            Self::Whole => text.push_str(name),
            Self::WithoutNumbers => {
                let mut in_number = false;
                for letter in name.chars() {
                    let is_digit = letter.is_ascii_digit();
                    match (is_digit, in_number) {
                        (true, false) => text.push('#'),
                        (true, true) => {}
                        (false, _) => text.push(letter),
                    }
                    in_number = is_digit;
                }
            }
        }
        text.push('|');
    }
}

fn describe(node: &Node, names: Names) -> String {
    let mut text = String::new();
    text.push_str(node.kind.as_str());
    text.push('|');
    for part in [&node.join_type, &node.strategy, &node.partial_mode, &node.operation] {
        text.push_str(part.as_deref().unwrap_or_default());
        text.push('|');
    }
    if let Some(relation) = &node.relation {
        names.write(&mut text, &relation.schema);
        names.write(&mut text, &relation.name);
    }
    if let Some(index) = &node.index {
        names.write(&mut text, index);
    }
    if node.backward {
        text.push_str("backward");
    }
    let appends = matches!(node.kind, NodeKind::Append | NodeKind::MergeAppend);
    let children: Vec<String> = if appends {
        let of_each = node.children.iter().map(|child| describe(child, Names::WithoutNumbers));
        of_each.collect::<BTreeSet<String>>().into_iter().collect()
    } else {
        node.children.iter().map(|child| describe(child, names)).collect()
    };
    for child in children {
        text.push('(');
        text.push_str(&child);
        text.push(')');
    }
    text
}
