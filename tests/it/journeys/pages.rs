//! The pages that a machine looks at.

use super::apps;
use crate::process::{Home, Server};

/// Every page there is, but for those that lead elsewhere: name and path.
pub async fn pages(home: &Home, server: &Server) -> Vec<(&'static str, String)> {
    home.ok(&["group", "add", "Zürich / IT アリス", "--member", "akadmin", "--superuser"]);
    home.ok(&["group", "add", "on call", "--parent", "Zürich / IT アリス"]);
    let uuid = home.texts("SELECT lower(hex(uuid)) FROM groups WHERE name LIKE 'Z%'").await.remove(0);
    let group = format!("/groups/{uuid}");
    let attributes = format!("{{\"team\": \"Zürich アリス\", \"{}\": [\"{}\"]}}", "long".repeat(30), "x".repeat(400));
    home.ok(&["user", "set", "akadmin", "--attributes", &attributes]);
    apps::fill(home).await;
    let password = ["token", "add", "--user", "akadmin", "--intent", "app_password", "--app", "wiki", "--identifier", "backup"];
    home.ok(&[&password[..], &["--description", "Sicherung des Laptops in Zürich アリス, jede Nacht"]].concat());
    let uuid = server.sessions().await[0]["uuid"].as_str().unwrap().to_owned();
    let mut pages = vec![
        ("devices", "/sessions".to_owned()),
        ("not-me", format!("/sessions/not-me?session={uuid}")),
        ("all-sessions", "/sessions/all".into()),
        ("all-sessions-filtered", "/sessions/all?q=country:DE+colour:red".into()),
        ("ended-sessions", "/sessions/all?state=ended".into()),
        ("sessions-of-both", "/sessions/all?state=both&q=used:today".into()),
        ("end", "/sessions/all/end?scope=all".into()),
        ("session", format!("/sessions/{uuid}")),
        ("map", "/map".into()),
        ("users", "/users".into()),
        ("user-new", "/users/new".into()),
        ("deactivate", "/users/4/active".into()),
        ("user", "/users/1".into()),
        ("apps", "/apps".into()),
        ("applications", "/applications".into()),
        ("application-new", "/applications/new".into()),
        ("account", "/account".into()),
        ("account-activity", "/account/activity".into()),
        ("account-failed", "/account/activity?only=failed".into()),
        ("account-data", "/account/data".into()),
        ("account-remove", "/account/remove".into()),
        ("app-passwords", "/apps/passwords".into()),
        ("app-password-new", "/apps/passwords/new".into()),
        ("app-password-remove", "/apps/passwords/remove?identifier=backup".into()),
        ("users-to-remove", "/users?removal=asked".into()),
        ("user-erase", "/users/1/erase".into()),
        ("user-edit", "/users/1/edit".into()),
        ("user-remove", "/users/1/remove".into()),
        ("user-import", "/users/import".into()),
        ("user-policy", "/users/1/policy".into()),
        ("group-policy", format!("{group}/policy")),
        ("instance-policy", "/settings/policy".into()),
        ("groups", "/groups".into()),
        ("group-new", "/groups/new".into()),
        ("group", group.clone()),
        ("group-edit", format!("{group}/edit")),
        ("group-remove", format!("{group}/remove")),
        ("tokens", "/tokens".into()),
        ("token-new", "/tokens/new".into()),
        ("events", "/events".into()),
        ("settings", "/settings".into()),
        ("password", "/password".into()),
        ("security", "/security".into()),
        ("sign-out", "/sign-out".into()),
        ("device", "/device".into()),
        ("error", "/nothing".into()),
    ];
    pages.extend(apps::PAGES.map(|(name, path)| (name, path.to_owned())));
    pages
}
