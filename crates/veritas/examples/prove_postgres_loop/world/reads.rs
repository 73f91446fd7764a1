//! Kinds of reads: equality, ranges, orders with limits, joins, groups, expressions and rare values.

use super::{
    Draw::{After, Below, Code, From, Mail, Skewed, Tenth},
    Kind,
};

/// The first moment in `at`, and how far two rows lie apart.
const FIRST: i64 = 1_600_000_000;
const STEP: i64 = 7;

pub(super) const READS: &[Kind] = &[
    Kind {
        name: "by_uniform",
        sql: "SELECT id, amount FROM {t} WHERE u = $1",
        draws: |shape| vec![Below(shape.uniform)],
    },
    Kind {
        name: "by_skewed",
        sql: "SELECT id, amount FROM {t} WHERE z = $1",
        draws: |shape| vec![Skewed(shape.skewed)],
    },
    Kind {
        name: "between_moments",
        sql: "SELECT count(*), sum(amount) FROM {t} WHERE at >= $1 AND at < $2",
        draws: |shape| vec![From(FIRST, shape.rows * STEP), After(shape.rows / 200 * STEP)],
    },
    Kind {
        name: "newest_of",
        sql: "SELECT id, at FROM {t} WHERE u = $1 ORDER BY at DESC LIMIT 10",
        draws: |shape| vec![Below(shape.uniform)],
    },
    Kind {
        name: "newest_of_skewed",
        sql: "SELECT id, at, amount FROM {t} WHERE z = $1 ORDER BY at DESC LIMIT 10",
        draws: |shape| vec![Skewed(shape.skewed)],
    },
    Kind {
        name: "by_correlated",
        sql: "SELECT id FROM {t} WHERE u = $1 AND d = $2",
        draws: |shape| vec![Below(shape.uniform), Tenth],
    },
    Kind {
        name: "dear_ones_of",
        sql: "SELECT id, amount FROM {t} WHERE z = $1 AND amount >= $2",
        draws: |shape| vec![Skewed(shape.skewed), From(80_000, 19_000)],
    },
    Kind {
        name: "joined",
        sql: "SELECT o.id, o.amount FROM {t} t JOIN {o} o ON o.id = t.other_id WHERE t.u = $1",
        draws: |shape| vec![Below(shape.uniform)],
    },
    Kind {
        name: "referring",
        sql: "SELECT t.id, t.amount FROM {o} o JOIN {t} t ON t.other_id = o.id WHERE o.code = $1",
        draws: |shape| vec![Code(shape.others)],
    },
    Kind {
        name: "open_of",
        sql: "SELECT id, at FROM {t} WHERE state = 'open' AND z <= $1",
        draws: |shape| vec![Skewed(shape.skewed)],
    },
    Kind {
        name: "oldest_open",
        sql: "SELECT id, amount FROM {t} WHERE state = 'open' ORDER BY at LIMIT 20",
        draws: |_| Vec::new(),
    },
    Kind {
        name: "by_mail",
        sql: "SELECT id, code FROM {t} WHERE lower(mail) = $1",
        draws: |shape| vec![Mail(shape.rows)],
    },
    Kind {
        name: "dearest",
        sql: "SELECT id, amount FROM {t} ORDER BY amount DESC LIMIT 10",
        draws: |_| Vec::new(),
    },
    Kind {
        name: "grouped",
        sql: "SELECT z, count(*) FROM {t} WHERE c BETWEEN $1 AND $2 GROUP BY z",
        draws: |shape| vec![Below(shape.rows / shape.run), After(2)],
    },
    Kind {
        name: "some_codes",
        sql: "SELECT id, amount FROM {t} WHERE code IN ($1, $2, $3)",
        draws: |shape| vec![Code(shape.rows), Code(shape.rows), Code(shape.rows)],
    },
    Kind {
        name: "by_code",
        sql: "SELECT id FROM {t} WHERE code = $1",
        draws: |shape| vec![Code(shape.rows)],
    },
    Kind {
        name: "largest_of",
        sql: "SELECT max(amount) FROM {t} WHERE u = $1",
        draws: |shape| vec![Below(shape.uniform)],
    },
    Kind {
        name: "with_open_ones",
        sql: "SELECT count(*) FROM {t} t WHERE t.z = $1 AND EXISTS (SELECT FROM {o} o WHERE o.id = t.other_id AND o.state = 'open')",
        draws: |shape| vec![Skewed(shape.skewed)],
    },
    Kind {
        name: "page_of",
        sql: "SELECT * FROM {t} WHERE d = $1 ORDER BY id LIMIT 50",
        draws: |shape| vec![Below(shape.uniform / 10)],
    },
    Kind {
        name: "sum_since",
        sql: "SELECT sum(amount) FROM {t} WHERE state = 'held' AND c >= $1",
        draws: |shape| vec![Below(shape.rows / shape.run)],
    },
];
