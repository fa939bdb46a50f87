//! The table of fields as a tree of names, in the form in which the scanner walks it.

use std::sync::LazyLock;

use super::meaning::{Field, Row};
use super::tables::{LISTS, LONGEST, USAGE_OBJECTS};
use crate::wire::json::scanner::Node;

/// The table as a tree; the root is the first branch.
pub(in crate::usage) struct Tree {
    pub(super) branches: Vec<Branch>,
}

/// A path in the tree.
pub(in crate::usage) struct Branch {
    /// The meaning of the field at this path, if it has one.
    pub(in crate::usage) field: Option<Field>,
    /// Whether the count is used only if no others are reported.
    pub(in crate::usage) fallback: bool,
    /// Whether this is an object of counts.
    pub(in crate::usage) is_usage: bool,
    /// Whether this is an array whose entries are counted one by one.
    pub(in crate::usage) is_list: bool,
    /// The member names below, sorted by length, and the index of the branch of each.
    names: Vec<(&'static str, u8)>,
    /// The index in `names` of the first name of each length.
    starts: [u8; LONGEST + 2],
}

impl Default for Branch {
    fn default() -> Self {
        Self {
            field: None,
            fallback: false,
            is_usage: false,
            is_list: false,
            names: Vec::new(),
            starts: [0; LONGEST + 2],
        }
    }
}

static TREE: LazyLock<Tree> = LazyLock::new(Tree::grow);

/// Returns the tree, which is built once.
pub(in crate::usage) fn tree() -> &'static Tree {
    &TREE
}

impl Tree {
    fn grow() -> Self {
        let mut tree = Self {
            branches: vec![Branch::default()],
        };
        let mut shared: Vec<(&'static [Row], bool, u8)> = Vec::new();
        for (path, rows, fallback, _) in USAGE_OBJECTS {
            let known = shared
                .iter()
                .find(|(other, rank, _)| std::ptr::eq(*other, *rows) && rank == fallback);
            match (path.rsplit_once('.').unwrap_or(("", path)), known) {
                ((_, ""), _) => tree.fill(0, rows, *fallback),
                ((above, name), Some((_, _, to))) => {
                    let (above, to) = (tree.reach(0, above), *to);
                    tree.link(above, name, to);
                }
                _ => {
                    let to = tree.reach(0, path);
                    tree.fill(to, rows, *fallback);
                    shared.push((rows, *fallback, to));
                }
            }
        }
        for path in LISTS {
            let at = tree.reach(0, path);
            if let Some(branch) = tree.branches.get_mut(usize::from(at)) {
                branch.is_list = true;
            }
        }
        tree.branches.iter_mut().for_each(Branch::sort);
        tree
    }

    fn fill(&mut self, from: u8, rows: &[Row], fallback: bool) {
        if let Some(branch) = self.branches.get_mut(usize::from(from)) {
            branch.is_usage = from > 0;
        }
        for (path, field, _) in rows {
            let at = self.reach(from, path);
            if let Some(branch) = self.branches.get_mut(usize::from(at)) {
                (branch.field, branch.fallback) = (Some(*field), fallback);
                branch.is_list = matches!(field, Field::ByModality(_));
            }
        }
    }

    /// Returns the index of the branch at `path`, creating branches as needed.
    fn reach(&mut self, from: u8, path: &'static str) -> u8 {
        let mut at = from;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            let branch = self.branches.get(usize::from(at));
            let mut names = branch.into_iter().flat_map(|branch| &branch.names);
            let known = names.find(|(known, _)| *known == name).map(|known| known.1);
            at = known.unwrap_or_else(|| self.add(at, name));
        }
        at
    }

    fn add(&mut self, at: u8, name: &'static str) -> u8 {
        let new = u8::try_from(self.branches.len()).unwrap_or(u8::MAX);
        self.branches.push(Branch::default());
        self.link(at, name, new);
        new
    }

    fn link(&mut self, at: u8, name: &'static str, to: u8) {
        if let Some(branch) = self.branches.get_mut(usize::from(at)) {
            branch.names.push((name, to));
        }
    }

    /// Returns the branch of a node.
    pub(in crate::usage) fn at(&self, node: Node) -> Option<&Branch> {
        self.branches.get(usize::from(node.0))
    }
}

impl Branch {
    fn sort(&mut self) {
        self.names.sort_by_key(|(name, _)| name.len());
        for (length, start) in self.starts.iter_mut().enumerate() {
            let shorter = self.names.iter().filter(|(name, _)| name.len() < length);
            *start = u8::try_from(shorter.count()).unwrap_or(u8::MAX);
        }
    }

    /// Returns the node of the member `name`.
    pub(in crate::usage) fn child(&self, name: &[u8]) -> Option<Node> {
        let from = usize::from(*self.starts.get(name.len())?);
        let to = usize::from(*self.starts.get(name.len() + 1)?);
        // Names of the same length rarely share the first byte, so this check avoids most calls of
        // the comparison.
        let is_it = |known: &[u8]| known.first() == name.first() && known == name;
        let mut same_length = self.names.get(from..to)?.iter();
        let found = same_length.find(|(known, _)| is_it(known.as_bytes()))?;
        Some(Node(found.1))
    }
}
