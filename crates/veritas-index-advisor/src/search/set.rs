//! A set of candidates, by their position: small, copied freely.

/// The most candidates that one search looks at.
pub(crate) const MOST: usize = 512;

const WORDS: usize = MOST / 64;

/// A set of numbers below [`MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Set([u64; WORDS]);

impl Set {
    pub(crate) const EMPTY: Self = Self([0; WORDS]);

    pub(crate) fn with(mut self, member: usize) -> Self {
        self.0[member / 64] |= 1 << (member % 64);
        self
    }

    pub(crate) fn without(mut self, member: usize) -> Self {
        self.0[member / 64] &= !(1 << (member % 64));
        self
    }

    pub(crate) fn has(&self, member: usize) -> bool {
        self.0[member / 64] & (1 << (member % 64)) != 0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    pub(crate) fn common(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    pub(crate) fn is_subset(&self, of: &Self) -> bool {
        self.0.iter().zip(&of.0).all(|(a, b)| a & !b == 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn members(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }

    fn zip(mut self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = join(*word, other);
        }
        self
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        members.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_order() {
        let set: Set = [300, 5, 64, 63].into_iter().collect();
        assert_eq!(set.members().collect::<Vec<_>>(), vec![5, 63, 64, 300]);
        assert_eq!(set.len(), 4);
        assert!(set.without(64).is_subset(&set) && !set.is_subset(&set.without(64)));
    }
}
