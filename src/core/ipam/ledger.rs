//! One family of one network: which address is whose, and when the others were given back.
//!
//! Addresses are numbers here. Must not know pools' origin (network or group), gateways, or the wall clock: the time
//! comes in as unix seconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petiole_config::model::ScopedName;

use super::{marks::Marks, pool::Pool};

/// Release records kept beyond their quarantine. The oldest go first: an address that was given back so long ago is
/// as good as one that was never used.
pub(super) const RELEASES_MAX: usize = 65_536;

/// Free addresses looked at in one search before it gives up because the fabric shows every one of them from another
/// host. No /16 is cut short by it, and no IPv6 pool makes it endless.
const ELSEWHERE_MAX: usize = 65_536;

/// Who has which address, and since when the others are free.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owners: HashMap<u128, ScopedName>,
    /// Addresses that were given back. None of these has an owner.
    released: BTreeMap<u128, Rest>,
    /// The same, longest free first.
    order: BTreeSet<(u64, u128)>,
    /// Everything with an owner or a release record: the gaps were never used.
    touched: Marks,
}

/// An address that was given back.
#[derive(Debug)]
struct Rest {
    /// Unix seconds.
    since: u64,
    /// Who had it, if that was in this run: to this endpoint it need not rest.
    former: Option<ScopedName>,
}

/// Why a pool has no address to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Free, but given back too short a time ago.
    pub(super) quarantined: u128,
    /// Seconds until the first of these can be given out.
    pub(super) free_in: Option<u64>,
    /// Free here, but the fabric shows them from another host.
    pub(super) elsewhere: usize,
}

impl Ledger {
    /// Whose address it is.
    pub(super) fn owner(&self, address: u128) -> Option<&ScopedName> {
        self.owners.get(&address)
    }

    /// Addresses without an owner that had one, and when they were given back (unix seconds).
    #[cfg(test)]
    pub(super) fn released(&self) -> impl Iterator<Item = (u128, u64)> {
        self.released.iter().map(|(address, rest)| (*address, rest.since))
    }

    /// Whether nothing is known of any address.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.released.is_empty()
    }

    /// Makes `owner` the owner. Returns whether there was a release record, which is gone now.
    pub(super) fn take(&mut self, address: u128, owner: &ScopedName) -> bool {
        let had_record = self.drop_record(address);
        self.owners.insert(address, owner.clone());
        self.touched.insert(address);
        had_record
    }

    /// Takes the address back from `owner`; `false` when it is somebody else's or nobody's.
    pub(super) fn give_back(&mut self, address: u128, owner: &ScopedName, at: u64) -> bool {
        let his = self.owners.get(&address) == Some(owner);
        if his {
            self.owners.remove(&address);
            self.put_record(address, Rest { since: at, former: Some(owner.clone()) });
        }
        his
    }

    /// A release that an earlier run recorded; `false` when the address has an owner.
    pub(super) fn restore(&mut self, address: u128, at: u64) -> bool {
        let free = !self.owners.contains_key(&address);
        if free {
            self.drop_record(address);
            self.put_record(address, Rest { since: at, former: None });
        }
        free
    }

    fn put_record(&mut self, address: u128, rest: Rest) {
        self.order.insert((rest.since, address));
        self.released.insert(address, rest);
        self.touched.insert(address);
    }

    fn drop_record(&mut self, address: u128) -> bool {
        let Some(rest) = self.released.remove(&address) else { return false };
        self.order.remove(&(rest.since, address));
        self.touched.remove(address);
        true
    }

    /// Records of the future, left by a clock that has jumped back since, count from now.
    pub(super) fn clamp(&mut self, now: u64) {
        let Some(future) = now.checked_add(1) else { return };
        for (_, address) in self.order.split_off(&(future, 0)) {
            if let Some(rest) = self.released.get_mut(&address) {
                rest.since = now;
                self.order.insert((now, address));
            }
        }
    }

    /// Drops the oldest records that are beyond the bound and out of quarantine; what was dropped.
    pub(super) fn prune(&mut self, now: u64, quarantine: u64) -> Vec<u128> {
        let mut dropped = Vec::new();
        while self.order.len() > RELEASES_MAX
            && let Some((at, address)) = self.order.first().copied()
            && now.saturating_sub(at) >= quarantine
        {
            self.drop_record(address);
            dropped.push(address);
        }
        dropped
    }

    /// Drops all records; what was dropped.
    pub(super) fn forget_releases(&mut self) -> Vec<u128> {
        let all: Vec<u128> = self.released.keys().copied().collect();
        for address in &all {
            self.drop_record(*address);
        }
        all
    }

    /// Whether the address is free for anybody: nobody has it, and it is out of quarantine.
    pub(super) fn is_free(&self, address: u128, now: u64, quarantine: u64) -> bool {
        !self.owners.contains_key(&address)
            && self.released.get(&address).is_none_or(|rest| now.saturating_sub(rest.since) >= quarantine)
    }

    /// Whether the address is free for the endpoint: free for anybody, or its own now, or its own until it was given
    /// back. What is still on its way to the former owner reaches the right one then.
    pub(super) fn is_free_for(
        &self,
        endpoint: &ScopedName,
        address: u128,
        now: u64,
        quarantine: u64,
    ) -> bool {
        let former = || self.released.get(&address).and_then(|rest| rest.former.as_ref());
        self.owners.get(&address).or_else(former) == Some(endpoint) || self.is_free(address, now, quarantine)
    }

    /// The least recently used address of `pool`: the lowest one never used, else the one free for the longest time
    /// of those out of quarantine, the lower one of two. One that is `taken` is passed over.
    ///
    /// Costs the logarithm of what is in use, for each run of the pool and each address passed over. When all of the
    /// pool was used before, it is at most the smaller of the pool and the release records.
    pub(super) fn choose(
        &self,
        pool: &Pool,
        now: u64,
        quarantine: u64,
        taken: impl Fn(u128) -> bool,
    ) -> Result<u128, Shortage> {
        let mut elsewhere = 0;
        for run in pool.runs() {
            let mut from = Some(run.first);
            while let Some(address) = from.and_then(|n| self.touched.next_gap(n)).filter(|a| *a <= run.last) {
                if !taken(address) {
                    return Ok(address);
                }
                elsewhere += 1;
                if elsewhere >= ELSEWHERE_MAX {
                    return Err(self.shortage(pool, now, quarantine, elsewhere));
                }
                from = address.checked_add(1);
            }
        }
        let expired = |at: u64| now.saturating_sub(at) >= quarantine;
        let mut pass = |address: u128| {
            let pass = !taken(address);
            elsewhere += usize::from(!pass);
            pass
        };
        let found = if pool.size() < self.released.len() as u128 {
            let mut longest_free: Vec<(u64, u128)> =
                self.released_in(pool).filter(|(at, _)| expired(*at)).collect();
            longest_free.sort_unstable();
            longest_free.into_iter().map(|(_, address)| address).find(|a| pass(*a))
        } else {
            let longest_free = self.order.iter().take_while(|(at, _)| expired(*at));
            longest_free.map(|(_, address)| *address).find(|a| pool.contains(*a) && pass(*a))
        };
        found.ok_or_else(|| self.shortage(pool, now, quarantine, elsewhere))
    }

    fn released_in(&self, pool: &Pool) -> impl Iterator<Item = (u64, u128)> {
        pool.runs()
            .flat_map(|run| self.released.range(run.first..=run.last))
            .map(|(address, rest)| (rest.since, *address))
    }

    fn shortage(&self, pool: &Pool, now: u64, quarantine: u64, elsewhere: usize) -> Shortage {
        let waits =
            |(at, _)| Some(quarantine.saturating_sub(now.saturating_sub(at))).filter(|left| *left > 0);
        let free_in = self.released_in(pool).filter_map(waits).min();
        Shortage { quarantined: self.quarantined(pool, now, quarantine), free_in, elsewhere }
    }

    /// How many addresses of the pool have an owner.
    pub(super) fn used(&self, pool: &Pool) -> u128 {
        self.owners.keys().filter(|a| pool.contains(**a)).count() as u128
    }

    /// How many addresses of the pool are free but in quarantine.
    pub(super) fn quarantined(&self, pool: &Pool, now: u64, quarantine: u64) -> u128 {
        self.released_in(pool).filter(|(at, _)| now.saturating_sub(*at) < quarantine).count() as u128
    }

    /// How many runs the touched addresses are in: what a search may have to walk.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.touched.runs()
    }
}
