//! What the program says about itself: manual pages, settings, licences.

use std::collections::BTreeSet;

use rollcall::config::keys;

use super::*;

#[test]
fn each_command_has_a_manual_page() {
    let home = Home::sqlite();
    let page = home.ok(&["man"]);
    assert!(page.contains(".TH rollcall 1") && page.contains("rollcall\\-serve(1)"), "{page}");
    let folder = home.folder().join("a/man");
    home.ok(&["man", "--to", folder.to_str().unwrap()]);
    let pages: BTreeSet<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in ["rollcall.1", "rollcall-serve.1", "rollcall-session-end.1", "rollcall-backup.1", "rollcall-app-rule-add.1"] {
        assert!(pages.contains(name), "{name} is not in {pages:?}");
    }
    assert!(pages.len() > 40 && pages.iter().all(|name| name.starts_with("rollcall") && !name.contains("help")), "{pages:?}");
    let end = std::fs::read_to_string(folder.join("rollcall-session-end.1")).unwrap();
    assert!(end.contains("\\-\\-reason"), "{end}");
    // A folder that cannot be made.
    std::fs::write(home.folder().join("file"), "").unwrap();
    let refused = home.run(&["man", "--to", home.folder().join("file/man").to_str().unwrap()]);
    assert_eq!((refused.code, refused.err.contains("file/man: Not a directory")), (1, true), "{}", refused.err);
}

#[test]
fn help_settings_has_every_setting() {
    let home = Home::sqlite();
    let text = home.ok(&["help", "settings"]);
    let entries: Vec<&str> = text.split("\n\n").collect();
    let operations = include_str!("../../../docs/OPERATIONS.md");
    let reload = operations.split("\n## Reload\n").nth(1).and_then(|rest| rest.split("are applied at once").next()).unwrap();
    let mut count = 0;
    for key in keys() {
        let variable = format!("ROLLCALL_{}", key.path.replace('.', "__").to_uppercase());
        let head = format!("  {} ({variable})\n", key.path);
        let entry = entries.iter().find(|entry| entry.starts_with(&head)).unwrap_or_else(|| panic!("{head}is missing"));
        assert!(entry.contains(&format!("takes {}; default: {}\n", key.form, key.default_text())), "{entry}");
        assert!(entry.contains(&key.about()), "{entry}");
        let marks = entry.lines().nth(2).unwrap().trim();
        assert_eq!(marks.split(", ").any(|mark| mark == "secret"), key.is_secret, "{entry}");
        let section = format!("`{}.*`", key.path.split('.').next().unwrap());
        let told = reload.contains(&format!("`{}`", key.path)) || reload.contains(&section);
        assert_eq!(marks.ends_with("applied on reload"), told, "docs/OPERATIONS.md, Reload, and: {entry}");
        count += 1;
    }
    assert!(count > 40, "{count}");
    // Help of commands is what it was, and there is no other word like it.
    assert!(home.ok(&["help", "serve"]).contains("Run the server"));
    home.fails(2, &["help", "setings"]);
}

#[test]
fn licences_of_a_build_without_those_of_its_libraries_are_no_success() {
    let home = Home::sqlite();
    let told = home.run(&["licenses"]);
    assert!(told.out.contains("Permission is hereby granted") && told.out.contains("Apache License"), "{}", told.out);
    assert_eq!((told.code, told.err.contains("scripts/release build")), (1, true), "{}", told.err);
}
