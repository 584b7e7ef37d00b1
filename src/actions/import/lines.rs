//! The lines of an import, as they are written.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::actions::applications::import::ApplicationLine;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    Group(GroupLine),
    User(UserLine),
    Application(ApplicationLine),
    Token(TokenLine),
    Session(SessionLine),
}

#[derive(Deserialize)]
pub(super) struct GroupLine {
    #[serde(default)]
    pub uuid: Option<String>,
    pub name: String,
    #[serde(default)]
    pub is_superuser: bool,
    #[serde(default)]
    pub is_auditor: bool,
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Names of groups that it is within; they come before it.
    #[serde(default)]
    pub parents: Vec<String>,
    #[serde(default)]
    pub attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the line")]
pub(super) struct UserLine {
    pub id: Option<i64>,
    #[serde(default)]
    pub uuid: Option<String>,
    #[serde(default)]
    pub uid: Option<String>,
    pub username: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub email: String,
    #[serde(default = "yes")]
    pub is_active: bool,
    #[serde(default)]
    pub is_superuser: bool,
    #[serde(default)]
    pub permissions: Vec<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub password_hash: Option<String>,
    #[serde(default)]
    pub is_auditor: bool,
    #[serde(default)]
    pub email_verified: bool,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(super) struct TokenLine {
    pub key: String,
    pub intent: String,
    pub user: i64,
    #[serde(default = "yes")]
    pub expiring: bool,
    pub expires: String,
    #[serde(default)]
    pub identifier: Option<String>,
    #[serde(default)]
    pub description: String,
    /// Of an app password: the slugs of the applications that it opens.
    #[serde(default)]
    pub applications: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct SessionLine {
    pub uuid: String,
    pub session_key: String,
    pub user: i64,
    pub last_ip: String,
    #[serde(default)]
    pub last_user_agent: String,
    pub last_used: String,
    pub expires: String,
}

fn yes() -> bool {
    true
}
