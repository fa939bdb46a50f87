//! The table of places as a tree of names, which the scanner walks.

use std::sync::LazyLock;

use super::{HOLDERS, LISTS, LONGEST, Row, Says};
use crate::wire::json::scanner::Node;

/// The table as a tree of names.
pub(in crate::usage) struct Tree {
    pub(super) branches: Vec<Branch>,
}

/// What stands at a path.
pub(in crate::usage) struct Branch {
    /// What it says, if anything.
    pub(in crate::usage) says: Option<Says>,
    /// Whether that counts only where nothing else says anything.
    pub(in crate::usage) spare: bool,
    /// Whether it is an object of counts.
    pub(in crate::usage) is_usage: bool,
    /// Whether objects in an array stand for the object itself.
    pub(in crate::usage) is_list: bool,
    /// The names in it, by their length, and the branch that each leads to.
    names: Vec<(&'static str, u8)>,
    /// Where in `names` those of each length begin.
    starts: [u8; LONGEST + 2],
}

impl Default for Branch {
    fn default() -> Self {
        Self {
            says: None,
            spare: false,
            is_usage: false,
            is_list: false,
            names: Vec::new(),
            starts: [0; LONGEST + 2],
        }
    }
}

static TREE: LazyLock<Tree> = LazyLock::new(Tree::grow);

/// The tree, which is made once.
pub(in crate::usage) fn tree() -> &'static Tree {
    &TREE
}

impl Tree {
    fn grow() -> Self {
        let mut tree = Self {
            branches: vec![Branch::default()],
        };
        let mut shared: Vec<(&'static [Row], bool, u8)> = Vec::new();
        for (path, rows, spare, _) in HOLDERS {
            let known = shared
                .iter()
                .find(|(other, rank, _)| std::ptr::eq(*other, *rows) && rank == spare);
            match (path.rsplit_once('.').unwrap_or(("", path)), known) {
                ((_, ""), _) => tree.fill(0, rows, *spare),
                ((above, name), Some((_, _, to))) => {
                    let (above, to) = (tree.reach(0, above), *to);
                    tree.link(above, name, to);
                }
                _ => {
                    let to = tree.reach(0, path);
                    tree.fill(to, rows, *spare);
                    shared.push((rows, *spare, to));
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

    fn fill(&mut self, from: u8, rows: &[Row], spare: bool) {
        if let Some(branch) = self.branches.get_mut(usize::from(from)) {
            branch.is_usage = from > 0;
        }
        for (path, says, _) in rows {
            let at = self.reach(from, path);
            if let Some(branch) = self.branches.get_mut(usize::from(at)) {
                (branch.says, branch.spare) = (Some(*says), spare);
                branch.is_list = matches!(says, Says::ByModality(_));
            }
        }
    }

    /// The branch at `path`, which is made if there is none.
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

    /// What stands at a node.
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

    /// Where a name leads.
    pub(in crate::usage) fn child(&self, name: &[u8]) -> Option<Node> {
        let from = usize::from(*self.starts.get(name.len())?);
        let to = usize::from(*self.starts.get(name.len() + 1)?);
        // Names of one length seldom begin alike: that spares most of the calls that compare them.
        let is_it = |known: &[u8]| known.first() == name.first() && known == name;
        let mut same_length = self.names.get(from..to)?.iter();
        let found = same_length.find(|(known, _)| is_it(known.as_bytes()))?;
        Some(Node(found.1))
    }
}
