//! Compares how two parties group statements: ours by fingerprint, and
//! `pg_stat_statements` by its query id.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

/// One statement, as both see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sql: String,
    /// Our fingerprint.
    pub(crate) ours: u64,
    /// The server's query id.
    pub(crate) theirs: i64,
    /// Which template it was written from, and the lengths of its lists: two statements that
    /// differ in nothing but those lengths may be one of ours and two of theirs.
    pub(crate) template: usize,
    pub(crate) lengths: Vec<u64>,
}

/// How far the two groupings agree.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    pub(crate) statements: usize,
    pub(crate) ours: usize,
    pub(crate) theirs: usize,
    /// Query ids that are one fingerprint only because their lists have other lengths.
    pub(crate) joined_lists: usize,
    /// Pairs that the server puts together and we do not.
    pub(crate) split_pairs: usize,
    /// Pairs that we put together and the server does not, beyond what lengths of lists explain.
    pub(crate) joined_pairs: usize,
    /// Pairs that either puts together.
    pub(crate) pairs: usize,
    /// Statements that are in no such pair.
    pub(crate) agreed: usize,
    /// Some of the pairs, for people.
    pub(crate) examples: Vec<(String, String)>,
}

/// Pairs shown at most.
const EXAMPLES: usize = 8;

impl Agreement {
    pub(crate) fn of(seen: &[Seen]) -> Self {
        let mut by_ours: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut by_theirs: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, statement) in seen.iter().enumerate() {
            by_ours.entry(statement.ours).or_default().push(index);
            by_theirs.entry(statement.theirs).or_default().push(index);
        }
        let mut agreement =
            Self { statements: seen.len(), ours: by_ours.len(), theirs: by_theirs.len(), ..Self::default() };
        let mut disagreed = BTreeSet::new();
        let mut note = |agreement: &mut Self, left: usize, right: usize| {
            disagreed.extend([left, right]);
            if agreement.examples.len() < EXAMPLES {
                agreement.examples.push((seen[left].sql.clone(), seen[right].sql.clone()));
            }
        };
        for group in by_theirs.values() {
            for (left, right) in pairs(group) {
                agreement.pairs += 1;
                if seen[left].ours != seen[right].ours {
                    agreement.split_pairs += 1;
                    note(&mut agreement, left, right);
                }
            }
        }
        for group in by_ours.values() {
            let ids: BTreeSet<_> = group.iter().map(|index| seen[*index].theirs).collect();
            let by_lengths: HashMap<_, _> = group
                .iter()
                .map(|index| ((seen[*index].template, &seen[*index].lengths), seen[*index].theirs))
                .collect();
            agreement.joined_lists += ids.len() - 1;
            for (left, right) in pairs(group) {
                let (first, second) = (&seen[left], &seen[right]);
                if first.theirs == second.theirs {
                    continue;
                }
                let is_by_length = first.template == second.template
                    && first.lengths != second.lengths
                    // The same lengths always had the same query id.
                    && by_lengths[&(first.template, &first.lengths)] == first.theirs
                    && by_lengths[&(second.template, &second.lengths)] == second.theirs;
                if !is_by_length {
                    agreement.pairs += 1;
                    agreement.joined_pairs += 1;
                    note(&mut agreement, left, right);
                }
            }
        }
        agreement.agreed = seen.len() - disagreed.len();
        agreement
    }

    /// The share of the statements that are grouped alike, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a few ten thousand statements")]
    pub(crate) fn share(&self) -> f64 {
        self.agreed as f64 / self.statements.max(1) as f64
    }
}

fn pairs(group: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    group
        .iter()
        .enumerate()
        .flat_map(|(position, left)| group[position + 1..].iter().map(|right| (*left, *right)))
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} statements: {} fingerprints, {} query ids ({} more for lists of other lengths)",
            self.statements, self.ours, self.theirs, self.joined_lists
        )?;
        writeln!(
            f,
            "grouped alike: {} statements, {:.3} %; of {} pairs together, {} are apart with us, {} apart with the server",
            self.agreed,
            self.share() * 100.0,
            self.pairs,
            self.split_pairs,
            self.joined_pairs
        )?;
        for (left, right) in &self.examples {
            writeln!(f, "  {left:?}\n  {right:?}\n")?;
        }
        Ok(())
    }
}
