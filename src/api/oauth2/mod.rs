//! `/api/v3/oauth2/`: the tokens of apps, without what opens anything. Everybody sees and takes back their own.

pub mod access_tokens;
pub mod refresh_tokens;

use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::token_list::{self, ShownToken};
use crate::api::core::users::wire::{Shown, User};
use crate::api::core::wire::UsedBy;
use crate::api::django::{self, Int};
use crate::api::endpoint::{Answer, Call, done, ok};
use crate::api::error::ApiError;
use crate::api::list::{Empty, ListTable, Pagination, list_parameters};
use crate::api::providers::wire::Provider;
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::filters::{About, Kind};
use crate::domain::{Timestamp, UserId};
use crate::store::oidc::token_list::TokenFilter;
use crate::store::people::user_list::ListedUser;

/// A token of an app. What opens anything is in no answer.
#[derive(Serialize, ToSchema)]
pub struct TokenModel<'a> {
    /// The number in addresses.
    pk: i64,
    /// The client that has it.
    provider: Provider,
    /// Whose it is.
    user: User<'a>,
    /// Whether its time is over.
    is_expired: bool,
    /// When its time is over.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// What it may be used for.
    scope: Vec<&'a str>,
    /// The claims of an ID token of that moment, as JSON.
    id_token: String,
    /// Always false: tokens that were taken back are gone.
    revoked: bool,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedTokenModelList)]
pub struct TokenModelPage<'a> {
    /// Where the page is among the others.
    pub pagination: Pagination,
    /// The tokens of this page.
    pub results: Vec<TokenModel<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

impl<'a> TokenModel<'a> {
    fn new(shown: &'a ShownToken, owner: &'a ListedUser, now: Timestamp) -> Option<Self> {
        let (token, application) = (&shown.token, &shown.application);
        let claims = serde_json::to_string(&shown.claims).unwrap_or_default();
        Some(Self {
            pk: token.id,
            provider: Provider::of_client(application.client.as_ref()?, Some(application)),
            user: User::new(owner, Shown { groups: true, roles: true }),
            is_expired: token.expires_at <= now,
            expires: Some(token.expires_at),
            scope: token.scope.split(' ').filter(|scope| !scope.is_empty()).collect(),
            id_token: claims,
            revoked: false,
        })
    }
}

/// How tokens are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("provider", Kind::Whole, "The client that has it, by primary key"),
        about("user", Kind::Whole, "Whose it is, by primary key"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &[];
}

static TOKENS: ListTable<FieldFilter<Listed>, &'static str> =
    small_list::table("Changes nothing: the newest ones come first.", "Changes nothing.");

list_parameters!(TokenModelListParameters, TOKENS);

fn by(call: &Call) -> By<'_> {
    By::Principal(&call.who, &call.actor)
}

async fn page(app: App, call: Call, is_refresh: bool) -> Answer {
    let request = TOKENS.read(&call.query, app.config.api.strict_query)?;
    let given = |name: &str| request.filter.get(name).and_then(|text| text.parse::<i64>().ok());
    let filter = TokenFilter { is_refresh, provider: given("provider"), user: given("user").map(UserId), ..TokenFilter::default() };
    let wanted = request.wanted(call.asked)?;
    let count = token_list::count(&app, by(&call), filter).await?;
    let rows = match wanted.window(count) {
        Some(window) => token_list::list(&app, by(&call), filter, window.offset, window.limit).await?,
        None => Vec::new(),
    };
    let found = wanted.found(count, rows);
    let pagination = Pagination::of(&found)?;
    let ids: Vec<i64> = found.rows.iter().map(|shown| shown.token.user_id.0).collect();
    let owners = app.store.read().list_listed_users(&ids).await?;
    let now = app.clock.now();
    let model = |shown| TokenModel::new(shown, owners.get(&shown.token.user_id.0)?, now);
    let results = found.rows.iter().filter_map(model).collect();
    Ok(ok(&TokenModelPage { pagination, results, autocomplete: Empty {} }))
}

fn id_of(call: &Call) -> Result<i64, ApiError> {
    django::int(call.part()).and_then(Int::value).ok_or(ApiError::NotFound)
}

/// The token that the path names, if the caller may know of it.
async fn find(app: &App, call: &Call, is_refresh: bool) -> Result<ShownToken, ApiError> {
    let filter = TokenFilter { is_refresh, id: Some(id_of(call)?), ..TokenFilter::default() };
    token_list::list(app, by(call), filter, 0, 1).await?.pop().ok_or(ApiError::Missing)
}

async fn one(app: App, call: Call, is_refresh: bool) -> Answer {
    let shown = find(&app, &call, is_refresh).await?;
    let owner = app.store.read().find_listed_user(shown.token.user_id).await?.ok_or(ApiError::Missing)?;
    Ok(ok(&TokenModel::new(&shown, &owner, app.clock.now()).ok_or(ApiError::Missing)?))
}

async fn remove(app: App, call: Call, is_refresh: bool) -> Answer {
    token_list::remove(&app, by(&call), is_refresh, id_of(&call)?).await?;
    Ok(done())
}

async fn users(app: App, call: Call, is_refresh: bool) -> Answer {
    find(&app, &call, is_refresh).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}
