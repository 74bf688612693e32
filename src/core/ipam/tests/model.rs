//! Random histories against a model that is too simple to be wrong: it looks at every address, every time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What happens next. Endpoints and addresses are small numbers: `n` stands for 192.168.1.n.
#[derive(Clone, Debug)]
enum Step {
    Assign {
        endpoint: u8,
        fixed: Option<u8>,
        last: Option<u8>,
        group: bool,
    },
    Release {
        endpoint: u8,
    },
    Wait(u8),
    /// The fabric shows the address from another host from now on, or no more.
    Elsewhere(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let address = || proptest::option::weighted(0.2, 0..14_u8);
    prop_oneof![
        6 => (0..12_u8, address(), address(), any::<bool>())
            .prop_map(|(endpoint, fixed, last, group)| Step::Assign { endpoint, fixed, last, group }),
        5 => (0..12_u8).prop_map(|endpoint| Step::Release { endpoint }),
        3 => (1..20_u8).prop_map(Step::Wait),
        1 => (1..13_u8).prop_map(Step::Elsewhere),
    ]
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, n)
}

/// The pool is .2-.6 and .9-.11 (.1 is the gateway, .4 is excluded by the ranges); the group has .5-.6 and .9.
const POOL: [u8; 7] = [2, 3, 5, 6, 9, 10, 11];
const GROUP: [u8; 3] = [5, 6, 9];

#[derive(Default)]
struct Naive {
    owner: BTreeMap<u8, u8>,
    /// When, and by whom.
    released: BTreeMap<u8, (u64, u8)>,
    elsewhere: Vec<u8>,
}

impl Naive {
    /// The address that must come out, if one must.
    fn expected(
        &self,
        endpoint: u8,
        fixed: Option<u8>,
        last: Option<u8>,
        group: bool,
        now: u64,
    ) -> Option<u8> {
        let others = |n: &u8| self.owner.get(n).is_some_and(|by| *by != endpoint);
        let elsewhere = |n: &u8| self.elsewhere.contains(n);
        if let Some(fixed) = fixed {
            return Some(fixed).filter(|n| POOL.contains(n) && !others(n) && !elsewhere(n));
        }
        let pool: Vec<u8> = POOL.into_iter().filter(|n| GROUP.contains(n) == group).collect();
        let rested = |n: &u8| self.released.get(n).is_none_or(|(at, _)| at + u64::from(QUARANTINE) <= now);
        let own = |n: &u8| self.released.get(n).is_some_and(|(_, by)| *by == endpoint);
        let last = last.filter(|n| pool.contains(n) && !others(n) && !elsewhere(n));
        if let Some(last) = last.filter(|n| rested(n) || own(n)) {
            return Some(last);
        }
        let free = pool.into_iter().filter(|n| !self.owner.contains_key(n) && !elsewhere(n));
        // Never used sorts before every release.
        free.filter(rested).min_by_key(|n| (self.released.get(n).map(|(at, _)| *at), *n))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn every_history_gives_what_the_model_gives(steps in proptest::collection::vec(step(), 1..150)) {
        let mut w = World::new(
            "subnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.1\"\n\
             pool = [\"192.168.1.1-192.168.1.3\", \"192.168.1.5-192.168.1.6\", \"192.168.1.9-192.168.1.11\"]",
        );
        w.groups = vec![group("g", &[("192.168.1.5", "192.168.1.6"), ("192.168.1.9", "192.168.1.9")])];
        let mut naive = Naive::default();
        for step in steps {
            match step {
                Step::Assign { endpoint, fixed, last, group } => {
                    let assigned = |n: Option<u8>| Assigned { v4: n.map(address), v6: None };
                    let elsewhere = naive.elsewhere.clone();
                    let taken = move |a: IpAddr| elsewhere.iter().any(|n| a == IpAddr::from(address(*n)));
                    let expected = naive.expected(endpoint, fixed, last, group, w.now);
                    let name = format!("e{endpoint}");
                    let got = w.ask_in(group.then_some(0), &name, assigned(fixed), assigned(last), &taken);
                    prop_assert_eq!(got.ok().and_then(|got| got.v4), expected.map(address));
                    if let Some(n) = expected {
                        naive.owner.insert(n, endpoint);
                        naive.released.remove(&n);
                    }
                }
                Step::Release { endpoint } => {
                    let his: Vec<u8> =
                        naive.owner.iter().filter(|(_, by)| **by == endpoint).map(|(n, _)| *n).collect();
                    for n in his {
                        naive.owner.remove(&n);
                        naive.released.insert(n, (w.now, endpoint));
                        w.release(&format!("e{endpoint}"), Assigned { v4: Some(address(n)), v6: None });
                    }
                }
                Step::Wait(seconds) => w.now += u64::from(seconds),
                Step::Elsewhere(n) if naive.elsewhere.contains(&n) => naive.elsewhere.retain(|e| *e != n),
                Step::Elsewhere(n) => naive.elsewhere.push(n),
            }
            for n in 0..14 {
                let owner = naive.owner.get(&n).map(|by| id(&format!("e{by}")));
                prop_assert_eq!(w.ipam.owner(&id("n"), address(n).into()), owner.as_ref());
            }
            let used = naive.owner.len() as u128;
            let resting = |(at, _): &&(u64, u8)| at + u64::from(QUARANTINE) > w.now;
            let quarantined = naive.released.values().filter(resting).count() as u128;
            prop_assert_eq!(w.ipam.usage(&w.network, w.now), Usage { size: 7, used, quarantined });
            // What the changes say, applied one by one, is what the records are.
        }
        let mut stored = BTreeMap::new();
        for change in w.ipam.take_changes() {
            match change {
                Change::Released(release) => { stored.insert(release.address, release.at); }
                Change::Forgotten { address, .. } => { stored.remove(&address); }
            }
        }
        let records: BTreeMap<IpAddr, u64> = w.ipam.releases().map(|r| (r.address, r.at)).collect();
        prop_assert_eq!(stored, records);
    }
}
