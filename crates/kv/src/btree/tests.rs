//! Tests of the tree as a whole, against the standard library's map, and of what nodes promise.
//! Most run with nodes of four pairs too, so that few keys make a high tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::builder::TreeBuilder;
use super::*;

type Model = BTreeMap<Vec<u8>, u32>;
type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>, bool);
type Pairs = Vec<(Vec<u8>, u32)>;

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// Checks everything `node`, `keys` and `Tree` promise of a tree's shape.
fn check<const N: usize>(tree: &Tree<u32, N>) {
    let (len, key_bytes) = check_node(&tree.root, tree.height, (None, None), (true, true));
    assert_eq!((len, key_bytes), (tree.len(), tree.key_bytes()));
    assert_eq!(tree.is_empty(), len == 0);
}

/// Checks a node that is `height` levels high, whose keys are within `bounds`; gives how many
/// pairs and bytes of keys it has.
fn check_node<const N: usize>(
    node: &Node<u32, N>,
    height: usize,
    (low, high): (Option<&[u8]>, Option<&[u8]>),
    (root, rightmost): (bool, bool),
) -> (usize, usize) {
    node.keys.check();
    let count = node.keys.len();
    assert!(root || rightmost || count >= Node::<u32, N>::LEAST, "fill");
    for key in node.keys.range(0, count) {
        assert!(low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high));
    }
    match &node.body {
        Body::Leaf(values) => {
            assert_eq!((height, values.len()), (1, count));
            assert!(root || count > 0, "empty leaf");
            (count, node.keys.range(0, count).map(<[u8]>::len).sum())
        }
        Body::Inner(children) => {
            assert!(count > 0 && children.len() == count + 1);
            let bounds: Vec<_> = std::iter::once(low)
                .chain(node.keys.range(0, count).map(Some))
                .chain([high])
                .collect();
            let parts = children.iter().enumerate().map(|(at, child)| {
                let edge = rightmost && at == count;
                let bounds = (bounds[at], bounds[at + 1]);
                check_node(child, height - 1, bounds, (false, edge))
            });
            parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
        }
    }
}

/// Everything a cursor still gives.
fn drain<const N: usize>(cursor: &mut cursor::TreeCursor<u32, N>) -> Pairs {
    let mut pairs = Vec::new();
    while let Some((key, value)) = cursor.next() {
        pairs.push((key.to_vec(), *value));
    }
    pairs
}

/// What a cursor should give.
fn within(model: &Model, (start, end, reverse): &Range) -> Pairs {
    let inside = |key: &Vec<u8>| {
        let after = match start {
            Bound::Unbounded => true,
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
        };
        after
            && match end {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
            }
    };
    let pairs = model.iter().filter(|(key, _)| inside(key));
    let mut pairs: Pairs = pairs.map(|(key, value)| (key.clone(), *value)).collect();
    if *reverse {
        pairs.reverse();
    }
    pairs
}

/// Checks that a tree has the pairs of a model, both ways.
fn same<const N: usize>(tree: &Tree<u32, N>, model: &Model) {
    check(tree);
    for reverse in [false, true] {
        let mut cursor = tree.cursor(Bound::Unbounded, Bound::Unbounded, reverse);
        let all = within(model, &(Bound::Unbounded, Bound::Unbounded, reverse));
        assert_eq!(drain(&mut cursor), all);
        assert!(cursor.next().is_none());
    }
    for (key, value) in model {
        assert_eq!(tree.get(key), Some(value));
    }
}

/// Checks the difference of two versions: nothing missing, nothing wrong, in order.
fn check_diff<const N: usize>(a: (&Tree<u32, N>, &Model), b: (&Tree<u32, N>, &Model)) {
    let mut diff = Tree::diff(a.0, b.0);
    let mut found = BTreeMap::new();
    let mut before: Option<Vec<u8>> = None;
    while let Some((key, left, right)) = diff.next() {
        assert!(
            before.as_deref().is_none_or(|before| before < key),
            "ascending"
        );
        before = Some(key.to_vec());
        if left != right {
            found.insert(key.to_vec(), (left.copied(), right.copied()));
        }
    }
    assert!(diff.next().is_none());
    let mut expected = BTreeMap::new();
    for key in a.1.keys().chain(b.1.keys()) {
        let (left, right) = (a.1.get(key).copied(), b.1.get(key).copied());
        if left != right {
            expected.insert(key.clone(), (left, right));
        }
    }
    assert_eq!(found, expected);
}

/// One step of a test.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, u32),
    Remove(Vec<u8>),
    /// Ascending or descending keys, from a number on.
    InsertRun(u16, u16, bool),
    RemoveRun(u16, u16, bool),
    /// Keep a version.
    Keep,
    /// Go on from a version kept.
    Back(usize),
    Clear,
    Look(Range),
    /// Open a cursor, take some pairs and keep it.
    Open(Range, usize),
    /// Compare with a version kept.
    Diff(usize),
}

/// Keys that share prefixes, tie in their heads and are prefixes of each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let fronts = [
        "",
        "a",
        "shared",
        "shared/and/",
        "shared/and/longer/than/heads",
    ];
    let short = prop::collection::vec(prop::sample::select(vec![0, b'a', 255]), 0..4);
    (prop::sample::select(fronts.to_vec()), short)
        .prop_map(|(front, rest)| [front.as_bytes(), &rest].concat())
}

fn numbered(number: u16) -> Vec<u8> {
    format!("user:{number:08}:profile").into_bytes()
}

fn range() -> impl Strategy<Value = Range> {
    let bound = || {
        let key = prop_oneof![key(), (0..900_u16).prop_map(numbered)];
        (key, 0..3).prop_map(|(key, kind)| match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(key),
            _ => Bound::Excluded(key),
        })
    };
    (bound(), bound(), any::<bool>())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        14 => key().prop_map(Step::Remove),
        3 => (0..800_u16, 1..90_u16, any::<bool>()).prop_map(|(a, n, up)| Step::InsertRun(a, n, up)),
        3 => (0..800_u16, 1..90_u16, any::<bool>()).prop_map(|(a, n, up)| Step::RemoveRun(a, n, up)),
        3 => Just(Step::Keep),
        1 => any::<usize>().prop_map(Step::Back),
        1 => prop::bool::weighted(0.2)
            .prop_map(|clear| if clear { Step::Clear } else { Step::Keep }),
        4 => range().prop_map(Step::Look),
        2 => (range(), 0..20_usize).prop_map(|(range, taken)| Step::Open(range, taken)),
        3 => any::<usize>().prop_map(Step::Diff),
    ]
}

/// A tree next to what it should be, and the versions and cursors kept of it.
struct Run<const N: usize> {
    tree: Tree<u32, N>,
    model: Model,
    kept: Vec<(Tree<u32, N>, Model)>,
    cursors: Vec<(cursor::TreeCursor<u32, N>, Pairs)>,
}

impl<const N: usize> Run<N> {
    fn insert(&mut self, key: Vec<u8>, value: u32) {
        let old = self.tree.insert(&key, value);
        assert_eq!(old, self.model.insert(key, value));
    }

    fn remove(&mut self, key: &[u8]) {
        assert_eq!(self.tree.remove(key), self.model.remove(key));
    }

    fn apply(&mut self, step: Step) {
        let numbers = |from: u16, count: u16, up: bool| {
            (0..count).map(move |at| from + if up { at } else { count - 1 - at })
        };
        match step {
            Step::Insert(key, value) => self.insert(key, value),
            Step::Remove(key) => self.remove(&key),
            Step::InsertRun(from, count, up) => {
                for number in numbers(from, count, up) {
                    self.insert(numbered(number), u32::from(number));
                }
            }
            Step::RemoveRun(from, count, up) => {
                for number in numbers(from, count, up) {
                    self.remove(&numbered(number));
                }
            }
            Step::Keep => {
                let version = self.tree.clone();
                assert!(version.same_as(&self.tree));
                self.kept.push((version, self.model.clone()));
            }
            Step::Back(which) if !self.kept.is_empty() => {
                let (tree, model) = &self.kept[which % self.kept.len()];
                (self.tree, self.model) = (tree.clone(), model.clone());
            }
            Step::Clear => {
                self.tree = Tree::new();
                self.model.clear();
            }
            Step::Look(range) => {
                let mut cursor = self
                    .tree
                    .cursor(borrowed(&range.0), borrowed(&range.1), range.2);
                assert_eq!(drain(&mut cursor), within(&self.model, &range));
            }
            Step::Open(range, taken) => {
                let (start, end) = (borrowed(&range.0), borrowed(&range.1));
                let mut cursor = self.tree.cursor(start, end, range.2);
                let mut rest = within(&self.model, &range);
                for (key, value) in rest.drain(..taken.min(rest.len())) {
                    assert_eq!(cursor.next(), Some((&*key, &value)));
                }
                self.cursors.push((cursor, rest));
            }
            Step::Diff(which) if !self.kept.is_empty() => {
                let (tree, model) = &self.kept[which % self.kept.len()];
                check_diff((tree, model), (&self.tree, &self.model));
                check_diff((&self.tree, &self.model), (tree, model));
            }
            Step::Back(_) | Step::Diff(_) => {}
        }
        check(&self.tree);
    }
}

fn run<const N: usize>(steps: Vec<Step>) {
    let mut run: Run<N> = Run {
        tree: Tree::default(),
        model: Model::new(),
        kept: Vec::new(),
        cursors: Vec::new(),
    };
    for step in steps {
        run.apply(step);
    }
    same(&run.tree, &run.model);
    drop(run.tree);
    for (tree, model) in &run.kept {
        same(tree, model);
    }
    for (mut cursor, rest) in run.cursors {
        assert_eq!(drain(&mut cursor), rest);
    }
}

proptest! {
    #[test]
    fn small_nodes_do_what_the_standard_map_does(steps in prop::collection::vec(step(), 1..200)) {
        run::<4>(steps);
    }

    #[test]
    fn odd_nodes_do_what_the_standard_map_does(steps in prop::collection::vec(step(), 1..200)) {
        run::<9>(steps);
    }

    #[test]
    fn real_nodes_do_what_the_standard_map_does(steps in prop::collection::vec(step(), 1..200)) {
        run::<FANOUT>(steps);
    }

    #[test]
    fn a_tree_built_is_the_tree_inserted(
        mut keys in prop::collection::vec(key(), 0..300),
        numbers in 0..300_u16,
        sort in any::<bool>(),
    ) {
        keys.extend((0..numbers).map(numbered));
        if sort {
            keys.sort();
        }
        let pairs = || keys.iter().zip(0..).map(|(key, value)| (key.clone(), value));
        let model: Model = pairs().collect();
        same(&Tree::<u32, 4>::from_sorted(pairs()), &model);
        same(&BTree::from_sorted(pairs()), &model);
        // What was built is changed like any other tree.
        let mut tree = Tree::<u32, 9>::from_sorted(pairs());
        for key in model.keys() {
            prop_assert!(tree.remove(key).is_some());
            check(&tree);
        }
    }
}

#[test]
fn a_builder_gives_back_what_is_not_above_the_last() {
    let mut builder = TreeBuilder::<u32, FANOUT>::new();
    assert_eq!(builder.push(b"b", 1), Ok(()));
    assert_eq!(builder.push(b"b", 2), Err(2));
    assert_eq!(builder.push(b"a", 3), Err(3));
    assert_eq!(builder.push(b"c", 4), Ok(()));
    let tree = builder.finish();
    same(
        &tree,
        &Model::from([(b"b".to_vec(), 1), (b"c".to_vec(), 4)]),
    );
    assert!(TreeBuilder::<u32, FANOUT>::new().finish().is_empty());
}

#[test]
fn ascending_inserts_leave_full_leaves() {
    let tree = |order: &mut dyn Iterator<Item = u16>| {
        let mut tree = BTree::new();
        for number in order {
            tree.insert(&numbered(number), u32::from(number));
        }
        check(&tree);
        let mut diff = Tree::diff(&BTree::new(), &tree);
        while diff.next().is_some() {}
        diff.opened()
    };
    let leaves = 10_000_usize.div_ceil(FANOUT);
    assert!(tree(&mut (0..10_000)) <= leaves + leaves / FANOUT + 3);
    // In the other order they are about half full, and not worse.
    assert!(tree(&mut (0..10_000).rev()) <= 2 * leaves + 4 * leaves / FANOUT + 8);
}

/// How many nodes a difference opens, and how many pairs it gives.
fn cost(a: &BTree<u32>, b: &BTree<u32>) -> (usize, usize) {
    let mut diff = Tree::diff(a, b);
    let mut pairs = 0;
    while diff.next().is_some() {
        pairs += 1;
    }
    (diff.opened(), pairs)
}

#[test]
fn versions_share_what_they_have_in_common() {
    let all = || (0..60_000_u16).map(|number| (numbered(number), u32::from(number)));
    let tree = BTree::from_sorted(all());
    assert_eq!(cost(&tree, &tree.clone()), (0, 0));
    let two_paths = 2 * tree.height;

    let mut changed = tree.clone();
    changed.insert(&numbered(30_000), 1);
    let (opened, pairs) = cost(&tree, &changed);
    assert!(
        opened <= two_paths && (1..=FANOUT).contains(&pairs),
        "{opened} {pairs}"
    );

    // Leaves that split, and pairs that begin or end a leaf or the tree.
    let mut changed = tree.clone();
    for at in 0..30 {
        changed.insert(format!("user:{:08}!{at}", 30_000).as_bytes(), 1);
    }
    assert!(cost(&tree, &changed).0 <= two_paths + 2);
    for first in [0, 20_000, 59_900] {
        let mut changed = tree.clone();
        for number in first..first + 100 {
            assert!(changed.remove(&numbered(number)).is_some());
        }
        check(&changed);
        let (opened, _) = cost(&tree, &changed);
        let (back, _) = cost(&changed, &tree);
        assert!(opened <= two_paths + 8 && back == opened, "{opened}");
    }
}

#[test]
fn a_pair_taken_out_at_the_edge_of_a_node_does_not_unshare_the_next() {
    let all = || (0..6_000_u16).map(|number| (numbered(number), u32::from(number)));
    let tree = BTree::from_sorted(all());
    for number in (0..4_000).chain(5_900..6_000) {
        let mut changed = tree.clone();
        changed.remove(&numbered(number));
        for (opened, pairs) in [cost(&tree, &changed), cost(&changed, &tree)] {
            assert!(
                opened <= 3 * tree.height && pairs <= FANOUT,
                "{opened} {pairs}"
            );
        }
    }
}

#[test]
fn a_cursor_looks_at_no_leaf_behind_its_bound() {
    let tree = BTree::from_sorted((0..5_000).map(|number| (numbered(number), 0)));
    let (start, end) = (numbered(1_000), numbered(2_000));
    for reverse in [false, true] {
        let mut cursor = tree.cursor(Bound::Excluded(&start), Bound::Excluded(&end), reverse);
        assert_eq!(drain(&mut cursor).len(), 999);
        assert!(cursor.ends_here());
    }
}

#[test]
fn writes_to_a_tree_of_ones_own_move_no_node() {
    let mut tree = BTree::from_sorted((0..5_000).map(|number| (numbered(number), 0)));
    let root = Arc::as_ptr(&tree.root);
    assert_eq!(tree.insert(&numbered(77), 1), Some(0));
    assert_eq!(tree.remove(&numbered(79)), Some(0));
    assert_eq!(Arc::as_ptr(&tree.root), root);
    // Asking for what is not there copies nothing, even of a tree that is shared.
    let version = tree.clone();
    assert_eq!(tree.remove(b"nothing"), None);
    assert!(tree.same_as(&version));
}

#[test]
fn long_and_empty_keys() {
    let mut run: Run<4> = Run {
        tree: Tree::new(),
        model: Model::new(),
        kept: Vec::new(),
        cursors: Vec::new(),
    };
    let long = |end: usize| {
        let mut key = vec![b'x'; KEY_BYTES_MAX];
        key[end % KEY_BYTES_MAX] = u8::try_from(end % 251).unwrap_or(0);
        key
    };
    run.insert(Vec::new(), 7);
    for at in 0..40 {
        run.insert(long(at * 1_641), 1);
        run.insert(vec![b'x'; at], 2);
        check(&run.tree);
    }
    for at in 0..30 {
        run.remove(&long(at * 1_641));
    }
    same(&run.tree, &run.model);
    run.remove(b"");
    same(&run.tree, &run.model);
}
