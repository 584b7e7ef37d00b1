//! Requests by curl, which speaks HTTP/2 and takes heads as they are.

use std::process::Command;

use crate::process::skip;

/// Head and body of an answer. `None`: curl is not installed. Without any answer it tries again: curl 7.88 loses one whose
/// stream the server resets behind it, as Caddy and Traefik do with a request whose body they did not read.
/// `from` is the host and port that the URL has, `port` the one of loopback that is spoken to.
pub async fn curl(from: (&str, u16), port: u16, more: &[&str]) -> Option<String> {
    let connect = format!("{}:{}:127.0.0.1:{port}", from.0, from.1);
    let fixed = ["-s", "-S", "-i", "--path-as-is", "--max-time", "30", "--connect-to", &connect];
    let args: Vec<String> = fixed.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    let mut error = String::new();
    for _ in 0..5 {
        let mut command = Command::new("curl");
        command.args(&args);
        match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
            Ok(output) if output.stdout.is_empty() => error = String::from_utf8_lossy(&output.stderr).into_owned(),
            Ok(output) => return Some(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(_) => {
                skip("curl is not installed");
                return None;
            }
        }
    }
    panic!("curl has no answer to {args:?}: {error}");
}
