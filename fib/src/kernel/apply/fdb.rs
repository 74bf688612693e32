//! Forwarding entries.
//!
//! VTEPs go into the batch as they are. A bridge's table holds learned entries too, which give way, and whatever else
//! is there must not: so who holds the address is asked for first.

use super::{Run, Verb, not_ours};
use crate::{
    kernel::{
        codec::Writer,
        engine::Engine,
        fdb::{self, Entry, Holder, Seen},
        refused,
        uapi::NUD_NOARP,
    },
    model::{FdbKey, FdbTarget, KernelError, LinkKind, OpResult},
};

impl Engine {
    pub(super) fn put_fdb(&mut self, run: &mut Run, number: usize, verb: Verb, key: &FdbKey) -> OpResult {
        let seen = self.own_fdb(run, key)?;
        let holder = match key.target {
            FdbTarget::Vtep(_) => None,
            FdbTarget::Port => self.holder(run, &seen)?,
        };
        let entry = match (verb, holder) {
            (Verb::Create, None) => Entry::New,
            (Verb::Create, Some(Holder { state: 0, .. })) => Entry::Over,
            (Verb::Create, Some(holder)) => return Err(self.held(&seen, holder)),
            (Verb::Change, Some(holder)) if !seen.is(holder) => return Err(no_entry()),
            (Verb::Change, None) if key.target == FdbTarget::Port => return Err(no_entry()),
            (Verb::Change, _) => Entry::There,
        };
        self.echoes.fdb.insert((seen, true));
        self.batch.push(number, |w, seq| fdb::put(w, seq, entry, &seen));
        Ok(())
    }

    pub(super) fn delete_fdb(&mut self, run: &mut Run, number: usize, key: &FdbKey) -> OpResult {
        let seen = self.own_fdb(run, key)?;
        if key.target == FdbTarget::Port && !self.holder(run, &seen)?.is_some_and(|holder| seen.is(holder)) {
            return Err(no_entry());
        }
        self.echoes.fdb.insert((seen, false));
        self.batch.push(number, |w, seq| fdb::delete(w, seq, &seen));
        Ok(())
    }

    /// The entry with its link's index. `Err` when it would be in somebody else's table, or in one that there is not.
    fn own_fdb(&mut self, run: &mut Run, key: &FdbKey) -> Result<Seen, KernelError> {
        let link = self.link(run, &key.link)?;
        if !self.owner.owns_link(&link) {
            return Err(not_ours(&link));
        }
        match (key.target, &link.port) {
            (FdbTarget::Vtep(_), _) if !matches!(link.kind, LinkKind::Vxlan { .. }) => {
                return Err(refused(libc::EOPNOTSUPP, format!("{} is no VXLAN device", key.link)));
            }
            (FdbTarget::Vtep(_), _) => {}
            (FdbTarget::Port, None) => {
                return Err(refused(libc::EOPNOTSUPP, format!("{} is no port of a bridge", key.link)));
            }
            (FdbTarget::Port, Some(port)) => {
                let bridge = self.link(run, &port.bridge)?;
                if !self.owner.owns_link(&bridge) {
                    return Err(not_ours(&bridge));
                }
            }
        }
        Ok(Seen { link: link.index, mac: key.mac, target: key.target })
    }

    /// Who holds the entry's address in the bridge's table now.
    fn holder(&mut self, run: &mut Run, seen: &Seen) -> Result<Option<Holder>, KernelError> {
        self.flush(run);
        let mut holder = None;
        let ask = |w: &mut Writer, seq, flags| fdb::get(w, seq, flags, seen.link, seen.mac);
        match self.request(run, ask, |message| holder = fdb::decode_holder(message)) {
            Err(error) if error.errno.0 != libc::ENOENT => Err(error),
            _ => Ok(holder),
        }
    }

    fn held(&self, seen: &Seen, holder: Holder) -> KernelError {
        let by = self.interfaces.name(holder.link);
        let by = by.as_ref().map_or("another link", |name| name.as_str());
        let text = if holder.state == NUD_NOARP {
            format!("a static entry of {} leads out of {by}", seen.mac)
        } else {
            format!("{} is the address of {by} itself", seen.mac)
        };
        refused(libc::EEXIST, text)
    }
}

impl Seen {
    /// Whether this static entry is what the bridge has.
    fn is(&self, holder: Holder) -> bool {
        holder.link == self.link && holder.state == NUD_NOARP
    }
}

fn no_entry() -> KernelError {
    refused(libc::ENOENT, "no such static entry")
}
