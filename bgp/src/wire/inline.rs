//! A short immutable list that lives in place.
//!
//! Knows memory layout only. A speaker holds hundreds of thousands of AS paths and community lists, nearly all of
//! them a few elements long: without an allocation each, they cost half the memory and no pointer chase to hash.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// A list of `T`, in place up to `N` elements (`N` < 256), on the heap above.
#[derive(Clone)]
pub(super) struct InlineList<T, const N: usize>(Repr<T, N>);

/// `Heap` only when there are more than `N` elements: equal lists have equal shape.
#[derive(Clone)]
enum Repr<T, const N: usize> {
    Inline { len: u8, items: [T; N] },
    Heap(Box<[T]>),
}

impl<T: Copy + Default, const N: usize> InlineList<T, N> {
    /// A copy of `items`.
    #[inline]
    pub(super) fn from_slice(items: &[T]) -> Self {
        const { assert!(N < 256) };
        let mut place = [T::default(); N];
        match place.get_mut(..items.len()) {
            Some(target) => {
                target.copy_from_slice(items);
                Self(Repr::Inline { len: items.len() as u8, items: place })
            }
            None => Self(Repr::Heap(items.into())),
        }
    }
}

impl<T: Copy + Default, const N: usize> Default for InlineList<T, N> {
    fn default() -> Self {
        Self(Repr::Inline { len: 0, items: [T::default(); N] })
    }
}

impl<T, const N: usize> Deref for InlineList<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Repr::Inline { len, items } => items.get(..usize::from(*len)).unwrap_or(&[]),
            Repr::Heap(items) => items,
        }
    }
}

impl<T: PartialEq, const N: usize> PartialEq for InlineList<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for InlineList<T, N> {}

impl<T: Hash, const N: usize> Hash for InlineList<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for InlineList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::InlineList;

    #[test]
    fn holds_what_it_was_given_on_either_side_of_the_limit() {
        for len in 0..9u8 {
            let items: Vec<u8> = (0..len).collect();
            let list = InlineList::<u8, 4>::from_slice(&items);
            assert_eq!(&*list, &items[..]);
            assert_eq!(list, list.clone());
        }
        assert_ne!(InlineList::<u8, 4>::from_slice(&[0]), InlineList::default());
    }
}
