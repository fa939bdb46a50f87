//! The documentation agrees with itself and the repository: links, the summary, the runbook, the files that it names.
//! `tests/docs/run` runs its commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The pages at the repository's root, and those of the book.
fn pages() -> Vec<PathBuf> {
    let mut pages = markdown(Path::new("."));
    pages.extend(book());
    pages
}

fn book() -> Vec<PathBuf> {
    let mut pages = markdown(Path::new("docs"));
    pages.extend(markdown(Path::new("docs/adr")));
    pages
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect()
}

/// The page without its fenced blocks, whose text is not Markdown.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of the links in a page.
fn links(page: &Path) -> Vec<String> {
    let text = prose(page);
    let ends = text.match_indices("](").map(|(at, _)| at + 2);
    ends.filter_map(|at| text[at..].split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = prose(page);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .collect::<String>()
        .to_lowercase()
}

#[test]
fn every_link_in_the_documentation_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for link in links(&page) {
            if link.contains("://") {
                continue;
            }
            checked += 1;
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            if !target.exists() || (!heading.is_empty() && !anchors(&target).contains(heading)) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 100, "{checked}");
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let summary = Path::new("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> = links(summary)
        .iter()
        .map(|link| Path::new("docs").join(link))
        .collect();
    let mut there: BTreeSet<PathBuf> = book().into_iter().collect();
    there.remove(summary);
    assert_eq!(listed, there);
}

#[test]
fn the_runbook_has_an_entry_for_every_alert_and_no_others() {
    let rules = fs::read_to_string("conf/alerts.yml").unwrap();
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let operate = fs::read_to_string("docs/operate.md").unwrap();
    let entries: BTreeSet<&str> = operate
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("Keygate"))
        .collect();
    assert_eq!(alerts, entries);
}

#[test]
fn every_file_that_the_pages_for_developers_name_exists() {
    let mut pages = markdown(Path::new("docs/adr"));
    pages.extend(["ARCHITECTURE.md", "CONTRIBUTING.md"].map(PathBuf::from));
    let mut missing = Vec::new();
    let mut checked = 0;
    for page in pages {
        let text = prose(&page);
        for name in text.split('`').skip(1).step_by(2) {
            let first = name.split('/').next().unwrap();
            let is_in_source = name.contains('/')
                && !name.starts_with('/')
                && Path::new("gateway").join(first).is_dir();
            let roots = ["gateway/", "tests/", "benches/", "conf/", ".ci/"];
            let is_rooted = roots.iter().any(|root| name.starts_with(root));
            if !(is_in_source || is_rooted) || name.contains(' ') {
                continue;
            }
            checked += 1;
            // A module may be named without its ending.
            let is_there = ["", "gateway/"].iter().any(|root| {
                ["", ".rs"]
                    .iter()
                    .any(|end| Path::new(&format!("{root}{name}{end}")).exists())
            });
            if !is_there {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(checked > 20, "{checked}");
}

#[test]
fn the_readme_is_a_front_page_of_at_most_200_lines() {
    let readme = fs::read_to_string("README.md").unwrap();
    assert!(readme.lines().count() <= 200);
}
