//! What the comments of scripts say is so: the paths that they name.

use std::path::Path;

/// The paths of files of the repository that a script's comments name.
fn named_paths(script: &str) -> Vec<&str> {
    let is_python = script.starts_with("#!/usr/bin/env python3");
    let (mut in_text, mut named) = (false, Vec::new());
    for line in script.lines().skip(1) {
        let marks = line.matches("\"\"\"").count();
        if in_text || (is_python && marks > 0) || line.trim_start().starts_with('#') {
            let is_path = |c: char| c.is_alphanumeric() || "_-./".contains(c);
            named.extend(line.split(|c: char| !is_path(c)).map(|word| word.trim_end_matches(['.', '/'])));
        }
        in_text ^= is_python && marks % 2 == 1;
    }
    let folders = ["src/", "tests/", "docs/", "static/", "scripts/", "data/", "templates/", "migrations/", "benches/", ".ci/"];
    // An example in the place of a version, as in `v1.2.3`, is no path.
    named.retain(|path| folders.iter().any(|folder| path.starts_with(folder)) && !path.contains("X.Y.Z"));
    named
}

#[test]
fn paths_in_comments_of_scripts_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in ["scripts", ".ci"].iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap()) {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        for path in named_paths(&text) {
            assert!(root.join(path).exists(), "{} names {path}", file.display());
            count += 1;
        }
    }
    assert!(count > 8, "{count}");
    let script = "#!/usr/bin/env python3\n\"\"\"Reads src/a.rs\n(src/ui/b.rs has more).\n\"\"\"\nopen('src/c.rs') # not src/d.rs\n# data/e/.\n";
    assert_eq!(named_paths(script), ["src/a.rs", "src/ui/b.rs", "data/e"]);
}
