//! The imports of `src/`: they point down, and rings of imports stay small and inside one folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules, from the top floor to the ground. A module imports from floors below its own.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["server", "routes"],
    &["api", "ui", "guard", "oidc", "jobs"],
    &["auth", "http"],
    &["actions"],
    &["core", "keys"],
    &["enrich", "outbound", "store", "watch"],
    &["config", "domain"],
];

/// Modules that every floor may import and that import nothing of the crate.
const LEAVES: &[&str] = &["files", "metrics", "trust"];

/// The imports between two modules of one floor that are allowed.
const ON_ONE_FLOOR: &[(&str, &str)] = &[("server", "routes"), ("auth", "http"), ("core", "keys"), ("config", "domain")];

/// Imports that break a rule and are known: file, imported path. This table may only shrink.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The most files that one ring of imports may have.
const LARGEST_RING: usize = 3;

/// A path into the crate that a file names: the line, from 1, and the names behind `crate::`.
#[derive(Clone, Debug, PartialEq)]
struct Import {
    line: usize,
    path: Vec<String>,
    /// Whether it is in a `pub use`.
    is_reexport: bool,
}

/// Every path into the crate that the source names, in `use` items and elsewhere, comments left out.
/// A tree of imports becomes one path for each leaf.
fn imports(source: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let code: Vec<String> = source.lines().map(without_comment).collect();
    let text = code.join("\n");
    let mut at = 0;
    while let Some(next) = text[at..].find("crate::") {
        let start = at + next;
        at = start + "crate::".len();
        let before = &text[..start];
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') || before.ends_with("(in ") {
            continue;
        }
        let line = before.matches('\n').count() + 1;
        let item = before.rsplit([';', '{', '}']).next().unwrap_or_default().trim_start();
        let (is_use, is_reexport) = (item.contains("use "), item.starts_with("pub"));
        let end = if is_use { text[at..].find(';').map_or(text.len(), |end| at + end) } else { text.len() };
        let mut rest = &text[at..end];
        for path in tree(&mut rest) {
            found.push(Import { line, path, is_reexport: is_use && is_reexport });
        }
    }
    found
}

/// A line without its comment. Slashes inside texts are rare here and only shorten what is read.
fn without_comment(line: &str) -> String {
    line.find("//").map_or(line, |at| &line[..at]).to_owned()
}

/// Reads one path or tree of paths from the front of `rest`.
fn tree(rest: &mut &str) -> Vec<Vec<String>> {
    let mut prefix = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('{') {
            *rest = inner;
            return branches(rest).into_iter().map(|branch| [prefix.clone(), branch].concat()).collect();
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(length);
        if !name.is_empty() && name != "self" {
            prefix.push(name.to_owned());
        }
        *rest = behind;
        match rest.strip_prefix("::") {
            Some(behind) if !name.is_empty() => *rest = behind,
            _ => return vec![prefix],
        }
    }
}

/// Reads the branches of a tree up to its closing brace.
fn branches(rest: &mut &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            *rest = behind;
            return all;
        }
        if rest.is_empty() {
            return all;
        }
        all.extend(tree(rest));
        // What is left of a branch: an alias, the comma.
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        *rest = &rest[end..];
        *rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Why a module may not import another; `None`: it may.
fn broken_rule(from: &str, to: &str) -> Option<String> {
    if from == to || LEAVES.contains(&to) || !is_module(to) {
        return None;
    }
    if LEAVES.contains(&from) {
        return Some(format!("{from} is a leaf and imports nothing of the crate"));
    }
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    match (floor(from), floor(to)) {
        (Some(from_floor), Some(to_floor)) if from_floor < to_floor => None,
        (Some(from_floor), Some(to_floor)) if from_floor == to_floor => {
            (!ON_ONE_FLOOR.contains(&(from, to))).then(|| format!("{from} and {to} are on one floor"))
        }
        (Some(_), Some(_)) => Some(format!("{to} is above {from}")),
        _ => Some(format!("{from} or {to} is on no floor: add it to FLOORS")),
    }
}

/// Whether a name behind `crate::` is a module and no item of `lib.rs`, such as a macro.
fn is_module(name: &str) -> bool {
    FLOORS.iter().copied().flatten().chain(LEAVES).any(|module| *module == name)
        || Path::new("src").join(name).is_dir()
        || Path::new("src").join(format!("{name}.rs")).is_file()
}

/// The imports of one file that break a rule, each with file, line and rule.
fn broken(file: &str, source: &str) -> Vec<String> {
    let from = top_module(file);
    let all = imports(source).into_iter().filter_map(|import| {
        let rule = broken_rule(&from, import.path.first()?)?;
        let path = import.path.join("::");
        (!EXCEPTIONS.contains(&(file, &path))).then(|| format!("{file}:{}: crate::{path}: {rule}", import.line))
    });
    all.collect()
}

/// The top-level module of a file of `src/`.
fn top_module(file: &str) -> String {
    let inside = file.trim_start_matches("src/");
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// All source files: path from the root of the repository, and text.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.insert(path.to_string_lossy().replace('\\', "/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(Path::new("src"), &mut found);
    found
}

#[test]
fn imports_point_down() {
    let sources = sources();
    assert!(sources.len() > 100, "the sources were found");
    let broken: Vec<String> =
        sources.iter().filter(|(file, _)| *file != "src/lib.rs").flat_map(|(file, source)| broken(file, source)).collect();
    assert!(broken.is_empty(), "{} imports break a rule:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn an_upward_import_is_found() {
    let upward = "//! Text.\n\nuse crate::{\n    domain::UserId,\n    api::{error::ApiError, django},\n};\n";
    assert_eq!(
        broken("src/store/people/users.rs", upward),
        [
            "src/store/people/users.rs:3: crate::api::error::ApiError: api is above store",
            "src/store/people/users.rs:3: crate::api::django: api is above store",
        ]
    );
    assert_eq!(broken("src/domain/rate.rs", "fn f() -> crate::store::Store {}").len(), 1);
    assert_eq!(
        broken("src/api/error.rs", "use crate::ui::words;"),
        ["src/api/error.rs:1: crate::ui::words: api and ui are on one floor"]
    );
    assert_eq!(broken("src/metrics.rs", "use crate::store::Store;").len(), 1);
    assert_eq!(
        broken("src/store/mod.rs", "// use crate::api::error;\npub(in crate::store) struct A;\nuse crate::domain::A as B;"),
        [""; 0]
    );
}

/// The files that a module path leads to: the file of the longest prefix that is a module, after
/// `pub use` items were followed.
struct Files {
    modules: HashMap<Vec<String>, String>,
    reexports: HashMap<Vec<String>, Vec<String>>,
}

impl Files {
    fn of(sources: &BTreeMap<String, String>) -> Self {
        let module = |file: &str| -> Vec<String> {
            let path = PathBuf::from(file.trim_start_matches("src/").trim_end_matches(".rs"));
            let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if names.last().is_some_and(|name| name == "mod") {
                names.pop();
            }
            names
        };
        let modules: HashMap<_, _> = sources.keys().map(|file| (module(file), file.clone())).collect();
        let mut reexports = HashMap::new();
        for (file, source) in sources {
            let here = module(file);
            for line in source.lines().filter_map(|line| line.strip_prefix("pub use ")) {
                let mut rest = line;
                for path in tree(&mut rest) {
                    let Some(name) = path.last().cloned() else { continue };
                    let target = if path.first().is_some_and(|first| first == "crate") {
                        path[1..].to_vec()
                    } else {
                        [here.clone(), path].concat()
                    };
                    reexports.insert([here.clone(), vec![name]].concat(), target);
                }
            }
        }
        Self { modules, reexports }
    }

    fn file(&self, path: &[String]) -> Option<&String> {
        let mut path = path.to_vec();
        for _ in 0..4 {
            let known = (1..=path.len()).rev().find(|length| self.reexports.contains_key(&path[..*length]));
            let Some(length) = known else { break };
            path = [self.reexports[&path[..length]].clone(), path[length..].to_vec()].concat();
        }
        (1..=path.len()).rev().find_map(|length| self.modules.get(&path[..length]))
    }
}

/// Which files each file imports, its unit tests left out.
fn graph(sources: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<String>> {
    let files = Files::of(sources);
    let edges = sources.iter().filter(|(file, _)| *file != "src/lib.rs").map(|(file, source)| {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let to = imports(code).into_iter().filter(|import| !import.is_reexport);
        let to = to.filter_map(|import| files.file(&import.path).cloned()).filter(|to| to != file);
        (file.as_str(), to.collect())
    });
    edges.collect()
}

/// Everything that can be reached from a file.
fn reach<'a>(graph: &'a BTreeMap<&str, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = graph[from].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if seen.insert(file) {
            next.extend(graph.get(file).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

#[test]
fn rings_of_imports_are_small_and_stay_in_one_folder() {
    let sources = sources();
    let graph = graph(&sources);
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph.keys().map(|file| (*file, reach(&graph, file))).collect();
    let mut wrong = BTreeSet::new();
    for (file, reached) in &reach {
        let ring: Vec<&str> =
            reached.iter().copied().filter(|other| reach.get(other).is_some_and(|back| back.contains(file))).collect();
        let folders: BTreeSet<_> = ring.iter().map(|file| Path::new(file).parent()).collect();
        if ring.len() > LARGEST_RING || folders.len() > 1 {
            wrong.insert(ring);
        }
    }
    assert!(wrong.is_empty(), "rings of more than {LARGEST_RING} files, or across folders: {wrong:#?}");
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let mut long: Vec<String> = Vec::new();
    for folder in ["src", "tests", "benches"] {
        long.extend(long_files(Path::new(folder)));
    }
    assert!(long.is_empty(), "longer than 500 lines: {long:?}");
}

fn long_files(folder: &Path) -> Vec<String> {
    let mut long = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            long.extend(long_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > 500 {
                long.push(format!("{}: {lines}", path.display()));
            }
        }
    }
    long
}
