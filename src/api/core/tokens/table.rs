//! How tokens are listed.

use crate::api::list::{ListTable, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::UserId;
use crate::domain::filters::{About, Kind};
use crate::domain::listing::Sort;
use crate::domain::user::TokenIntent;
use crate::store::people::token_list::{TokenFilter, TokenSortKey};

/// How tokens are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tokens;

#[rustfmt::skip]
impl Fields for Tokens {
    const FILTERS: &'static [About] = &[
        about("identifier", Kind::Text, "The identifier, exactly"),
        about("intent", Kind::Choice(|| TokenIntent::ALL.map(TokenIntent::as_str).to_vec()), "What it opens"),
        about("user", Kind::Whole, "The owner's primary key"),
        about("username", Kind::Text, "The owner's name, exactly"),
        about("description", Kind::Text, "The description, exactly"),
        about("expires", Kind::Instant, "Ends at this instant"),
        about("expires_gte", Kind::Instant, "Ends at this instant or later"),
        about("expires_lte", Kind::Instant, "Ends at this instant or earlier"),
        about("expiring", Kind::Text, "Whether it ends: true or false, 1 or 0; everything else is no filter"),
        about("managed", Kind::Text, "What made it, exactly"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[("username", "user__username")];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] =
        &["identifier", "pk", "managed", "intent", "user", "description", "expires", "expiring", "rollcall_last_used"];
}

/// The list of tokens.
pub static TOKENS: ListTable<FieldFilter<Tokens>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `identifier`, `pk`, `managed`, `intent`, `user`, `description`, \
     `expires`, `expiring`, `rollcall_last_used`. Without any that is known: by `identifier`.",
    "Terms, each of which must be part of the identifier, the intent, the owner's name or the description.",
);

list_parameters!(TokenListParameters, TOKENS);

/// The filter in the store's words. `visible_to` is the only user whose tokens the caller may see.
#[must_use]
pub fn filter(given: &FieldFilter<Tokens>, visible_to: Option<UserId>) -> TokenFilter {
    let text = |name: &str| given.get(name).map(str::to_owned);
    TokenFilter {
        visible_to,
        user: given.get("user").and_then(|text| text.parse().ok()).map(UserId),
        identifier: text("identifier"),
        intent: text("intent"),
        username: text("username"),
        description: text("description"),
        managed: text("managed"),
        is_expiring: given.get("expiring").and_then(|text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }),
        expires: given.instant("expires"),
        expires_from: given.instant("expires_gte"),
        expires_to: given.instant("expires_lte"),
        search: given.terms().to_vec(),
    }
}

/// The order in the store's words.
#[must_use]
pub fn orders(sorts: &[Sort<&'static str>]) -> Vec<Sort<TokenSortKey>> {
    let key = |name: &str| match name {
        "pk" => TokenSortKey::Uuid,
        "managed" => TokenSortKey::Managed,
        "intent" => TokenSortKey::Intent,
        "user" => TokenSortKey::User,
        "description" => TokenSortKey::Description,
        "expires" => TokenSortKey::Expires,
        "expiring" => TokenSortKey::Expiring,
        "rollcall_last_used" => TokenSortKey::LastUsed,
        _ => TokenSortKey::Identifier,
    };
    sorts.iter().map(|sort| Sort { key: key(sort.key), is_descending: sort.is_descending }).collect()
}
