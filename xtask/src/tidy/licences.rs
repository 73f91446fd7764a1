//! Licences: every package is under one that `deny.toml` allows.

use super::{Violation, dependencies::Package, policy::Policy};

/// Checks the licence of every package that is compiled.
pub(super) fn check(packages: &[Package], policy: &Policy) -> Vec<Violation> {
    let mut violations = Vec::new();
    for Package { name, licence, .. } in packages {
        let exception = policy.exceptions.iter().find(|(of, _)| of == name).map(|(_, allowed)| allowed);
        let allowed = |licence: &str| {
            let named = |list: &Vec<String>| list.iter().any(|allowed| allowed == licence);
            named(&policy.licences) || exception.is_some_and(named)
        };
        if licence.is_empty() {
            violations.push(Violation::new(name, "names no licence"));
        } else if !is_allowed(licence, &allowed) {
            let what = format!("is under {licence:?}, which deny.toml does not allow");
            violations.push(Violation::new(name, what));
        }
    }
    violations
}

/// Evaluates an SPDX expression (annex D of the SPDX specification): `AND` binds
/// tighter than `OR`; a licence `WITH` an exception is a name of its own; `/` is
/// how old manifests write `OR`.
fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let verdict = either(&mut rest, allowed);
    verdict && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut verdict = all(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        verdict |= all(rest, allowed);
    }
    verdict
}

fn all(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut verdict = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        verdict &= one(rest, allowed);
    }
    verdict
}

fn one(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> bool {
    match **rest {
        ["(", ref after @ ..] => {
            *rest = after;
            let verdict = either(rest, allowed);
            if let [")", after @ ..] = *rest {
                *rest = after;
                verdict
            } else {
                false
            }
        }
        [licence, "WITH", exception, ref after @ ..] => {
            *rest = after;
            allowed(&format!("{licence} WITH {exception}"))
        }
        [licence, ref after @ ..] => {
            *rest = after;
            allowed(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(is_allowed(expression, &|licence| allowed.contains(&licence)), expected, "{expression}");
    }

    #[test]
    fn expressions_are_understood() {
        check_expression("MIT", true);
        check_expression("MIT OR GPL-3.0", true);
        check_expression("MIT/GPL-3.0", true);
        check_expression("MIT AND GPL-3.0", false);
        check_expression("GPL-3.0 OR MIT AND Apache-2.0", true);
        check_expression("(GPL-3.0 OR MIT) AND Zlib", false);
        check_expression("(GPL-3.0 OR MIT) AND Apache-2.0", true);
        check_expression("Apache-2.0 WITH LLVM-exception", true);
        check_expression("GPL-3.0 WITH LLVM-exception", false);
        check_expression("CDDL-1.0", false);
        check_expression("", false);
        check_expression("MIT MIT", false);
        check_expression("(MIT", false);
    }

    #[test]
    fn a_package_without_an_allowed_licence_is_found() {
        let package = |name: &str, licence: &str| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
        };
        let packages = [package("good", "MIT"), package("bad", "CDDL-1.0"), package("none", "")];
        let mut policy = Policy { licences: vec!["MIT".to_owned()], ..Policy::default() };
        let places =
            |policy: &Policy| check(&packages, policy).into_iter().map(|v| v.place).collect::<Vec<_>>();
        assert_eq!(places(&policy), ["bad", "none"]);
        policy.exceptions.push(("bad".to_owned(), vec!["CDDL-1.0".to_owned()]));
        assert_eq!(places(&policy), ["none"]);
    }
}
