//! Sizes against real indexes of TPC-H, scale 1, on PostgreSQL 15.
//!
//! `tpch.facts` holds what a server told of its tables (`pg_stats`, distinct
//! values in a Bernoulli sample of one row in a hundred, distinct values counted)
//! and what `pg_relation_size` said of 87 freshly built indexes. The live
//! measurement is a proof of `veritas-postgres`.

use std::fmt::Write as _;

use veritas_index_advisor::{
    ColumnFacts, Distinct, DistinctSet, DistinctSource, IndexSpec, Layout, TableFacts, TableId, size,
};

/// A table with its real indexes and their bytes.
struct Measured {
    facts: TableFacts,
    indexes: Vec<(IndexSpec, f64)>,
}

/// How distinct values are known.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// From `pg_stats` only.
    Statistics,
    /// From a sample of rows, joint ones too.
    Sample,
    /// Counted, joint ones too.
    Counted,
}

fn shares(text: &str) -> Vec<f64> {
    text.split(',').filter_map(|share| share.parse().ok()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().expect("the fixture holds numbers")
}

fn column(words: &[&str], rows: f64, sample: f64, known: Known) -> ColumnFacts {
    let bytes: i32 = words[1].parse().expect("a length");
    let align = words[2].parse().expect("an alignment");
    let widths: Vec<(u32, f64)> = words[11]
        .split(',')
        .filter_map(|pair| pair.split_once(':'))
        .map(|(width, share)| (width.parse().expect("a width"), number(share)))
        .collect();
    ColumnFacts {
        name: words[0].to_owned(),
        layout: match u16::try_from(bytes) {
            Ok(bytes) => Layout::Fixed { bytes, align },
            Err(_) => Layout::Variable { align },
        },
        has_btree: true,
        deduplicates: words[3] == "1",
        average_bytes: number(words[4]),
        widths: (!widths.is_empty()).then_some(widths),
        widths_seen: 100.0,
        null_share: number(words[5]),
        distinct: match known {
            Known::Statistics => {
                Distinct { count: number(words[6]), source: DistinctSource::Sample { rows: 30_000.0 } }
            }
            Known::Sample => Distinct::of_sample(rows, sample, number(words[7]), number(words[8])),
            Known::Counted => Distinct::exact(number(words[9])),
        },
        most_common: shares(words[10]),
        correlation: None,
    }
}

fn measured(known: Known) -> Vec<Measured> {
    let mut tables: Vec<Measured> = Vec::new();
    let lines: Vec<Vec<&str>> =
        include_str!("tpch.facts").lines().map(|line| line.split(' ').collect()).collect();
    let mut samples = lines.iter().filter(|line| line[0] == "sample").map(|line| number(line[1]));
    let mut sample = 0.0;
    for words in &lines {
        if words[0] == "table" {
            sample = samples.next().expect("each table has its sample");
            let table = TableId::new("public", words[1]);
            let facts = TableFacts::new(table, number(words[2]), number(words[3]));
            tables.push(Measured { facts, indexes: Vec::new() });
            continue;
        }
        let Measured { facts, indexes } = tables.last_mut().expect("a table comes first");
        match words[0] {
            "column" => facts.columns.push(column(&words[1..], facts.rows, sample, known)),
            "set" if known != Known::Statistics => facts.distinct_sets.push(DistinctSet {
                columns: words[1].split(',').map(ToOwned::to_owned).collect(),
                distinct: if known == Known::Counted {
                    Distinct::exact(number(words[4]))
                } else {
                    Distinct::of_sample(facts.rows, sample, number(words[2]), number(words[3]))
                },
            }),
            "index" => {
                let mut spec = IndexSpec::on(facts.table.clone(), words[1].split(','));
                if words[2] != "-" {
                    spec = spec.including(words[2].split(','));
                }
                indexes.push((spec, number(words[3])));
            }
            _ => {}
        }
    }
    tables
}

struct Errors {
    sorted: Vec<f64>,
    above_high: Vec<String>,
    report: String,
}

fn errors(known: Known) -> Errors {
    let mut found = Errors { sorted: Vec::new(), above_high: Vec::new(), report: String::new() };
    for Measured { facts, indexes } in measured(known) {
        for (spec, real) in indexes {
            let size = size::bytes(&spec, &facts).expect("every column is known");
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
            let (mean, high) = (size.mean.get() as f64, size.high.get() as f64);
            let error = mean / real - 1.0;
            let _ = writeln!(found.report, "{:+7.2} % high {:5.2} {spec} {real}", error * 100.0, high / real);
            // Tiny indexes differ by whole pages: their error says nothing.
            if real >= 128.0 * 8_192.0 {
                found.sorted.push(error.abs());
            }
            if high < real {
                found.above_high.push(spec.to_string());
            }
        }
    }
    found.sorted.sort_by(f64::total_cmp);
    found
}

#[test]
fn sizes_are_those_of_real_indexes_when_distinct_keys_are_known() {
    let found = errors(Known::Counted);
    let (median, most) = (found.sorted[found.sorted.len() / 2], found.sorted[found.sorted.len() - 1]);
    println!("{}{} indexes, median {median:.4}, most {most:.4}", found.report, found.sorted.len());
    assert!(found.sorted.len() >= 60);
    assert!(median <= 0.01 && most <= 0.10, "median {median}, most {most}\n{}", found.report);
    assert_eq!(found.above_high, Vec::<String>::new(), "{}", found.report);
}

#[test]
fn sizes_from_a_sample_of_rows_are_off_where_the_sample_cannot_tell() {
    let found = errors(Known::Sample);
    let median = found.sorted[found.sorted.len() / 2];
    println!("{}{} indexes, median {median:.4}", found.report, found.sorted.len());
    assert!(median <= 0.03, "median {median}\n{}", found.report);
    assert_eq!(found.above_high, Vec::<String>::new(), "{}", found.report);
}

#[test]
fn no_real_index_is_larger_than_the_size_that_budgets_are_kept_with() {
    let found = errors(Known::Statistics);
    println!("{}", found.report);
    assert_eq!(found.above_high, Vec::<String>::new(), "{}", found.report);
}
