//! Tables: figures of one kind, each beside the one that all are compared with.

use std::fmt;

use serde_json::{Value, json};
use veritas_model::round2;

/// Figures of one kind.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    unit: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Table {
    /// Begins a table; its first row is the one that the others are compared with.
    pub(crate) fn new(title: impl Into<String>, unit: &'static str) -> Self {
        Self { title: title.into(), unit, rows: Vec::new() }
    }

    /// Adds a row of one or more measurements.
    pub(crate) fn add(&mut self, name: impl Into<String>, mut measured: Vec<f64>) {
        measured.sort_by(f64::total_cmp);
        let at = |index: usize| measured.get(index).copied().unwrap_or(f64::NAN);
        self.rows.push(Row {
            name: name.into(),
            median: at(measured.len() / 2),
            lowest: at(0),
            highest: at(measured.len().saturating_sub(1)),
        });
    }

    pub(crate) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "median": round2(row.median),
                    "lowest": round2(row.lowest),
                    "highest": round2(row.highest),
                    "ratio_to_first": round2(self.ratio(row)),
                })
            })
            .collect();
        json!({ "title": self.title, "unit": self.unit, "rows": rows })
    }

    fn ratio(&self, row: &Row) -> f64 {
        self.rows.first().map_or(f64::NAN, |first| row.median / first.median)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}:", self.title, self.unit)?;
        for row in &self.rows {
            let digits = if row.median < 10.0 { 2 } else { usize::from(row.median < 1_000.0) };
            writeln!(
                f,
                "  {:<40} {:>12.digits$}  ({:.digits$} to {:.digits$})  {:>7.2} ×",
                row.name,
                row.median,
                row.lowest,
                row.highest,
                self.ratio(row)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_with_its_extremes_and_its_ratio() {
        let mut table = Table::new("hits", "ns");
        table.add("bare", vec![30.0, 20.0, 25.0]);
        table.add("ours", vec![50.0]);
        assert_eq!(table.json()["rows"][0]["median"], 25.0);
        assert_eq!(table.json()["rows"][0]["highest"], 30.0);
        assert_eq!(table.json()["rows"][1]["ratio_to_first"], 2.0);
        assert!(table.to_string().contains("2.00 ×"));
    }
}
