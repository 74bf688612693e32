//! Adj-RIB-In: what one peer has announced in one family.
//!
//! Knows how many routes there are, in which parts of the table, and which of them a refresh has confirmed. The routes
//! themselves are paths of the [`super::table::Table`], already past the import policy; rejected ones are counted and
//! forgotten, the peer can be asked for them again (RFC 2918).
//!
//! A refresh marks nothing: it begins another *round*. A path remembers the round in which it was last announced, and
//! is stale while that is not the present one. The end of a session begins a round too, and raises the *floor* to it:
//! what is older than the floor is dead, not to be used wherever it is met, until a sweep has removed it. So a peer
//! may come back while its old paths still lie around.

use super::blocks::Blocks;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct AdjRibIn {
    /// Where the paths are.
    pub(crate) paths: Blocks,
    round: u8,
    floor: u8,
    /// Rounds begun since the last sweep ended: the counter must not overtake itself.
    open_rounds: u8,
    /// Paths below the floor that no sweep has come to.
    dead: u32,
    pub(crate) received: u64,
    pub(crate) withdrawn: u64,
    pub(crate) rejected: u64,
    pub(crate) looped: u64,
    pub(crate) treated_as_withdraw: u64,
}

impl AdjRibIn {
    /// Rounds that refreshes may leave open, and that ends of sessions may.
    const REFRESH_LIMIT: u8 = 100;
    const LOSS_LIMIT: u8 = 200;

    /// The present round.
    pub(crate) fn round(&self) -> u8 {
        self.round
    }

    /// Everything is stale from here on, until announced again.
    pub(crate) fn begin_refresh(&mut self) {
        // A peer that begins a hundred refreshes and never ends one stays in the hundredth.
        if self.open_rounds < Self::REFRESH_LIMIT {
            self.open_rounds += 1;
            self.round = self.round.wrapping_add(1);
        }
    }

    /// Must sweeps end before [`AdjRibIn::lose`]? Only for a peer that was lost a hundred times without a single sweep
    /// coming to its end.
    pub(crate) fn must_sweep(&self) -> bool {
        self.open_rounds >= Self::LOSS_LIMIT
    }

    /// Routes of the present session, and those retained for it.
    pub(crate) fn accepted(&self) -> u32 {
        self.paths.total() - self.dead
    }

    /// A path of this round has gone from a destination.
    pub(crate) fn removed(&mut self, destination: u32, round: u8) {
        self.paths.remove(destination);
        if self.is_dead(round) {
            self.dead -= 1;
        }
    }

    /// Everything is dead from here on. Counting begins anew.
    pub(crate) fn lose(&mut self) {
        let round = self.round.wrapping_add(1);
        *self = Self {
            round,
            floor: round,
            open_rounds: self.open_rounds.saturating_add(1),
            dead: self.paths.total(),
            paths: std::mem::take(&mut self.paths),
            ..Self::default()
        };
    }

    /// A sweep has removed all that was older than `round`.
    pub(crate) fn swept(&mut self, round: u8) {
        let since = self.round.wrapping_sub(round);
        self.open_rounds = self.open_rounds.min(since);
        // The floor follows, so that the counter does not overtake it either.
        if since < self.round.wrapping_sub(self.floor) {
            self.floor = round;
        }
    }

    /// Is a path of round `path` older than `round`?
    pub(crate) fn is_older(&self, path: u8, round: u8) -> bool {
        self.round.wrapping_sub(path) > self.round.wrapping_sub(round)
    }

    /// Was this path left by a session that is gone?
    pub(crate) fn is_dead(&self, path: u8) -> bool {
        self.is_older(path, self.floor)
    }

    /// Has this path yet to be repeated in the refresh under way?
    pub(crate) fn is_stale(&self, path: u8) -> bool {
        path != self.round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_announced_after_the_end_of_a_refresh_is_not_swept_with_it() {
        let mut rib = AdjRibIn { round: 254, floor: 254, ..AdjRibIn::default() };
        let before = rib.round();
        rib.begin_refresh();
        let confirmed = rib.round();
        rib.begin_refresh();
        let later = rib.round();
        assert!(rib.is_older(before, confirmed));
        assert!(!rib.is_older(confirmed, confirmed));
        assert!(!rib.is_older(later, confirmed));
        assert!(rib.is_older(confirmed, later));
        assert!(!rib.is_dead(before), "stale, but in use");
    }

    #[test]
    fn endless_beginnings_do_not_make_stale_paths_look_fresh() {
        let mut rib = AdjRibIn::default();
        let first = rib.round();
        for _ in 0..1000 {
            rib.begin_refresh();
        }
        assert!(rib.is_older(first, rib.round()));
        rib.swept(rib.round());
        let confirmed = rib.round();
        rib.begin_refresh();
        assert!(rib.is_older(confirmed, rib.round()));
    }

    #[test]
    fn a_stale_path_is_not_dead_however_many_refreshes_there_were() {
        let mut rib = AdjRibIn::default();
        rib.lose();
        for _ in 0..1000 {
            let confirmed = rib.round();
            rib.begin_refresh();
            assert!(rib.is_stale(confirmed) && !rib.is_dead(confirmed));
            rib.swept(rib.round());
        }
    }

    #[test]
    fn paths_of_a_lost_session_stay_dead_through_the_next_ones() {
        let mut rib = AdjRibIn::default();
        for _ in 0..100 {
            rib.begin_refresh();
        }
        let mut old = vec![rib.round()];
        while !rib.must_sweep() {
            rib.lose();
            assert!(old.iter().all(|round| rib.is_dead(*round)));
            assert!(!rib.is_dead(rib.round()));
            old.push(rib.round());
        }
        rib.swept(rib.round());
        assert!(!rib.must_sweep());
    }
}
