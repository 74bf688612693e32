use proptest::prelude::*;

use super::*;

/// Two of these tie at every step but the last.
fn candidate(host: u8) -> Candidate {
    Candidate {
        local: false,
        local_pref: 100,
        path_length: 2,
        origin: Origin::Egp,
        neighbor_as: 65001,
        med: 10,
        external: true,
        metric: 20,
        current: false,
        router_id: 7,
        cluster_list_length: 1,
        address: IpAddr::from([10, 0, 0, host]),
    }
}

type Change = fn(&mut Candidate);

/// One row per step: `better` wins against `worse` at this step, although everything after it speaks for `worse`.
fn table() -> Vec<(Reason, Candidate, Candidate)> {
    let base = candidate(1);
    let steps: [(Reason, Change, Change); 11] = [
        (Reason::LocalRoute, |c| c.local = true, |_| {}),
        (Reason::LocalPref, |c| c.local_pref = 200, |_| {}),
        (Reason::PathLength, |c| c.path_length = 1, |_| {}),
        (Reason::Origin, |c| c.origin = Origin::Igp, |_| {}),
        (Reason::Med, |c| c.med = 5, |_| {}),
        (Reason::External, |_| {}, |c| c.external = false),
        (Reason::Metric, |c| c.metric = 10, |_| {}),
        (Reason::Oldest, |c| (c.current, c.router_id) = (true, 9), |_| {}),
        (Reason::RouterId, |c| c.router_id = 6, |_| {}),
        (Reason::ClusterList, |c| c.cluster_list_length = 0, |_| {}),
        (Reason::PeerAddress, |_| {}, |c| c.address = IpAddr::from([10, 0, 0, 2])),
    ];
    let mut rows = Vec::new();
    for (at, (reason, better, worsen)) in steps.iter().enumerate() {
        let (mut winner, mut loser) = (base, base);
        better(&mut winner);
        worsen(&mut loser);
        for (_, improve, spoil) in &steps[at + 1..] {
            // `current` is history, not merit: it may speak for the loser only where it is not the step itself.
            improve(&mut loser);
            spoil(&mut winner);
        }
        if *reason == Reason::Oldest {
            (winner.current, winner.router_id, loser.current) = (true, 9, false);
        }
        if *reason == Reason::External {
            // worsening is the step itself
            (winner.external, loser.external) = (true, false);
        }
        rows.push((*reason, winner, loser));
    }
    rows
}

#[test]
fn every_step_of_the_decision_process_decides_before_those_after_it() {
    let mut alive = Vec::new();
    for (reason, better, worse) in table() {
        for swapped in [false, true] {
            let pair = if swapped { [worse, better] } else { [better, worse] };
            let mut lost = Vec::new();
            let best = select(&pair, &mut alive, |index, reason| lost.push((index, reason)));
            assert_eq!(best, Some(usize::from(swapped)), "{reason}: {pair:#?}");
            assert_eq!(lost, [(usize::from(!swapped), reason)]);
            assert_eq!(first_of_two(&pair[0], &pair[1]), (!swapped, reason));
        }
    }
}

#[test]
fn a_med_is_compared_within_one_neighbour_as_only() {
    // RFC 4271 9.1.2.2 c. Pairwise comparison would go in circles here: a beats b by MED, b beats c and c beats a by
    // router id. With b out of the race, c wins, in whatever order they stand.
    let a = Candidate { med: 1, router_id: 3, ..candidate(1) };
    let b = Candidate { med: 5, router_id: 1, ..candidate(2) };
    let c = Candidate { neighbor_as: 65002, med: 100, router_id: 2, ..candidate(3) };
    for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
        let mut lost = Vec::new();
        let best = select(&order, &mut Vec::new(), |index, reason| lost.push((order[index], reason)));
        assert_eq!(order[best.unwrap()], c);
        lost.sort_by_key(|(_, reason)| *reason);
        assert_eq!(lost, [(b, Reason::Med), (a, Reason::RouterId)]);
    }
}

#[test]
fn a_missing_med_counts_as_the_lowest() {
    let missing = Candidate { med: 0, router_id: 9, ..candidate(1) };
    assert_eq!(first_of_two(&missing, &candidate(2)), (true, Reason::Med));
}

#[test]
fn parallel_sessions_to_one_router_do_not_keep_the_older_path() {
    // RFC 5004 section 4
    let current = Candidate { current: true, ..candidate(2) };
    assert_eq!(first_of_two(&current, &candidate(1)), (false, Reason::PeerAddress));
}

#[test]
fn internal_paths_are_not_kept_for_their_age() {
    let current = Candidate { current: true, external: false, router_id: 9, ..candidate(1) };
    let other = Candidate { external: false, ..candidate(2) };
    assert_eq!(first_of_two(&current, &other), (false, Reason::RouterId));
}

#[test]
fn multipath_is_what_ties_up_to_the_metric() {
    let all = [
        candidate(1),
        Candidate { router_id: 1, current: true, ..candidate(2) },
        Candidate { metric: 21, ..candidate(3) },
        Candidate { neighbor_as: 65002, med: 999, ..candidate(4) },
        Candidate { external: false, ..candidate(5) },
    ];
    let mut alive = Vec::new();
    multipath(&all, &mut alive);
    assert_eq!(alive, [0, 1, 3]);
}

prop_compose! {
    /// Values close together, so that ties at every step are common.
    fn any_candidate()(
        local_pref in 100u32..102,
        path_length in 1u32..3,
        neighbor_as in 1u32..4,
        med in 0u32..4,
        external in any::<bool>(),
        metric in 0u32..3,
        router_id in 1u32..4,
    ) -> Candidate {
        Candidate {
            local_pref, path_length, neighbor_as, med, external, metric, router_id,
            cluster_list_length: 0, ..candidate(0)
        }
    }
}

/// Paths of one destination: every peer has another address.
fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(any_candidate(), 1..8).prop_map(|mut candidates| {
        for (at, candidate) in (0u8..).zip(&mut candidates) {
            candidate.address = IpAddr::from([10, 0, 0, at * 5 % 8]);
        }
        candidates
    })
}

proptest! {
    #[test]
    fn the_choice_does_not_depend_on_the_order(
        mut candidates in any_candidates(),
        rotation in 0usize..8,
        current in 0usize..16,
    ) {
        if let Some(candidate) = candidates.get_mut(current) {
            candidate.current = true;
        }
        let mut alive = Vec::new();
        let best = candidates[select(&candidates, &mut alive, |_, _| {}).unwrap()];
        let mut turned = candidates.clone();
        turned.rotate_left(rotation % candidates.len());
        turned.reverse();
        let again = turned[select(&turned, &mut alive, |_, _| {}).unwrap()];
        prop_assert_eq!(best, again);
    }

    #[test]
    fn two_are_compared_as_many_are(mut candidates in any_candidates(), current in 0usize..4) {
        candidates.truncate(2);
        if let Some(candidate) = candidates.get_mut(current) {
            candidate.current = true;
        }
        if let [a, b] = candidates[..] {
            let mut lost = Vec::new();
            let best = select(&candidates, &mut Vec::new(), |index, reason| lost.push((index, reason)));
            let (first, reason) = first_of_two(&a, &b);
            prop_assert_eq!(best, Some(usize::from(!first)));
            prop_assert_eq!(lost, [(usize::from(first), reason)]);
        }
    }

    #[test]
    fn every_candidate_but_the_best_is_told_once_why_it_lost(candidates in any_candidates()) {
        let mut told = Vec::new();
        let best = select(&candidates, &mut Vec::new(), |index, _| told.push(index)).unwrap();
        told.push(best);
        told.sort_unstable();
        prop_assert_eq!(told, (0..candidates.len()).collect::<Vec<_>>());
    }
}
