//! The rules of applications, and the limits that they name.

use std::time::Duration;

use crate::domain::names::NameRule;

/// The most applications, and the most guards.
pub const MAX_APPLICATIONS: usize = 1000;
/// The longest slug.
pub const MAX_SLUG_LENGTH: usize = 50;
/// The longest name, in characters.
pub const MAX_NAME_LENGTH: usize = 150;
/// The longest text that is shown, in characters.
pub(super) const MAX_SHOWN: usize = 2000;

/// The most users and groups of one demand, and the most networks.
pub const MAX_ALLOWED: usize = 500;
/// The longest time that a demand may ask for.
pub const MAX_AGE_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);
/// The most hosts of a guard, rules of a guard, and paths of a rule.
pub const MAX_PARTS: usize = 64;

/// Why an application was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationRule {
    /// A slug with other characters, too long, or `-` alone.
    #[error("a slug has 1 to {MAX_SLUG_LENGTH} letters (a to z), digits, - and _, and is not - alone")]
    Slug,
    /// No name, or one that is too long.
    #[error("a name has 1 to {MAX_NAME_LENGTH} characters")]
    NameLength,
    /// A name with a character that no name may hold.
    #[error("this name is not allowed: {0}")]
    Name(#[from] NameRule),
    /// `anyone` outside a path rule.
    #[error("anyone is for path rules only; an application opens for signed_in at most")]
    AnyoneIsForRules,
    /// More users and groups than a demand may name.
    #[error("at most {MAX_ALLOWED} users and groups can be named")]
    ManyAllowed,
    /// More networks than a demand may name.
    #[error("at most {MAX_ALLOWED} networks can be named")]
    ManyNetworks,
    /// A longest age that is too long.
    #[error("max_age is at most {}", humantime::format_duration(MAX_AGE_LIMIT))]
    MaxAge,
    /// A country that is not known.
    #[error("{0:?} is not a country")]
    Country(String),
    /// A host that cannot be guarded.
    #[error("{0:?} is not a host: give a name such as app.example.com, with a port if it needs one, or *.example.com")]
    Host(String),
    /// No host, or too many.
    #[error("a guard has 1 to {MAX_PARTS} hosts")]
    Hosts,
    /// The host of Rollcall itself.
    #[error("{0} is Rollcall's own host, which no guard may have")]
    OwnHost(String),
    /// A guard without an address of Rollcall to sign in at.
    #[error("a guard needs the setting http.public_url: apps send people there to sign in")]
    NoPublicUrl,
    /// A client without a redirect address, or with too many.
    #[error("a client has 1 to {MAX_PARTS} redirect addresses, and at most {MAX_PARTS} for after a sign-out")]
    RedirectUris,
    /// An address that cannot be registered.
    #[error(transparent)]
    Redirect(#[from] crate::domain::oidc::redirect::RedirectRule),
    /// An address that nothing is sent to.
    #[error(transparent)]
    Target(#[from] crate::domain::oidc::target::TargetRule),
    /// A scope that there is not.
    #[error("there is no scope {0:?}")]
    Scope(String),
    /// What is no claim of a client's own.
    #[error(
        "{0:?} is not a claim such as department=profile:attributes.department: a name that is none of the protocols', a scope and a source"
    )]
    Claim(String),
    /// Too many claims.
    #[error("a client has at most {MAX_PARTS} claims of its own")]
    ManyClaims,
    /// A lifetime that is none, or too long.
    #[error("a code lives for up to 10 minutes, an access token for up to a day, a refresh token for up to a year")]
    TokenLifetime,
    /// A JWT that apps would accept for too long after the end of its session.
    #[error(
        "an access token that is a JWT lives for up to an hour: an app that checks it by itself does not learn of an end before"
    )]
    JwtLifetime,
    /// What is no origin.
    #[error("{0:?} is not an origin such as https://app.example.com")]
    Origin(String),
    /// A `client_id` that cannot be one.
    #[error("a client_id has 1 to 255 visible ASCII characters without :")]
    ClientId,
    /// A `client_id` that another client has.
    #[error("another client has this client_id")]
    ClientIdTaken,
    /// A client whose issuer no app could trust.
    #[error("a client needs an https address in the setting http.public_url: its issuer is there")]
    ClientNeedsHttps,
    /// Something of a client for an application that has none.
    #[error("the application has no client: give it one by a redirect address")]
    NoClient,
    /// A message for a client that is told nothing.
    #[error("the client has no back-channel address")]
    NoBackChannel,
    /// A notice that needs nothing any more.
    #[error("it neither waits nor was given up: it is delivered, dropped or under way")]
    NoticeSettled,
    /// A secret for a client that keeps none.
    #[error("a public client has no secret")]
    PublicSecret,
    /// A secret that is too short, too long, or that could not be sent.
    #[error("a secret of a client has 32 to 255 visible ASCII characters")]
    Secret,
    /// A secret that another client has.
    #[error("another client has this secret")]
    SecretTaken,
    /// A signed identity whose keys no app could trust.
    #[error("a signed identity needs an https address in the setting http.public_url: apps fetch the keys there")]
    SignedNeedsHttps,
    /// A host that another guard has.
    #[error("another guard has one of these hosts")]
    HostTaken,
    /// A path that is no pattern.
    #[error(
        "{0:?} is not a path: it begins with /, * is one whole segment, /** at the end for everything below, and % ? # ; \\ and dot segments are not allowed"
    )]
    Path(String),
    /// A rule without paths, or with too many.
    #[error("a rule has 1 to {MAX_PARTS} paths")]
    RulePaths,
    /// A rule with too many methods or networks.
    #[error("a rule has at most {MAX_PARTS} methods and {MAX_PARTS} networks")]
    RuleParts,
    /// Too many rules.
    #[error("a guard has at most {MAX_PARTS} rules")]
    ManyRules,
    /// A method that cannot be one.
    #[error("{0:?} is not a method")]
    Method(String),
    /// A table of headers that is empty or too long.
    #[error("a table of headers has 1 to {MAX_PARTS} names")]
    Headers,
    /// A name that no identity header may have.
    #[error(
        "{0:?} cannot be the name of an identity header: letters, digits and dashes, and no name that means something to proxies"
    )]
    HeaderName(String),
    /// A name that is there twice.
    #[error("the header {0} is there twice")]
    HeaderTwice(String),
    /// A source of values that there is not.
    #[error(
        "{0:?} is not a source: username, name, email, email_verified, uid, uuid, groups, attributes.<path> or text:<constant>"
    )]
    Source(String),
    /// A list of groups that is too long, or has an empty name.
    #[error("groups_sent is all, or a list of at most 500 names")]
    GroupsSent,
    /// A text that is too long.
    #[error("{0} has at most {MAX_SHOWN} characters, without control characters")]
    Shown(&'static str),
    /// An address that browsers would not take for a page.
    #[error("{0} is an http or https address")]
    Address(&'static str),
    /// Too many applications.
    #[error("there are at most {MAX_APPLICATIONS} applications")]
    Many,
    /// Two guards for one application.
    #[error("the application has a guard already")]
    GuardExists,
    /// A guard that another application has.
    #[error("another application has this provider")]
    ProviderTaken,
    /// A provider that there is not.
    #[error("there is no provider with the primary key {0}")]
    NoProvider(i64),
    /// An application that there is not.
    #[error("there is no application {0:?}")]
    NoApplication(String),
    /// An app password for nothing.
    #[error("an app password is for one application at least")]
    NoneNamed,
    /// An application for which the user can make no app password.
    #[error("{0:?} takes no app passwords, or you may not open it")]
    NoAppPasswords(String),
    /// What is no address.
    #[error("{0:?} is not an address such as https://app.example.com/path")]
    Url(String),
    /// A host that no guard has.
    #[error("no application has the host {0}")]
    NoGuardedHost(String),
    /// A rule number that there is not.
    #[error("there is no rule {0}")]
    NoRule(usize),
    /// Something of a guard for an application that has none.
    #[error("the application has no guard: give it a host first")]
    NoGuard,
    /// A binding that is there already.
    #[error("the application allows this user or group already")]
    BindingExists,
}
