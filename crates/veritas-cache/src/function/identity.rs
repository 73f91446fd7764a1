//! Who a function is: its name, and whether its types are part of its keys.

/// The name of a cached function, found at its first call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The given name, or the path of the function without the types it is called with.
    pub(super) name: Box<str>,
    /// Whether it, or what it is a method of, is generic: then its types are part of its keys.
    pub(super) is_generic: bool,
    /// Whether another function has the name already.
    pub(super) is_refused: bool,
}

impl Identity {
    /// Takes the path out of the type name of a closure in the function's body:
    /// `app::Store<u8>::load::{{closure}}` is `app::Store::load`, which is generic.
    ///
    /// The spelling belongs to the compiler. Were it to change, functions without a
    /// given name would have other names, and begin with empty caches.
    pub(super) fn of(given: Option<&str>, type_name: &str) -> Self {
        let mut path = type_name;
        while let Some(outer) = path.strip_suffix("::{{closure}}") {
            path = outer;
        }
        let plain = without_types(path);
        let is_generic = plain != path;
        let name = given.map_or(plain.into_boxed_str(), Box::from);
        Self { name, is_generic, is_refused: false }
    }
}

/// Takes out everything in angle brackets, but for those of `<Type as Trait>`.
fn without_types(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut depth = 0_u32;
    let mut before = ' ';
    for character in path.chars() {
        // A bracket after a name opens its types; one at the start of a path does not.
        let opens = character == '<' && (depth > 0 || before.is_alphanumeric() || before == '_');
        if opens {
            depth += 1;
        } else if depth == 0 {
            plain.push(character);
        } else if character == '>' && before != '-' {
            depth -= 1;
        }
        before = character;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(type_name: &str, name: &str, is_generic: bool) {
        let identity = Identity::of(None, type_name);
        assert_eq!((&*identity.name, identity.is_generic), (name, is_generic));
    }

    #[test]
    fn a_function_is_named_by_its_path_without_types() {
        check("app::load::{{closure}}", "app::load", false);
        check("app::load::{{closure}}::{{closure}}", "app::load", false);
        check("app::Store::load::{{closure}}", "app::Store::load", false);
        check("app::Store<alloc::vec::Vec<u8>>::load::{{closure}}", "app::Store::load", true);
        check("<app::Store as app::Load>::load::{{closure}}", "<app::Store as app::Load>::load", false);
        check(
            "<app::Store<u8> as app::Load<u8>>::load::{{closure}}",
            "<app::Store as app::Load>::load",
            true,
        );
        check("app::load<3, fn(u8) -> app::Of<u8>>::{{closure}}", "app::load", true);
        check("app::outer::inner::{{closure}}", "app::outer::inner", false);
        assert_eq!(&*Identity::of(Some("users"), "app::load<u8>::{{closure}}").name, "users");
        assert!(Identity::of(Some("users"), "app::load<u8>::{{closure}}").is_generic);
    }
}
