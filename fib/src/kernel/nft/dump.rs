//! All that is in our tables, as the kernel has it now.
//!
//! The kernel has no one request for that. The parts belong together when the generation, which every transaction
//! raises, is the same before and after.

use std::collections::BTreeMap;

use super::{
    super::{channel::Channel, engine::Engine, refused},
    Shapes, chain,
    element::{self, Gather, Unfit},
    generation, is_missing, rule, set,
};
use crate::model::{
    Concern, Count, ElementKey, Event, KernelError, NftFamily, Ns, Object, Observed, TableItem, TableRef,
};

/// How often it is begun anew before it is given up for now.
const ATTEMPTS: usize = 8;
/// Told in parts of this size.
const PART: usize = 4096;
const FAMILIES: [NftFamily; 2] = [NftFamily::Inet, NftFamily::Bridge];

impl Engine {
    /// Reads and tells everything in tables of our name.
    pub(in crate::kernel) fn dump_nft(&mut self, ns: Ns) -> Result<(), KernelError> {
        let mut objects = if ns == Ns::HOST { self.read_nft()? } else { Vec::new() };
        while objects.len() > PART {
            let rest = objects.split_off(PART);
            self.tell(Event::Dump { ns, concern: Concern::Nft, objects, last: false });
            objects = rest;
        }
        self.tell(Event::Dump { ns, concern: Concern::Nft, objects, last: true });
        Ok(())
    }

    /// Reads and tells the counters of a set's elements.
    pub(in crate::kernel) fn count_elements(&mut self, item: TableItem) {
        let counts = self.read_counters(&item).unwrap_or_else(|error| {
            tracing::debug!(%error, set = %item, "no counters");
            Vec::new()
        });
        self.tell(Event::Counted(item, counts));
    }

    fn read_counters(&mut self, item: &TableItem) -> Result<Vec<(ElementKey, Count)>, KernelError> {
        let channel = self.nft_channel()?;
        let mut seen = None;
        channel
            .request(|w, seq, flags| set::get(w, seq, flags, item), |message| seen = set::decode(message))?;
        let shape = seen.and_then(|seen| seen.shape).filter(|shape| shape.counted);
        let shape = shape.ok_or_else(|| refused(libc::EINVAL, "it does not count"))?;
        let mut gather = Gather::new(&shape);
        let mut counts = Vec::new();
        channel.dump(
            |w, seq, flags| element::dump(w, seq, flags, item),
            |message| {
                gather.count(message, &mut counts);
                None::<()>
            },
        )?;
        Ok(counts)
    }

    fn read_nft(&mut self) -> Result<Vec<Observed>, KernelError> {
        let name = self.owner.nft_table;
        let channel = match self.nft_channel() {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            channel => channel?,
        };
        for _ in 0..ATTEMPTS {
            let before = match generation(channel) {
                Err(error) if is_missing(&error) => return Ok(Vec::new()),
                answer => answer?,
            };
            let mut found = Found::default();
            let whole = match found.read(channel, name) {
                // What was listed has gone meanwhile.
                Err(error) if error.errno.0 == libc::ENOENT => false,
                answer => answer?,
            };
            if whole && generation(channel)? == before {
                self.nft.shapes = found.shapes;
                return Ok(found.objects);
            }
        }
        Err(refused(libc::EINTR, "the dump was interrupted by changes again and again"))
    }
}

/// What has been read.
#[derive(Default)]
struct Found {
    objects: Vec<Observed>,
    shapes: Shapes,
}

impl Found {
    /// `false`: what was read does not fit together.
    fn read(&mut self, channel: &mut Channel, name: &str) -> Result<bool, KernelError> {
        for family in FAMILIES {
            let tables = channel.dump(
                |w, seq, flags| chain::dump_tables(w, seq, flags, family),
                |message| {
                    chain::decode_table(message)
                        .filter(|table| table.family == family && *table.name == *name)
                },
            )?;
            for table in tables {
                self.object(Object::Table(table.clone()));
                if !self.sets(channel, &table)? {
                    return Ok(false);
                }
                self.chains(channel, &table)?;
            }
        }
        Ok(true)
    }

    fn chains(&mut self, channel: &mut Channel, table: &TableRef) -> Result<(), KernelError> {
        let seen = channel.dump(
            |w, seq, flags| chain::dump(w, seq, flags, table.family),
            |message| chain::decode(message).filter(|seen| seen.item.table == *table),
        )?;
        let mut rules: BTreeMap<TableItem, Vec<Option<u64>>> = BTreeMap::new();
        for (item, fingerprint) in
            channel.dump(|w, seq, flags| rule::dump(w, seq, flags, table), rule::decode)?
        {
            rules.entry(item).or_default().push(fingerprint);
        }
        for chain in seen {
            let mut rules = rules.remove(&chain.item).unwrap_or_default();
            if chain.strange {
                // It cannot be said otherwise that the chain is not as it should be.
                rules.push(None);
            }
            self.objects.push(Observed::Chain { chain: chain.item, hook: chain.hook, rules });
        }
        Ok(())
    }

    fn sets(&mut self, channel: &mut Channel, table: &TableRef) -> Result<bool, KernelError> {
        let seen = channel.dump(
            |w, seq, flags| set::dump(w, seq, flags, table),
            |message| set::decode(message).filter(|seen| seen.item.table == *table && !seen.anonymous),
        )?;
        for set::Seen { item, shape, .. } in seen {
            let Some(shape) = shape else {
                self.object(Object::Set(item, set::STRANGE));
                continue;
            };
            let mut gather = Gather::new(&shape);
            channel.dump(
                |w, seq, flags| element::dump(w, seq, flags, &item),
                |message| {
                    gather.read(message);
                    None::<()>
                },
            )?;
            match gather.finish() {
                Ok(elements) => {
                    self.object(Object::Set(item.clone(), shape.clone()));
                    for (key, data) in elements {
                        self.object(Object::Element(item.clone(), key, data));
                    }
                    self.shapes.insert(item, shape);
                }
                Err(Unfit::Strange) => self.object(Object::Set(item, set::STRANGE)),
                Err(Unfit::Twice) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn object(&mut self, object: Object) {
        self.objects.push(Observed::Object { object, protocol: 0 });
    }
}
