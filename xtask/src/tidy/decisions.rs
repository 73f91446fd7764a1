//! Decisions: each page is in the index, and no number is given twice.

use std::{collections::BTreeMap, path::Path};

use super::{Texts, Violation};

/// Where the pages and their index are.
const FOLDER: &str = "docs/decisions";

/// Checks the pages `NNNN-title.md` against the index.
pub(super) fn check(texts: &Texts) -> Vec<Violation> {
    let index = texts.get(&Path::new(FOLDER).join("README.md")).map_or("", String::as_str);
    let mut by_number: BTreeMap<String, String> = BTreeMap::new();
    let mut violations = Vec::new();
    for path in texts.keys().filter(|path| path.parent() == Some(Path::new(FOLDER))) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Some((number, _)) = name.split_once('-') else { continue };
        if !index.contains(&format!("({name})")) {
            violations.push(Violation::new(path.to_string_lossy(), "is not in the index, README.md"));
        }
        if let Some(other) = by_number.insert(number.to_owned(), name.clone()) {
            violations.push(Violation::new(path.to_string_lossy(), format!("has the number of {other}")));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_the_index_and_has_a_number_of_its_own() {
        let file = |name: &str, text: &str| (Path::new(FOLDER).join(name), text.to_owned());
        let texts = Texts::from([
            file("README.md", "[0001](0001-a.md) [0002](0002-b.md)"),
            file("0001-a.md", ""),
            file("0002-b.md", ""),
            file("0002-c.md", ""),
        ]);
        let said: Vec<String> = check(&texts).into_iter().map(|violation| violation.what).collect();
        assert_eq!(said, ["is not in the index, README.md", "has the number of 0002-b.md"]);
    }
}
