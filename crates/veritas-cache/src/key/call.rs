//! Calls and records: parts that have names.

use super::{CALL, ENUMERATION, KeyEncoder, KeyPart, RECORD};

impl KeyEncoder {
    /// Opens the key of a function's call; append `arguments` arguments next, each
    /// with [`Self::argument`], ordered by the bytes of their names.
    ///
    /// `schema` is the version of what the function returns: another one is another key.
    #[inline]
    pub fn call(&mut self, schema: u32, arguments: usize) {
        self.push(&[CALL]);
        self.push_length(schema as usize);
        self.push_length(arguments);
    }

    /// Appends an argument's name and value.
    #[inline]
    pub fn argument<K: KeyPart + ?Sized>(&mut self, name: &str, part: &K) {
        self.name(name);
        part.encode(self);
    }

    /// Appends a record: the name of its type and its fields, whose order does not matter.
    ///
    /// ```
    /// use veritas_cache::{KeyEncoder, KeyPart};
    ///
    /// struct Page { number: u32, size: u32 }
    ///
    /// impl KeyPart for Page {
    ///     fn encode(&self, key: &mut KeyEncoder) {
    ///         key.record("Page", &mut [("number", &self.number), ("size", &self.size)]);
    ///     }
    /// }
    /// ```
    pub fn record(&mut self, kind: &str, fields: &mut [(&str, &dyn KeyPart)]) {
        fields.sort_unstable_by_key(|(name, _)| *name);
        self.push(&[RECORD]);
        self.name(kind);
        self.push_length(fields.len());
        for (name, part) in fields {
            self.argument(name, *part);
        }
    }

    /// Appends a member of an enumeration: the name of its type, and what tells it
    /// from the other members (its name).
    pub fn enumeration<K: KeyPart + ?Sized>(&mut self, kind: &str, member: &K) {
        self.push(&[ENUMERATION]);
        self.name(kind);
        member.encode(self);
    }

    /// Appends the name of an argument whose part comes next.
    #[inline]
    pub(crate) fn open_argument(&mut self, name: &str) {
        self.name(name);
    }

    #[inline]
    fn name(&mut self, name: &str) {
        self.push_length(name.len());
        self.push(name.as_bytes());
    }
}
