//! Lets a test do something in the middle of a step of the tree, on the same thread, as another
//! thread might. Only in tests.

use std::cell::RefCell;

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// A reader has chosen a child and not yet read its number.
    Routing,
    /// A node was split, its right half is an entry, its left half is not yet in its place.
    HalfSplit,
}

type Hook = (Point, Box<dyn FnMut()>);

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// From now on this thread calls `hook` whenever it is at `point`, except in `hook` itself.
pub(super) fn set(point: Point, hook: impl FnMut() + 'static) {
    HOOK.with_borrow_mut(|set| *set = Some((point, Box::new(hook))));
}

pub(super) fn clear() {
    HOOK.with_borrow_mut(|set| *set = None);
}

pub(super) fn at(point: Point) {
    let Some((wanted, mut hook)) = HOOK.with_borrow_mut(Option::take) else {
        return;
    };
    if wanted == point {
        hook();
    }
    HOOK.with_borrow_mut(|set| *set = Some((wanted, hook)));
}
