//! The types of the standard library as parts of keys.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    num::NonZero,
    rc::Rc,
    sync::Arc,
};

use super::{KeyEncoder, KeyPart, NOTHING, SOMETHING, Short};

macro_rules! unsigned {
    ($($kind:ty),*) => {$(
        impl KeyPart for NonZero<$kind> {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                self.get().encode(key);
            }

            #[inline]
            fn short(&self) -> Option<Short> {
                self.get().short()
            }
        }

        impl KeyPart for $kind {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                key.integer(false, u128::from(*self));
            }

            #[inline]
            fn short(&self) -> Option<Short> {
                Short::integer(false, u128::from(*self))
            }
        }
    )*};
}

macro_rules! signed {
    ($($kind:ty),*) => {$(
        impl KeyPart for NonZero<$kind> {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                self.get().encode(key);
            }

            #[inline]
            fn short(&self) -> Option<Short> {
                self.get().short()
            }
        }

        impl KeyPart for $kind {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                key.integer(*self < 0, u128::from(self.unsigned_abs()));
            }

            #[inline]
            fn short(&self) -> Option<Short> {
                Short::integer(*self < 0, u128::from(self.unsigned_abs()))
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, u128);
signed!(i8, i16, i32, i64, i128);

impl KeyPart for usize {
    #[inline]
    fn encode(&self, key: &mut KeyEncoder) {
        (*self as u64).encode(key);
    }

    #[inline]
    fn short(&self) -> Option<Short> {
        (*self as u64).short()
    }
}

impl KeyPart for isize {
    #[inline]
    fn encode(&self, key: &mut KeyEncoder) {
        (*self as i64).encode(key);
    }

    #[inline]
    fn short(&self) -> Option<Short> {
        (*self as i64).short()
    }
}

impl KeyPart for bool {
    fn encode(&self, key: &mut KeyEncoder) {
        key.boolean(*self);
    }
}

impl KeyPart for f64 {
    fn encode(&self, key: &mut KeyEncoder) {
        key.float(*self);
    }
}

impl KeyPart for f32 {
    fn encode(&self, key: &mut KeyEncoder) {
        key.float(f64::from(*self));
    }
}

impl KeyPart for char {
    fn encode(&self, key: &mut KeyEncoder) {
        key.text(self.encode_utf8(&mut [0; 4]));
    }
}

impl KeyPart for str {
    #[inline]
    fn encode(&self, key: &mut KeyEncoder) {
        key.text(self);
    }

    #[inline]
    fn short(&self) -> Option<Short> {
        Short::text(self)
    }
}

impl KeyPart for String {
    #[inline]
    fn encode(&self, key: &mut KeyEncoder) {
        key.text(self);
    }

    #[inline]
    fn short(&self) -> Option<Short> {
        Short::text(self)
    }
}

impl<T: KeyPart + ToOwned + ?Sized> KeyPart for Cow<'_, T> {
    fn encode(&self, key: &mut KeyEncoder) {
        (**self).encode(key);
    }

    #[inline]
    fn short(&self) -> Option<Short> {
        (**self).short()
    }
}

impl KeyPart for () {
    fn encode(&self, key: &mut KeyEncoder) {
        key.nothing();
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn encode(&self, key: &mut KeyEncoder) {
        let Some(inner) = self else { return key.nothing() };
        let mut part = KeyEncoder::new();
        inner.encode(&mut part);
        if matches!(part.as_bytes().first(), Some(&(NOTHING | SOMETHING))) {
            key.push(&[SOMETHING]);
        }
        key.push(part.as_bytes());
    }
}

impl<T: KeyPart> KeyPart for [T] {
    fn encode(&self, key: &mut KeyEncoder) {
        key.sequence(self.len());
        for part in self {
            part.encode(key);
        }
    }
}

impl<T: KeyPart, const N: usize> KeyPart for [T; N] {
    fn encode(&self, key: &mut KeyEncoder) {
        self.as_slice().encode(key);
    }
}

impl<T: KeyPart> KeyPart for Vec<T> {
    fn encode(&self, key: &mut KeyEncoder) {
        self.as_slice().encode(key);
    }
}

impl<T: KeyPart> KeyPart for VecDeque<T> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.sequence(self.len());
        for part in self {
            part.encode(key);
        }
    }
}

macro_rules! pointers {
    ($($kind:ty),*) => {$(
        impl<T: KeyPart + ?Sized> KeyPart for $kind {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                (**self).encode(key);
            }

            #[inline]
            fn short(&self) -> Option<Short> {
                (**self).short()
            }
        }
    )*};
}

pointers!(&T, Box<T>, Rc<T>, Arc<T>);

impl<K: KeyPart, V: KeyPart> KeyPart for BTreeMap<K, V> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.map(self.iter());
    }
}

impl<K: KeyPart, V: KeyPart, S> KeyPart for HashMap<K, V, S> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.map(self.iter());
    }
}

impl<T: KeyPart> KeyPart for BTreeSet<T> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.set(self.iter());
    }
}

impl<T: KeyPart, S> KeyPart for HashSet<T, S> {
    fn encode(&self, key: &mut KeyEncoder) {
        key.set(self.iter());
    }
}

macro_rules! tuples {
    ($($count:literal ($($part:ident $index:tt),+))*) => {$(
        impl<$($part: KeyPart),+> KeyPart for ($($part,)+) {
            #[inline]
            fn encode(&self, key: &mut KeyEncoder) {
                key.tuple($count);
                $(self.$index.encode(key);)+
            }
        }
    )*};
}

tuples! {
    1 (A 0)
    2 (A 0, B 1)
    3 (A 0, B 1, C 2)
    4 (A 0, B 1, C 2, D 3)
    5 (A 0, B 1, C 2, D 3, E 4)
    6 (A 0, B 1, C 2, D 3, E 4, F 5)
    7 (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    8 (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
