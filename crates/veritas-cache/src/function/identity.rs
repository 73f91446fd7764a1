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
    /// That path does not tell of the types that a trait's own method, or one that is
    /// implemented for all types, is called with: `<app::Cat as app::Animal>::legs` may be the
    /// cat's own, or everybody's. So it is compared with the path that the function was
    /// declared with: that of an item in its body, which has `app::Animal::legs` (or
    /// `<_ as app::Animal>::legs`) in front of its own name when it is everybody's.
    ///
    /// The spelling belongs to the compiler. Were it to change, functions without a
    /// given name would have other names, and begin with empty caches.
    pub(super) fn of(given: Option<&str>, type_name: &str, declared: Option<&str>) -> Self {
        let path = without_closures(type_name);
        let declared = declared.and_then(|item| item.rsplit_once("::"));
        let declared = declared.map_or(path, |(outer, _)| without_closures(outer));
        let plain = without_types(declared);
        let is_generic = declared != path || plain != path;
        let name = given.map_or(plain.into_boxed_str(), Box::from);
        Self { name, is_generic, is_refused: false }
    }
}

fn without_closures(mut path: &str) -> &str {
    while let Some(outer) = path.strip_suffix("::{{closure}}") {
        path = outer;
    }
    path
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
        let identity = Identity::of(None, type_name, None);
        assert_eq!((&*identity.name, identity.is_generic), (name, is_generic));
    }

    #[track_caller]
    fn check_declared(type_name: &str, item: &str, name: &str, is_generic: bool) {
        let identity = Identity::of(None, type_name, Some(item));
        assert_eq!((&*identity.name, identity.is_generic), (name, is_generic));
    }

    #[test]
    fn what_all_types_share_is_told_from_what_one_type_has() {
        let cats = "<app::Cat as app::Animal>::legs::{{closure}}";
        check_declared(
            cats,
            "<app::Cat as app::Animal>::legs::item",
            "<app::Cat as app::Animal>::legs",
            false,
        );
        check_declared(cats, "app::Animal::legs::item", "app::Animal::legs", true);
        check_declared(cats, "<_ as app::Animal>::legs::item", "<_ as app::Animal>::legs", true);
        check_declared("app::load<u8>::{{closure}}", "app::load::item", "app::load", true);
        check_declared("app::Of<u8>::load::{{closure}}", "app::Of<_>::load::item", "app::Of::load", true);
        check_declared("app::Of<'_>::load::{{closure}}", "app::Of<'_>::load::item", "app::Of::load", true);
        check_declared(
            "app::load::{{closure}}::{{closure}}",
            "app::load::{{closure}}::item",
            "app::load",
            false,
        );
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
        assert_eq!(&*Identity::of(Some("users"), "app::load<u8>::{{closure}}", None).name, "users");
        assert!(Identity::of(Some("users"), "app::load<u8>::{{closure}}", None).is_generic);
    }
}
