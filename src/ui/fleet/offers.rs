//! The view as others take it: a `curl` line and a `rollcall` command.

use crate::actions::app::App;
use crate::domain::listing::SessionFilter;
use crate::http::client::ClientInfo;
use crate::ui::fleet::view::{View, address};

/// What a view can be copied as.
pub(in crate::ui) struct Offers {
    pub curl: String,
    pub command: String,
}

impl Offers {
    pub fn new(app: &App, client: &ClientInfo, view: &View, filter: &SessionFilter) -> Self {
        let origin = app.config.http.public_url.as_ref().map_or_else(|| client.origin(), |url| url.origin().to_owned());
        let mut query: Vec<(&str, String)> = parameters(view, filter).into_iter().map(|(api, _, value)| (api, value)).collect();
        query.push(("ordering", view.order.clone()));
        query.push(("page_size", view.size.to_string()));
        let url = address(&format!("{origin}/api/v3/core/authenticated_sessions/"), &query);
        let mut command = "rollcall session list".to_owned();
        for (_, flag, value) in parameters(view, filter) {
            command.push_str(&format_args!(" --{flag} {}", quoted(&value)).to_string());
        }
        command.push_str(&format_args!(" --ordering={} --limit {}", view.order, view.size).to_string());
        Self { curl: format!("curl -H \"Authorization: Bearer $ROLLCALL_TOKEN\" {}", quoted(&url)), command }
    }
}

/// The filter as the API and the command line name it: parameter, flag, value.
fn parameters(view: &View, filter: &SessionFilter) -> Vec<(&'static str, &'static str, String)> {
    let text = |value: &Option<String>| value.clone();
    let words = Some(view.query.words()).filter(|words| !words.is_empty());
    let all = [
        ("search", "search", words),
        ("user__username", "user", text(&filter.username)),
        ("user", "user-pk", filter.user.map(|user| user.0.to_string())),
        ("country", "country", text(&filter.country)),
        ("asn", "asn", filter.asn.map(|asn| asn.to_string())),
        ("network", "network", filter.network.map(|network| network.to_string())),
        ("session__last_ip", "last-ip", filter.last_ip.map(|ip| ip.to_string())),
        ("browser", "browser", text(&filter.browser)),
        ("os", "os", text(&filter.os)),
        ("device", "device", text(&filter.device)),
        ("session__last_user_agent", "last-user-agent", text(&filter.user_agent)),
        ("last_used__gte", "last-used-gte", filter.last_used_gte.map(|at| at.to_string())),
        ("last_used__lte", "last-used-lte", filter.last_used_lte.map(|at| at.to_string())),
        ("expires__gte", "expires-gte", filter.expires_gte.map(|at| at.to_string())),
        ("expires__lte", "expires-lte", filter.expires_lte.map(|at| at.to_string())),
        ("except", "except", filter.except.map(|id| id.to_string())),
    ];
    all.into_iter().filter_map(|(api, flag, value)| Some((api, flag, value?))).collect()
}

/// One word to a shell, whatever it holds.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&b));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_see_one_word() {
        assert_eq!(quoted("alice"), "alice");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a'b $(x)"), "'a'\\''b $(x)'");
    }
}
