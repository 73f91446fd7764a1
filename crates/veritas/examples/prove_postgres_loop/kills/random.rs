//! Kills at random moments of lives that lead from a proof to a change that is taken back.

use std::time::Duration;

use veritas::model::ChangeState;
use veritas_statistics::Rng;
use veritas_testkit::Postgres;

use super::{Begin, Extent, Failure, Figures, Planted, Scene, clock, pause, plant};

/// The longest life after its orders.
const LONGEST: Duration = Duration::from_secs(8);

pub(super) fn kill(
    server: &Postgres,
    extent: Extent,
    begin: Begin<'_>,
    figures: &mut Figures,
    say: &dyn Fn(&str),
) -> Result<(), Failure> {
    let mut rng = Rng::new(extent.seed);
    for number in 1..=extent.random {
        let (met, wrong) =
            one(server, begin, &mut rng).map_err(|error| format!("random kill {number}: {error}"))?;
        say(&format!(
            "random kill {number} met {met}: {}",
            if wrong.is_empty() { "settled" } else { "WRONG" }
        ));
        figures.wrong.extend(wrong.into_iter().map(|wrong| format!("random kill {number}, {met}: {wrong}")));
        figures.met.push(met);
    }
    Ok(())
}

fn one(server: &Postgres, begin: Begin<'_>, rng: &mut Rng) -> Result<(String, Vec<String>), Failure> {
    let mut scene = Scene::build(server)?;
    scene.plant(Planted::Proven)?;
    // A proof runs beside.
    plant(&scene.control, super::TARGET, "m", &[super::COLUMN], Planted::Proposed)?;
    scene.start(begin, true)?;
    scene.order("approve all")?;
    let clock = clock();
    let started = clock.monotonic();
    let life = LONGEST.mul_f64(rng.next_f64());
    let mut is_reverted = false;
    while clock.monotonic().since(started) < life {
        if !is_reverted && scene.changes()?.iter().any(|change| change.state == ChangeState::Kept) {
            is_reverted = true;
            scene.order("revert")?;
        }
        pause(Duration::from_millis(20));
    }
    scene.kill()?;
    let states: Vec<&str> = scene.changes()?.iter().map(|change| change.state.as_str()).collect();
    let met = if states.is_empty() { "no change".to_owned() } else { states.join(" and ") };
    let (_changes, wrong) = scene.settle(|| ())?;
    Ok((met, wrong))
}
