//! Why a form was refused: one of five causes, each with its own way out for the person at the browser,
//! and a line in the log for the person who runs the server.

use crate::config::Config;
use crate::http::client::ClientInfo;
use crate::http::log_limit::LogLimit;

/// The cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The browser says that another site sent it. With the reason.
    OtherSite(String),
    /// People reach the server over https, but the form came over http, where browsers keep no
    /// `Secure` cookies.
    NotHttps,
    /// No cookie came with it, though its page set one.
    NoCookie,
    /// Its cookie is there, but its proof belongs to another one: the page is from before a
    /// sign-in, a sign-out, or a new instance key.
    TooOld,
    /// A part of the form is missing, or it is no form. With the reason.
    Incomplete(String),
}

impl Refusal {
    /// The cause in one word, for the log.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::OtherSite(_) => "other_site",
            Self::NotHttps => "not_https",
            Self::NoCookie => "no_cookie",
            Self::TooOld => "too_old",
            Self::Incomplete(_) => "incomplete",
        }
    }

    /// What the page says.
    #[must_use]
    pub fn text(&self) -> &'static str {
        match self {
            Self::OtherSite(_) => {
                "Your browser says that this form came from another site. Open the page by the address that this server is \
                 known by, and send it again."
            }
            Self::NotHttps => {
                "This page was opened over http, where browsers keep none of this server's cookies. Open it over https: put \
                 https:// in front of the address."
            }
            Self::NoCookie => {
                "Your browser did not send back the cookie of this page. Allow cookies for this site, reload the page, and try again."
            }
            Self::TooOld => "This page was too old. Please try again.",
            Self::Incomplete(_) => "A part of this form did not arrive. Reload the page, and send it again.",
        }
    }

    /// The same for a page without a form to try again.
    #[must_use]
    pub fn text_without_form(&self) -> &'static str {
        match self {
            Self::TooOld => "This page was too old. Go back, reload it, and send it again.",
            other => other.text(),
        }
    }

    /// The cause, for a form that came without its cookie.
    #[must_use]
    pub fn without_cookie(config: &Config, client: &ClientInfo) -> Self {
        if config.is_https() && !client.is_https { Self::NotHttps } else { Self::NoCookie }
    }

    /// Writes it to the log, within a rate limit: anybody can send forms.
    pub fn log(&self, client: &ClientInfo) {
        static LINES: LogLimit = LogLimit::ten_a_minute();
        let Some(held_back) = LINES.admit() else { return };
        let why = match self {
            // What a client sent has no spaces here, as no origin has: it cannot look like a line of the log.
            Self::OtherSite(why) | Self::Incomplete(why) => in_one_word(why),
            _ => String::new(),
        };
        tracing::info!(cause = self.cause(), why, held_back, client.ip = %client.ip, request.id = client.request_id, "a form was refused");
    }
}

fn in_one_word(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_words_of_its_own() {
        let why = || "why".to_owned();
        let all = [Refusal::OtherSite(why()), Refusal::NotHttps, Refusal::NoCookie, Refusal::TooOld, Refusal::Incomplete(why())];
        let causes: std::collections::HashSet<_> = all.iter().map(Refusal::cause).collect();
        let texts: std::collections::HashSet<_> = all.iter().map(Refusal::text).collect();
        assert_eq!((causes.len(), texts.len()), (5, 5));
    }
}
