//! How often rules have decided: the kernel counts, and is asked when somebody wants to know.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use petiole_fib::{
    acl,
    model::{Command, Count, ElementKey, TableItem},
};

use crate::{
    control::{Reply, Show},
    core::{Core, Effect, Ticket, objects, show::Cursor},
};

/// Who waits for this long gets what is known.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The counts, and who waits for them.
#[derive(Debug, Default)]
pub(in crate::core) struct Hits {
    /// By rule, as counted last.
    pub(super) counts: HashMap<u32, Count>,
    /// The kernel has been asked and has not answered.
    counting: bool,
    /// Those who get the answer, and until when they wait.
    asked: Vec<(Ticket, Instant)>,
    /// Those who came after the kernel was asked: it may have counted before they did something, so for all of them it
    /// is asked once more.
    late: Vec<(Ticket, Instant)>,
}

impl Hits {
    pub(in crate::core) fn next_timeout(&self) -> Option<Instant> {
        self.asked.iter().chain(&self.late).map(|(_, deadline)| *deadline).min()
    }
}

impl Core {
    /// Answers with the rules of policies, as soon as the kernel has counted how often they have decided.
    pub(crate) fn show_policies(&mut self, ticket: Ticket, now: Instant) {
        let waiting = (ticket, now + ANSWER_WITHIN);
        if !self.members.compiled.needed || self.stopping {
            self.answer_policies([waiting], now);
        } else if self.members.hits.counting {
            self.members.hits.late.push(waiting);
        } else {
            self.members.hits.asked.push(waiting);
            self.count_hits();
        }
    }

    /// Has the kernel count, unless it is at it.
    pub(in crate::core) fn count_hits(&mut self) {
        if self.members.compiled.needed && !std::mem::replace(&mut self.members.hits.counting, true) {
            let set = objects::nft_item(acl::VERDICTS);
            self.effects.push_back(Effect::Kernel(Command::Count(set)));
        }
    }

    /// The kernel has counted how often rules have decided.
    pub(in crate::core) fn counted(&mut self, set: &TableItem, counts: &[(ElementKey, Count)], now: Instant) {
        if *set.name != *acl::VERDICTS {
            return;
        }
        let of_rule = |(key, count): &(ElementKey, Count)| Some((acl::rule_of(key)?, *count));
        let hits = &mut self.members.hits;
        hits.counts = counts.iter().filter_map(of_rule).collect();
        hits.counting = false;
        let asked = std::mem::replace(&mut hits.asked, std::mem::take(&mut hits.late));
        if !hits.asked.is_empty() {
            self.count_hits();
        }
        self.answer_policies(asked, now);
    }

    /// Those who have waited long enough get what was counted last.
    pub(in crate::core) fn expire_counting(&mut self, now: Instant) {
        let hits = &mut self.members.hits;
        let late = |waiting: &mut Vec<(Ticket, Instant)>| -> Vec<(Ticket, Instant)> {
            waiting.extract_if(.., |(_, deadline)| *deadline <= now).collect()
        };
        let expired = [late(&mut hits.asked), late(&mut hits.late)].concat();
        if !expired.is_empty() {
            tracing::warn!("the kernel does not say how often rules have decided");
            self.answer_policies(expired, now);
        }
    }

    fn answer_policies(&mut self, waiting: impl IntoIterator<Item = (Ticket, Instant)>, now: Instant) {
        for (ticket, _) in waiting {
            let (reply, next) = match self.show(&Show::Policies, Cursor::Start, now) {
                Ok((rows, next)) => (Reply::Rows(rows), next),
                Err(error) => (Reply::Error(error), None),
            };
            self.effects.push_back(Effect::Answer { ticket, reply, next });
        }
    }
}
