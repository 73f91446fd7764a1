//! Sizes: how many bytes of heap a value owns.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Tells how many bytes of heap a value owns, beyond its own `size_of`.
///
/// The cache adds `size_of` itself. What is shared (`Arc`) counts in full: the
/// cache keeps it alive. Cost: one pass over the value's parts when it is stored.
///
/// ```
/// use veritas_cache::HeapSize;
///
/// struct User { id: u64, name: String, roles: Vec<String> }
///
/// impl HeapSize for User {
///     fn heap_size(&self) -> usize {
///         self.name.heap_size() + self.roles.heap_size()
///     }
/// }
///
/// let user = User { id: 7, name: "Ada".into(), roles: vec!["admin".into()] };
/// assert_eq!(user.heap_size(), 3 + size_of::<String>() + 5);
/// # let _ = user.id;
/// ```
#[diagnostic::on_unimplemented(
    message = "nothing tells how much memory a `{Self}` takes, so it cannot be kept in a cache",
    label = "does not implement `HeapSize`",
    note = "implement `veritas_cache::HeapSize` for it: add up the `heap_size()` of its fields"
)]
pub trait HeapSize {
    /// Returns the bytes of heap that the value owns, as they were asked of the
    /// allocator: capacities, not lengths.
    fn heap_size(&self) -> usize;
}

macro_rules! no_heap {
    ($($kind:ty),* $(,)?) => {$(
        impl HeapSize for $kind {
            #[inline]
            fn heap_size(&self) -> usize {
                0
            }
        }
    )*};
}

no_heap!(
    (),
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    Duration,
    std::time::Instant,
    std::time::SystemTime,
    std::net::IpAddr,
    &'static str,
    veritas_model::Timestamp,
    veritas_model::Bytes,
    veritas_model::Ratio,
);

impl HeapSize for String {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl HeapSize for Box<str> {
    fn heap_size(&self) -> usize {
        self.len()
    }
}

/// The two counts in front of every value behind an `Arc`.
pub(crate) const ARC_HEADER: usize = 2 * size_of::<usize>();

impl HeapSize for Arc<str> {
    fn heap_size(&self) -> usize {
        // The block is rounded up to the alignment of its counts.
        ARC_HEADER + self.len().next_multiple_of(align_of::<usize>())
    }
}

impl<T: HeapSize> HeapSize for Arc<T> {
    fn heap_size(&self) -> usize {
        ARC_HEADER + size_of::<T>() + (**self).heap_size()
    }
}

impl<T: HeapSize> HeapSize for Arc<[T]> {
    fn heap_size(&self) -> usize {
        ARC_HEADER + (size_of_val::<[T]>(self) + parts(self.iter())).next_multiple_of(align_of::<usize>())
    }
}

impl<T: HeapSize> HeapSize for Box<T> {
    fn heap_size(&self) -> usize {
        size_of::<T>() + (**self).heap_size()
    }
}

impl<T: HeapSize> HeapSize for Box<[T]> {
    fn heap_size(&self) -> usize {
        size_of_val::<[T]>(self) + parts(self.iter())
    }
}

impl<T: HeapSize> HeapSize for Vec<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + parts(self.iter())
    }
}

impl<T: HeapSize> HeapSize for VecDeque<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + parts(self.iter())
    }
}

impl<T: HeapSize, const N: usize> HeapSize for [T; N] {
    fn heap_size(&self) -> usize {
        parts(self.iter())
    }
}

impl<T: HeapSize> HeapSize for Option<T> {
    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, T::heap_size)
    }
}

impl<T: HeapSize, E: HeapSize> HeapSize for Result<T, E> {
    fn heap_size(&self) -> usize {
        match self {
            Ok(value) => value.heap_size(),
            Err(error) => error.heap_size(),
        }
    }
}

impl HeapSize for Cow<'static, str> {
    fn heap_size(&self) -> usize {
        match self {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        }
    }
}

impl<K: HeapSize, V: HeapSize, S> HeapSize for HashMap<K, V, S> {
    fn heap_size(&self) -> usize {
        table(self.capacity(), size_of::<(K, V)>()) + parts(self.keys()) + parts(self.values())
    }
}

impl<T: HeapSize, S> HeapSize for HashSet<T, S> {
    fn heap_size(&self) -> usize {
        table(self.capacity(), size_of::<T>()) + parts(self.iter())
    }
}

impl<K: HeapSize, V: HeapSize> HeapSize for BTreeMap<K, V> {
    fn heap_size(&self) -> usize {
        tree(self.len(), size_of::<K>() + size_of::<V>()) + parts(self.keys()) + parts(self.values())
    }
}

impl<T: HeapSize> HeapSize for BTreeSet<T> {
    fn heap_size(&self) -> usize {
        tree(self.len(), size_of::<T>()) + parts(self.iter())
    }
}

macro_rules! tuples {
    ($(($($part:ident $index:tt),+))*) => {$(
        impl<$($part: HeapSize),+> HeapSize for ($($part,)+) {
            fn heap_size(&self) -> usize {
                0 $(+ self.$index.heap_size())+
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

fn parts<'a, T: HeapSize + 'a>(values: impl Iterator<Item = &'a T>) -> usize {
    values.map(T::heap_size).sum()
}

/// The table of hashbrown, which the standard library uses: 7/8 full at most, a
/// power of two of slots, one control byte each and sixteen more.
fn table(capacity: usize, slot: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let slots = if capacity < 8 {
        (capacity + 1).next_power_of_two()
    } else {
        (capacity * 8 / 7).next_power_of_two()
    };
    slots * (slot + 1) + 16
}

/// A B-tree's nodes hold up to 11 entries and are two thirds full on average;
/// children and parent links cost about two words an entry.
fn tree(len: usize, entry: usize) -> usize {
    len * (entry + 2 * size_of::<usize>()) * 3 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &impl HeapSize, expected: usize) {
        assert_eq!(value.heap_size(), expected);
    }

    #[test]
    fn capacities_count_and_not_lengths() {
        let mut text = String::with_capacity(100);
        text.push('a');
        check(&text, 100);
        check(&Vec::<u64>::with_capacity(10), 80);
    }

    #[test]
    fn parts_count_with_their_whole() {
        check(&7_u64, 0);
        check(&Some("abc".to_owned()), 3);
        check(&None::<String>, 0);
        check(&vec!["abc".to_owned(), "de".to_owned()], 2 * 24 + 5);
        check(&Arc::new("abc".to_owned()), 16 + 24 + 3);
        check(&Arc::<str>::from("abc"), 16 + 8);
        check(&(1_u8, "abc".to_owned(), vec![1_u8, 2]), 3 + 2);
    }
}
