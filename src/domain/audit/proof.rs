//! Proofs over the tree: that an entry is in it, and that one tree is the beginning of another.
//!
//! A proof is a list of roots over ranges of leaves. Which ranges is arithmetic; what their hashes are is a
//! matter of storage. So the ranges are public: a store can hash each as it reads it, with a
//! [`Frontier`](super::Frontier) and without holding the log in memory, and a slice of leaf hashes does for
//! short logs. Checking a proof needs neither.
//!
//! Source: RFC 6962 section 2.1 for what proofs hold, RFC 9162 section 2.1 for how they are checked.

use std::ops::Range;

use super::tree::{Hash, empty_root, node_hash, root};

/// The ranges of leaves whose roots prove that leaf `index` is in the tree of `size` leaves, in the order of
/// the proof; nothing if it isn't in it.
#[must_use]
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut ranges, mut tree) = (Vec::new(), 0..size);
    while length(&tree) > 1 {
        let (left, right) = halves(&tree);
        if left.contains(&index) {
            ranges.push(right);
            tree = left;
        } else {
            ranges.push(left);
            tree = right;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of leaves whose roots prove that the tree of `old` leaves is the beginning of that of `new`, in
/// the order of the proof; nothing if `old` is larger. Trees that are equal or empty need no proof.
#[must_use]
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let (mut ranges, mut tree) = (Vec::new(), 0..new);
    if old == 0 {
        return Some(ranges);
    }
    while tree.end > old {
        let (left, right) = halves(&tree);
        if old <= left.end {
            ranges.push(right);
            tree = left;
        } else {
            ranges.push(left);
            tree = right;
        }
    }
    // Whoever checks knows the root of the old tree: where it is a subtree by itself, it is left out.
    if tree.start > 0 {
        ranges.push(tree);
    }
    ranges.reverse();
    Some(ranges)
}

/// Proves that leaf `index` is in the tree of the first `size` leaves; nothing if there aren't as many.
#[must_use]
pub fn inclusion_proof(leaves: &[Hash], index: u64, size: u64) -> Option<Vec<Hash>> {
    inclusion_ranges(index, size)?.into_iter().map(|range| root_of(leaves, &range)).collect()
}

/// Proves that the tree of the first `old` leaves is the beginning of that of the first `new`; nothing if
/// there aren't as many.
#[must_use]
pub fn consistency_proof(leaves: &[Hash], old: u64, new: u64) -> Option<Vec<Hash>> {
    consistency_ranges(old, new)?.into_iter().map(|range| root_of(leaves, &range)).collect()
}

/// Whether the proof shows that this leaf is at `index` in the tree of `size` leaves with this root.
///
/// Source: RFC 9162 section 2.1.3.2.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut path = Path { node: index, last: size.saturating_sub(1) };
    let mut hash = *leaf;
    for sibling in proof {
        match path.climb() {
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
            None => return false,
        }
    }
    path.last == 0 && hash == *root
}

/// Whether the proof shows that the tree of `old.0` leaves with the root `old.1` is the beginning of that of
/// `new.0` leaves with the root `new.1`.
///
/// Source: RFC 9162 section 2.1.4.2.
#[must_use]
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 {
        return proof.is_empty() && *old_root == empty_root() && (new_size > 0 || new_root == old_root);
    }
    if old_size >= new_size {
        return proof.is_empty() && old_size == new_size && old_root == new_root;
    }
    let (first, rest) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some(parts) => parts,
        None => return false,
    };
    let shift = old_size.saturating_sub(1).trailing_ones();
    let mut path =
        Path { node: old_size.saturating_sub(1) >> shift, last: new_size.saturating_sub(1) >> shift };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match path.climb() {
            Some(Side::Left) => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Some(Side::Right) => new_hash = node_hash(&new_hash, sibling),
            None => return false,
        }
    }
    path.last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// Where a sibling stands.
enum Side {
    Left,
    Right,
}

/// A way from a node to the root: the node's index and that of the last node of its level.
struct Path {
    node: u64,
    last: u64,
}

impl Path {
    /// Goes up to the next parent of two: the side of the sibling; nothing at the root.
    fn climb(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        // A last node without a sibling moves up as it is.
        let alone = if matches!(side, Side::Left) { self.node.trailing_zeros() } else { 0 };
        let levels = alone.saturating_add(1);
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
        Some(side)
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Splits a tree of two leaves or more: the left half has the largest power of two below its size.
fn halves(tree: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let power = length(tree).saturating_sub(1).checked_ilog2().unwrap_or(0);
    let middle = tree.start.saturating_add(1 << power);
    (tree.start..middle, middle..tree.end)
}

fn root_of(leaves: &[Hash], range: &Range<u64>) -> Option<Hash> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    leaves.get(start..end).map(root)
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::{collection, prelude::*};
    use sha2::Sha256;

    use super::*;
    use crate::domain::audit::tree::leaf_hash;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_le_bytes())).collect()
    }

    fn oracle(count: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
        let mut tree = MemoryBackedTree::new();
        for index in 0..count {
            tree.push(index.to_le_bytes().to_vec());
        }
        tree
    }

    fn root_at(leaves: &[Hash], size: u64) -> Hash {
        root(&leaves[..usize::try_from(size).unwrap()])
    }

    #[test]
    fn inclusion_proofs_are_those_of_another_implementation() {
        let leaves = leaves(70);
        for size in 1..=70 {
            let (oracle, root) = (oracle(size), root_at(&leaves, size));
            for (index, leaf) in (0..size).zip(&leaves) {
                let proof = inclusion_proof(&leaves, index, size).unwrap();
                let expected = oracle.prove_inclusion(usize::try_from(index).unwrap());
                assert_eq!(proof.concat(), expected.as_bytes(), "{index} of {size}");
                assert!(verify_inclusion(leaf, index, size, &proof, &root), "{index} of {size}");
                assert!(!verify_inclusion(leaf, index + 1, size, &proof, &root) || size == 0);
                let longer = [&proof[..], &[*leaf]].concat();
                assert!(!verify_inclusion(leaf, index, size, &longer, &root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(leaf, index, size, shorter, &root));
                }
            }
            assert_eq!(inclusion_proof(&leaves, size, size), None);
        }
        assert_eq!(inclusion_proof(&leaves, 0, 71), None);
        assert!(!verify_inclusion(&empty_root(), 0, 0, &[], &empty_root()));
    }

    #[test]
    fn a_proof_for_a_smaller_tree_does_not_hold_for_a_larger_one() {
        let leaves = leaves(2);
        let proof = inclusion_proof(&leaves, 0, 2).unwrap();
        assert!(verify_inclusion(&leaves[0], 0, 2, &proof, &root(&leaves)));
        assert!(!verify_inclusion(&leaves[0], 0, 3, &proof, &root(&leaves)));
        assert!(!verify_inclusion(&leaves[0], 0, 5, &[], &leaves[0]));
    }

    #[test]
    fn consistency_proofs_are_those_of_another_implementation() {
        let leaves = leaves(70);
        for new in 1..=70 {
            let (oracle, new_root) = (oracle(new), root_at(&leaves, new));
            for old in 1..=new {
                let old_root = root_at(&leaves, old);
                let proof = consistency_proof(&leaves, old, new).unwrap();
                let expected = oracle.prove_consistency(usize::try_from(new - old).unwrap());
                assert_eq!(proof.concat(), expected.as_bytes(), "{old} of {new}");
                assert!(verify_consistency((old, &old_root), (new, &new_root), &proof), "{old} of {new}");
                assert!(!verify_consistency((old, &new_root), (new, &old_root), &proof) || old == new);
                let longer = [&proof[..], &[new_root]].concat();
                assert!(!verify_consistency((old, &old_root), (new, &new_root), &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_consistency((old, &old_root), (new, &new_root), shorter));
                }
            }
            assert_eq!(consistency_proof(&leaves, new + 1, new), None);
        }
    }

    #[test]
    fn an_empty_tree_begins_every_tree_and_needs_no_proof() {
        let leaves = leaves(3);
        let root = root(&leaves);
        assert_eq!(consistency_proof(&leaves, 0, 3), Some(vec![]));
        assert!(verify_consistency((0, &empty_root()), (3, &root), &[]));
        assert!(verify_consistency((0, &empty_root()), (0, &empty_root()), &[]));
        assert!(!verify_consistency((0, &root), (3, &root), &[]));
        assert!(!verify_consistency((0, &empty_root()), (0, &root), &[]));
        assert!(!verify_consistency((3, &root), (0, &empty_root()), &[]));
        assert!(!verify_consistency((1, &root), (3, &root), &[]));
    }

    #[test]
    fn the_largest_tree_has_a_proof_of_64_hashes() {
        assert_eq!(inclusion_ranges(0, u64::MAX).unwrap().len(), 64);
        assert_eq!(inclusion_ranges(u64::MAX - 1, u64::MAX).unwrap().len(), 63);
        assert!(consistency_ranges(u64::MAX - 2, u64::MAX).unwrap().len() <= 65);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_proof_holds_for_one_leaf_and_one_root_alone(
            size in 1_u64..300,
            index: prop::sample::Index,
            flipped: prop::sample::Index,
        ) {
            let leaves = leaves(size);
            let place = index.index(leaves.len());
            let index = u64::try_from(place).unwrap();
            let (leaf, root) = (leaves[place], root(&leaves));
            let mut proof = inclusion_proof(&leaves, index, size).unwrap();
            prop_assert!(verify_inclusion(&leaf, index, size, &proof, &root));
            prop_assert!(!verify_inclusion(&root, index, size, &proof, &leaf) || size == 1);
            if !proof.is_empty() {
                let at = flipped.index(proof.len());
                proof[at][0] ^= 1;
                prop_assert!(!verify_inclusion(&leaf, index, size, &proof, &root));
            }
        }

        #[test]
        fn a_changed_past_has_no_consistency_proof(
            new in 2_u64..300,
            old: prop::sample::Index,
            at: prop::sample::Index,
        ) {
            let honest = leaves(new);
            let old_length = old.index(honest.len() - 1) + 1;
            let old_size = u64::try_from(old_length).unwrap();
            let old_root = root(&honest[..old_length]);
            let mut forged = honest.clone();
            forged[at.index(old_length)][0] ^= 1;
            let proof = consistency_proof(&forged, old_size, new).unwrap();
            prop_assert!(!verify_consistency((old_size, &old_root), (new, &root(&forged)), &proof));
        }

        #[test]
        fn checking_any_proof_ends_without_panic(
            sizes: (u64, u64),
            proof in collection::vec(any::<Hash>(), 0..70),
            hashes: (Hash, Hash),
        ) {
            let (old, new) = sizes;
            prop_assert!(!verify_inclusion(&hashes.0, old, new, &proof, &hashes.1));
            prop_assert!(!verify_consistency((old, &hashes.0), (new, &hashes.1), &proof));
        }
    }
}
