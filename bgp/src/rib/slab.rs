//! A paged slab: items of 12 to 32 octets by the million, addressed by 32-bit ids.
//!
//! Knows pages and free slots. Must not know what the items mean.
//!
//! Pages, so that growth copies nothing and memory goes back: a page without items is freed (one empty page is kept
//! against thrashing). New items go to the lowest page with room, so tables stay dense. Ids of removed items are
//! reused: whoever keeps an id keeps the item.

use super::id_set::IdSet;

/// Items of a page; a page is 48 to 128 KiB, which allocators give back to the system.
const PAGE_BITS: u32 = 12;
const PAGE: usize = 1 << PAGE_BITS;

/// An item that can lie vacant: the slot of a vacant item holds the link of its page's free list.
pub(crate) trait SlabItem {
    /// A vacant item with this link.
    fn vacant(link: u32) -> Self;
    /// The link of a vacant item; `None` when the item is in use.
    fn link(&self) -> Option<u32>;
}

/// End of a page's free list.
const END: u32 = PAGE as u32;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Page<T>>,
    /// Numbers of the pages with room.
    roomy: IdSet,
    /// A page that has become empty and is kept for the next item.
    spare: Option<u32>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    /// Grows to `PAGE`: slots that were never used are not touched.
    items: Vec<T>,
    free: u32,
    used: u32,
}

impl<T> Page<T> {
    const fn empty() -> Self {
        Self { items: Vec::new(), free: END, used: 0 }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), roomy: IdSet::default(), spare: None, len: 0 }
    }
}

impl<T: SlabItem> Slab<T> {
    /// Stores an item.
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        let number = self.roomy.first().unwrap_or_else(|| {
            self.pages.push(Page::empty());
            let number = self.pages.len() as u32 - 1;
            self.roomy.insert(number);
            number
        });
        let page = &mut self.pages[number as usize];
        let slot = if page.free == END {
            if page.items.capacity() == 0 {
                // The first page grows with its table; a table that fills it gets the others whole.
                page.items.reserve_exact(if number == 0 { 64 } else { PAGE });
            }
            page.items.push(item);
            page.items.len() as u32 - 1
        } else {
            let slot = page.free;
            let vacant = &mut page.items[slot as usize];
            page.free = vacant.link().unwrap_or(END);
            *vacant = item;
            slot
        };
        page.used += 1;
        self.len += 1;
        if page.used == END {
            self.roomy.remove(number);
        }
        if self.spare == Some(number) {
            self.spare = None;
        }
        (number << PAGE_BITS) | slot
    }

    /// Removes an item that is in use.
    pub(crate) fn remove(&mut self, id: u32) -> T {
        let number = id >> PAGE_BITS;
        let page = &mut self.pages[number as usize];
        let slot = id & (END - 1);
        let vacant = T::vacant(page.free);
        let item = std::mem::replace(&mut page.items[slot as usize], vacant);
        debug_assert!(item.link().is_none(), "removed twice");
        page.free = slot;
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            self.emptied(number);
        } else if page.used == END - 1 {
            self.roomy.insert(number);
        }
        item
    }

    fn emptied(&mut self, number: u32) {
        if let Some(spare) = self.spare {
            self.pages[spare.max(number) as usize] = Page::empty();
            self.spare = Some(spare.min(number));
        } else {
            self.spare = Some(number);
        }
        self.roomy.insert(number);
        while self.pages.last().is_some_and(|page| page.items.capacity() == 0) {
            self.pages.pop();
            self.roomy.remove(self.pages.len() as u32);
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    /// The item of an id, if the slot is in use.
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let item = self.pages.get((id >> PAGE_BITS) as usize)?.items.get((id & (END - 1)) as usize)?;
        item.link().is_none().then_some(item)
    }

    /// All ids are below this.
    pub(crate) fn bound(&self) -> u32 {
        self.pages
            .last()
            .map_or(0, |page| ((self.pages.len() as u32 - 1) << PAGE_BITS) + page.items.len() as u32)
    }

    /// Items in use.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.pages[(id >> PAGE_BITS) as usize].items[(id & (END - 1)) as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[(id >> PAGE_BITS) as usize].items[(id & (END - 1)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Item {
        Vacant(u32),
        Used(u32),
    }

    impl SlabItem for Item {
        fn vacant(link: u32) -> Self {
            Self::Vacant(link)
        }
        fn link(&self) -> Option<u32> {
            match self {
                Self::Vacant(link) => Some(*link),
                Self::Used(_) => None,
            }
        }
    }

    #[test]
    fn ids_are_reused_lowest_page_first() {
        let mut slab = Slab::default();
        let ids: Vec<u32> = (0..3 * PAGE as u32).map(|n| slab.insert(Item::Used(n))).collect();
        assert_eq!(slab.remove(ids[5000]), Item::Used(5000));
        assert_eq!(slab.remove(ids[3]), Item::Used(3));
        assert_eq!(slab.get(3), None);
        assert_eq!(slab.insert(Item::Used(77)), 3);
        assert_eq!(slab.insert(Item::Used(78)), 5000);
        assert_eq!(slab[3], Item::Used(77));
        assert_eq!(slab.len(), 3 * PAGE);
    }

    #[test]
    fn empty_pages_are_freed_and_the_slab_shrinks() {
        let mut slab = Slab::default();
        for n in 0..10 * PAGE as u32 {
            slab.insert(Item::Used(n));
        }
        for id in 0..10 * PAGE as u32 {
            slab.remove(id);
        }
        assert_eq!(slab.len(), 0);
        let allocated = slab.pages.iter().filter(|page| page.items.capacity() > 0).count();
        assert_eq!(allocated, 1, "one spare page is kept");
        assert_eq!(slab.insert(Item::Used(1)) >> PAGE_BITS, 0);
    }

    #[test]
    fn a_freed_page_in_the_middle_is_filled_again() {
        let mut slab = Slab::default();
        for n in 0..4 * PAGE as u32 {
            slab.insert(Item::Used(n));
        }
        for page in [1, 2] {
            for slot in 0..PAGE as u32 {
                slab.remove((page << PAGE_BITS) | slot);
            }
        }
        assert_eq!(slab.get(2 << PAGE_BITS), None);
        let again: Vec<u32> = (0..2 * PAGE as u32).map(|n| slab.insert(Item::Used(n))).collect();
        assert!(again.iter().all(|id| matches!(id >> PAGE_BITS, 1 | 2)));
        assert_eq!(slab.bound(), 4 * PAGE as u32);
    }
}
