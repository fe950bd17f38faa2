//! The Merkle tree over the log: hashes, the root, and the right edge that appending needs.
//!
//! A leaf is `SHA-256(0x00 ‖ entry)`, a node `SHA-256(0x01 ‖ left ‖ right)`, so that no leaf passes for a
//! node. A [`Frontier`] holds one hash for each perfect subtree of the tree, at most 64: enough to append and
//! to tell the root, however long the log is.
//!
//! Source: RFC 6962 section 2.1.

use sha2::{Digest, Sha256};

/// The length of a hash, in bytes.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

/// Hashes an entry as a leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Hashes two subtrees as their parent.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over these leaf hashes.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The right edge of the tree: what must be kept to append.
///
/// One hash for each bit of the size, that of the largest subtree first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// How many leaves the tree has: the sequence of the next entry.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(smallest) = subtrees.next() else { return empty_root() };
        subtrees.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// The frontier as it is stored: the size in eight bytes, least significant first, then the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_le_bytes().to_vec();
        bytes.extend(self.subtrees.iter().flatten());
        bytes
    }

    /// Reads a stored frontier; nothing if the number of hashes doesn't fit the size.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, hashes) = bytes.split_first_chunk::<8>()?;
        let size = u64::from_le_bytes(*size);
        let (subtrees, rest) = hashes.as_chunks::<HASH_BYTES>();
        let fits = rest.is_empty() && u32::try_from(subtrees.len()) == Ok(size.count_ones());
        fits.then(|| Self { size, subtrees: subtrees.to_vec() })
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::default();
        for leaf in leaves {
            frontier.append(leaf);
        }
        frontier
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::domain::hex;

    /// MTH as RFC 6962 section 2.1 defines it.
    fn merkle_tree_hash(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&merkle_tree_hash(&leaves[..split]), &merkle_tree_hash(&leaves[split..]))
            }
        }
    }

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_le_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        // The leaves and roots of the tests of Certificate Transparency's reference implementation.
        let entries: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(hex::encode(&frontier.root()), roots[0]);
        for (entry, root) in entries.iter().zip(&roots[1..]) {
            frontier.append(leaf_hash(entry));
            assert_eq!(hex::encode(&frontier.root()), *root, "size {}", frontier.size());
        }
    }

    #[test]
    fn the_frontier_tells_the_root_at_every_size_up_to_200() {
        let leaves = leaves(200);
        let mut frontier = Frontier::default();
        let mut oracle = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for (index, leaf) in leaves.iter().enumerate() {
            frontier.append(*leaf);
            oracle.push(u32::try_from(index).unwrap().to_le_bytes().to_vec());
            assert_eq!(frontier.root(), merkle_tree_hash(&leaves[..=index]));
            assert_eq!(&frontier.root()[..], oracle.root().as_bytes().as_slice());
            assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier.clone()));
        }
        assert_eq!(root(&leaves), frontier.root());
    }

    #[test]
    fn bytes_that_are_no_frontier_are_refused() {
        let bytes = leaves(7).into_iter().collect::<Frontier>().to_bytes();
        assert_eq!(Frontier::from_bytes(&[]), None);
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - HASH_BYTES]), None);
        let mut other_size = bytes;
        other_size[0] = 8;
        assert_eq!(Frontier::from_bytes(&other_size), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_frontier_tells_the_root_at_random_sizes(size in 0_u32..3_000) {
            prop_assert_eq!(root(&leaves(size)), merkle_tree_hash(&leaves(size)));
        }

        #[test]
        fn an_edited_dropped_swapped_or_inserted_entry_changes_the_root(
            entries in collection::vec(any::<u64>(), 2..60),
            at: prop::sample::Index,
            with: prop::sample::Index,
            fresh: u64,
        ) {
            let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(&entry.to_le_bytes())).collect();
            let (at, with) = (at.index(hashes.len()), with.index(hashes.len()));
            let other = leaf_hash(&fresh.to_be_bytes());
            prop_assume!(hashes[at] != other && hashes[at] != hashes[with]);
            let mut edited = hashes.clone();
            edited[at] = other;
            let mut dropped = hashes.clone();
            dropped.remove(at);
            let mut swapped = hashes.clone();
            swapped.swap(at, with);
            let mut inserted = hashes.clone();
            inserted.insert(at, other);
            for tampered in [edited, dropped, swapped, inserted] {
                prop_assert_ne!(root(&tampered), root(&hashes));
            }
        }
    }
}
