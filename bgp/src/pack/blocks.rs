//! Encoded attributes that several peers share.
//!
//! Knows blocks by attribute set and context. Peers that read at the same pace ask for the same blocks within a short
//! time: a few thousand are kept, and none once nobody has anything to send.

use hashbrown::HashMap;

use crate::rib::internals::{Sent, Shared};
use crate::wire::{EncodeContext, EncodedAttributes};

/// When there are this many, it starts over.
const LIMIT: usize = 4096;

/// See the module's description. Every block holds a reference to its attribute set, so that its id keeps its meaning.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: HashMap<(Sent, EncodeContext), EncodedAttributes>,
}

impl Blocks {
    /// The block of an attribute set for peers of this context.
    pub(super) fn get(
        &mut self,
        shared: &mut Shared,
        sent: Sent,
        context: &EncodeContext,
    ) -> &EncodedAttributes {
        if self.blocks.len() >= LIMIT && !self.blocks.contains_key(&(sent, *context)) {
            self.clear(shared);
        }
        self.blocks.entry((sent, *context)).or_insert_with(|| {
            shared.attributes.retain(sent.attributes());
            shared.attributes.get(sent.attributes()).encode(context)
        })
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self, shared: &mut Shared) {
        for ((sent, _), _) in self.blocks.drain() {
            shared.release(sent.attributes());
        }
        if self.blocks.capacity() > 0 {
            self.blocks.shrink_to(0);
        }
    }
}
