//! The search over tables of costs, against every possible set.

use std::{ops::ControlFlow, time::Duration};

use proptest::prelude::*;
use veritas_model::{Bytes, Clock, Monotonic, SystemClock, Timestamp};

use super::{
    exact, grow, search,
    set::Set,
    table::{PlanCost, Table, undominated},
};
use crate::{
    advice::{Advice, GapBasis, Search, Why},
    index::IndexSpec,
    size,
    table::{ColumnFacts, Distinct, TableFacts, TableId},
    what_if::{Planned, Question, WhatIf, WhatIfError},
    workload::{Statement, Workload},
};

/// A planner that takes the cheapest of a list of plans.
#[derive(Debug, Clone)]
struct Plans {
    /// For each statement: cost and the columns whose indexes it needs.
    of: Vec<Vec<(f64, Vec<usize>)>>,
    /// Statements that cannot be planned.
    broken: Vec<usize>,
    /// Whether it says what it used.
    says_used: bool,
    calls: u32,
}

impl Plans {
    fn cost(&self, statement: usize, set: &[usize]) -> (f64, Vec<usize>) {
        self.of[statement]
            .iter()
            .filter(|(_, needs)| needs.iter().all(|need| set.contains(need)))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.len().cmp(&b.1.len())))
            .cloned()
            .expect("one plan needs nothing")
    }
}

fn column_of(spec: &IndexSpec) -> usize {
    spec.keys[0].name().and_then(|name| name[1..].parse().ok()).expect("columns are c0, c1, …")
}

impl WhatIf for Plans {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        self.calls += 1;
        let statement = question.statement;
        if self.broken.contains(&statement) {
            return Err(WhatIfError::Statement { statement, reason: "no such table".into() });
        }
        let set: Vec<usize> = question.indexes.iter().map(|spec| column_of(spec)).collect();
        let (cost, needs) = self.cost(statement, &set);
        let used = needs.iter().filter_map(|need| set.iter().position(|at| at == need)).collect();
        Ok(Planned { cost, used: self.says_used.then_some(used) })
    }
}

fn table_id() -> TableId {
    TableId::new("public", "t")
}

/// A table whose indexes have different sizes: column i has i + 1 distinct values or all.
fn facts(columns: usize) -> TableFacts {
    let mut facts = TableFacts::new(table_id(), 100_000.0, 1_000.0);
    for at in 0..columns {
        let distinct = Distinct::exact(if at % 2 == 0 { 100_000.0 } else { 10.0 });
        let bytes = if at % 3 == 0 { 8 } else { 16 };
        facts.columns.push(ColumnFacts::fixed(format!("c{at}"), bytes, 8, distinct));
    }
    facts
}

fn candidates(columns: usize) -> Vec<IndexSpec> {
    (0..columns).map(|at| IndexSpec::on(table_id(), [format!("c{at}").as_str()])).collect()
}

fn workload(statements: usize) -> Workload {
    Workload {
        statements: (0..statements)
            .map(|at| Statement::new(format!("s{at}"), 1.0, vec![table_id()]))
            .collect(),
        ..Workload::default()
    }
}

fn run(plans: &Plans, columns: usize, options: &Search) -> Advice {
    run_with(plans, columns, options, &SystemClock::new(), &mut |_| ControlFlow::Continue(()))
}

fn run_with(
    plans: &Plans,
    columns: usize,
    options: &Search,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&crate::Progress) -> ControlFlow<()>,
) -> Advice {
    let workload = workload(plans.of.len());
    let facts = [facts(columns)];
    let mut plans = plans.clone();
    let advice = search(&workload, &facts, &candidates(columns), &mut plans, options, clock, progress);
    assert_eq!(plans.calls, advice.calls);
    advice
}

/// Returns the least total of any set within the budget.
fn best_of_all(plans: &Plans, columns: usize, budget: u64) -> f64 {
    let facts = facts(columns);
    let sizes: Vec<u64> = candidates(columns)
        .iter()
        .map(|spec| size::bytes(spec, &facts).expect("columns are known").high.get())
        .collect();
    (0_u32..1 << columns)
        .map(|bits| (0..columns).filter(|at| bits & (1 << at) != 0).collect::<Vec<_>>())
        .filter(|set| set.iter().map(|&at| sizes[at]).sum::<u64>() <= budget)
        .map(|set| (0..plans.of.len()).map(|statement| plans.cost(statement, &set).0).sum())
        .fold(f64::INFINITY, f64::min)
}

const COLUMNS: usize = 8;

prop_compose! {
    /// Plans of 1 to 3 indexes: some only help together, as joins do.
    fn any_plans()(
        plans in prop::collection::vec(
            prop::collection::vec(
                (0.02..0.98_f64, prop::collection::btree_set(0..COLUMNS, 1..=3)), 0..7),
            1..6),
        bases in prop::collection::vec(100.0..10_000.0_f64, 6),
    ) -> Plans {
        let plans = plans
            .into_iter()
            .zip(bases)
            .map(|(plans, base)| {
                let indexed = plans.into_iter().map(|(share, needs)| (share * base, needs.into_iter().collect()));
                std::iter::once((base, Vec::new())).chain(indexed).collect()
            })
            .collect();
        Plans { of: plans, broken: Vec::new(), says_used: true, calls: 0 }
    }
}

fn options(budget: u64) -> Search {
    Search { min_gain: 0.0, max_calls: 100_000, prove: Some(0.0), ..Search::within(Bytes::new(budget)) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn with_questions_enough_the_answer_is_the_best_there_is(
        plans in any_plans(), budget in 0_u64..16_000_000,
    ) {
        let advice = run(&plans, COLUMNS, &options(budget));
        let best = best_of_all(&plans, COLUMNS, budget);
        prop_assert!(advice.bytes_high.get() <= budget);
        prop_assert!(advice.cost_after <= best * 1.0001, "{} is not {best}", advice.cost_after);
        prop_assert!(advice.cost_after >= best * 0.999_999);
        let gap = advice.gap.expect("nothing stopped it");
        prop_assert!((0.0..0.001).contains(&gap), "gap {gap}");
        prop_assert_eq!(advice.gap_basis, GapBasis::Planner);
        prop_assert_eq!(advice.stopped, Why::Done);
    }

    #[test]
    fn a_gap_that_rests_on_the_planner_is_never_too_small(
        plans in any_plans(), budget in 0_u64..16_000_000, calls in 1_u32..60, min_gain in 0.0..0.05_f64,
        near in prop::sample::select(vec![0.0, 0.02, 0.3]),
    ) {
        let options = Search { max_calls: calls, min_gain, prove: Some(near), ..options(budget) };
        let advice = run(&plans, COLUMNS, &options);
        prop_assert!(advice.calls <= calls);
        prop_assert!(advice.bytes_high.get() <= budget);
        let best = best_of_all(&plans, COLUMNS, budget);
        if let (Some(gap), GapBasis::Planner) = (advice.gap, advice.gap_basis) {
            prop_assert!(advice.cost_after <= best * (1.0 + gap) * 1.000_1, "{} {best} {gap}", advice.cost_after);
        }
    }

    #[test]
    fn an_answer_that_is_near_enough_is_said_to_be(
        plans in any_plans(), budget in 0_u64..16_000_000, near in 0.0..0.3_f64,
    ) {
        let advice = run(&plans, COLUMNS, &Search { prove: Some(near), ..options(budget) });
        let best = best_of_all(&plans, COLUMNS, budget);
        let gap = advice.gap.expect("nothing stopped it");
        prop_assert_eq!(advice.gap_basis, GapBasis::Planner);
        prop_assert!(gap <= near + 0.001, "gap {gap}");
        prop_assert!(advice.cost_after <= best * (1.0 + gap) * 1.000_1, "{} {best} {gap}", advice.cost_after);
    }

    #[test]
    fn what_is_said_of_the_answer_is_what_the_planner_says(plans in any_plans(), calls in 1_u32..80) {
        let advice = run(&plans, COLUMNS, &Search { max_calls: calls, ..options(9_000_000) });
        let set: Vec<usize> = advice.chosen.iter().map(|chosen| column_of(&chosen.spec)).collect();
        let total: f64 = advice.statements.iter().map(|s| plans.cost(s.statement, &set).0).sum();
        prop_assert!(total <= advice.cost_after * 1.000_001, "{total} is more than {}", advice.cost_after);
        for chosen in &advice.chosen {
            prop_assert!(chosen.gain > 0.0);
        }
    }

    #[test]
    fn a_larger_budget_is_never_worse(plans in any_plans(), budget in 0_u64..12_000_000, more in 0_u64..6_000_000) {
        let small = run(&plans, COLUMNS, &options(budget));
        let large = run(&plans, COLUMNS, &options(budget + more));
        prop_assert!(large.cost_after <= small.cost_after * 1.0001);
    }

    #[test]
    fn the_same_answers_give_the_same_advice(plans in any_plans(), calls in 1_u32..200) {
        let options = Search { max_calls: calls, ..options(8_000_000) };
        prop_assert_eq!(run(&plans, COLUMNS, &options), run(&plans, COLUMNS, &options));
    }

    #[test]
    fn a_planner_that_does_not_say_what_it_used_gives_no_wrong_answer(
        plans in any_plans(), budget in 0_u64..16_000_000,
    ) {
        let mute = Plans { says_used: false, ..plans };
        let advice = run(&mute, COLUMNS, &options(budget));
        prop_assert!(advice.bytes_high.get() <= budget);
        let set: Vec<usize> = advice.chosen.iter().map(|chosen| column_of(&chosen.spec)).collect();
        let total: f64 = (0..mute.of.len()).map(|statement| mute.cost(statement, &set).0).sum();
        prop_assert!((total - advice.cost_after).abs() <= 1e-6 * total);
        prop_assert!(advice.cost_after <= advice.cost_before);
    }

    #[test]
    fn branch_and_bound_finds_the_best_and_its_bound_holds(
        plans in any_plans(),
        bytes in prop::collection::vec(1_u64..100, COLUMNS),
        prices in prop::collection::vec(0.0..400.0_f64, COLUMNS),
        budget in 0_u64..300, most in 0_usize..9, steps in prop::sample::select(vec![0_u32, 50, 100_000]),
    ) {
        let statements = plans.of.iter().map(|plans| undominated(
            plans.iter().map(|(cost, needs)| PlanCost { cost: *cost, needs: needs.iter().copied().collect(), part: None }).collect(),
        )).collect();
        let table = Table { statements, prices, bytes, budget, most };
        let best = (0_u32..1 << COLUMNS)
            .map(|bits| (0..COLUMNS).filter(|at| bits & (1 << at) != 0).collect::<Set>())
            .filter(|set| table.fits(*set))
            .map(|set| table.total(set))
            .fold(f64::INFINITY, f64::min);
        let grown = grow::grow(&table, Set::EMPTY, 0.0);
        let swapped = grow::swap(&table, grown, 0.0, || true);
        prop_assert!(table.fits(swapped) && table.total(swapped) <= table.total(grown) + 1e-6);
        let solved = exact::solve(&table, swapped, steps, || true);
        prop_assert!(table.fits(solved.set));
        prop_assert!(solved.bound <= best * (1.0 + 1e-9) + 1e-6, "bound {} above {best}", solved.bound);
        if steps > 50 {
            prop_assert!(table.total(solved.set) <= best * 1.000_1 + 1e-6, "{} is not {best}", table.total(solved.set));
        }
    }
}

fn two_plans() -> Plans {
    Plans {
        of: vec![
            vec![(1_000.0, vec![]), (10.0, vec![0])],
            vec![(500.0, vec![]), (100.0, vec![1, 2]), (450.0, vec![1])],
        ],
        broken: vec![],
        says_used: true,
        calls: 0,
    }
}

#[test]
fn two_indexes_that_only_help_together_are_found() {
    let advice = run(&two_plans(), 3, &options(u64::MAX / 2));
    assert_eq!(advice.cost_after, 110.0);
    assert_eq!(advice.chosen.len(), 3);
    assert_eq!(advice.chosen[0].spec, candidates(3)[0]);
    assert_eq!(advice.chosen[0].gain, 990.0);
    assert_eq!(advice.chosen[0].statements[0].after, 10.0);
}

#[test]
fn a_statement_that_cannot_be_planned_is_left_out_and_said() {
    let advice = run(&Plans { broken: vec![1], ..two_plans() }, 3, &options(u64::MAX / 2));
    assert_eq!(advice.left_out.len(), 1);
    assert_eq!(advice.left_out[0].statement, 1);
    assert_eq!((advice.cost_before, advice.cost_after), (1_000.0, 10.0));
    assert_eq!(advice.statements.len(), 1);
}

/// A clock that goes on by a second each time it is read.
#[derive(Debug, Default)]
struct Reads(std::sync::atomic::AtomicU64);

impl Clock for Reads {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(0)
    }

    fn monotonic(&self) -> Monotonic {
        let read = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Monotonic::from_origin(Duration::from_secs(read))
    }
}

#[test]
fn a_deadline_ends_the_search_with_what_it_has() {
    for seconds in 0..40 {
        let deadline = Some(Monotonic::from_origin(Duration::from_secs(seconds)));
        let options = Search { deadline, ..options(u64::MAX / 2) };
        let advice =
            run_with(&two_plans(), 3, &options, &Reads::default(), &mut |_| ControlFlow::Continue(()));
        assert!(advice.cost_after <= advice.cost_before);
        if seconds < 4 {
            assert_eq!(advice.stopped, Why::Deadline);
            assert_eq!(advice.gap, None);
        }
    }
}

#[test]
fn a_caller_may_stop_it() {
    let mut told = 0;
    let advice = run_with(&two_plans(), 3, &options(u64::MAX / 2), &SystemClock::new(), &mut |_| {
        told += 1;
        if told == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((advice.stopped, advice.calls), (Why::Cancelled, 3));
}

/// A planner that dies after some questions.
struct Dies(Plans, u32);

impl WhatIf for Dies {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        if self.0.calls >= self.1 {
            return Err(WhatIfError::Lost { reason: "the connection is closed".into() });
        }
        self.0.plan(question)
    }
}

#[test]
fn a_planner_that_dies_ends_the_search_with_what_it_has() {
    let facts = [facts(3)];
    for after in 0..8 {
        let advice = search(
            &workload(2),
            &facts,
            &candidates(3),
            &mut Dies(two_plans(), after),
            &options(u64::MAX / 2),
            &SystemClock::new(),
            &mut |_| ControlFlow::Continue(()),
        );
        assert_eq!(advice.stopped, Why::Lost("the connection is closed".into()));
        assert!(advice.cost_after <= advice.cost_before);
    }
}

#[test]
fn an_index_must_earn_its_writes() {
    let plans = Plans { of: vec![vec![(1_000.0, vec![]), (10.0, vec![0])]], ..two_plans() };
    let mut facts = facts(1);
    facts.writes.inserts = 2.0;
    let workload = Workload { window: Duration::from_secs(100), ..workload(1) };
    let advised = |insert: f64| {
        let options =
            Search { write_cost: crate::WriteCost { insert, ..Default::default() }, ..options(1 << 40) };
        search(
            &workload,
            std::slice::from_ref(&facts),
            &candidates(1),
            &mut plans.clone(),
            &options,
            &SystemClock::new(),
            &mut |_| ControlFlow::Continue(()),
        )
    };
    // 200 rows over the window, each at 4: 800 of the 990 that are saved.
    let cheap = advised(4.0);
    assert_eq!((cheap.chosen[0].write_cost, cheap.chosen[0].gain), (800.0, 190.0));
    assert_eq!(cheap.cost_after, 810.0);
    assert_eq!(advised(5.0).chosen, vec![]);
}

#[test]
fn weights_in_seconds_give_totals_in_seconds() {
    let workload = Workload {
        statements: vec![
            Statement::new("fast", 30.0, vec![table_id()]),
            Statement::new("slow", 60.0, vec![table_id()]),
        ],
        unit: crate::CostUnit::Seconds,
        ..Workload::default()
    };
    let advice = search(
        &workload,
        &[facts(3)],
        &candidates(3),
        &mut two_plans(),
        &options(1 << 40),
        &SystemClock::new(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert_eq!(advice.cost_before, 90.0);
    // 10 of 1000 of half a minute, and 100 of 500 of a minute.
    assert!((advice.cost_after - (0.3 + 12.0)).abs() < 1e-9, "{}", advice.cost_after);
}

#[test]
fn of_more_statements_than_questions_the_heaviest_are_advised_on() {
    let workload = Workload {
        statements: (0..100_u32)
            .map(|at| Statement::new(format!("s{at}"), f64::from(at), vec![table_id()]))
            .collect(),
        ..Workload::default()
    };
    let mut plans = Plans { of: vec![vec![(100.0, vec![]), (1.0, vec![0])]; 100], ..two_plans() };
    let options = Search { max_calls: 40, ..Search::within(Bytes::new(1 << 40)) };
    let advice = search(
        &workload,
        &[facts(2)],
        &candidates(2),
        &mut plans,
        &options,
        &SystemClock::new(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(plans.calls <= 40);
    assert_eq!(advice.left_out.len(), 90);
    assert!(advice.left_out.iter().all(|left| left.statement < 90));
    assert_eq!(advice.chosen.len(), 1);
}

/// A planner whose statement reads an existing index that can be hidden.
struct Hides {
    costs_without: f64,
}

impl WhatIf for Hides {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        let cost = if question.hidden.contains(&"old") { self.costs_without } else { 100.0 };
        Ok(Planned { cost, used: Some(vec![]) })
    }

    fn can_hide(&self) -> bool {
        true
    }
}

#[test]
fn an_existing_index_that_costs_more_than_it_gives_goes_unless_it_is_protected() {
    let mut facts = facts(1);
    facts.writes.inserts = 1.0;
    facts.existing.push(crate::ExistingIndex {
        name: "old".into(),
        spec: candidates(1).remove(0),
        bytes: None,
        protections: vec![],
        valid: true,
        usage: None,
    });
    let dropped = |facts: &TableFacts, costs_without: f64| {
        let workload = Workload { window: Duration::from_secs(10), ..workload(1) };
        let write_cost = crate::WriteCost { insert: 1.0, ..Default::default() };
        search(
            &workload,
            std::slice::from_ref(facts),
            &[],
            &mut Hides { costs_without },
            &Search { write_cost, ..options(0) },
            &SystemClock::new(),
            &mut |_| ControlFlow::Continue(()),
        )
        .dropped
    };
    let gone = dropped(&facts, 104.0);
    assert_eq!(gone[0].reason, crate::DropReason::NotWorth { saves: 6.0 });
    assert_eq!(dropped(&facts, 111.0), vec![]);
    facts.existing[0].protections.push(crate::Protection::ForeignKey);
    assert_eq!(dropped(&facts, 104.0), vec![]);
}
