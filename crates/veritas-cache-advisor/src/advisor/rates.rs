//! Rates: how much of each namespace is looked at, so that the whole costs what it may.

use crate::sample::SampleRate;

/// How many times the demand must fit into what is allowed before a rate is raised.
const ROOM: f64 = 4.0;

/// Divides `allowed` accesses of a turn among namespaces that have `demand` of them: each
/// gets what it asks for, up to an equal share; what one leaves goes to the others.
/// Returns the share of its accesses that each may keep, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a number of namespaces")]
pub(crate) fn divide(demand: &[f64], allowed: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demand.len()).collect();
    order.sort_by(|one, other| demand[*one].total_cmp(&demand[*other]));
    let (mut left, mut shares) = (allowed.max(0.0), vec![1.0; demand.len()]);
    for (served, index) in order.iter().enumerate() {
        let each = left / (demand.len() - served) as f64;
        let given = demand[*index].min(each);
        if demand[*index] > 0.0 {
            shares[*index] = given / demand[*index];
        }
        left -= given;
    }
    shares
}

/// Returns the largest power of two that is no more than `share`: rates come in steps, so
/// that they change rarely.
pub(crate) fn step_down(share: f64) -> SampleRate {
    if share >= 1.0 {
        return SampleRate::ALL;
    }
    SampleRate::of(2.0_f64.powi(exponent(share)))
}

#[expect(clippy::cast_possible_truncation, reason = "a logarithm of a share that is at least 2^-40")]
fn exponent(share: f64) -> i32 {
    share.max(2.0_f64.powi(-40)).log2().floor() as i32
}

/// Returns whether a rate may be raised: what is allowed leaves room for it for certain.
pub(crate) fn may_rise(rate: SampleRate, allowed: f64) -> bool {
    rate < SampleRate::ALL && allowed >= ROOM * rate.share()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_leaves_goes_to_the_others() {
        assert_eq!(divide(&[10.0, 20.0], 100.0), [1.0, 1.0]);
        assert_eq!(divide(&[10.0, 1_000.0], 110.0), [1.0, 0.1]);
        assert_eq!(divide(&[200.0, 400.0, 0.0], 200.0), [0.5, 0.25, 1.0]);
        assert_eq!(divide(&[], 1.0), [0.0; 0]);
        let shares = divide(&[5.0, 50.0, 500.0], 60.0);
        let kept: f64 = shares.iter().zip([5.0, 50.0, 500.0]).map(|(share, demand)| share * demand).sum();
        assert!((kept - 60.0).abs() < 1e-9);
    }

    #[test]
    fn rates_are_powers_of_two() {
        assert_eq!(step_down(1.5), SampleRate::ALL);
        assert_eq!(step_down(0.3), SampleRate::of(0.25));
        assert_eq!(step_down(0.25), SampleRate::of(0.25));
        assert!(step_down(0.0).share() > 0.0);
        assert!(may_rise(SampleRate::of(0.25), 1.0) && !may_rise(SampleRate::of(0.25), 0.9));
    }
}
